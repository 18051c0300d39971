"""Conventions: the defaults are the library's, the others what they say, and the claims hold."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import references
import torch
from numpy import ndarray

from hastelib import metrics, report
from hastelib.extract import Features
from hastelib.figures import conventions as drawn
from hastelib.report import conventions
from hastelib.report.conventions import CONVENTIONS, DEFAULT, Case


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
