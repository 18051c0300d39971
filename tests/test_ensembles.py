"""Ensembles: all bookkeeping against brute force on small pools, and intervals over the members."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import synthetic
import torch

from hastelib import ensembles, finetune, hardness, metrics, suites
from hastelib.ensembles import Members, Pool
from hastelib.grid import Grid
from hastelib.store import Store
from hastelib.suites import Suite

DATA = ("a", "a", "b", "b", "c", "c")
"""The set that each of six made-up members was trained on."""
CHOSEN = [e for size in (1, 2, 4) for e in itertools.combinations(range(6), size)]


@pytest.fixture(scope="module")
def members() -> Members:
    """Six members on three source data sets, with 3 to 6 classes; the labels are there in part."""
    generator = np.random.default_rng(1)
    names = tuple(f"net{i}@x+{data}" for i, data in enumerate(DATA))
    rankers = tuple(names[DATA.index(data)] for data in DATA)
    labels = torch.from_numpy(np.concatenate([np.arange(4), generator.integers(0, 4, 36)]))
    probs = []
    for z in (3, 3, 5, 4, 4, 6):
        centres = generator.normal(size=(4, z))[labels.numpy()]
        scores = torch.from_numpy(centres + generator.normal(size=(40, z)))
        probs.append(scores.softmax(1).float())
    hard = {
        variant: tuple(torch.from_numpy(generator.permutation(40)[:10]) for _ in range(3))
        for variant in ("ca", "cs")
    }
    return Members(Pool("t", names, rankers), tuple(probs), labels, hard)


@pytest.fixture(scope="module")
def found(members: Members) -> pd.DataFrame:
    return ensembles.scores(members, CHOSEN, draws=4)


@pytest.mark.parametrize("variant", ["all", "ca", "cs"])
def test_scores_are_the_metrics_on_the_members_rows(members: Members, found, variant: str):
    """Every ensemble by its own call of the metric, on the union of its sources' subsets."""
    of = found.query("variant == @variant").set_index("metric")[["score", "samples", "classes"]]
    assert len(of) == 2 * len(CHOSEN)
    for line, ms_leep, e_leep in zip(
        CHOSEN, of.loc["ms_leep"].to_numpy(), of.loc["e_leep"].to_numpy(), strict=True
    ):
        whole = torch.arange(40)
        own = [whole if variant == "all" else members.hard[variant][m // 2] for m in line]
        expected = sum(
            metrics.leep(members.probs[m][rows], members.labels[rows])
            for m, rows in zip(line, own, strict=True)
        )
        assert ms_leep[:2] == pytest.approx((expected, len(own[0])), abs=1e-12)
        union = torch.tensor(sorted({int(i) for rows in own for i in rows}))
        expected = metrics.e_leep([members.probs[m][union] for m in line], members.labels[union])
        counts = len(union), len(members.labels[union].unique())
        assert e_leep == pytest.approx((expected, *counts), abs=1e-12)


def test_random_control_has_the_sizes_of_the_hard_subsets(members: Members, found: pd.DataFrame):
    random: Any = found.query("variant == 'random'").set_index("metric")
    assert (random.loc["ms_leep", "samples"] == 10).all()
    e_leep = found.query("metric == 'e_leep'").set_index("variant")["samples"]
    unions = np.concatenate([e_leep[v] for v in ("ca", "cs")] * 2)  # in turn
    assert np.array_equal(random.loc["e_leep", "samples"], unions)
    draws = random.groupby(["metric", "ensemble"])["score"].nunique()
    assert (draws == 4).all()  # the draws differ
    pd.testing.assert_frame_equal(ensembles.scores(members, CHOSEN, draws=4), found)
    # Without a signature all but CA is scored, the same.
    cs = replace(members, hard={"cs": members.hard["cs"]})
    alone = ensembles.scores(cs, CHOSEN, draws=4)
    assert set(alone["variant"]) == {"all", "random", "cs"}
    # E-LEEP's random sizes alternate between those of CA and CS.
    same = "variant != 'ca' and not (metric == 'e_leep' and variant == 'random')"
    got, expected = (f.query(same).reset_index(drop=True) for f in (alone, found))
    pd.testing.assert_frame_equal(got, expected)


SOURCES = ("resnet8@glyphs", "densenet16@glyphs")
POOL = (*SOURCES, "resnet8@glyphs+greek", "densenet16@glyphs+greek")


@pytest.fixture(scope="module")
def suite() -> Suite:
    pool = suites.Ensembles(pool=POOL, targets=("cyrillic",), rankers={"": SOURCES[1]})
    return synthetic.suite(SOURCES, {"greek": "α-ε", "cyrillic": "БГДЖЗ"}, ensembles=pool)


def test_pools_of_the_suites():
    glyphs: Any = suites.load("glyphs")
    sizes = {t: len(ensembles.pool(glyphs, t).members) for t in glyphs.ensembles.targets}
    assert sizes == {"georgian": 11, "greek": 10, "dingbats": 11, "cyrillic": 11, "operators": 12}
    pocket: Any = suites.load("pocket")
    for target in pocket.ensembles.targets:
        found = ensembles.pool(pocket, target)
        assert len(found.members) >= 11
        assert set(found.rankers) <= set(found.members)
    for name in (*pocket.selection.sources, *ensembles.pool(pocket, "pacs_sketch").members):
        Grid(pocket).check(name)


def test_the_pool_leaves_out_who_knows_the_target_and_one_that_is_not_there_is_said(suite: Suite):
    bare = suite.model_copy(update={"ensembles": None})
    with pytest.raises(ValueError, match=r"no pool .*`ensembles:` to params/suites/glyphs.yaml"):
        ensembles.pool(bare, "cyrillic")
    assert ensembles.pool(bare, "cyrillic", POOL).members == POOL
    assert ensembles.pool(suite, "greek").members == SOURCES  # the others know it
    found = ensembles.pool(suite, "cyrillic")
    assert found.members == POOL
    assert found.rankers == (SOURCES[1], SOURCES[1], POOL[2], POOL[2])  # the first where not told
    assert found.sets.tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="at least two members not trained on greek"):
        ensembles.pool(suite, "greek", POOL[1:])
    with pytest.raises(ValueError, match="unknown target 'klingon'"):
        ensembles.pool(suite, "klingon")
    misspelt = [ensembles.pool(suite, "cyrillic", ("resnet9@glyphs", "resnet8@glyphs"))]
    with pytest.raises(ValueError, match="unknown network 'resnet9'"):
        ensembles.prepare(Grid(suite), misspelt)


def test_a_real_pool_computes_nothing_twice(suite: Suite, tmp_path: Path, monkeypatch):
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
