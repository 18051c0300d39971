"""The page on LogME: its claims hold and can fail, its tables add up, its figures draw."""

from __future__ import annotations

import io
import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision

from hastelib import logme, metrics, report
from hastelib.figures import evidence as drawn
from hastelib.report import evidence
from hastelib.report.comparison import MEAN

SHAPES = [(40, 12), (24, 24), (20, 60)]
SOURCES = ("resnet8@glyphs", "resnet14@glyphs", "densenet16@glyphs", "mobilenet_v2@glyphs")


# Claims


@pytest.mark.parametrize(
    ("claims", "tolerance"),
    [
        (logme.forms, 1e-9),
        (logme.maxima, 1e-6),
        (logme.invariances, 1e-9),
        (logme.ends, 1e-5),
        (logme.gradients, 1e-5),
        (logme.missing, 1e-5),
        (logme.shifts, 1e-3),
    ],
)
@pytest.mark.parametrize("seed", [0, 7])
def test_claims_hold(claims, tolerance, seed):
    assert len(report.verify(claims(seed), tolerance).frame) > 1


def test_the_profile_is_no_more_curved_than_proved_and_about_as_curved_as_that():
    found = logme.curvature(problems=6)
    report.verify(found.claims)
    assert -0.25 <= found.sharp < -0.24
    assert -0.25 <= found.lowest < 0 < found.highest <= 0.125


def test_what_is_forgotten_is_much_where_there_are_more_dimensions_than_samples():
    claims = logme.missing(problems=1)
    assert claims["40 × 20, excess"][0] == 0
    assert claims["40 × 120, excess"][0] > 1


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_the_fixed_point_is_that_of_the_library(n, d):
    F, y = logme.problem(n, d, seed=3)
    point = logme.fixed_point(F, y)
    assert point.value.mean() == pytest.approx(metrics.logme_fixed_point(F, y), rel=1e-12)
    assert (point.excess != 0).all() == (n < d)
    scores = logme.versions(F, y)
    assert list(scores) == list(logme.VERSIONS)
    assert scores["exact"] == pytest.approx(metrics.logme(F, y), rel=1e-12)
    assert scores["fixed"] == pytest.approx(point.value.mean(), rel=1e-12)
    assert scores["mended"] == pytest.approx((point.value - point.excess).mean(), rel=1e-12)


def test_the_landscape_has_two_maxima_and_the_fixed_point_ends_on_the_wrong_one():
    found = logme.landscape()
    peaks = found.peaks()
    assert len(peaks) == 2
    ends = found.ends.set_index("unit")
    assert ends["log_t"][1.0] == pytest.approx(peaks["log_t"][0], abs=0.05)
    assert ends["log_t"][0.01] == pytest.approx(peaks["log_t"][1], abs=0.05)
    assert ends["value"][0.01] < peaks["value"][0] - 0.05
    curve = np.interp(ends["log_t"][1e4], found.log_t, found.curve)
    assert ends["value"][1e4] < curve


def test_the_gap_opens_below_n_equal_to_d():
    found = logme.gaps(d=24, sizes=(12, 22, 24, 48), units=(0.1, 1.0), seeds=(0,))
    below = found["n"] < found["d"]
    assert (found.loc[below, "gap"].abs() > 0.05).all()
    assert (found.loc[~below, "gap"].abs() < 0.01).all()


def test_a_zoo_is_ranked_by_quality_and_by_the_fixed_point_by_width():
    found = logme.zoo_rankings(sizes=(32, 128), widths=(32, 64, 128), zoos=3)
    means = found.groupby(["version", "n"])[["quality", "width"]].mean()
    assert means["quality"]["exact"].min() > 0.8
    assert means["width"]["fixed", 32] > 0.7
    assert means["quality"]["fixed", 128] > means["quality"]["fixed", 32] + 0.4


def test_a_wider_model_that_sees_the_same_has_the_same_evidence():
    narrow, y = logme.problem(30, 8, seed=1)
    wide = np.pad(narrow, ((0, 0), (0, 92)))
    scores = [logme.versions(F, y) for F in (narrow, wide)]
    assert scores[0]["exact"] == pytest.approx(scores[1]["exact"], rel=1e-12)
    assert abs(scores[0]["fixed"] - scores[1]["fixed"]) > 1
    assert scores[1]["mended"] == pytest.approx(scores[0]["mended"], abs=1e-9)


def test_halves_compare_the_versions_zoo_by_zoo():
    found = logme.halves(zoos=2, n=64, widths=(32, 48, 96, 40))
    assert len(found) == 2 * len(logme.VERSIONS)
    assert found["change"].between(0, 2).all()


def test_units_decide_where_the_fixed_point_ends():
    found = evidence.scales(problems=4).frame.set_index("unit")
    assert found["exact"].max() - found["exact"].min() < 1e-9
    assert (found.loc[[0.01, 1e4], "below"] == found["classes"].iloc[0]).all()
    assert found.loc[1.0, "below"] == 0
    assert found.loc[0.01, "unconverged"] > 0


# The suite


def made_up(**changes) -> pd.DataFrame:
    """Scores of four sources on two targets; by the fixed point the widest always wins."""
    generator = np.random.default_rng(0)
    widths = dict(zip(SOURCES, (32, 48, 24, 1280), strict=True))
    accuracies = {"greek": (0.7, 0.9, 0.6, 0.8), "arrows": (0.5, 0.7, 0.4, 0.6)}
    lines = []
    for target, values in accuracies.items():
        for source, accuracy in zip(SOURCES, values, strict=True):
            for variant in ("all", "random", "ca", "cs"):
                n = 600 if variant == "all" else 150
                exact = accuracy - 1 + 0.01 * generator.normal()
                excess = 5.0 if n < widths[source] else 0.0
                scores = {"exact": exact, "fixed": exact + excess, "mended": exact}
                lines += [
                    {
                        "suite": "glyphs",
                        "target": target,
                        "source": source,
                        "variant": variant,
                        "accuracy": accuracy,
                        "fraction": n / 600,
                        "samples": n,
                        "width": widths[source],
                        "metric": version,
                        "score": score,
                    }
                    for version, score in scores.items()
                ]
    return pd.DataFrame(lines).assign(**changes)


LINES = made_up()


def test_scores_are_those_of_the_metrics_mean_over_the_draws():
    features, labels = {}, torch.arange(24) % 3
    generator = torch.Generator().manual_seed(0)
    for name, d in (("a@x", 5), ("b@x", 40)):
        F = torch.randn(24, d, generator=generator) + labels[:, None]
        features[name, "t"] = SimpleNamespace(embedding=F.float(), labels=labels)
    subsets = [
        SimpleNamespace(variant="all", rows=torch.arange(24)),
        SimpleNamespace(variant="random", rows=torch.arange(0, 12)),
        SimpleNamespace(variant="random", rows=torch.arange(12, 24)),
        SimpleNamespace(variant="ca", rows=torch.arange(0, 24, 3)),  # of one class
    ]
    grid = SimpleNamespace(
        suite=SimpleNamespace(name="s", sources=("a@x", "b@x")),
        accuracies=lambda targets: {("a@x", "t"): [0.5, 0.7], ("b@x", "t"): [0.4]},
        features=lambda source, target: features[source, target],
        subsets=lambda target: subsets,
    )
    found = evidence.scores(grid, ["t"]).set_index(["source", "variant", "metric"])
    F = features["b@x", "t"].embedding
    halves = [metrics.logme(F[k : k + 12], labels[k : k + 12]) for k in (0, 12)]
    assert found.loc[("b@x", "random", "exact"), "score"] == pytest.approx(np.mean(halves))
    assert found.loc[("b@x", "all", "fixed"), "score"] == pytest.approx(
        metrics.logme_fixed_point(F, labels)
    )
    assert found.loc[("a@x", "all", "exact"), "accuracy"] == pytest.approx(0.6)
    assert math.isnan(found.loc[("a@x", "ca", "exact"), "score"])
    line = found.loc[("b@x", "random", "exact")]
    assert (line["samples"], line["width"], line["fraction"]) == (12, 40, 0.5)


def test_versions_are_compared_by_their_correlation():
    table = evidence.compared(LINES, resamples=50)
    assert [block.title for block in table.blocks] == ["Baseline", "Random", "CA", "CS"]
    frame = table.frame.set_index(["variant", "target"])
    for variant, target in (("all", "greek"), ("cs", "arrows")):
        part = LINES[(LINES["variant"] == variant) & (LINES["target"] == target)]
        for version in logme.VERSIONS:
            own = part[part["metric"] == version]
            expected = np.corrcoef(own["score"], own["accuracy"])[0, 1]
            assert frame.loc[(variant, target), version] == pytest.approx(expected)
        line = frame.loc[(variant, target)]
        assert line["difference"] == pytest.approx(line["exact"] - line["fixed"])
        assert line["low"] <= line["difference"] <= line["high"]
    targets = frame.loc["cs"].drop(index=MEAN)
    assert frame.loc[("cs", MEAN), "exact"] == pytest.approx(targets["exact"].mean())
    assert frame.loc[("cs", MEAN), "difference"] == pytest.approx(targets["difference"].mean())


def test_one_target_has_no_mean():
    table = evidence.compared(LINES[LINES["target"] == "greek"], resamples=20)
    assert set(table.frame["target"]) == {"greek"}
    assert all(block.summary == 0 for block in table.blocks)


def test_places_are_mean_ranks():
    frame = evidence.places(LINES).frame.set_index(["variant", "source"])
    assert frame.loc[("all", SOURCES[1]), "accuracy"] == 1
    assert frame.loc[("all", SOURCES[3]), "accuracy"] == 2
    assert frame.loc[("all", SOURCES[3]), "fixed"] == 1
    assert frame.loc[("cs", SOURCES[3]), "wide"] == 2
    assert frame.loc[("cs", SOURCES[0]), "wide"] == 0


def test_choices_count_what_changes_and_what_it_costs():
    frame = evidence.choices(LINES).frame.set_index("variant")
    assert frame.loc["all", "changed"] == frame.loc["all", "targets"] == 2
    assert frame.loc["all", "exact"] == 0
    assert frame.loc["all", "fixed"] == pytest.approx(0.1)


def test_shrinking_subsets_have_a_line_each():
    small = made_up(samples=40, fraction=0.07)
    small.loc[small["variant"] == "all", ["samples", "fraction"]] = 600, 1.0
    frame = evidence.by_fraction([LINES, small]).frame
    assert set(frame["variant"]) == {"random", "ca", "cs"}
    counts = frame.set_index(["variant", "fraction"])
    assert counts.loc[("ca", 0.07), "wide"] == 4  # 48 and 1280 dimensions, two targets
    assert counts.loc[("ca", 0.25), "wide"] == 2
    assert (counts["cells"] == 8).all()


def found(lines: pd.DataFrame) -> str:
    return evidence.findings(
        evidence.compared(lines, resamples=50),
        evidence.choices(lines),
        evidence.by_fraction([lines]),
        lines,
    )


def test_findings_say_who_is_concerned_and_count():
    text = found(LINES)
    assert "mobilenet_v2 has more dimensions" in text
    assert "4 of the 16 cells of the hard subsets, 2 of 8 of the whole" in text
    assert "better with the accuracy than the fixed point in 8 of 8 comparisons" in text
    assert "another source in 8 of 8 cases" in text
    assert "Baseline 0.0 against 10.0" in text
    assert "probability 0.32" in text  # (3/4)^4


def test_findings_where_nobody_is_wide_and_where_there_is_no_correlation():
    plain = made_up(width=8)
    plain["score"] = plain["accuracy"]
    text = found(plain)
    assert "No source has more dimensions" in text
    assert "in 0 of 8 comparisons, worse in 0" in text
    assert "leaves out the one" not in text
    assert "too few sources" in found(LINES[LINES["source"].isin(SOURCES[:2])])


def test_a_fixed_point_that_does_better_is_said_to():
    lines = LINES.copy()
    names = {"exact": "fixed", "fixed": "exact", "mended": "mended"}
    lines["metric"] = lines["metric"].map(names)
    text = found(lines)
    assert "in 0 of 8 comparisons, worse in 8" in text
    assert "the higher one in 3 (" in text


def test_span_is_the_range_of_the_exact_scores():
    part = LINES[(LINES["metric"] == "exact") & LINES["variant"].isin(["ca", "cs"])]
    groups = part.groupby(["target", "variant"])["score"].agg(lambda s: s.max() - s.min())
    assert evidence.span(LINES) == pytest.approx(groups.median())


# The paper's tables


def test_widths_are_those_of_the_networks():
    with torch.device("meta"):
        for name, (code, width) in evidence.WIDTHS.items():
            network = torchvision.models.get_model(code)
            heads = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
            assert [head.in_features for head in heads] == [width], name
        resnet34 = torchvision.models.resnet34()
    assert resnet34.fc.in_features == evidence.RESNET34


def test_training_sets_are_those_of_table_12():
    assert set(evidence.TRAIN) == set(report.paper_numbers(12)["target"])
    frame = evidence.regimes((1.0, 0.25)).frame
    flowers = frame[(frame["target"] == "Flowers102") & (frame["split"] == "train")]
    assert list(flowers["n"]) == [1020, 255]
    assert list(flowers["below"]) == [7, 7]
    birds = frame[(frame["target"] == "CUB200") & (frame["split"] == "2011")]
    assert list(birds["n"]) == [5994, 1499]
    assert list(birds["below"]) == [0, 5]  # all but DenseNet-121 and MobileNetV2


def test_changes_are_those_of_the_printed_numbers():
    table = evidence.changes()
    frame = table.frame.set_index("target")
    assert frame.loc["CUB200", "logme"] == pytest.approx((0.082 + 0.365) / 2 + 0.310)
    assert frame.loc["CUB200", "leep"] == pytest.approx((0.405 + 0.667) / 2 - 0.534)
    assert (frame.loc["Imagenette", "whole"], frame.loc["Imagenette", "hard"]) == (0, 0)
    text = evidence.verdict(table)
    touched = frame[frame["hard"] > 0]
    assert f"In the {len(touched)} rows" in text
    assert f"by +{touched['logme'].mean():.3f} (LEEP’s by +{touched['leep'].mean():.3f})" in text


def test_width_goes_with_accuracy_on_imagenet():
    assert evidence.width_alone() == pytest.approx(0.815, abs=0.001)


def test_tasks_of_table_13():
    frame = evidence.tasks().frame.set_index(["target", "fraction"])
    assert frame.loc[("StanfordDogs", 0.25), "below"] == "none"
    assert frame.loc[("Flowers102", 0.25), "below"] == "all"
    assert tuple(frame.loc[("Oxford-IIIT", 0.25), ["fewest", "most"]]) == (368, 920)
    assert frame.loc[("Oxford-IIIT", 0.25), "below"] == "some"
    text = evidence.untouched(evidence.tasks())
    assert "CUB200 (from −0.951 to 0.945 and 0.943)" in text
    assert "StanfordDogs (from −0.887" in text
    assert "Flowers102" not in text


def test_useless_features_score_higher_with_more_classes():
    claims = evidence.floor((4, 10))
    report.verify(claims)
    few, many = (expected for expected, _ in claims.values())
    assert many - few == pytest.approx(0.5 * math.log(2.5))


def grid_of(embedding: torch.Tensor, labels: torch.Tensor) -> SimpleNamespace:
    """One source on one target, hardness in the order of the samples."""
    features = SimpleNamespace(embedding=embedding, labels=labels)
    return SimpleNamespace(
        suite=SimpleNamespace(hardness=SimpleNamespace(fraction=0.5)),
        features=lambda source, target: features,
        hardness=lambda target: {"cs": -torch.arange(len(labels)).float()},
    )


def test_the_score_goes_with_the_number_of_classes():
    labels = torch.arange(120) % 12
    noise = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
    text = evidence.by_classes(grid_of(noise, labels), "a@x", "greek", tasks=20)
    values = [float(word) for word in re.findall(r"r = (-?[\d.]+) \[", text)]
    assert len(values) == 2
    assert min(values) > 0.8
    assert "50% of each task" in text
    assert "negative correlation" in text
    # With two classes in every task there is nothing to correlate with.
    assert "says little" in evidence.by_classes(grid_of(noise, labels % 2), "a@x", "greek", tasks=5)


def test_fingerprint_takes_the_paper_from_its_table():
    halves = pd.DataFrame({"version": ["exact", "fixed"], "change": [0.25, 0.5]})
    text = evidence.fingerprint(evidence.compared(LINES, resamples=20), halves)
    assert "differ by at most 0.250 and 0.500" in text
    assert "at most 0.560 (PACS-Sketch)" in text


# Figures


def test_figures_draw_and_their_texts_have_the_numbers():
    landscape = logme.landscape()
    gaps = logme.gaps(d=24, sizes=(12, 24, 48), units=(1.0, 10.0), seeds=(0,))
    rankings = logme.zoo_rankings(sizes=(32, 64), widths=(32, 64), zoos=2)
    texts = {
        drawn.profile(landscape): drawn.profile_alt(landscape),
        drawn.gap(gaps, 0.08): drawn.gap_alt(gaps, 0.08),
        drawn.ranking(rankings): drawn.ranking_alt(rankings),
    }
    for figure, text in texts.items():
        figure.savefig(io.BytesIO(), format="png")
        assert "nan" not in text
    profile, gap, ranking = texts.values()
    assert "not converged" in profile
    assert f"{landscape.peaks()['value'][0]:.3f}".lstrip("-") in profile
    assert "at n = 12" in gap
    assert "0.08 nats apart" in gap
    mean = rankings[(rankings["version"] == "exact") & (rankings["n"] == 64)]["quality"].mean()
    assert f"{mean:.2f} at n = 64" in ranking
