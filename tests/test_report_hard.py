"""Hardness and errors, its cost, its covariances and its figures: against plain references."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from hastelib import hardness, metrics, report
from hastelib.experiments import Subset
from hastelib.extract import Features
from hastelib.figures import hard as drawn
from hastelib.report import (
    hard,
    hard_agnostic,
    hard_costs,
    hard_covariances,
    hard_entangled,
    hard_principle,
    hard_specific,
)

SOURCES = ("resnet8@glyphs", "resnet14@glyphs", "densenet16@glyphs", "mobilenet_v2@glyphs")
TARGETS = ("greek", "digits")
CLASSES, WIDTH = 4, 6
PER_CLASS = {"train": 12, "test": 20}


class Fake:
    """A grid of made-up features, of which every method answers at once.

    Accuracy differs by source; with ``planted`` 1 the hardest test samples by CA are those that
    every network gets wrong, with -1 the easiest.
    """

    def __init__(self, planted: int = 1) -> None:
        self.planted = planted
        self.suite = SimpleNamespace(
            name="fake",
            sources=SOURCES,
            seeds=(0,),
            hardness=SimpleNamespace(source=SOURCES[0], fraction=0.25, covariance="spherical"),
        )
        self.kept: dict[tuple, Any] = {}

    def features(self, source: str, target: str, split: str = "train") -> Features:
        key = source, target, split
        if key not in self.kept:
            place = SOURCES.index(source), TARGETS.index(target), split == "test"
            random = np.random.default_rng(place)
            labels = np.repeat(np.arange(CLASSES), PER_CLASS[split])
            centres = np.random.default_rng(7).normal(size=(CLASSES, WIDTH))
            x = 2 * centres[labels] + random.normal(size=(len(labels), WIDTH))
            probs = torch.tensor(x @ centres.T).softmax(1).float()
            x32 = torch.tensor(x).float()
            layers = {"layer2.0": x32[:, :3] ** 2, "layer3.0": x32.abs()}
            self.kept[key] = Features(x32, probs, layers, torch.tensor(labels))
        return self.kept[key]

    def signature(self) -> hardness.Signature:
        return hardness.source_signature(source_data().layers.values())

    def hardness(self, target: str, split: str = "train") -> dict[str, torch.Tensor]:
        features = self.features(SOURCES[0], target, split)
        layers = list(features.layers.values())
        return {
            "ca": hardness.class_agnostic(layers, self.signature()),
            "cs": hardness.class_specific(features.embedding, features.labels).double(),
        }

    def outcome(self, source: str, target: str, seed: int) -> SimpleNamespace:
        labels = self.features(source, target, "test").labels
        order = self.hardness(target, "test")["ca"].argsort(descending=self.planted > 0)
        wrong = order[: 10 + 5 * SOURCES.index(source)]
        guess = labels.clone()
        guess[wrong] = (guess[wrong] + 1) % CLASSES
        return SimpleNamespace(labels=labels, probs=torch.nn.functional.one_hot(guess).float())

    def accuracies(self, targets: Any) -> dict[tuple[str, str], list[float]]:
        return {(s, t): [1 - 0.1 * i] for t in targets for i, s in enumerate(SOURCES)}

    def subsets(self, target: str) -> list[Subset]:
        hard_rows = {v: hardness.hardest(h, 0.25) for v, h in self.hardness(target).items()}
        n, k = CLASSES * PER_CLASS["train"], len(hard_rows["ca"])
        draws = [torch.randperm(n, generator=torch.Generator().manual_seed(i))[:k] for i in (0, 1)]
        return [
            Subset("all", torch.arange(n)),
            *(Subset("random", rows) for rows in draws),
            *(Subset(variant, rows) for variant, rows in hard_rows.items()),
        ]

    def data(self, target: str) -> Any:
        shades = [
            {"image": Image.fromarray(np.array([[0, level]], dtype=np.uint8))}
            for level in contrasts(self, target)
        ]
        train = SimpleNamespace(features={"label": SimpleNamespace(names=list("abcd"))})
        return {"test": shades, "train": train}


def contrasts(grid: Fake, target: str) -> np.ndarray:
    """Grey levels that rise with CA."""
    values = grid.hardness(target, "test")["ca"].numpy()
    return scipy.stats.rankdata(values).astype(int) * 2


def source_data() -> Features:
    random = np.random.default_rng(11)
    x = torch.tensor(random.normal(size=(40, WIDTH)) + 1).float()
    labels = torch.arange(40) % 5
    return Features(x, x.softmax(1), {"layer2.0": x[:, :3] ** 2, "layer3.0": x.abs()}, labels)


@pytest.fixture(name="grid")
def _grid() -> Any:
    return Fake()


# Errors


def brute(h: np.ndarray, wrong: np.ndarray, groups: np.ndarray | None = None) -> float:
    pairs = [
        (h[i] > h[j]) + 0.5 * (h[i] == h[j])
        for i in np.flatnonzero(wrong)
        for j in np.flatnonzero(~wrong)
        if groups is None or groups[i] == groups[j]
    ]
    return float(np.mean(pairs)) if pairs else math.nan


@pytest.mark.parametrize("ties", [False, True])
def test_auc_is_mann_and_whitneys_averaged_over_the_networks(ties):
    random = np.random.default_rng(0)
    h = random.normal(size=80)
    h = h.round(0) if ties else h
    wrong = {name: random.random(80) < 0.1 + 0.3 * (h > 0) for name in SOURCES}
    expected = np.mean([roc_auc_score(w, h) for w in wrong.values()])
    assert hard.auc(h, wrong, resamples=0) == pytest.approx([expected])
    groups = random.integers(5, size=80)
    within = np.mean([brute(h, w, groups) for w in wrong.values()])
    assert hard.auc(h, wrong, groups, resamples=0) == pytest.approx([within])


def test_a_resample_of_auc_is_the_auc_of_the_samples_drawn():
    random = np.random.default_rng(1)
    h, groups = random.normal(size=30).round(1), random.integers(3, size=30)
    wrong = {name: random.random(30) < 0.4 for name in SOURCES[:2]}
    found = hard.auc(h, wrong, groups, resamples=4, seed=5)
    draws = np.random.default_rng(5).multinomial(30, np.full(30, 1 / 30), size=4)
    for value, counts in zip(found[1:], draws, strict=True):
        rows = np.repeat(np.arange(30), counts)
        expected = np.mean([brute(h[rows], w[rows], groups[rows]) for w in wrong.values()])
        assert value == pytest.approx(expected)


def test_auc_leaves_out_networks_without_a_pair_and_is_nan_without_any():
    h, some = np.arange(6.0), np.array([False, False, True, False, True, True])
    none = np.zeros(6, dtype=bool)
    alone = hard.auc(h, {"a": some}, resamples=0)
    assert hard.auc(h, {"a": some, "b": none}, resamples=0) == pytest.approx(alone)
    assert np.isnan(hard.auc(h, {"b": none}, resamples=3)).all()


def test_errors_of_the_frozen_heads(grid):
    found = hard.errors(grid, "greek")
    assert list(found) == list(hard.SETTINGS)
    train, test = grid.features(SOURCES[1], "greek"), grid.features(SOURCES[1], "greek", "test")
    table = np.zeros((CLASSES, train.probs.shape[1]))
    for p, y in zip(train.probs.numpy().astype(float), train.labels.numpy(), strict=True):
        table[y] += p
    table /= table.sum(0)
    for split, part in (("train", train), ("test", test)):
        guess = (part.probs.numpy().astype(float) @ table.T).argmax(1)
        wrong = guess != part.labels.numpy()
        assert (found[split, "leep"][SOURCES[1]] == wrong).all()
    outcome = grid.outcome(SOURCES[1], "greek", 0)
    assert found[hard.FINE_TUNED][SOURCES[1]].sum() == 15
    assert (
        found[hard.FINE_TUNED][SOURCES[1]] == (outcome.probs.argmax(1) != outcome.labels).numpy()
    ).all()
    x, z = (part.embedding.numpy().astype(float) for part in (train, test))
    centre, scale = x.mean(0), x.std(0)
    x, z = (x - centre) / scale, (z - centre) / scale
    signs = 2.0 * np.eye(CLASSES)[train.labels.numpy()] - 1
    head = np.linalg.solve(x.T @ x + hard.PENALTY * np.eye(WIDTH), x.T @ (signs - signs.mean(0)))
    guess = (z @ head + signs.mean(0)).argmax(1)
    assert (found["test", "linear"][SOURCES[1]] == (guess != test.labels.numpy())).all()
    assert found["train", "linear"][SOURCES[1]].mean() > 0


def test_discrimination_knows_right_from_the_wrong_way_round(grid):
    for planted, side in ((1, "finds the errors"), (-1, "is the wrong way round here")):
        cells = hard.discrimination(Fake(planted), TARGETS, resamples=20)
        assert len(cells) == len(TARGETS) * len(hard.SETTINGS) * 2
        part = cells[(cells["variant"] == "ca") & (cells["predictor"] == "fine-tuned")]
        assert part["auc"].tolist() == [float(planted > 0)] * 2
        assert part["errors"].tolist() == pytest.approx([np.mean([10, 15, 20, 25]) / 80] * 2)
        assert hard.sides(part) == ((2, 0) if planted > 0 else (0, 2))
        assert f"**CA {side}**" in hard.auc_words(cells)
        table = hard.auc_table(cells)
        assert [block.title for block in table.blocks] == ["CA", "CS"]
        assert table.blocks[0].rows[0][1][0].bold == (planted > 0)
        settings = hard.settings_table(cells)
        assert [row[0] for row in settings.blocks[0].rows] == list(hard.SETTINGS.values())
        counted = f"{2 if planted > 0 else 0} / {0 if planted > 0 else 2}"
        assert settings.blocks[0].rows[0][1][3].text == counted


def test_contrast_is_ranked(grid):
    cells = hard.contrast(grid, TARGETS)
    assert cells.loc[cells["variant"] == "ca", "rank"].tolist() == pytest.approx([1, 1])
    assert "CA 1.00 in the mean" in hard.contrast_words(cells)


# The key principle


def test_principle_spreads_over_networks_where_they_differ(grid):
    """All errors are among the hardest: the easiest fifths are alike for all networks."""
    cells = hard_principle.principle(grid, TARGETS, draws=3)
    spread = cells[cells["variant"] == "ca"].groupby("bin")["spread"].mean()
    shares = np.array([1 - k / 16 for k in (10, 15, 16, 16)])
    assert spread[1] == pytest.approx(shares.std(ddof=1))
    assert spread[3] == spread[5] == 0
    assert set(cells.loc[cells["variant"] == "random", "bin"]) == {0}
    table = hard_principle.principle_table(cells)
    assert table.blocks[0].rows[0][1][0].text == f"{100 * shares.std(ddof=1):.1f}"
    words = hard_principle.principle_words(cells)
    assert "more in the hardest than in the easiest on 2 of 2 targets" in words


def test_agreement_is_with_the_rest_of_the_samples():
    right = {"a": [1, 1, 1, 0], "b": [1, 0, 0, 0], "c": [0, 0, 1, 0]}
    bins = report.hardness_bins(
        np.arange(4.0)[::-1], {n: np.array(v, dtype=bool) for n, v in right.items()}, bins=2
    )
    found = hard_principle._by_bin(bins).set_index("bin")
    first, rest = [1, 0.5, 0], [0.5, 0, 0.5]
    assert found.loc[1, "spread"] == pytest.approx(np.std(first, ddof=1))
    assert found.loc[1, "agreement"] == pytest.approx(np.corrcoef(first, rest)[0, 1], abs=1e-12)


# Class-agnostic


@pytest.mark.parametrize("block", [1, 7, 512])
def test_by_matrix_is_the_definition_and_the_library(grid, block):
    source = list(source_data().layers.values())
    target = list(grid.features(SOURCES[0], "greek").layers.values())
    mean, nearest = hard_costs.by_matrix(source, target, block)
    assert mean == pytest.approx(grid.hardness("greek")["ca"].numpy(), abs=1e-12)
    cosine = torch.nn.functional.cosine_similarity
    layers = list(zip(source, target, strict=True))
    one = [
        np.mean([cosine(s[i].double(), t[3].double(), dim=0) for s, t in layers]) for i in range(40)
    ]
    assert mean[3] == pytest.approx(1 - np.mean(one))
    assert nearest[3] == pytest.approx(1 - np.max(one))


def test_work_counts_what_is_done():
    assert hard_costs.matrix_work(10, 20, 3) == (10 * 20 * 3 + 2 * 30 * 3, 8 * 200)
    assert hard_costs.signature_work(10, 20, 3) == (20 * 3 + 2 * 30 * 3, 8 * 4)
    made = hardness.source_signature([np.ones((5, 3))])
    kept = sum(x.nelement() * x.element_size() for x in made.arrays().values())
    assert hard_costs.signature_work(5, 1, 3)[1] == kept


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (392, "392"), (28_680, "28.7 k"), (6.14e9, "6.14 G"), (2.75e12, "2.75 T")],
)
def test_amount(value, text):
    assert hard_costs.amount(value) == text


def test_costs_has_the_target_and_the_papers_sizes(grid):
    table = hard_costs.costs(grid, "greek")
    m, n, d = 40, CLASSES * PER_CLASS["train"], 3 + WIDTH
    assert table.blocks[0].rows[0][1][0].text == hard_costs.amount(m * n * d + 2 * (m + n) * d)
    assert "M = 128,117, N = 5,994, d = 3,584" in table.caption


def test_growth_measures_both_routes_and_slopes_fit_powers():
    grown = hard_costs.growth(sizes=(8, 16), fixed=8, width=4, repeats=1)
    assert len(grown) == 3 * 2 * 2
    assert (grown["seconds"] > 0).all()
    square = grown[(grown["grows"] == "M = N") & (grown["route"] == "matrix")]
    assert square["bytes"].tolist() == [8 * 8**2, 8 * 16**2]
    sizes = np.array([2.0, 4, 8, 16, 32])
    powers = pd.concat(
        pd.DataFrame(
            {
                "grows": "M = N",
                "size": sizes,
                "route": route,
                "seconds": sizes**p,
                "bytes": sizes**p,
            }
        )
        for route, p in (("matrix", 2), ("signature", 1))
    )
    found = hard_costs.slopes(powers)
    assert found["M = N", "matrix"] == pytest.approx(2)
    assert found["M = N", "signature"] == pytest.approx(1)
    assert "the matrix takes 32 times the time and 32 times the memory" in hard_costs.growth_words(
        powers
    )


def test_agreement_of_hard_subsets():
    h = np.arange(8.0)
    assert hard_agnostic.agreement(h, h, 0.25) == (pytest.approx(1), 1)
    assert hard_agnostic.agreement(h, -h, 0.25) == (pytest.approx(-1), 0)
    swapped = np.array([0, 1, 2, 3, 4, 6, 5, 7.0])
    assert hard_agnostic.agreement(h, swapped, 0.25)[1] == 0.5


def test_sampled_takes_each_class_alike_and_all_of_it_changes_nothing(grid):
    rows = hard_agnostic._stratified(np.repeat([3, 5], [10, 20]), 0.2, seed=0)
    assert (rows < 10).sum() == 2
    assert len(set(rows)) == 6
    cells = hard_agnostic.sampled(grid, TARGETS, source_data(), shares=(0.25, 1), draws=2)
    whole = cells[cells["share"] == 1]
    assert (whole["overlap"] == 1).all()
    assert whole["rank"].to_numpy() == pytest.approx(1)
    assert cells.loc[cells["share"] == 0.25, "samples"].tolist() == [10] * 4
    assert (cells.loc[cells["share"] == 0.25, "rank"] < 1).any()
    titles = [block.title for block in hard_agnostic.sampled_table(cells).blocks]
    assert titles == ["25% of the source (10)", "100% of the source (40)"]
    assert "100% of the source data keep 100%" in hard_agnostic.sampled_words(cells)


def test_readings_are_what_they_are_called(grid):
    source = source_data().layers
    target = grid.features(SOURCES[0], "greek").layers
    found = hard_agnostic.by_reading(source, target)
    assert set(found) == {*hard_agnostic.READINGS, "only layer2", "only layer3"}
    pairs = [(source[name].double().numpy(), target[name].double().numpy()) for name in source]
    dots = np.mean([(x @ s.T).mean(1) for s, x in pairs], axis=0)
    assert found["dot"] == pytest.approx(1 - dots)
    norms = np.mean([np.linalg.norm(x, axis=1) for _, x in pairs], axis=0)
    assert found["norm"] == pytest.approx(-norms)
    unit_source, unit_target = (
        {n: torch.nn.functional.normalize(x.double()) for n, x in part.items()}
        for part in (source, target)
    )
    same = hard_agnostic.by_reading(unit_source, unit_target)
    assert same["dot"] == pytest.approx(same["cosine"])
    halves = (found["only layer2"] + found["only layer3"]) / 2
    assert halves == pytest.approx(found["cosine"])


def test_readings_table_and_words(grid):
    cells = hard_agnostic.readings(grid, TARGETS, source_data())
    own = cells[cells["reading"] == "cosine"]
    assert own["rank"].to_numpy() == pytest.approx(1)
    assert own["auc"].tolist() == [1, 1]  # planted
    dot = cells[cells["reading"] == "dot"]
    assert dot["rank_dot"].to_numpy() == pytest.approx(1)
    assert hard_agnostic.readings_table(cells).blocks[0].rows[0][1][3].text == "2 / 0"
    assert "the higher AUC on 0 of 2 targets" in hard_agnostic.readings_words(cells)
    turned = cells.assign(auc=cells["auc"].where(cells["reading"] != "cosine", 0.4))
    turned.loc[turned["reading"] == "dot", "auc"] = 0.6
    assert "disagree even on the direction" in hard_agnostic.readings_words(turned)
    assert "disagree even" not in hard_agnostic.readings_words(cells)


# Class-specific


def test_distances_are_those_of_full_where_it_serves():
    x = np.random.default_rng(0).normal(size=(40, 6))
    expected = hardness.class_specific(x, np.zeros(40, dtype=int), "full")
    assert hard_specific.distances(x, invert=True) == pytest.approx(expected)
    assert hard_specific.distances(x) == pytest.approx(expected)


def test_equal_distances_hold_up_to_d_plus_1_and_not_beyond():
    report.verify(hard_specific.equal_distances([(5, 4), (4, 4), (20, 30)]), 1e-6)
    with pytest.raises(ValueError, match="nearest"):
        report.verify(hard_specific.equal_distances([(7, 4)]), 1e-6)


def test_the_predicted_spread_is_that_of_the_beta_distribution():
    for n, d in ((40, 32), (12, 3)):
        beta = scipy.stats.beta(d / 2, (n - 1 - d) / 2)
        assert hard_specific.predicted_spread(n, d) == pytest.approx(beta.std() / beta.mean())
    assert hard_specific.predicted_spread(9, 8) == 0
    found = hard_specific.spread(8, (6, 9, 30), draws=200).set_index("size")
    assert found.loc[[6, 9], "measured"].to_numpy() == pytest.approx(0, abs=1e-6)
    assert found.loc[30, "measured"] == pytest.approx(found.loc[30, "predicted"], rel=0.05)


def test_the_papers_data_sets_by_width():
    rows = dict(hard_specific.singular_in_the_paper().blocks[0].rows)
    assert [cell.text for cell in rows["Caltech101"]] == ["800", "not all", "not all", "all", "all"]
    assert [cell.text for cell in rows["IMDB"]][1:] == ["not all"] * 4
    assert len(rows) == len(hard_specific.PAPER)


def test_mean_squares_hold_in_every_class_and_the_floor_is_counted(grid):
    claims = hard_specific.mean_squares(grid, TARGETS)
    assert list(claims) == [f"{c}: farthest from d of 8 classes" for c in ("spherical", "diagonal")]
    report.verify(claims)
    features = grid.features(SOURCES[0], "greek")
    features.embedding[features.labels == 0, 0] = 1  # a dimension without variance
    claims = hard_specific.mean_squares(grid, TARGETS)
    assert list(claims)[1] == "diagonal: farthest from d of 7 classes, 1 at the floor left out"
    report.verify(claims)


def test_refusal_says_where_and_why(grid):
    assert hard_specific.refusal(grid, TARGETS) == {}  # 12 > 6 + 1
    assert "serves the train split of all 2" in hard_specific.refusal_words({}, TARGETS)
    narrow = grid.features(SOURCES[0], "greek")
    keep = torch.arange(len(narrow.labels)) % 12 < 7
    grid.kept[SOURCES[0], "greek", "train"] = narrow.at(keep.nonzero()[:, 0])
    refused = hard_specific.refusal(grid, TARGETS)
    assert list(refused) == ["greek"]
    words = hard_specific.refusal_words(refused, TARGETS)
    assert "refuses the train split of 1 of 2 targets and serves digits" in words
    assert "more than d + 1 = 7 samples" in words
    assert "full" not in hard_covariances.rankings(grid, "greek")
    assert "full" in hard_covariances.rankings(grid, "digits")


# Covariances


def test_rankings_are_the_librarys(grid):
    found = hard_covariances.rankings(grid, "greek", "test")
    features = grid.features(SOURCES[0], "greek", "test")
    assert list(found) == [*hardness.COVARIANCES, "ca"]
    for name in hardness.COVARIANCES:
        expected = hardness.class_specific(features.embedding, features.labels, name)
        assert (found[name] == expected.numpy()).all()


def test_overlaps_of_every_pair(grid):
    cells = hard_covariances.overlaps(grid, TARGETS)
    assert len(cells) == 2 * 15
    ranked = hard_covariances.rankings(grid, "digits")
    line = cells[(cells["target"] == "digits") & (cells["second"] == "tied")].iloc[0]
    expected = hard_agnostic.agreement(ranked["spherical"], ranked["tied"], 0.25)
    assert (line["rank"], line["overlap"]) == expected
    table = hard_covariances.overlap_table(cells)
    assert [row[0] for row in table.blocks[0].rows][-1] == "Full"
    assert [cell.text for cell in table.blocks[0].rows[-1][1]][:4] == [""] * 4


def test_covariance_errors_take_the_fifths_and_the_auc(grid):
    cells = hard_covariances.covariance_errors(grid, TARGETS, resamples=10)
    own = cells[cells["covariance"] == "ca"]
    assert own["easiest"].tolist() == [1, 1]
    assert own["hardest"].to_numpy() == pytest.approx(1 - (10 + 15 + 16 + 16) / 64)
    assert own["auc"].tolist() == [1, 1]
    rows = dict(hard_covariances.errors_table(cells).blocks[0].rows)
    assert rows["CA"][3].text == "2 / 0 / 2"


def test_balance_of_classes(grid):
    classes = np.repeat([0, 1, 2, 3], 3)
    even = hard_covariances._balance(classes, np.array([0, 3, 6, 9]))
    assert even == (1, pytest.approx(1), 1)
    left, evenness, largest = hard_covariances._balance(classes, np.array([0, 1, 2, 3]))
    assert (left, largest) == (0.5, 3)
    assert evenness == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) / np.log(4))
    table = hard_covariances.balance_table(hard_covariances.balance(grid, TARGETS))
    assert [row[0] for row in table.blocks[0].rows] == [
        "Spherical",
        "Diagonal",
        "Ledoit–Wolf",
        "Tied",
        "Full",
        "CA",
        "Random",
    ]


def test_leep_rows_score_each_subset(grid):
    rows = hard_covariances.leep_rows(grid, TARGETS, source_data())
    features = grid.features(SOURCES[2], "digits")
    ranked = hard_covariances.rankings(grid, "digits")

    def score(variant: str) -> float:
        at = (rows["target"] == "digits") & (rows["source"] == SOURCES[2])
        return float(rows.loc[at & (rows["variant"] == variant), "score"].iloc[0])

    assert score("all") == metrics.leep(features.probs.numpy(), features.labels.numpy())
    chosen = hardness.hardest(ranked["tied"], 0.25)
    assert score("tied") == metrics.leep(
        features.probs.numpy()[chosen], features.labels.numpy()[chosen]
    )
    draws = [s.rows for s in grid.subsets("digits") if s.variant == "random"]
    expected = [metrics.leep(features.probs[r], features.labels[r]) for r in draws]
    assert score("random") == pytest.approx(np.mean(expected))
    table = hard_covariances.leep_table(rows, resamples=50)
    assert table.blocks[0].head == ("Target", "Baseline", "Random", "CA", "CA dot", "CA near")
    values = report.correlations(rows, resamples=1).set_index(["target", "variant"])["value"]
    assert table.blocks[1].rows[1][1][3].text == report.tables.number(values["digits", "tied"], 2)


def test_the_words_count_and_compare(grid):
    parts = (
        hard_covariances.overlaps(grid, TARGETS),
        hard_covariances.covariance_errors(grid, TARGETS, resamples=10),
        hard_covariances.balance(grid, TARGETS),
        hard_covariances.leep_rows(grid, TARGETS, source_data()),
    )
    words = hard_covariances.words(*parts)
    assert words.count("\n- **") == 3
    assert "CA 1.000." in words  # its AUC, planted
    best = parts[1].groupby("covariance")["auc"].mean().drop(["ca", "full"]).idxmax()
    assert f"{hard_covariances.NAMES[str(best)]} finds them best" in words


# Entanglement


def test_purity_by_hand():
    x = np.array([[0.0], [1], [2], [10], [11]])
    classes = np.array([0, 0, 1, 1, 1])
    found = hard_entangled.purity(x, classes, np.arange(5), neighbours=2)
    assert found.tolist() == [0.5, 0.5, 0, 1, 1]
    assert hard_entangled.purity(x, classes, np.array([4]), 1).tolist() == [1]
    twins = np.zeros((4, 1))
    assert hard_entangled.purity(twins, np.zeros(4, dtype=int), np.arange(4), 2).tolist() == [1] * 4


def test_entangled_is_measured_among_the_subset_and_in_the_whole(grid):
    cells = hard_entangled.entangled(grid, TARGETS, neighbours=3)
    assert cells["variant"].value_counts()["random"] == 4
    features = grid.features(SOURCES[0], "greek")
    x, y = features.embedding.numpy().astype(float), features.labels.numpy()
    among = hard_entangled.purity(x, y, np.arange(len(x)), 3)
    rows = grid.subsets("greek")[-1].rows.numpy()
    line = cells[(cells["target"] == "greek") & (cells["variant"] == "cs")].iloc[0]
    assert line["whole"] == pytest.approx(among[rows].mean())
    assert line["samples"] == len(rows)
    assert line["silhouette"] == pytest.approx(hard_entangled.silhouette(x[rows], y[rows]))
    whole = cells[cells["variant"] == "all"]
    assert whole["purity"].tolist() == whole["whole"].tolist()
    assert math.isnan(hard_entangled.silhouette(x[:3], y[:3]))
    names = [row[0] for row in hard_entangled.entangled_table(cells).blocks[0].rows]
    assert names == ["Baseline", "Random", "CA", "CS"]


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.1, "is more entangled"), (0.9, "is **less** entangled"), (0.5, "is not clearly more")],
)
def test_entangled_words_compare_with_the_draws(value, verdict):
    levels = [("all", 0, 0.6), ("random", 0, 0.4), ("random", 1, 0.6), ("ca", 0, value)]
    lines = [
        {"target": t, "variant": v, "draw": draw} | dict.fromkeys(hard_entangled.MEASURES, level)
        for t in TARGETS
        for v, draw, level in [*levels, ("cs", 0, 0.5)]
    ]
    words = hard_entangled.entangled_words(pd.DataFrame(lines))
    assert f"**CA** {verdict}" in words
    assert "**CS** is not clearly more" in words
    assert "of the 2 random draws" in words
    assert "silhouette from 0.600 to 0.500" in words


# Figures


def picture(figure: Any) -> list[str]:
    figure.savefig(io.BytesIO(), format="png")
    return [axes.get_title(loc="left") for axes in figure.axes]


@pytest.fixture(name="bins")
def _bins(grid) -> dict[tuple[str, str], pd.DataFrame]:
    found = {}
    for target in TARGETS:
        wrong = hard.fine_tuned_errors(grid, target)
        for variant, values in grid.hardness(target, "test").items():
            right = {name: ~outcome for name, outcome in wrong.items()}
            found[target, variant] = report.hardness_bins(values, right)
    return found


def test_the_figures_of_bins(bins):
    figure = drawn.bins_by_kind(bins, "greek")
    assert picture(figure) == ["CA", "CS"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()
    figure = drawn.bins_by_target(bins)
    assert picture(figure) == list(TARGETS)
    thick = [line for line in figure.axes[0].lines if line.get_linewidth() > 1]
    expected = 100 * bins["greek", "ca"].groupby("bin")["accuracy"].mean()
    assert thick[0].get_ydata() == pytest.approx(expected.to_numpy())
    text = drawn.bins_alt(bins, "greek")
    assert "greek, CA: 11 to 100%" in text
    assert "digits" not in text
    assert "digits, CS" in drawn.bins_alt(bins)


def test_the_figure_of_growth():
    grown = hard_costs.growth(sizes=(8, 16), fixed=8, width=4, repeats=1)
    figure = drawn.growth(grown)
    titles = picture(figure)
    assert titles == ["seconds as M grows", "seconds as N grows", "seconds, M = N", "bytes, M = N"]
    assert [len(axes.lines) for axes in figure.axes] == [2] * 4
    assert "M = N from 8 to 16, matrix" in drawn.growth_alt(grown)
    assert "512 to 2,048 bytes" in drawn.growth_alt(grown)


def test_the_figure_of_the_spread():
    spreads = hard_specific.spread(8, (6, 8, 9, 16, 30), draws=3)
    picture(drawn.spread(spreads))
    assert "6: 0.000 (0.000)" in drawn.spread_alt(spreads)


def test_the_maps_hold_the_same_points(grid):
    found = hard_entangled.tsne(grid, "greek", classes=3, seed=1)
    assert len(found.points) == len(found.classes) == 3 * PER_CLASS["train"]
    assert len(set(found.classes)) == 3
    assert list(found.members) == ["all", "random", "ca", "cs"]
    assert found.members["all"].all()
    inside = hardness.hardest(grid.hardness("greek")["cs"], 0.25)
    labels = grid.features(SOURCES[0], "greek").labels[inside].numpy()
    shown = {"abcd".index(name) for name in found.classes}
    assert found.members["cs"].sum() == sum(int(label) in shown for label in labels)
    figure = drawn.maps(found)
    counts = [int(inside.sum()) for inside in found.members.values()]
    titles = [
        f"{name}, n = {n}"
        for name, n in zip(("Whole set", "Random", "CA", "CS"), counts, strict=True)
    ]
    assert picture(figure) == titles
    for axes in figure.axes:
        drawn_points = sum(len(line.get_xdata()) for line in axes.lines)
        assert drawn_points == len(found.points)
    assert f"Baseline {counts[0]}, Random {counts[1]}" in drawn.maps_alt(found)
    again = hard_entangled.tsne(grid, "greek", classes=3, seed=1)
    assert (again.points == found.points).all()
