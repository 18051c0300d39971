"""Sections 5.6 and A.5 to A.7: subsets of every size and hardness, mixtures, statistics, LogME."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import scipy.stats
import torch
from PIL import Image
from synthetic import SOURCES, gone, row, rows

from hastelib import hardness, metrics, report, stats, suites
from hastelib.experiments import Grid
from hastelib.figures import ablations as drawn
from hastelib.records import COLUMNS, frame, read_csv
from hastelib.report.ablations import coefficients, common, evidences, mixing, subsets
from hastelib.report.comparison import MEAN
from hastelib.report.tables import number
from hastelib.specs import Glyphs
from hastelib.store import Store

ROOT = Path(__file__).parents[1]
TARGETS = ("greek", "georgian", "arrows")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Three sources that are hardly fine-tuned, on a target of five classes."""
    chosen, _ = suites.load("glyphs").select(
        sources=["resnet8@glyphs", "resnet14@glyphs", "resnet20@glyphs"],
        seeds=(0,),
        epochs=1,
        draws=2,
    )
    changed = {
        "targets": {"greek": Glyphs(kind="glyphs", characters="α-ε", train=9, test=6)},
        "source_data": Glyphs(kind="glyphs", characters="A-C", train=6, test=2),
    }
    return Grid(chosen.model_copy(update=changed), Store(tmp_path_factory.mktemp("ablations")))


def line(table: pd.DataFrame, **cell) -> pd.DataFrame:
    """The lines of a cell."""
    for name, value in cell.items():
        table = table[table[name] == value]
    return table


# Parts of the train split


def test_sizes_are_the_hardest_and_a_random_order_begun(grid: Grid):
    found = subsets.sizes(grid, ["greek"], ["leep"], [0.1, 0.25, 1.0], 2)
    source = "resnet14@glyphs"
    features, n = grid.features(source, "greek"), 45
    for variant, values in grid.hardness("greek").items():
        for b in (0.1, 0.25, 1.0):
            chosen = features.at(torch.argsort(values, descending=True)[: math.ceil(b * n)])
            (one,) = line(found, source=source, variant=variant, place=b).to_dict("records")
            assert one["score"] == pytest.approx(metrics.leep(chosen.probs, chosen.labels))
            assert (one["samples"], one["classes"]) == (
                math.ceil(b * n),
                len(chosen.labels.unique()),
            )
            assert one["hardness_source"] == "resnet8@glyphs"
    # The grid's own subsets, of the size that it has.
    ours = {s["variant"]: s["score"] for s in grid.scores(source, "greek", ["leep"])["leep"]}
    there = line(found, source=source, place=0.25).groupby("variant")["score"].mean()
    for variant in ("ca", "cs", "random"):
        assert there[variant] == pytest.approx(ours[variant], rel=1e-12)
    (base,) = line(found, source=source, variant="all").to_dict("records")
    assert base["score"] == ours["all"]
    whole = line(found, source=source, place=1.0)["score"]
    assert len(whole) == 5
    assert whole.to_numpy() == pytest.approx(base["score"])
    assert {*COLUMNS[1:], "place", "draw"} <= {*found.columns}
    for name, part in found.groupby("source"):
        assert set(part["accuracy"]) == {grid.outcome(str(name), "greek", 0).accuracy}


def test_buckets_part_the_split_from_hard_to_easy(grid: Grid):
    found = subsets.buckets(grid, ["greek"], ["leep"], 4, 3)
    one = line(found, source="resnet8@glyphs")
    for variant, draws in (("ca", 1), ("cs", 1), ("random", 3)):
        part = line(one, variant=variant)
        assert part.groupby("draw")["samples"].agg(list).tolist() == [[12, 11, 11, 11]] * draws
    order = hardness.hardest(grid.hardness("greek")["cs"], 1.0)
    features = grid.features("resnet8@glyphs", "greek")
    for place, (a, b) in enumerate(((0, 12), (12, 23), (23, 34), (34, 45)), start=1):
        chosen = features.at(order[a:b])
        (score,) = line(one, variant="cs", place=place)["score"]
        assert score == pytest.approx(metrics.leep(chosen.probs, chosen.labels))


def test_scores_are_kept_by_rows_and_variant(grid: Grid, monkeypatch):
    first = subsets.sizes(grid, ["greek"], ["leep"], [0.2], 1)
    monkeypatch.setattr("hastelib.experiments.scoring.score", None)
    again = subsets.sizes(grid, ["greek"], ["leep"], [0.2], 1)
    pd.testing.assert_frame_equal(first, again)
    with pytest.raises(TypeError):
        subsets.sizes(grid, ["greek"], ["leep"], [0.3], 1)


@pytest.mark.parametrize("shares", [[], [0.1, 0.1], [0.0], [1.5]])
def test_sizes_refuse(grid: Grid, shares):
    with pytest.raises(ValueError, match=r"sizes: expected different shares in \(0, 1\]"):
        subsets.sizes(grid, ["greek"], ["leep"], shares, 1)


def test_draws_and_buckets_refuse(grid: Grid):
    with pytest.raises(ValueError, match="draws: expected at least 1, got 0"):
        subsets.sizes(grid, ["greek"], ["leep"], [0.5], 0)
    with pytest.raises(ValueError, match="at least 2 buckets and 1 draw, got 1 and 1"):
        subsets.buckets(grid, ["greek"], ["leep"], 1, 1)


def test_composition_counts_classes_and_samples_alone(grid: Grid):
    found = subsets.sizes(grid, ["greek"], ["leep"], [0.05, 0.5], 2)
    table = subsets.composition(found)
    for variant, values in grid.hardness("greek").items():
        labels = grid.features("resnet8@glyphs", "greek").labels[hardness.hardest(values, 0.05)]
        one = line(table, variant=variant, place=0.05).iloc[0]
        assert (one["least"], one["most"]) == (3, 3)
        assert one["classes"] == len(labels.unique())
        assert one["alone"] == (len(labels.unique()) == 3)
    assert (line(table, place=0.5)["alone"] == 0).all()
    text = repr(subsets.composition_table(found))
    assert "| 5% | 3 |" in text
    assert "| 50% | 23 | 5.0" in text


def test_blind_scores_do_not_see_labels_and_would_stop_the_page(grid: Grid, monkeypatch):
    claims = subsets.blind(grid, "greek")
    assert len(claims) == 9
    report.verify(claims)
    monkeypatch.setattr(metrics, "leep", lambda probs, labels: float(labels[0]))
    with pytest.raises(ValueError, match="labels exchanged: expected"):
        report.verify(subsets.blind(grid, "greek"))


# Curves


def made(levels: dict[str, dict[float, float]], draws: int = 1, seed: int = 0) -> pd.DataFrame:
    """Scores that are the accuracies plus noise of a level for each variant and place."""
    random = np.random.default_rng(seed)
    found = []
    for target in TARGETS:
        accuracies = random.uniform(0.5, 0.9, len(SOURCES))
        for variant, places in {"all": {1.0: 0.1}, **levels}.items():
            for (place, level), draw in itertools.product(places.items(), range(draws)):
                if draw and variant == "all":
                    continue
                for source, accuracy in zip(SOURCES, accuracies, strict=True):
                    one = row(
                        target=target,
                        source=source,
                        variant=variant,
                        score=float(accuracy + level * random.normal()),
                        accuracy=float(accuracy),
                    )
                    found.append(one.model_dump() | {"place": place, "draw": draw})
    return pd.DataFrame(found)


SIZES = (0.1, 0.25, 0.5, 1.0)


def test_curves_are_means_of_correlations_over_draws_and_targets():
    table = made({"random": {0.1: 0.2, 0.5: 0.1}, "cs": {0.1: 0.05, 0.5: 0.05}}, draws=3)
    found = common.curves(table, resamples=100)

    def r(target: str, variant: str, place: float, draw: int) -> float:
        part = line(table, target=target, variant=variant, place=place, draw=draw)
        return float(np.corrcoef(part["score"], part["accuracy"])[0, 1])

    lines = found.table()
    for variant, place in (("random", 0.1), ("cs", 0.5)):
        grid = np.array([[r(t, variant, place, d) for d in range(3)] for t in TARGETS])
        base = np.array([r(t, "all", 1.0, 0) for t in TARGETS])
        control = np.array([[r(t, "random", place, d) for d in range(3)] for t in TARGETS])
        mean = line(lines, target=MEAN, variant=variant, place=place).iloc[0]
        assert mean["value"] == pytest.approx(grid.mean())
        assert mean["std"] == pytest.approx(grid.mean(0).std(ddof=1))
        assert mean["gain"] == pytest.approx(grid.mean() - base.mean())
        assert mean["control"] == pytest.approx(grid.mean() - control.mean())
        assert (mean["draws"], mean["targets"]) == (3, 3)
        assert mean["low"] < mean["value"] < mean["high"]
        one = line(lines, target="arrows", variant=variant, place=place).iloc[0]
        assert one["value"] == pytest.approx(grid[2].mean())
        assert one["std"] == pytest.approx(grid[2].std(ddof=1))
    assert found.line("leep", "cs").index.tolist() == [0.1, 0.5]
    assert found.targets == list(TARGETS)
    assert common.variants(found) == ["random", "cs"]


def test_intervals_are_the_bootstrap_of_the_mean_paired_over_cells():
    table = made({"random": {0.5: 0.1}, "ca": {0.5: 0.1}})
    found = common.curves(table, resamples=50, seed=3)
    mean = line(found.table(), target=MEAN, variant="ca").iloc[0]
    samples = {}
    for variant, target in itertools.product(("ca", "all"), TARGETS):
        part = line(table, target=target, variant=variant)
        samples[variant, target] = stats.replicates(
            "pearson", part["score"].to_numpy(), part["accuracy"].to_numpy(), 50, 3
        )
    gain = np.mean([samples["ca", t] - samples["all", t] for t in TARGETS], axis=0)
    expected = stats.interval(gain)
    assert tuple(mean[["gain", "gain_low", "gain_high"]]) == pytest.approx(expected)


def test_what_has_no_correlation_is_recorded_with_its_reason():
    table = made({"random": {0.5: 0.1}, "ca": {0.1: 0.1, 0.5: 0.1}})
    table["score"] = table["score"].mask(
        (table["variant"] == "ca") & (table["place"] == 0.1) & (table["target"] == "greek"), 0.0
    )
    lost = (table["variant"] == "ca") & (table["place"] == 0.1) & (table["target"] == "arrows")
    table["score"] = table["score"].mask(lost, np.nan)
    table["reason"] = table["reason"].mask(lost, "one class is left")
    found = common.curves(table, resamples=20)
    reasons = dict(zip(found.missing["target"], found.missing["reason"], strict=True))
    assert reasons == {"greek": "all sources have the same score", "arrows": "one class is left"}
    mean = line(found.table(), target=MEAN, variant="ca", place=0.1).iloc[0]
    assert mean["targets"] == 1
    other = found.difference(("leep", "ca", 0.1), ("leep", "all", 1.0), "georgian")
    assert mean["gain"] == pytest.approx(other[0])  # on the target that both have
    assert np.isnan(found.difference(("leep", "ca", 0.1), ("leep", "all", 1.0), "greek")[0])
    text = repr(subsets.points(found, "Size", "caption"))
    assert "n = 1 |" in text
    assert "n: the targets that are left in a mean" in text
    assert "LEEP CA at 0.1, 1 (all sources have the same score)" in text
    assert subsets.chosen(found, "leep", "ca").best["greek"] == 0.5  # not one with a hole


def test_curves_refuse_too_few_sources():
    table = made({"ca": {0.5: 0.1}})
    few = table[table["source"].isin(SOURCES[:2])]
    with pytest.raises(ValueError, match=r"leep: no correlation .* at least 3 .* got 2 sources"):
        common.curves(few)


# The size in words


def test_the_best_size_is_chosen_with_and_without_the_target():
    table = made({"ca": {0.1: 0.3, 0.25: 0.05, 0.5: 0.1, 1.0: 0.0}}, seed=4)
    found = common.curves(table, resamples=5)
    values = pd.DataFrame({t: found.line("leep", "ca", t) for t in TARGETS}).loc[[0.1, 0.25, 0.5]]
    base = np.array([found.line("leep", "all", t).iloc[0] for t in TARGETS])
    chosen = subsets.chosen(found, "leep", "ca")
    assert chosen.best == {**values.idxmax().to_dict(), MEAN: values.mean(axis=1).idxmax()}
    assert chosen.looked == pytest.approx((values.max() - base).mean())
    told = [
        values.loc[values[[o for o in TARGETS if o != t]].mean(axis=1).idxmax(), t] for t in TARGETS
    ]
    assert chosen.elsewhere == pytest.approx(np.mean(told) - base.mean())
    assert chosen.elsewhere <= chosen.looked


@pytest.mark.parametrize("rising", [True, False])
def test_size_findings_follow_the_numbers(rising: bool):
    levels = dict(
        zip(SIZES, (0.9, 0.2, 0.05, 0.1) if rising else (0.02, 0.2, 0.9, 0.1), strict=True)
    )
    found = common.curves(
        made({"random": levels, "ca": levels, "cs": levels}, seed=1), resamples=50
    )
    first, ca, _ = subsets.size_findings(found).splitlines()
    assert ("increase the bucket size” holds here" in first) == rising
    assert ("for random subsets as well" in first) == rising
    best = subsets.chosen(found, "leep", "ca").best[MEAN]
    assert best == (0.5 if rising else 0.1)
    assert f"is best at {100 * best:g}%" in ca
    assert ("it lies in none" in ca) == rising  # 10% is in the range of A.2
    assert rising or "it lies in that of A.2." in ca
    table = subsets.ranges(found).frame
    a2 = line(table, claim="A.2", variant="ca").iloc[0]
    own = [b for t, b in subsets.chosen(found, "leep", "ca").best.items() if t != MEAN]
    assert a2["hits"] == sum(0.1 <= b <= 0.25 for b in own)
    assert a2["chance"] == pytest.approx(2 / 3)  # of 10, 25 and 50%


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ((0.0, 0.03, 0.1, 0.9), "**holds here**"),
        ((0.0, 0.1, 0.03, 0.9), "**holds in part**"),
        ((0.9, 0.1, 0.05, 0.0), "**does not hold**"),
    ],
)
def test_bucket_findings_follow_the_numbers(levels, verdict):
    places = dict(zip((1.0, 2.0, 3.0, 4.0), levels, strict=True))
    found = common.curves(
        made({"random": dict.fromkeys(places, 0.1), "cs": places}, seed=2), resamples=50
    )
    text = subsets.bucket_findings(found)
    curve = found.line("leep", "cs")
    assert verdict in text
    assert ", ".join(f"{v:.3f}".replace("-", "−") for v in curve) in text
    drop = f"{curve.iloc[0] - curve.iloc[-1]:+.3f}".replace("-", "−")
    assert f"the hardest less the easiest is {drop} [" in text
    tops = sum(found.best("leep", "cs", t) == 1 for t in TARGETS)
    assert f"Bucket 1 is the best on {tops} of 3 targets (by chance 0.8)" in text


# Mixtures


@pytest.mark.parametrize(
    ("of", "expected"), [("easy", (3, 15, 75)), ("hard", (1, 5, 25)), ("all", (4, 20, 100))]
)
def test_the_mixing_hits_its_proportions(of: str, expected):
    order = torch.randperm(400, generator=torch.Generator().manual_seed(1))
    for share, wanted in zip((0.01, 0.05, 0.25), expected, strict=True):
        for draw in range(5):
            found = mixing.mixed(order, 100, share, draw, of)
            assert found[:100].tolist() == order[:100].tolist()
            extra = found[100:]
            assert len(extra) == wanted
            assert len(set(extra.tolist())) == wanted
            assert set(extra.tolist()) <= set(order[100:].tolist())


def test_mixtures_are_drawn_evenly_grow_and_repeat():
    order = torch.arange(40)
    seen = np.zeros(40, int)
    for draw in range(2000):
        small, large = (mixing.mixed(order, 10, r, draw) for r in (0.1, 0.3))
        assert large[: len(small)].tolist() == small.tolist()
        seen[small[10:].numpy()] += 1
    assert small.tolist() == mixing.mixed(order, 10, 0.1, 1999).tolist()
    assert seen[:10].sum() == 0
    assert seen[10:].sum() == 3 * 2000
    # 200 times each is expected; the p-value is small only where some are preferred.
    assert scipy.stats.chisquare(seen[10:]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((30, 10, 0.1, "harder"), "of: expected one of easy, hard, all, got 'harder'"),
        ((30, 10, 1.1), r"share: expected a number in \[0, 1\], got 1.1"),
        ((5, 40, 0.5, "hard"), "0.5 of 40 are 20 samples, but only 5 are easy"),
    ],
)
def test_shares_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        mixing.count(*arguments)


def test_mixtures_of_a_suite_have_their_sizes_and_begin_at_the_hard_subset(grid: Grid):
    found = mixing.mixtures(grid, ["greek"], ["leep"], [0.1, 0.5], 3)
    hard, easy = 12, 33
    sizes = {0.0: hard, 0.1: hard + math.ceil(0.1 * easy), 0.5: hard + math.ceil(0.5 * easy)}
    for variant in ("ca", "cs", "random"):
        part = line(found, variant=variant, source="resnet8@glyphs")
        assert part.groupby("place")["samples"].unique().map(list).to_dict() == {
            place: [size] for place, size in sizes.items()
        }
        repeated = part.groupby("place")["draw"].nunique().to_dict()
        assert repeated == {0.0: 3 if variant == "random" else 1, 0.1: 3, 0.5: 3}
    ours = grid.scores("resnet14@glyphs", "greek", ["leep"])["leep"]
    for one in ours:
        if one["variant"] in ("ca", "cs"):
            part = line(found, source="resnet14@glyphs", variant=one["variant"], place=0.0)
            assert part["score"].tolist() == [one["score"]]
    assert mixing.added(found) == "To hard subsets of 12 samples 10% adds 4, 50% adds 17."
    with pytest.raises(ValueError, match="expected different shares above 0"):
        mixing.mixtures(grid, ["greek"], ["leep"], [0.0, 0.1], 3)


@pytest.mark.parametrize("worse", [True, False])
def test_mixing_findings_follow_the_numbers(worse: bool):
    levels = dict(zip((0.0, 0.05, 0.1), (0.0, 0.2, 0.5) if worse else (0.9, 0.1, 0.0), strict=True))
    table = made({"random": dict.fromkeys(levels, 0.1), "cs": levels}, draws=4, seed=5)
    found = common.curves(table, resamples=50)
    text = mixing.findings(found)
    assert text.startswith("- **LEEP, CS.**")
    assert ("On average adding easy samples makes it worse" in text) == worse
    curve = found.line("leep", "cs")
    beyond = sum(
        round(v, 3) > round(max(curve[0.0], found.line("leep", "all").iloc[0]), 3)
        for v in curve.iloc[1:]
    )
    assert f" {beyond} of the shares lie above both ends" in text
    spread = line(found.table(), target=MEAN, variant="cs", place=0.1)["std"].iloc[0]
    assert f"± {spread:.3f}" in text
    shown = mixing.table(found, "leep")
    names = [name for name, _ in shown.blocks[0].rows]
    assert names == ["Hard only", "+ 5%", "+ 10%", "Baseline"]
    cell = shown.blocks[0].rows[2][1][1]
    assert cell.small == f"± {spread:.3f}"
    assert cell.bold != worse
    each = mixing.table(found, "leep", per_target=True)
    assert [block.title for block in each.blocks] == [f"LEEP, {name}" for name in TARGETS]


def test_table_9_mixes_into_cs_and_swaps_two_rows():
    shown = mixing.paper_table()
    assert [block.title for block in shown.blocks] == [
        "LEEP, Caltech101",
        "LEEP, Flowers102",
        "LEEP, CUB200",
    ]
    assert "the two names are swapped" in shown.notes[0]
    bold = [
        (block.title, name)
        for block in shown.blocks
        for name, cells in block.rows
        if any(cell.bold for cell in cells)
    ]
    assert bold == [("LEEP, CUB200", "+ 5%")]
    text = mixing.paper_findings()
    assert "the mixed subset is most likely CS" in text
    assert "worse in 16 of 18 cases, equal in 1, better in 1; above the baseline in 18" in text
    # (.475 - .458 + .626 - .539 + .723 - .679) / 3, of (.059 + .092 + .219) / 3
    assert "r falls by 0.049 on average, of 0.123" in text


# Other statistics

ROWS = rows(targets=("greek", "cyrillic", "digits"), metrics=("leep", "gbc"))


def test_sampled_correlations_are_those_of_the_report():
    samples = coefficients.sampled(ROWS, resamples=30)
    for statistic in coefficients.STATISTICS:
        ours = coefficients.correlations(ROWS, samples, statistic)
        expected = report.correlations(ROWS, statistic, resamples=30)
        pd.testing.assert_frame_equal(ours, expected)
    found = coefficients.gains(samples)
    for other in ("all", "random"):
        expected = report.differences(ROWS, "kendall", other, resamples=30)
        keys = ["target", "metric", "variant"]
        ours = line(found, statistic="kendall", other=other).set_index(keys)
        for one in expected[expected["variant"] != "all"].to_dict("records"):
            cell = tuple(one[name] for name in keys)
            assert ours.loc[cell, "gain"] == pytest.approx(one["difference"])
            assert ours.loc[cell, "low"] == pytest.approx(one["low"])


def test_sources_without_a_score_are_left_out_of_every_statistic():
    holed = [gone(r) if (r.variant, r.source) == ("cs", SOURCES[0]) else r for r in ROWS]
    samples = coefficients.sampled(holed, ("kendall",), resamples=10)
    ours = coefficients.correlations(holed, samples, "kendall")
    assert set(ours.loc[ours["variant"] == "cs", "n"]) == {6}
    pd.testing.assert_frame_equal(ours, report.correlations(holed, "kendall", resamples=10))
    with pytest.raises(ValueError, match="at least 3 with different scores, got 2"):
        coefficients.sampled([r for r in ROWS if r.source in SOURCES[:2]])


def test_agreement_counts_signs():
    cells = [("kendall", 0.1), ("kendall", 0.0), ("kendall", -0.1), ("kendall", 0.2)]
    cells += [("pearson", 0.3), ("pearson", 0.1), ("pearson", 0.2), ("pearson", 0.0002)]
    found = pd.DataFrame(
        [
            (s, f"t{i % 4}", "leep", "ca", "all", gain, np.nan, np.nan)
            for i, (s, gain) in enumerate(cells)
        ],
        columns=["statistic", "target", "metric", "variant", "other", "gain", "low", "high"],
    )
    assert coefficients.agreement(found).to_dict("records") == [
        {"first": "kendall", "second": "pearson", "comparisons": 4, "same": 1, "opposite": 1}
    ]


def test_the_papers_gains_are_those_of_its_tables():
    found = coefficients.paper_gains()
    for statistic, which in coefficients.PAPER.items():
        wide = report.paper_numbers(which).pivot_table(
            index=["metric", "target"], columns="variant", values="value"
        )
        for metric, variant in itertools.product(("leep", "nce", "gbc"), ("ca", "cs")):
            gain = (wide[variant] - wide["all"])[metric].mean()
            cell = line(
                found, statistic=statistic, metric=metric, variant=variant, target=MEAN
            ).iloc[0]
            assert cell["gain"] == pytest.approx(gain)
            assert cell["other"] == "all"
    text = coefficients.paper_findings(found)
    assert "depends on the statistic in 1 of 6 cases: GBC CA (" in text
    tau = report.paper_numbers(10).pivot_table(
        index=["metric", "target"], columns="variant", values="value"
    )
    steps = tau[["ca", "cs"]].sub(tau["all"], axis=0).to_numpy().round(3)
    assert f"{(steps == 0).sum()} are zero" in text
    shown = coefficients.gains_table(found, "caption")
    assert [name for name, _ in shown.blocks[0].rows] == ["r", "τ", "weighted τ"]


def test_printed_taus_hold_and_would_stop_the_page(monkeypatch):
    claims = coefficients.printed_taus()
    assert claims["cells of Table 10 that are k/21 or k/√420, cut off"] == (63, 63)
    report.verify(claims)
    numbers = report.paper_numbers(10).assign(value=lambda t: t["value"] + 0.004)
    monkeypatch.setattr(coefficients, "paper_numbers", lambda which: numbers)
    with pytest.raises(ValueError, match="cut off: expected 63"):
        report.verify(coefficients.printed_taus())


def test_findings_say_where_the_statistic_decides():
    # One far source decides Pearson's r; the order of the others decides Kendall's.
    accuracies = [0.5, 0.6, 0.61, 0.62, 0.63, 0.64, 0.9]
    scores = {
        "all": [1.0, 2, 3, 4, 5, 6, 7],  # every order right
        "random": [1.0, 3, 2, 4, 5, 6, 7],
        "ca": [1.0, 2, 2.1, 2.15, 2.13, 2.18, 5],  # nearly on the line, one swap
    }
    given = [
        row(target=t, source=s, variant=v, score=x, accuracy=a)
        for t in TARGETS
        for v, column in scores.items()
        for s, x, a in zip(SOURCES, column, accuracies, strict=True)
    ]
    samples = coefficients.sampled(given, ("pearson", "kendall"), resamples=20)
    found = coefficients.gains(samples)
    both = line(found, target=MEAN, variant="ca", other="all").set_index("statistic")["gain"]
    assert both["pearson"] > 0 > both["kendall"]
    assert both["kendall"] == pytest.approx(-coefficients.step(7))
    lines = pd.concat(
        [coefficients.correlations(given, samples, name) for name in ("pearson", "kendall")]
    )
    text = coefficients.findings(found, lines, given)
    assert "In 1 of 1 cases (metric and hard subset) the sign of the mean gain depends" in text
    assert "**The best column** is not the same" in text
    assert "LEEP CA by Pearson’s r" in text
    assert "3 of 3 changes of τ by a hard subset are at most one such step, 0 of them none" in text
    assert "the same accuracy on 0 of 3 targets" in text
    tied = [r.model_copy(update={"accuracy": 0.7}) if r.source in SOURCES[:2] else r for r in given]
    assert "the same accuracy on 3 of 3 targets" in coefficients.findings(found, lines, tied)


def test_regrets_are_in_points_and_marked():
    accuracies = (0.5, 0.8, 0.7)
    scores = {"all": (0.0, 1, 2), "random": (2.0, 1, 0), "ca": (0.0, 2, 1), "cs": (0.0, 1, 2)}
    given = [
        row(target="greek", source=s, variant=v, score=x, accuracy=a)
        for v, column in scores.items()
        for s, x, a in zip(SOURCES, column, accuracies, strict=False)
    ]
    ((name, cells),) = coefficients.regrets(given).blocks[0].rows
    assert name == "greek"
    assert [cell.text for cell in cells] == ["10.0", "30.0", "0.0", "10.0"]
    assert [cell.bold for cell in cells] == [False, False, True, False]
    assert not any(cell.mark for cell in cells)
    swapped = [r.model_copy(update={"target": "digits"}) for r in given] + list(given)
    assert coefficients.regrets(swapped).blocks[0].rows[-1][1][2].small == "right: 2"


# LogME


def test_the_fixed_point_is_computed_on_the_same_samples(grid: Grid):
    found = grid.rows("A.7", ["greek"], list(evidences.NAMES))
    features = grid.features("resnet14@glyphs", "greek")
    scores: dict[str, list[float]] = {}
    for subset in grid.subsets("greek"):
        part = features.at(subset.rows)
        score = metrics.logme_fixed_point(part.embedding, part.labels)
        scores.setdefault(subset.variant, []).append(score)
    fixed = [r for r in found if (r.source, r.metric) == ("resnet14@glyphs", evidences.FIXED)]
    assert {r.variant for r in fixed} == {"all", "random", "ca", "cs"}
    for one in fixed:
        assert one.score == pytest.approx(np.mean(scores[one.variant]), rel=1e-12)


def test_tables_of_logme_stand_beside_the_papers():
    both = [
        r.model_copy(update={"metric": m})
        for r in rows(metrics=("logme",))
        for m in evidences.NAMES
    ]
    lines = report.correlations(evidences.named(both), resamples=20)
    for which, first in ((12, "−0.310"), (13, "−0.951")):
        shown = evidences.tables(lines, which, "sources")
        titles = [[block.title for block in table.blocks] for table in shown.tables]
        assert titles == [["LogME", "LogME, fixed point"], ["LogME"]]
        assert shown.tables[1].blocks[0].rows[0][1][0].text == first
    assert len(evidences.tables(lines, 0, "sources").tables) == 1
    text = evidences.headline(lines, 12)
    assert "The paper’s Table 12 +120.54%; the mean correlation goes from 0.315 to 0.682" in text
    assert "won–tied–lost 13–0–1" in text
    assert "Table 13 +236.17%" in evidences.headline(lines, 13)
    assert "Table" not in evidences.headline(lines, 0)


def test_turned_takes_the_sign_off_the_baselines():
    text = evidences.turned()
    base = np.array([0.951, 0.759, 0.887, 0.899, 0.044])
    ca, cs = [0.945, 0.795, 0.847, 0.852, 0.035], [0.943, 0.723, 0.842, 0.476, 0.416]
    for name, values in (("CA", ca), ("CS", cs)):
        gain = np.array(values) - base
        shown = f"{gain.mean():+.3f}".replace("-", "−")
        assert f"{name} {shown}, better on {(gain > 0).sum()} of 5 targets" in text
    assert text.startswith("4 of 5 baselines")


def test_apart_tells_cells_with_few_samples_from_the_others():
    exact, fixed = evidences.NAMES
    widths = {name: 1280 if name == SOURCES[-1] else 32 for name in SOURCES}
    given = []
    for one in rows(metrics=("logme",)):
        less = one.model_copy(update={"metric": fixed, "score": one.score - 0.001})
        if one.source == SOURCES[-1]:
            less = less.model_copy(update={"score": one.score + 30})
        given += [one, less]
    table = evidences.named(given)
    text = evidences.apart(table, widths, "sources")
    cells = 7 * 4  # targets and variants
    assert (
        f"in {cells} of {7 * cells} cells (target, source, variant), all of mobilenet_v2." in text
    )
    assert "There the two scores differ by 30.0000 nats in the median" in text
    assert "Elsewhere the two scores differ by 0.0010 nats in the median" in text
    lines = report.correlations(table, resamples=20).pivot_table(
        index=["variant", "target"], columns="metric", values="value"
    )
    mean = (lines["LogME"] - lines["LogME, fixed point"])["ca"].mean()
    assert f"CA {mean:+.3f}".replace("-", "−") in text
    assert exact == "logme"


# Figures


def picture(figure) -> Image.Image:
    """The figure drawn."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file)


def test_curves_have_a_point_for_every_place():
    levels = dict.fromkeys(SIZES, 0.1)
    table = made({"random": levels, "ca": levels, "cs": levels}, draws=2)
    both = pd.concat([table, table.assign(metric="nce")])
    found = common.curves(both, resamples=20)
    figure = drawn.curve(found, "size", share=True)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["LEEP", "NCE"]
    for axes in figure.axes:
        curves = [item for item in axes.lines if len(item.get_xdata()) == 4]
        assert len(curves) == 3
        assert curves[1].get_ydata().tolist() == pytest.approx(found.line("leep", "ca").tolist())
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10", "25", "50", "100"]
    assert picture(figure).size[0] == round(5.2 * figure.dpi)
    picture(drawn.curve(found, "share", share=True, spread=True))
    best = found.best("leep", "cs")
    text = drawn.curve_alt(found, share=True)
    assert f"highest {found.line('leep', 'cs').max():.2f} at {100 * best:g}%" in text
    panels = drawn.by_target(found, "leep", "size", share=True)
    assert [axes.get_title(loc="left") for axes in panels.axes] == list(TARGETS)
    picture(panels)
    assert f"at {100 * found.best('leep', 'cs', 'arrows'):g}%" in drawn.by_target_alt(
        found, "leep", share=True
    )


def test_gains_are_drawn_for_every_statistic():
    found = coefficients.gains(coefficients.sampled(ROWS, resamples=20))
    figure = drawn.gains(found)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["LEEP", "GBC"]
    dots = [item for item in figure.axes[0].lines if len(item.get_xdata()) == 4]
    mean = line(found, target=MEAN, metric="leep", other="all", variant="random")["gain"]
    assert dots[0].get_xdata().tolist() == pytest.approx(mean.tolist())
    picture(figure)
    first = number(mean.iloc[0], 2, sign=True)
    assert f"LEEP Random: Pearson’s r {first}," in drawn.gains_alt(found)


# The notebooks

SMALL = {
    "target": "arrows",
    "sources": "resnet8@glyphs,resnet14@glyphs,resnet20@glyphs",
    "seeds": 1,
    "epochs": 1,
}


@pytest.mark.parametrize(
    ("name", "given", "lines"),
    [
        ("A_6_correlations", {"metrics": "leep,nce", "resamples": 20}, 3 * 2 * 4),
        ("5_6_ablations", {"metrics": "leep", "sizes": "0.1,0.25,1", "repeats": 2}, None),
        ("A_5_stochastic", {"shares": "0.05,0.1", "repetitions": 2, "of": "hard"}, None),
        (
            "A_7_logme",
            {"taught": "resnet8@glyphs", "subsets": 3},
            3 * 4 * 2 + 3 * 4 * 2,
        ),
    ],
)
def test_a_small_run_of_each_notebook_writes_its_lines(tmp_path: Path, name, given, lines):
    papermill.execute_notebook(
        ROOT / "notebooks" / f"{name}.ipynb",
        tmp_path / "out.ipynb",
        {"output": str(tmp_path), **SMALL, **given},
        cwd=ROOT,
        progress_bar=False,
    )
    path = tmp_path / f"{name}-glyphs-arrows.csv"
    if lines is not None:
        found = frame(read_csv(path))
        assert len(found) == lines
        assert set(found["section"]) == {"A.6" if name.startswith("A_6") else "A.7"}
    elif name == "5_6_ablations":
        found = pd.read_csv(path)
        counts = found.groupby("axis").size().to_dict()
        # A baseline, and sizes or buckets by CA, CS and two random orders, for each source.
        assert counts == {"size": 3 * (1 + 3 * 4), "bucket": 3 * (1 + 5 * 4)}
    else:
        found = pd.read_csv(path)
        assert len(found) == 3 * (1 + 2 * (1 + 2 * 2) + 3 * 2)
        assert set(found["of"]) == {"hard"}
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert not [o for c in executed.cells for o in c.get("outputs", []) if o.output_type == "error"]
