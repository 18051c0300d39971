"""Conventions: the defaults are the library's, the others what they say, and the claims hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import references
import torch
from numpy import ndarray

from hastelib import metrics, report
from hastelib.experiments import Subset
from hastelib.extract import Features
from hastelib.figures import conventions as drawn
from hastelib.report import conventions
from hastelib.report.conventions import CONVENTIONS, DEFAULT, Case

SWEPT = {DEFAULT: 64.0, "minus": 1.0, "twice": 128.0}


def case(seed: int = 0, n: int = 48, d: int = 6, classes: int = 4) -> Case:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    x = rng.normal(size=(n, d)) + rng.normal(size=(classes, d))[labels]
    probs = rng.dirichlet(np.full(5, 0.4), size=n)
    arrays = (torch.tensor(x), torch.tensor(probs))
    return Case(Features(*arrays, {}, torch.tensor(labels)))


def arrays(one: Case) -> tuple[ndarray, ndarray, ndarray]:
    return one.X, one.probs, one.index


@pytest.mark.parametrize("shape", [(48, 6), (20, 40)])
def test_the_naive_forms_agree_with_the_library_where_they_say_the_same(
    shape: tuple[int, int],
) -> None:
    one = case(1, *shape)
    assert conventions.overlap(one, one.components(64)) == pytest.approx(
        metrics.gbc(one.X, one.index)
    )
    assert conventions.between(one) == pytest.approx(metrics.h_score(one.X, one.index))
    assert conventions.rate_reduction(one) == pytest.approx(metrics.transrate(one.X, one.index))
    weighted = conventions.rate_reduction(one, weighted=True)
    assert weighted == pytest.approx(metrics.transrate(one.X, one.index, weighted=True))
    once = conventions.overlap(one, one.X, once=True)
    assert once == pytest.approx(
        metrics.gbc(one.X, one.index, components=None, log_det="published")
    )


@pytest.mark.parametrize("metric", [name for name in CONVENTIONS if name != "n_leep"])
def test_conventions_are_numbers_and_the_default_is_the_metric(metric: str) -> None:
    one = case(2)
    scores = {name: score(one) for name, score in CONVENTIONS[metric].items()}
    assert all(math.isfinite(score) for score in scores.values())
    assert scores[DEFAULT] == metrics.METRICS[metric](one.sample)


def test_counts_and_sums_exchanged() -> None:
    one = case(3)
    x, probs, labels = arrays(one)
    most = np.eye(5)[probs.argmax(1)]
    conditional = np.stack([most[labels == y].sum(0) for y in range(4)]) / most.sum(0).clip(1)
    expected = np.log((conditional[labels] * probs).sum(1)).mean()
    assert CONVENTIONS["leep"]["hard counts"](one) == pytest.approx(expected)
    joint = np.stack([probs[labels == y].sum(0) for y in range(4)])
    entropy = (joint * np.log(joint / joint.sum(0))).sum() / len(x)
    assert CONVENTIONS["nce"]["soft joint"](one) == pytest.approx(entropy)


def test_conventions_that_only_rescale_or_keep_everything_do_so() -> None:
    one = case(7)
    scores = {name: score(one) for name, score in CONVENTIONS["gbc"].items()}
    assert scores["pairs once"] == pytest.approx(scores[DEFAULT] / 2)
    for same in ("PCA of all data", "floor 1e-8", "floor first", "no PCA"):  # d < 64, all of it
        assert scores[same] == pytest.approx(scores[DEFAULT]), same
    scores = {name: score(one) for name, score in CONVENTIONS["h_score"].items()}
    assert scores["cov f by n"] == pytest.approx(scores[DEFAULT] * 48 / 47)
    assert scores["64 components"] == pytest.approx(scores[DEFAULT])
    assert scores["classes equal"] == pytest.approx(scores[DEFAULT] * 47 / 48 * 4 / 3)  # balanced
    scores = {name: score(one) for name, score in CONVENTIONS["transrate"].items()}
    assert scores["by size"] == pytest.approx(scores[DEFAULT])  # classes of one size
    scaled = one.X / np.linalg.norm(one.X)
    assert scores["unit trace"] == pytest.approx(metrics.transrate(scaled, one.index))
    assert scores["d/(nε)"] == pytest.approx(metrics.transrate(one.X, one.index, 1e-4 / 6))


def test_axes_of_the_whole_set_are_used_on_a_subset() -> None:
    whole = case(8, 60, 80)
    rows = torch.arange(0, 60, 2)
    part = Case(whole.features.at(rows), whole)
    axes = np.linalg.svd(whole.X - whole.X.mean(0), full_matrices=False)[2][:64]
    expected = metrics.gbc(part.X @ axes.T, part.index, components=None)
    assert CONVENTIONS["gbc"]["PCA of all data"](part) == pytest.approx(expected)
    assert CONVENTIONS["gbc"][DEFAULT](part) != pytest.approx(expected)


@pytest.mark.parametrize("shape", [(48, 6), (20, 40)])
def test_the_product_by_element_is_the_naive_one(shape: tuple[int, int]) -> None:
    one = case(9, *shape)
    g = one.means(one.X)[one.index]
    covariances = [np.cov(z, rowvar=False) for z in (one.X, g)]
    inverse = np.linalg.pinv(covariances[0], rcond=1e-5)
    expected = np.trace(inverse * covariances[1])
    assert CONVENTIONS["h_score"]["by element"](one) == pytest.approx(expected)
    cut = np.trace(inverse @ covariances[1])
    assert CONVENTIONS["h_score"]["pinv to 1e-5"](one) == pytest.approx(cut)


def test_a_class_of_one_has_no_unbiased_variance() -> None:
    one = case(4, 9, 3, 8)
    with pytest.raises(ValueError, match="a class of 1 has no variance"):
        CONVENTIONS["gbc"]["variance n − 1"](one)


@pytest.mark.parametrize(
    ("claims", "tolerance"),
    [
        (conventions.overlaps, 1e-6),
        (conventions.blanks, 1e-9),
        (conventions.shares, 1e-9),
        (conventions.reductions, 1e-9),
        (conventions.ends, 1e-4),
        (conventions.posteriors, 1e-6),
    ],
)
@pytest.mark.parametrize("seed", [0, 3])
def test_claims_hold(claims, tolerance: float, seed: int) -> None:
    assert len(report.verify(claims(seed), tolerance).blocks[0].rows) >= 2


def test_shuffled_labels_score_what_the_proof_says() -> None:
    report.verify(conventions.chance(1, shuffles=1500), tolerance=0.03)


def test_shrinkage_lowers_chance_and_a_wide_embedding_is_all_chance() -> None:
    wide = conventions.rules(case(5, 30, 60))
    assert wide["score"] == pytest.approx(wide["chance"]) == 3
    assert 0 < wide["shrunk_chance"] < 3
    assert not math.isclose(wide["single"], 3, rel_tol=1e-3)  # rounding, inverted
    narrow = conventions.rules(case(5, 60, 4))
    assert narrow["chance"] == pytest.approx(4 * 3 / 59)
    assert narrow["single"] == pytest.approx(narrow["score"], rel=1e-4)


class Little:
    """What the measurements need of a grid: two sources, two targets, a tiny subset."""

    suite = SimpleNamespace(sources=("a8@x", "b16@x"))

    def features(self, source: str, target: str) -> Features:
        seed = len(target) + (source == "b16@x")
        return case(seed, 40, 5 + 3 * (source == "b16@x")).features

    def subsets(self, target: str) -> list[Subset]:
        rows = torch.arange(40)
        return [Subset("all", rows), *(Subset("random", rows[i:20:2]) for i in (0, 1))]

    def accuracies(self, targets: Sequence[str]) -> dict[tuple[str, str], list[float]]:
        return {(s, t): [0.5, 0.7] for s in self.suite.sources for t in targets}


def test_every_convention_is_measured_on_every_subset_and_missing_scores_are_nan() -> None:
    grid: Any = Little()
    names = [name for name in CONVENTIONS if name != "n_leep"]
    found = conventions.measure(grid, ("greek", "digits"), names=names)
    assert set(found["metric"]) == set(names)
    assert len(found) == 8 * sum(map(len, CONVENTIONS.values())) - 8 * len(CONVENTIONS["n_leep"])
    assert found["accuracy"].unique() == pytest.approx([0.6])
    one = found.set_index(["metric", "convention", "variant", "target", "source"])["score"]
    part = grid.features("a8@x", "greek").at(torch.arange(0, 20, 2))  # the first draw
    expected = metrics.gbc(part.embedding, part.labels)
    assert one["gbc", DEFAULT, "random", "greek", "a8@x"] == pytest.approx(expected)
    singles = np.bincount(part.labels).min() < 2
    assert math.isnan(one["gbc", "variance n − 1", "random", "greek", "a8@x"]) == singles


def test_n_leep_is_measured_on_the_first_targets_alone() -> None:
    grid: Any = Little()
    found = conventions.measure(grid, ("greek", "digits"), 1, ["leep", "n_leep"])
    targets = found.groupby("metric")["target"].unique().map(list).to_dict()
    assert targets == {"leep": ["greek", "digits"], "n_leep": ["greek"]}
    with pytest.raises(ValueError, match="mixtures: expected an integer of at least 1, got 0"):
        conventions.measure(grid, ("greek",), 0)


def test_a_sweep_passes_through_the_defaults_and_is_drawn() -> None:
    grid: Any = Little()
    swept = conventions.sweep(grid, ("greek",))
    one = swept.set_index(["metric", "convention", "variant", "source"])["score"]
    features = grid.features("b16@x", "greek")
    given = (features.embedding, features.labels)
    assert one["gbc", 64.0, "all", "b16@x"] == pytest.approx(metrics.gbc(*given))
    assert one["gbc", 2.0, "all", "b16@x"] == pytest.approx(metrics.gbc(*given, components=2))
    assert one["transrate", 1e-4, "all", "b16@x"] == pytest.approx(metrics.transrate(*given))
    made_up = scores().assign(convention=lambda t: t["convention"].map(SWEPT))
    found = conventions.effects(made_up, {"gbc": 64.0}, resamples=20)
    figure = drawn.sweeps(found, {"gbc": 64.0})
    line = figure.axes[0].lines[0]
    assert line.get_xdata() == pytest.approx([1, 64, 128])
    assert line.get_ydata() == pytest.approx([-1, 1, 1])
    assert "−1.00 at 1, 1.00 at 64, 1.00 at 128" in drawn.sweeps_alt(found)


def test_a_rule_of_the_tables_shows_a_block_per_subset() -> None:
    grid: Any = Little()
    table = conventions.tolerances(grid, "greek", ("all", "random"))
    assert [block.title for block in table.blocks] == [
        "Baseline, n = 40, c − 1 = 3",
        "Random, n = 10, c − 1 = 3",
    ]
    assert [name for name, _ in table.blocks[0].rows] == ["a8", "b16"]
    assert table.frame["d"].tolist() == [5, 8] * 2


def test_transrate_of_the_example_is_negative() -> None:
    x, labels = conventions.lopsided()
    expected = references.transrate(x, labels, 1e-4, weighted=False)
    assert metrics.transrate(x, labels) == pytest.approx(expected)
    assert expected < 0


def scores() -> pd.DataFrame:
    """Two conventions on two targets and six sources, made up; one reorders, one only rescales."""
    rng = np.random.default_rng(0)
    found = []
    for target in ("greek", "digits"):
        accuracies = rng.uniform(0.5, 0.9, 6)
        for i, accuracy in enumerate(accuracies):
            for name, score in ((DEFAULT, accuracy), ("twice", 2 * accuracy), ("minus", -accuracy)):
                found.append(("gbc", name, "all", target, f"s{i}@x", score, accuracy))
    names = ["metric", "convention", "variant", "target", "source", "score", "accuracy"]
    return pd.DataFrame(found, columns=names)


def test_effects_say_what_moves_and_what_does_not() -> None:
    found = conventions.effects(scores(), resamples=50).set_index("convention")
    columns = found[["tau", "picks", "r"]].T.to_dict("list")
    assert columns["twice"] == pytest.approx([1, 0, 1])
    assert found.loc["twice", "change"] == pytest.approx(1)
    assert columns["minus"] == pytest.approx([-1, 2, -1])
    assert found.loc["minus", "difference"] == pytest.approx(-2)
    regrets = found["regret"].to_dict()
    assert regrets["minus"] > regrets[DEFAULT] == 0
    text = conventions.findings(found.reset_index(), scores())
    assert "Leave every ranking as it is: twice" in text
    assert "Reorder the sources: minus" in text
    assert "span up to 2.00 in mean r (GBC, Baseline)" in text


def test_conventions_and_hard_subsets_are_weighed_against_each_other() -> None:
    table = scores()
    hard = table.assign(variant="cs", score=lambda t: -t["score"])
    both = pd.concat([table, hard[hard["convention"] != "minus"]], ignore_index=True)
    text = conventions.findings(conventions.effects(both, resamples=50), both)
    assert "moves it by up to 2.00 (GBC, CS)" in text  # from 1 to −1
    assert "In 0 of 1 pairs" in text  # its two conventions agree


def test_what_cannot_be_computed_leaves_a_dash_and_a_note() -> None:
    table = scores()
    gone = table["convention"].eq("twice") & table["target"].eq("greek")
    table.loc[gone.idxmax(), "score"] = math.nan
    found = conventions.effects(table, resamples=50)
    line = found.set_index("convention").loc["twice"]
    assert (line["missing"], line["targets"], line["of"]) == (1, 1, 2)
    shown = conventions.table(found, "gbc")
    assert {cell.text for cell in shown.blocks[0].rows[1][1]} == {"–"}
    assert shown.notes == ("twice (Baseline): not computable for every source on 1 of 2 targets.",)


def test_table_and_figure_show_every_convention() -> None:
    found = conventions.effects(scores(), resamples=50)
    table = conventions.table(found, "gbc")
    assert [name for name, _ in table.blocks[0].rows] == [DEFAULT, "twice", "minus"]
    figure = drawn.correlations(found)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        DEFAULT,
        "twice",
        "minus",
    ]
    assert "1.00 by default, from −1.00 (minus)" in drawn.correlations_alt(found)
