"""Grids: every cell cached by content, every score recorded, and the rows consistent."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import official_copies
import pandas as pd
import pytest
import scipy.stats
import synthetic
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock
from torchvision.transforms.v2 import functional as tvf

from hastelib import code, finetune, hardness, metrics, models
from hastelib.data.base import MissingDataError, subset_rows
from hastelib.data.folders import Folder
from hastelib.engine import JobsFailedError
from hastelib.features import Features, extract
from hastelib.glyphs import Glyphs
from hastelib.grid import Grid, _bytes
from hastelib.metrics import METRICS
from hastelib.records import KEYS
from hastelib.scoring import Subset, score
from hastelib.store import DamagedEntryWarning, Store
from hastelib.suites import Suite

SOURCES = ("resnet8@glyphs", "densenet16@glyphs")


@pytest.fixture(scope="module")
def suite() -> Suite:
    return synthetic.suite(SOURCES, {"greek": "α-ε"}, seeds=(0, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grid")


@pytest.fixture(scope="module")
def grid(suite: Suite, folder: Path) -> Grid:
    return Grid(suite, Store(folder))


@pytest.fixture(scope="module")
def rows(grid: Grid) -> pd.DataFrame:
    return grid.frame("5.1", ["greek"], ["leep", "nce", "gbc", "logme"])


def test_rows_have_every_cell(grid: Grid, rows, folder: Path):
    assert not rows.duplicated(KEYS).any()
    of = rows.groupby("variant")
    counts = {"all": 1, "ca": 1, "cs": 1, "random": 3, "static": 1}
    assert of.size().to_dict() == {name: 2 * 4 * count for name, count in counts.items()}
    assert set(of[["source", "metric"]].nunique().stack()) == {2, 4}
    samples = of["samples"].unique().map(list).to_dict()
    assert samples == {"all": [50], "ca": [13], "cs": [13], "random": [13], "static": [0]}
    assert set(rows["seeds"]) == {2}
    static = rows[rows["variant"] == "static"]  # it needs another target
    assert static["score"].isna().all()
    assert set(static["reason"]) == {"no accuracy on another target"}
    assert not list((folder / "checkpoints").glob("*.safetensors"))
    for source, row in rows.groupby("source").first().iterrows():
        values = [grid.outcome(str(source), "greek", seed).accuracy for seed in (0, 1)]
        assert row["accuracy"] == pytest.approx(np.mean(values))
        assert row["accuracy_std"] == pytest.approx(np.std(values, ddof=1))
    hard = rows["variant"].isin(["ca", "cs"])
    assert (hard == (rows["hardness_source"] != "")).all()
    assert set(rows.loc[rows["variant"] == "ca", "similarity"]) == {"cosine"}


def test_scores_are_the_metrics_on_the_subsets(grid: Grid, rows, suite: Suite, folder: Path):
    features: Any = grid.features(SOURCES[1], "greek")
    ranked = grid.features(grid.suite.hardness.source, "greek")
    hard = hardness.class_agnostic(list(ranked.layers.values()), grid.signature())
    chosen = hardness.hardest(hard, 0.25)
    expected = metrics.leep(features.probs[chosen], features.labels[chosen])
    found = rows[rows["draw"] == 0].set_index(["source", "metric", "variant"])["score"]
    assert found[SOURCES[1], "leep", "ca"] == expected
    assert found[SOURCES[1], "gbc", "all"] == metrics.gbc(features.embedding, features.labels)
    images = grid.read(None, "train", grid.source(grid.suite.hardness.source))
    assert len(images) == grid.signature().count == 30  # of the source data
    # By the other reading of Eq. 1, beside this one or alone.
    both = grid.frame("4.1", ["greek"], ["leep"], similarity=("cosine", "dot"), static=False)
    ca = both[both["variant"] == "ca"]
    assert list(ca["similarity"].unique()) == ["cosine", "dot"]
    printed = Grid(suite.select(similarity="dot")[0], Store(folder))
    only = printed.frame("4.1", ["greek"], ["leep"], static=False).query("variant == 'ca'")
    dot = ca[ca["similarity"] == "dot"].reset_index(drop=True)
    pd.testing.assert_frame_equal(only.reset_index(drop=True), dot)
    chosen = hardness.hardest(grid.hardness("greek")["dot"], 0.25)
    expected = metrics.leep(features.probs[chosen], features.labels[chosen])
    assert dot.set_index("source").loc[SOURCES[1], "score"] == expected


def test_nothing_is_computed_twice(grid: Grid, suite: Suite, folder: Path, rows, monkeypatch):
    def never(*_, **__):
        raise AssertionError("this was cached")

    monkeypatch.setattr("hastelib.grid.extract", never)
    monkeypatch.setattr(finetune, "finetune", never)
    monkeypatch.setattr("hastelib.grid.score", never)
    monkeypatch.setattr(Store, "write", never)  # so that the disk may be read only
    again = Grid(suite, Store(folder)).frame("5.1", ["greek"], ["leep", "nce", "gbc", "logme"])
    pd.testing.assert_frame_equal(again, rows)
    first, second = grid.subsets("greek"), Grid(suite, Store(folder)).subsets("greek")
    assert first is not second
    assert [s.variant for s in first] == ["all", *["random"] * 3, "ca", "ca", "cs"]
    assert [s.draw for s in first if s.variant == "random"] == [0, 1, 2]
    assert all(torch.equal(a.rows, b.rows) for a, b in zip(first, second, strict=True))
    assert len({tuple(s.rows.tolist()) for s in first if s.variant == "random"}) == 3


def without_data(suite: Suite) -> Suite:
    gone = Folder(kind="folder", path="nowhere")
    return suite.model_copy(update={"source_data": gone, "seeds": (0,)})


def test_without_source_data_only_ca_has_no_scores(suite: Suite, grid: Grid, folder: Path, rows):
    lost = Grid(without_data(suite), Store(folder)).frame("5.1", ["greek"], ["leep", "nce"])
    ca = lost["variant"] == "ca"
    assert lost.loc[ca, "score"].isna().all()
    why = r"no signature of resnet8@glyphs: no file .*nowhere"
    assert lost.loc[ca, "reason"].str.match(why).all()
    both = lost[~ca].merge(rows, on=["source", "metric", "variant", "draw"])
    static = both["variant"] == "static"
    assert len(both) == (~ca).sum() == 2 * 2 * (1 + 3 + 1 + 1)
    assert (both["score_x"] == both["score_y"])[~static].all()
    again = Grid(without_data(suite), Store(folder))
    found = again.frame("5.1", ["greek"], ["leep"], similarity=("cosine", "dot"), seeds=())
    assert (found["variant"] == "ca").sum() == 2 * 2


def test_a_signature_in_a_file_is_enough(suite, grid, folder, tmp_path, monkeypatch, rows):
    monkeypatch.setenv("HASTE_DATA", str(tmp_path))
    path = tmp_path / "signatures" / "resnet8@glyphs.safetensors"
    grid.signature().save(path)
    lost = Grid(without_data(suite), Store(folder))
    assert lost.signature().notes.keys() >= {"network", "weights", "data", "versions"}
    for name, values in grid.hardness("greek").items():
        assert torch.equal(lost.hardness("greek")[name], values)
    grid.signature("densenet16@glyphs").save(path)
    with pytest.raises(ValueError, match=r"expected the signature of resnet8@glyphs .weights .*, "
                       r"got that of densenet16@glyphs"):  # fmt: skip
        Grid(without_data(suite), Store(folder)).signature()
    other = without_data(suite).model_copy(update={"image_size": 40})  # passed over
    grid.signature().save(path)
    assert "no signature" in Grid(other, Store(folder)).unsigned()
    path.unlink()
    part = Grid(suite.model_copy(update={"source_share": 0.4}), Store(tmp_path / "part"))
    assert sorted(part.data(None)["train"]["label"]) == [0] * 4 + [1] * 4 + [2] * 4
    assert part.signature().count == 12


def test_damaged_features_are_made_again(grid: Grid, suite: Suite, folder: Path, rows):
    for path in (folder / "features").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-7])
    again = Grid(suite, Store(folder))
    for source in {*SOURCES, suite.hardness.source}:
        with pytest.warns(DamagedEntryWarning):
            found = again.features(source, "greek")
        assert torch.equal(found.embedding, grid.features(source, "greek").embedding)


def test_a_metric_that_changes_is_scored_anew(suite: Suite, folder: Path, monkeypatch):
    """Its text is the same; what is enclosed and its default differ."""

    def times(factor: float, more: float) -> Callable[[Any], float]:
        def mine(_: Any, more: float = more) -> float:
            return factor * more

        return mine

    for factor, more in ((1.0, 1.0), (2.0, 1.0), (2.0, 1.5)):
        monkeypatch.setitem(METRICS, "mine", times(factor, more))
        rows = Grid(suite, Store(folder)).frame("5.1", ["greek"], ["mine"], seeds=())
        assert set(rows["score"].dropna()) == {factor * more}


def test_keys_hold_all_that_decides_a_result(suite: Suite, folder: Path, monkeypatch):
    """Of a network of yours too, which sees what it wants, not the suite's size."""

    def keys(sign: int = 1, scale: float = 1.0, **changes: Any) -> tuple[str, str]:
        class Own(torchvision.models.ResNet):
            def forward(self, x: Tensor) -> Tensor:
                return sign * super().forward(x)

        def transform(image: Any) -> Tensor:
            return tvf.pil_to_tensor(image.resize((48, 48))).float() / 255 * scale

        def made() -> tuple[nn.Module, Any]:
            torch.manual_seed(0)
            return Own(BasicBlock, [1] * 4, num_classes=2), transform

        monkeypatch.setitem(models.SOURCES, "own@net", made)
        grid = Grid(suite.select(**changes)[0], Store(folder))
        network = grid.source("own@net")
        images = grid.read("greek", "train", network)
        assert next(images.batches(2))[0].shape == (2, 3, 48, 48)
        features = grid.features_entry(network, "greek", "train")
        return features, grid.outcome_entry(network, "greek", 0)

    found = [keys(), keys(threads=2), keys(sign=-1), keys(scale=2.0)]
    assert keys() == found[0]
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        found.append(keys())
    finally:
        torch.set_float32_matmul_precision(before)
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    code._library_hash.cache_clear()
    found.append(keys())
    code._library_hash.cache_clear()
    for several in zip(*found, strict=True):
        assert len(set(several)) == len(found)
    sized = torchvision.models.resnet18(num_classes=3), models.Preprocessing(40, 40)
    monkeypatch.setitem(models.SOURCES, "own@size", lambda: sized)
    assert Grid(suite, Store(folder)).source("own@size").preprocessing.crop == 40


def test_a_score_does_not_depend_on_the_others_and_one_without_a_value_has_its_reason(monkeypatch):
    random = torch.Generator().manual_seed(0)
    x, p = torch.randn(60, 30, generator=random), torch.rand(60, 4, generator=random)
    features = Features(x, p / p.sum(1, keepdim=True), {"a": x}, torch.arange(60) % 3)
    names = ["gbc", "h_score", "logme", "logme_fixed_point", "transrate", "leep"]
    subsets = [Subset("all", torch.arange(60)), Subset("ca", torch.arange(25))]
    alone = {name: score([name], features, subsets)[name] for name in names}
    for order in (names, names[::-1], names[1:3]):  # to the last digit
        assert score(order, features, subsets) == {name: alone[name] for name in order}
    monkeypatch.setitem(METRICS, "infinite", lambda sample: math.inf)
    monkeypatch.setitem(METRICS, "divides", lambda sample: 1 / 0)
    monkeypatch.setitem(METRICS, "raises", lambda sample: {}["none"])
    names = ["infinite", "divides", "raises"]
    found = score(names, features, subsets[:1])
    reasons = {name: line["reason"] for name, (line,) in found.items()}
    expected = "the metric gives inf", "division by zero", "'none'"
    assert reasons == dict(zip(names, expected, strict=True))
    assert all(math.isnan(line["score"]) for (line,) in found.values())


def test_memory_is_bounded_in_bytes(suite: Suite, folder: Path, rows, monkeypatch):
    grid, pixels = Grid(suite, Store(folder)), 50 * 3 * 32 * 32
    list(grid.read("greek", "train", grid.source(SOURCES[0])).batches(8))  # decoded
    grid.features(SOURCES[0], "greek")
    assert any(what[0] == "split" for what in grid._memory)
    monkeypatch.setattr("hastelib.grid.MEMORY", pixels)
    grid.features(SOURCES[1], "greek")
    assert not any(what[0] == "split" for what in grid._memory)
    assert sum(map(_bytes, grid._memory.values())) <= pixels
    assert ("data", "greek") in grid._memory  # what takes no room stays


def test_a_change_of_recipe_data_or_hardness_is_a_new_cell(suite: Suite, folder: Path, rows):
    def scores(**changes) -> list[float]:
        changed, targets = suite.select(**changes)
        found = Grid(changed, Store(folder)).frame("5.1", targets, ["leep"], seeds=(), static=False)
        return found["score"].to_list()

    base = scores()
    assert scores(epochs=2) == base  # the recipe does not change a score ...
    assert scores(fraction=0.5) != base
    assert scores(hardness_source="densenet16@glyphs") != base
    before = Grid(suite, Store(folder)).outcome(SOURCES[0], "greek", 0)
    other, _ = suite.select(learning_rate=0.001)
    after = Grid(other, Store(folder)).outcome(SOURCES[0], "greek", 0)
    assert not torch.equal(before.probs, after.probs)  # ... but it does change an accuracy


def test_a_score_that_does_not_exist_is_recorded_with_its_reason(suite: Suite, folder: Path):
    """A hard subset of one sample has one class left, too few for LogME."""
    tiny, targets = suite.select(fraction=0.02)
    with pytest.warns(UserWarning, match=r"fewer than two samples .* 1 samples of 1 classes"):
        rows = Grid(tiny, Store(folder)).frame("5.1", targets, ["logme", "leep"], seeds=())
    logme, leep = (rows.query(f"metric == '{m}' and variant == 'ca'") for m in ("logme", "leep"))
    assert logme["score"].isna().all()
    assert logme["reason"].str.contains("2 classes|two classes").all()
    assert (logme["samples"] == 1).all()
    assert (logme["seeds"] == 0).all()
    assert logme["accuracy"].isna().all()
    assert leep["score"].notna().all()


def test_only_what_is_missing_is_a_job(suite: Suite, folder: Path, tmp_path: Path, rows):
    wanted = SOURCES, ["greek"], ["leep"]
    assert Grid(suite, Store(folder)).jobs(*wanted, (0, 1)) == []
    fresh = Grid(suite, Store(tmp_path)).jobs(*wanted, (0, 1))
    expected = []
    for source in SOURCES:
        expected += [f"fine-tune {source} on greek, seed {seed}" for seed in (0, 1)]
        expected += [f"extract {source} on greek", f"score {source} on greek"]
    assert [job.name for job in fresh] == expected
    needs = (f"extract {source} on greek" for source in SOURCES[::-1])  # the first one ranks
    assert fresh[-1].needs == tuple(needs)
    more = Grid(suite, Store(folder)).jobs(*wanted, (0, 1, 2))
    assert [job.name for job in more] == [f"fine-tune {s} on greek, seed 2" for s in SOURCES]


def test_one_bad_cell_never_loses_the_others(suite: Suite, tmp_path: Path, monkeypatch):
    tried = finetune.finetune

    def failing(source, *arguments, **options):
        if source.name == SOURCES[0]:
            raise ValueError("the loss is nan")
        return tried(source, *arguments, **options)

    monkeypatch.setattr(finetune, "finetune", failing)
    jobs = Grid(suite, Store(tmp_path)).jobs([SOURCES[0]], ["greek"], seeds=(0,))
    with pytest.raises(JobsFailedError, match=r"1 of 1 jobs failed; .*\n- .*the loss is nan"):
        Grid(suite, Store(tmp_path)).run(jobs)
    told = r"2 jobs failed, .*\n- .* seed 0 \(and 1 more\): ValueError: the"
    with pytest.warns(UserWarning, match=told):
        rows = Grid(suite, Store(tmp_path)).frame("5.1", ["greek"], ["leep"])
    assert rows.groupby("source")["seeds"].first().to_dict() == {SOURCES[0]: 0, SOURCES[1]: 2}
    assert rows.query("variant != 'static'")["score"].notna().all()  # what did not fail is there
    assert rows["accuracy"].notna().equals(rows["source"] == SOURCES[1])
    assert len(list((tmp_path / "accuracies").glob("*.safetensors"))) == 2
    monkeypatch.setattr(finetune, "finetune", tried)
    again = Grid(suite, Store(tmp_path)).frame("5.1", ["greek"], ["leep"])
    assert again["accuracy"].notna().all()


def test_what_is_not_there_fails_alone(suite: Suite, folder, rows, tmp_path, monkeypatch):
    def raising() -> Any:
        raise ZeroDivisionError("no such network today")

    monkeypatch.setitem(models.SOURCES, "broken@mine", raising)
    targets = suite.targets | {"gone": Folder(kind="folder", path=str(tmp_path / "gone"))}
    sources = *SOURCES, "broken@mine"
    wide = suite.model_copy(update={"sources": sources, "targets": targets})
    kept = rows.query("metric == 'leep' and variant != 'static'").reset_index(drop=True)
    cells = kept.loc[kept["source"] == SOURCES[0], ["metric", "variant", "draw"]]
    for names, told in (
        (["greek"], r"3 jobs failed.*\n- .*: ValueError: no such network today"),
        (["gone", "greek"], r"\d+ jobs failed"),
    ):
        with pytest.warns(UserWarning, match=told):
            found = Grid(wide, Store(folder)).frame("5.1", names, ["leep"], static=False)
        there = (found["source"] != "broken@mine") & (found["target"] == "greek")
        got = found[there].reset_index(drop=True).assign(seconds=kept["seconds"])
        pd.testing.assert_frame_equal(got, kept)
        assert found.loc[~there, "score"].isna().all()
        lost = found[(found["source"] == "broken@mine") & (found["target"] == "greek")]
        like = lost[cells.columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(like, cells.reset_index(drop=True))
        assert lost["reason"].str.contains("no such network today").all()
        gone = found[found["target"] == "gone"]
        assert set(gone["variant"]) == ({"all", "ca", "cs", "random"} if len(gone) else set())
        assert gone["reason"].str.contains("no folder|no such network today").all()
    with pytest.raises(ValueError, match=r"nothing could be computed:\n- .*no such network today"):
        Grid(wide, Store(folder)).frame("5.1", ["greek"], ["leep"], sources=["broken@mine"])


def test_source_data_stay_whole_and_their_signature_needs_them(tmp_path: Path, suite: Suite):
    """80/20 is for targets."""
    home = tmp_path / "letters"
    photos = {f"{y}/{i}.png": official_copies.picture(y, i) for y in range(3) for i in range(4)}
    official_copies.write(home, photos)
    here = suite.model_copy(update={"source_data": Folder(kind="folder", path=str(home))})
    assert Grid(here, Store(tmp_path)).signature().count == 12
    shutil.rmtree(home)
    with pytest.raises(MissingDataError, match=f"no signature of {SOURCES[0]}: .* no folder"):
        Grid(here, Store(tmp_path)).signature()


TAUGHT = f"{SOURCES[0]}+greek"


@pytest.fixture(scope="module")
def wider(suite: Suite, folder: Path) -> Grid:
    """A second target, and sources that were trained on the first."""
    other = Glyphs(kind="glyphs", characters="БГДЖЗ", train=10, test=6)
    targets = suite.targets | {"cyrillic": other}
    return Grid(suite.model_copy(update={"targets": targets}), Store(folder))


def test_a_trained_source_is_the_outcomes_network(wider: Grid, folder: Path, tmp_path: Path):
    source = wider.source(TAUGHT)
    split = wider.read("greek", "test", source)
    probs = finetune.predict(source, source.module, split, "cpu")
    assert torch.equal(probs, wider.outcome(SOURCES[0], "greek", 0).probs)
    assert source.fingerprint != wider.source(SOURCES[0]).fingerprint
    again = Grid(wider.suite, Store(folder))
    assert again.jobs([TAUGHT], ["greek"], seeds=(0,))[0].needs == ()  # read, not trained again
    assert again.source(TAUGHT).fingerprint == source.fingerprint
    longer = wider.suite.recipe.model_copy(update={"epochs": 2})  # the recipe of its pretraining
    other = Grid(wider.suite.model_copy(update={"pretraining": longer}), Store(folder))
    assert other.source(TAUGHT).fingerprint != source.fingerprint
    own = other.outcome(SOURCES[0], "greek", 0, longer)
    assert own.provenance["recipe"]["epochs"] == 2
    assert other.outcome(SOURCES[0], "greek", 0).provenance["recipe"]["epochs"] == 1
    # Training comes before what needs it.
    twice = f"{TAUGHT}+cyrillic"
    listed = Grid(wider.suite, Store(tmp_path)).jobs([twice], ["greek"], ["leep"], (0,))
    needs = {job.name: job.needs for job in listed}
    assert needs[f"train {TAUGHT}"] == ()
    assert needs[f"train {twice}"] == (f"train {TAUGHT}",)
    assert needs[f"fine-tune {twice} on greek, seed 0"] == (f"train {twice}",)
    assert needs[f"extract {twice} on greek"] == (f"train {twice}",)


def test_a_trained_source_has_its_own_classes_signature_and_accuracies(wider: Grid):
    features: Any = wider.features(TAUGHT, "cyrillic")
    assert features.probs.shape == (50, 5)
    assert wider.signature(TAUGHT).count == 50
    found = wider.frame("5.2", ["cyrillic"], ["leep"], sources=[TAUGHT], rankers={TAUGHT: TAUGHT})
    assert set(found["source"]) == {TAUGHT}
    assert set(found["hardness_source"]) == {"", TAUGHT}
    rows = hardness.hardest(wider.hardness("cyrillic", by=TAUGHT)["cs"], 0.25)
    expected = metrics.leep(features.probs[rows], features.labels[rows])
    assert found.set_index("variant").loc["cs", "score"] == expected
    two = wider.frame("5.1", ["greek", "cyrillic"], ["leep"])
    static = two[two["variant"] == "static"].pivot_table("score", "target", "source")
    z = two.pivot_table("accuracy", "target", "source").T.apply(scipy.stats.zscore).T
    np.testing.assert_allclose(static.loc["greek"], z.loc["cyrillic"])  # the other target's


def test_a_class_subset_is_a_target(wider: Grid):
    whole, part = wider.data("greek"), wider.data("greek#2")
    names = [whole["train"].features["label"].names[i] for i in subset_rows(whole, 2)[0]]
    assert part["train"].features["label"].names == names
    assert {split: len(part[split]) for split in part} == {
        "train": 10 * len(names), "test": 6 * len(names)
    }  # fmt: skip
    features = wider.features(SOURCES[1], "greek#2")
    images = wider.read("greek#2", "train", wider.source(SOURCES[1]))
    torch.testing.assert_close(features.probs, extract(wider.source(SOURCES[1]), images).probs)
    assert torch.equal(features.labels, images.labels)
    assert 0 <= wider.outcome(SOURCES[1], "greek#2", 0).accuracy <= 1
