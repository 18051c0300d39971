"""Ensembles: all bookkeeping against brute force on small pools, and intervals over the members."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hastelib import ensembles, finetune, hardness, metrics, suites
from hastelib.ensembles import Members, Pool
from hastelib.glyphs import Glyphs
from hastelib.grid import Grid
from hastelib.store import Store
from hastelib.suites import Suite

ROOT = Path(__file__).parents[1]
CLASSES = (3, 3, 5, 4, 4, 6)
DATA = ("a", "a", "b", "b", "c", "c")
"""Source classes of six made-up members, and the set that each was trained on."""


@pytest.fixture(scope="module")
def members() -> Members:
    """Six members on three source data sets; the labels are there in part."""
    generator = np.random.default_rng(1)
    names = tuple(f"net{i}@x+{data}" for i, data in enumerate(DATA))
    rankers = tuple(names[DATA.index(data)] for data in DATA)
    labels = torch.from_numpy(np.concatenate([np.arange(4), generator.integers(0, 4, 36)]))
    probs = []
    for z in CLASSES:
        centres = generator.normal(size=(4, z))[labels.numpy()]
        scores = torch.from_numpy(centres + generator.normal(size=(40, z)))
        probs.append(scores.softmax(1).float())
    hard = {
        variant: tuple(torch.from_numpy(generator.permutation(40)[:10]) for _ in range(3))
        for variant in ("ca", "cs")
    }
    truth = generator.integers(0, 4, 25)
    finetuned = generator.dirichlet(np.ones(4), size=(2, 6, 25)).astype(np.float32)
    finetuned[:, :, np.arange(25), truth] += 0.4
    finetuned /= finetuned.sum(-1, keepdims=True)
    return Members(Pool("t", names, rankers), tuple(probs), labels, hard, finetuned, truth)


def test_without_a_signature_all_but_ca_is_scored(members: Members):
    cs = replace(members, hard={"cs": members.hard["cs"]})
    chosen = ensembles.candidates(6, 3)
    (found,), (whole,) = (ensembles.scores(one, [chosen], draws=2) for one in (cs, members))
    assert {variant for _, variant in found} == {"all", "random", "cs"}
    for cell, score in found.items():
        if cell != ("e_leep", "random"):  # whose sizes alternate between those of CA and CS
            np.testing.assert_array_equal(score.values, whole[cell].values)


def test_candidates_are_all_subsets_once():
    chosen = ensembles.candidates(6, 3)
    assert [tuple(line) for line in chosen] == list(itertools.combinations(range(6), 3))
    for members, size, count in ((11, 4, 330), (10, 4, 210), (12, 4, 495), (11, 3, 165)):
        assert len(ensembles.candidates(members, size)) == count
    with pytest.raises(ValueError, match="expected 1 to 6, the members of the pool, got 7"):
        ensembles.candidates(6, 7)


def test_accuracy_is_that_of_the_mean_softmax(members: Members):
    chosen = ensembles.candidates(6, 3)
    found = ensembles.accuracies(members.finetuned[0], members.truth, chosen)
    for line, accuracy in zip(chosen, found, strict=True):
        right = 0
        for i, label in enumerate(members.truth):
            mean = sum(members.finetuned[0][m, i].astype(float) for m in line) / 3
            right += int(mean.argmax()) == label
        assert accuracy == right / 25
    assert len(set(found)) > 3


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("variant", ["all", "ca", "cs"])
def test_scores_are_the_metrics_on_the_members_rows(members: Members, size: int, variant: str):
    """Every ensemble by its own call of the metric, on the union of its sources' subsets."""
    chosen = ensembles.candidates(6, size)
    (found,) = ensembles.scores(members, [chosen], draws=2)
    sets = [DATA.index(data) // 2 for data in DATA]
    for e, line in enumerate(chosen):
        own = [range(40) if variant == "all" else members.hard[variant][sets[m]] for m in line]
        own = [torch.as_tensor(list(rows)) for rows in own]
        expected = sum(
            metrics.ms_leep([members.probs[m][rows]], members.labels[rows])
            for m, rows in zip(line, own, strict=True)
        )
        score = found["ms_leep", variant]
        assert score.values[0, e] == pytest.approx(expected, abs=1e-12)
        assert score.samples[0, e] == len(own[0])

        union = torch.tensor(sorted({int(i) for rows in own for i in rows}))
        expected = metrics.e_leep([members.probs[m][union] for m in line], members.labels[union])
        score = found["e_leep", variant]
        assert score.values[0, e] == pytest.approx(expected, abs=1e-12)
        assert score.samples[0, e] == len(union)
        assert score.classes[0, e] == len(members.labels[union].unique())
        assert score.values.shape == (1, len(chosen))


def test_random_control_has_the_sizes_of_the_hard_subsets(members: Members):
    chosen = ensembles.candidates(6, 3)
    (found,) = ensembles.scores(members, [chosen], draws=4)
    assert (found["ms_leep", "random"].samples == 10).all()
    unions = np.concatenate([found["e_leep", v].samples for v in ("ca", "cs")] * 2)  # in turn
    assert np.array_equal(found["e_leep", "random"].samples, unions)
    for metric in ensembles.METRICS:
        values = found[metric, "random"].values
        assert values.shape == (4, 20)
        assert (values.std(0) > 0).all()  # the draws differ
    (again,) = ensembles.scores(members, [chosen], draws=4)
    for cell, score in found.items():
        assert np.array_equal(score.values, again[cell].values)


def test_sizes_together_are_the_sizes_alone(members: Members):
    every = [ensembles.candidates(6, size) for size in (1, 3, 4)]
    for chosen, found in zip(every, ensembles.scores(members, every, 2), strict=True):
        (alone,) = ensembles.scores(members, [chosen], 2)
        for cell, score in found.items():
            assert np.array_equal(score.values, alone[cell].values)
            assert np.array_equal(score.samples, alone[cell].samples)


def test_shuffled_labels_leave_only_the_fit(members: Members):
    fit = ensembles.shuffled(members, draws=20)
    counts = np.bincount(members.labels.numpy())
    nothing = float((counts / 40 * np.log(counts / 40)).sum())
    assert (fit["all"] > nothing).all()  # the fit to chance: above knowing frequencies only
    real = np.array([metrics.leep(probs, members.labels) for probs in members.probs])
    assert (fit["all"] < real).all()
    assert (fit["random"] > fit["all"]).all()  # fewer samples are fitted more closely


SOURCES = ("resnet8@glyphs", "densenet16@glyphs")
POOL = (*SOURCES, "resnet8@glyphs+greek", "densenet16@glyphs+greek")


@pytest.fixture(scope="module")
def suite() -> Suite:
    chosen, _ = suites.load("glyphs").select(sources=SOURCES, seeds=(0,), epochs=1, draws=3)
    letters = Glyphs(kind="glyphs", characters="A-C", train=10, test=2)
    small = {
        "greek": Glyphs(kind="glyphs", characters="α-ε", train=10, test=6),
        "cyrillic": Glyphs(kind="glyphs", characters="БГДЖЗ", train=10, test=6),
    }
    pool = suites.Ensembles(pool=POOL, targets=("cyrillic",), rankers={"": SOURCES[1]})
    changes = {"targets": small, "source_data": letters, "ensembles": pool}
    return chosen.model_copy(update=changes)


def test_the_pool_leaves_out_who_knows_the_target(suite: Suite):
    assert ensembles.pool(suite, "cyrillic").members == POOL
    own = ensembles.pool(suite, "greek")
    assert own.members == SOURCES
    found = ensembles.pool(suite, "cyrillic")
    assert found.rankers == (SOURCES[1], SOURCES[1], POOL[2], POOL[2])  # the first where not told
    assert found.sets.tolist() == [0, 0, 1, 1]


def test_pools_of_the_suites():
    glyphs = suites.load("glyphs")
    assert glyphs.ensembles is not None
    sizes = {t: len(ensembles.pool(glyphs, t).members) for t in glyphs.ensembles.targets}
    assert sizes == {"georgian": 11, "greek": 10, "dingbats": 11, "cyrillic": 11, "operators": 12}
    pocket = suites.load("pocket")
    assert pocket.ensembles is not None
    for target in pocket.ensembles.targets:
        found = ensembles.pool(pocket, target)
        assert len(found.members) >= 11
        assert set(found.rankers) <= set(found.members)
    assert pocket.selection is not None
    for name in (*pocket.selection.sources, *ensembles.pool(pocket, "pacs_sketch").members):
        Grid(pocket).check(name)


def test_a_suite_without_a_pool_says_so(suite: Suite):
    bare = suite.model_copy(update={"ensembles": None})
    with pytest.raises(ValueError, match=r"no pool .*`ensembles:` to params/suites/glyphs.yaml"):
        ensembles.pool(bare, "cyrillic")
    assert ensembles.pool(bare, "cyrillic", POOL).members == POOL
    with pytest.raises(ValueError, match="at least two members not trained on greek"):
        ensembles.pool(suite, "greek", POOL[1:])
    with pytest.raises(ValueError, match="unknown target 'klingon'"):
        ensembles.pool(suite, "klingon")
    misspelt = [ensembles.pool(suite, "cyrillic", ("resnet9@glyphs", "resnet8@glyphs"))]
    with pytest.raises(ValueError, match="unknown glyphs network 'resnet9'"):
        ensembles.prepare(Grid(suite), misspelt)


def test_sizes_are_checked(suite: Suite):
    pools = [ensembles.pool(suite, "cyrillic")]
    assert ensembles.parse_sizes("3, 2,3", pools) == (3, 2)
    for wrong in ("", "four", "4", "1", "2;3"):
        with pytest.raises(ValueError, match="sizes: expected integers from 2 to 3"):
            ensembles.parse_sizes(wrong, pools)


def test_rows_of_a_real_pool_without_computing_anything_twice(
    suite: Suite, tmp_path: Path, monkeypatch
):
    tuned, trained = [], finetune.finetune

    def counting(source, images, *arguments, **options):
        tuned.append((source.name, images.name))
        return trained(source, images, *arguments, **options)

    monkeypatch.setattr(finetune, "finetune", counting)
    pools = [ensembles.pool(suite, "cyrillic")]
    grid = ensembles.prepare(Grid(suite, Store(tmp_path)), pools)
    assert len(tuned) == len(set(tuned)) == 6  # two members to be, then four on the target
    found = ensembles.frame(grid, pools, (1, 2))
    ensembles.prepare(grid, pools)
    assert len(tuned) == 6
    assert len(found) == (4 + 6) * 2 * (3 + grid.suite.hardness.draws)
    assert set(found["source"].str.count(r"\|")) == {0, 1}

    features: dict[str, Any] = {name: grid.features(name, "cyrillic") for name in POOL}
    labels = features[POOL[0]].labels
    hard = {
        name: hardness.hardest(grid.hardness("cyrillic", by=by)["ca"], 0.25)
        for name, by in zip(POOL, pools[0].rankers, strict=True)
    }
    outcomes = {name: grid.outcome(name, "cyrillic", 0) for name in POOL}
    of: Any = found[found["variant"] == "ca"].set_index(["source", "metric"])
    for pair in itertools.combinations(POOL, 2):
        row = of.loc[("|".join(pair), "ms_leep")]
        each = [metrics.leep(features[n].probs[hard[n]], labels[hard[n]]) for n in pair]
        assert row["score"] == pytest.approx(sum(each))
        assert row["samples"] == 13
        union = torch.tensor(sorted({*hard[pair[0]].tolist(), *hard[pair[1]].tolist()}))
        joint = of.loc[("|".join(pair), "e_leep")]
        expected = metrics.e_leep([features[n].probs[union] for n in pair], labels[union])
        assert joint["score"] == pytest.approx(expected)
        assert joint["samples"] == len(union)
        mean = torch.stack([outcomes[n].probs.double() for n in pair]).mean(0)
        right = (mean.argmax(1) == outcomes[pair[0]].labels).double().mean()
        assert row["accuracy"] == joint["accuracy"] == pytest.approx(float(right))
        assert row["seeds"] == 1
    mixed = of.loc[(f"{POOL[0]}|{POOL[2]}", "e_leep")]
    assert mixed["hardness_source"] == f"{SOURCES[1]}|{POOL[2]}"
    assert found["weights"].nunique() == 4 + 6
