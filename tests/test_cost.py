"""A.3 and A.4: what scores cost, what the galleries hold, who ranks; against plain references."""

from __future__ import annotations

import io
import itertools
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import torch
from PIL import Image
from synthetic import rows

from hastelib import report, suites
from hastelib.experiments import HARD, Grid, Subset
from hastelib.figures import cost as drawn
from hastelib.records import Row, read_csv
from hastelib.report import cost, gallery, labels, rankers
from hastelib.report.comparison import MEAN

ROOT = Path(__file__).parents[1]
METRICS = ("leep", "nce", "gbc")
TIMES = {
    "extraction": 1.0,
    "forward": 0.4,
    "leep": 0.01,
    "nce": 0.02,
    "gbc": 0.25,
    "together": 0.2,
    "cs": 0.03,
    "ca": 0.015,
    "source": 9.0,
    "matrix": 3.0,
}


def measured(difference: float = 0.0, **changes: float) -> cost.Measured:
    """A measurement with these times, twice and once thrice as long."""
    times = [
        (part, repeat, value * factor)
        for part, value in (TIMES | changes).items()
        for repeat, factor in enumerate((1.0, 1.0, 3.0))
    ]
    return cost.Measured(
        "resnet8@glyphs",
        "greek",
        600,
        6000,
        (32, 64),
        METRICS,
        difference,
        pd.DataFrame(times, columns=["part", "repeat", "seconds"]),
        {"suite": "glyphs", "data": "0", "weights": "1", "device": "a computer", "versions": "2"},
    )


def png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


# What it costs


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> cost.Measured:
    suite = suites.load("glyphs")
    assert suite.source_data is not None
    small = suite.source_data.model_copy(update={"characters": "A-C", "train": 20, "test": 1})
    target = suite.targets["greek"].model_copy(update={"characters": "α-γ", "train": 10})
    changed = suite.model_copy(update={"source_data": small, "targets": {"greek": target}})
    return cost.measure(Grid(changed), "resnet8@glyphs", "greek", METRICS, 2)


def test_every_part_is_timed_and_both_routes_agree(real: cost.Measured) -> None:
    found = real.summary()
    assert list(found.index) == list(TIMES)
    assert (found["seconds"] > 0).all()
    assert (found["repeats"] == 2).all()
    assert (real.samples, real.source_samples) == (30, 60)
    assert 0 <= real.difference < 1e-12
    report.verify(cost.claims(real))
    with pytest.raises(ValueError, match="do not hold"):
        report.verify(cost.claims(measured(difference=1e-3)))


def test_a_part_that_takes_long_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is around the part that it is told of."""
    import time

    from hastelib import metrics

    slow = metrics.METRICS["nce"]

    def waiting(sample: Any) -> float:
        time.sleep(0.2)
        return slow(sample)

    monkeypatch.setitem(metrics.METRICS, "nce", waiting)
    suite = suites.load("glyphs")
    assert suite.source_data is not None
    small = suite.source_data.model_copy(update={"characters": "A-C", "train": 4, "test": 1})
    target = suite.targets["greek"].model_copy(update={"characters": "α-γ", "train": 4})
    changed = suite.model_copy(update={"source_data": small, "targets": {"greek": target}})
    times = cost.measure(Grid(changed), "resnet8@glyphs", "greek", METRICS, 1).summary()["seconds"]
    assert times["nce"] > 0.2
    assert times["together"] > 0.2
    assert times["leep"] < 0.2
    with pytest.raises(ValueError, match="repeats: expected at least 1, got 0"):
        cost.measure(Grid(changed), "resnet8@glyphs", "greek", METRICS, 0)


def test_summary_has_medians_and_shares() -> None:
    found = measured().summary()
    assert found["seconds"].to_dict() == TIMES
    assert found.loc["gbc", "share"] == 0.25
    assert found.loc["gbc", "high"] == 0.5
    tidy = measured().tidy()
    assert list(tidy["part"]) == list(TIMES)
    assert set(tidy["samples"]) == {600}
    assert set(tidy["device"]) == {"a computer"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7.24, "7.24 s"),
        (24.98, "25.0 s"),
        (0.0123, "12.3 ms"),
        (4.2e-6, "4.20 µs"),
        (250.0, "250 s"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert cost.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(3.45, "345%"), (0.0773, "7.7%"), (0.15, "15%"), (0.0042, "0.42%")]
)
def test_share(value: float, text: str) -> None:
    assert cost.share(value) == text


def test_against_the_paper_adds_up() -> None:
    (block,) = cost.against_paper(measured()).blocks
    lines = {name: [cell.text for cell in cells] for name, cells in block.rows}
    assert lines["Extraction, LEEP"] == ["1.01 s", "1.00", "7.24", "1.00"]
    assert lines["Extraction, GBC"] == ["1.25 s", "1.24", "8.33", "1.15"]
    assert lines["+ CA, signature made"][0] == cost.seconds(9.015)
    assert lines["+ CA, matrix"][2:] == ["24.98", "3.45"]
    assert lines["+ CA, matrix and pass"][0] == "12.0 s"
    assert lines["+ CS"][2:] == ["0.56", "0.077"]
    assert [len(b.rows) for b in cost.table(measured()).blocks] == [2, 4, 4]


def test_what_is_dearest_is_told_from_the_numbers() -> None:
    text = cost.findings(measured())
    assert (
        "**not the most expensive part** any more: dearer are the extraction, NCE, GBC and CS"
        in text
    )
    assert "CA** adds 1.5% of the extraction" in text
    assert "takes 3.00 s, 200 times as long" in text
    assert "1.4 times as fast as one after the other (280 ms)" in text
    assert "not measurably faster than" in cost.findings(measured(together=0.3))
    assert "the most expensive part here too" in cost.findings(measured(ca=1.5))
    assert "dearer is the extraction" in cost.findings(measured(ca=0.5))
    assert "At these sizes the matrix is 77% of that route" in cost.findings(measured(source=0.9))
    assert "the pass is 75% of that route" in text
    assert "more than a factor of 1.5 apart for" in text
    once = replace(measured(), seconds=measured().seconds.query("repeat == 0"))
    assert "nothing is known of its spread" in cost.findings(once)
    assert "Measured once" in cost.table(once).caption
    words = cost.paper_words()
    assert "CA 24.98 s (345%)" in words
    assert "GBC 1.09 s more (15%)" in words


def test_the_figure_of_costs_says_what_it_shows() -> None:
    assert png(drawn.costs(measured()))
    alt = drawn.costs_alt(measured())
    assert "GBC 25%" in alt
    assert "CA by the matrix 345%" in alt


# Galleries


def reference_edges(pixels: np.ndarray) -> float:
    grey = pixels.astype(float).mean(0) / 255
    total = 0.0
    h, w = grey.shape
    for i, j in itertools.product(range(h - 1), range(w - 1)):
        total += math.hypot(grey[i + 1, j] - grey[i, j], grey[i, j + 1] - grey[i, j])
    return total / ((h - 1) * (w - 1))


def test_edges() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 7, 5)).astype(np.uint8)
    found = gallery.edges(torch.tensor(pixels))
    np.testing.assert_allclose(found, [reference_edges(one) for one in pixels])
    assert gallery.edges(torch.full((1, 3, 4, 4), 77, dtype=torch.uint8)) == 0


class Drawer:
    """A grid with 40 images of 4 classes; hardness rises with the row, by CS falls."""

    def __init__(self) -> None:
        self.labels = torch.arange(40) // 10
        self.suite = SimpleNamespace(
            name="fake", sources=("a@glyphs", "b@glyphs"), seeds=(0,),
            hardness=SimpleNamespace(source="a@glyphs"),
        )  # fmt: skip

    def data(self, target: str) -> dict[str, Any]:
        image = Image.fromarray(np.zeros((8, 8), np.uint8))
        return {"test": [{"image": image} for _ in range(40)]}

    def hardness(self, target: str, split: str) -> dict[str, torch.Tensor]:
        rising = torch.arange(40).double()
        return {"ca": rising, "cs": -rising}

    def source(self, name: str) -> Any:
        return SimpleNamespace(preprocessing=None)

    def read(self, target: str, split: str, network: Any) -> Any:
        random = torch.Generator().manual_seed(0)
        noise = torch.randint(0, 2, (40, 3, 8, 8), generator=random, dtype=torch.uint8)
        pixels = noise * torch.arange(40, dtype=torch.uint8)[:, None, None, None]
        return SimpleNamespace(labels=self.labels, batches=lambda size: [(pixels, self.labels)])

    def prepare(self, *args: Any, **named: Any) -> None:
        pass

    def outcome(self, source: str, target: str, seed: int) -> Any:
        """Source a gets class 3 wrong, b the last five images."""
        wrong = self.labels == 3 if source == "a@glyphs" else torch.arange(40) >= 35
        guess = torch.where(wrong, (self.labels + 1) % 4, self.labels)
        return SimpleNamespace(probs=torch.eye(4)[guess], labels=self.labels)


@pytest.fixture
def compared() -> pd.DataFrame:
    grid: Any = Drawer()
    shown = gallery.grids(grid, "greek", "test", 5)
    return gallery.compare(shown, gallery.measures(grid, "greek"))


def test_grids_have_the_most_extreme_first() -> None:
    grid: Any = Drawer()
    shown = gallery.grids(grid, "greek", "test", 5)
    assert shown.rows["ca", "hardest"].tolist() == [39, 38, 37, 36, 35]
    assert shown.rows["ca", "easiest"].tolist() == [0, 1, 2, 3, 4]
    assert shown.rows["cs", "hardest"].tolist() == [0, 1, 2, 3, 4]
    assert shown.hardness["ca", "hardest"] == [39, 38, 37, 36, 35]
    with pytest.raises(ValueError, match="count: expected 1 to 20"):
        gallery.grids(grid, "greek", "test", 21)
    with pytest.raises(ValueError, match="unknown split 'tset'; choose one of: test, train"):
        gallery.grids(grid, "greek", "tset", 5)  # type: ignore[arg-type]
    assert png(drawn.grids(shown))
    assert "5 hardest by CA, hardness 35 to 39" in drawn.grids_alt(shown)


def test_what_is_counted(compared: pd.DataFrame) -> None:
    lines = {(line["variant"], line["end"]): line for line in compared.to_dict("records")}
    hardest, easiest = lines["ca", "hardest"], lines["ca", "easiest"]
    assert (hardest["classes"], easiest["classes"]) == (1, 1)
    assert (hardest["error"], easiest["error"]) == (1.0, 0.0)
    assert hardest["class_error"] == pytest.approx(0.75)  # class 3: a all wrong, b half
    assert hardest["edges"] > hardest["edges_high"]
    control = lines["random", ""]
    assert control["error"] == pytest.approx((10 + 5) / 80, abs=0.01)
    assert control["classes_low"] <= control["classes"] <= control["classes_high"]


def test_words_and_marks_of_a_gallery(compared: pd.DataFrame) -> None:
    text = gallery.sentences(compared, "greek")
    assert text.count("- The 5 ") == 4
    assert "The 5 hardest by CA come from 1 classes, fewer than random ones" in text
    assert "the networks get 100.0% of them wrong, more than random ones" in text
    assert "they have more edges than random ones" in text
    (block,) = gallery.table(compared).blocks
    cells = dict(block.rows)
    assert [cell.bold for cell in cells["CA hardest"]] == [True] * 4
    assert not any(cell.bold for cell in cells["Random"])
    found = gallery.findings(compared)
    assert "cluttered (Figs. 5, 6): on 1 of 1 target beyond the random sets" in found
    assert "The networks err more on the hardest by CS: on 0 of 1 target" in found
    blind = compared.assign(error=np.nan, class_error=np.nan)
    assert "err more" not in gallery.findings(blind)
    assert "wrong" not in gallery.sentences(blind, "greek")


# Who ranks


def ranked(noise: dict[str, float], targets: tuple[str, ...] = ("greek", "digits")) -> dict:
    """Two rankers: with the second CA is the noisier."""
    first = rows(targets, ["leep"], noise=noise)
    worse = rows(targets, ["leep"], noise=noise | {"ca": 0.6})
    shared = [row for row in first if row.variant in rankers.BASES]
    return {
        "resnet8@glyphs": first,
        "mobilenet_v2@glyphs": [*shared, *(row for row in worse if row.variant in HARD)],
    }


NOISE = {"all": 0.3, "random": 0.3, "ca": 0.01, "cs": 0.02}


def test_by_ranker_is_what_the_correlations_say() -> None:
    made = ranked(NOISE)
    found = rankers.by_ranker(made, resamples=50)
    for by, part in made.items():
        expected = report.correlations(part, resamples=1)
        gains = report.differences(part, resamples=50)
        for line in expected.to_dict("records"):
            mine = found[
                (found["target"] == line["target"]) & (found["variant"] == line["variant"])
            ]
            base = line["variant"] in rankers.BASES
            mine = mine[mine["ranker"] == ("" if base else by)]
            assert mine["value"].tolist() == [line["value"]]
            if not base:
                gain = gains[(gains["target"] == line["target"])]
                gain = gain[gain["variant"] == line["variant"]]
                assert mine["gain"].tolist() == gain["difference"].tolist()
                assert mine["low"].tolist() == gain["low"].tolist()
        means = found[(found["target"] == MEAN) & (found["ranker"] == by)].set_index("variant")
        singles = found[(found["target"] != MEAN) & (found["ranker"] == by)]
        for variant in HARD:
            mean = singles.loc[singles["variant"] == variant, "value"].mean()
            assert means.loc[variant, "value"] == pytest.approx(mean)


def test_the_table_and_the_words_of_rankers() -> None:
    found = rankers.by_ranker(ranked(NOISE), resamples=50)
    (block,) = rankers.table(found, "metric", "what").blocks
    assert [name for name, _ in block.rows] == ["resnet8", "mobilenet_v2", "Random", "Baseline"]
    assert all(cell.bold for cell in block.rows[0][1])
    blocks = rankers.table(found, "target", "what").blocks
    assert [one.title for one in blocks] == ["greek", "digits", "Mean"]
    text = rankers.findings(found)
    assert "2 rankers, 2 targets" in text
    assert "**LEEP, CS.** Mean correlation" in text
    assert "Above the baseline whoever ranks, and above the control with all of them" in text
    bad = rankers.findings(rankers.by_ranker(ranked(NOISE | {"all": 0.0, "random": 0.0}), 50))
    assert "Above the baseline with none of them, and above the control with none of them" in bad
    one = rankers.by_ranker(ranked(NOISE, ("greek",)), resamples=50)
    assert MEAN not in set(one["target"])
    assert "**LEEP, CA.** Correlation" in rankers.findings(one)
    assert [b.title for b in rankers.table(one, "metric", "what").blocks] == ["LEEP"]
    for table in (found, one):
        assert png(drawn.by_ranker(table))
        assert "Correlations with each of 2 rankers. LEEP: Baseline" in drawn.by_ranker_alt(table)


class Subsets:
    """Four samples of eight are hard, other ones for each ranker."""

    HARD = {"resnet8@glyphs": [0, 1, 2, 3], "resnet14@glyphs": [2, 3, 4, 5], "vgg@x": [4, 5, 6, 7]}

    def subsets(self, target: str, by: str) -> list[Subset]:
        hard = torch.tensor(self.HARD[by])
        return [Subset("all", torch.arange(8)), Subset("ca", hard), Subset("cs", hard.flip(0))]

    def data(self, target: str) -> dict[str, range]:
        return {"train": range(8)}


def test_overlaps_are_jaccards() -> None:
    grid: Any = Subsets()
    found = rankers.overlaps(grid, ["greek"], list(Subsets.HARD))
    table = found[found["variant"] == "ca"].set_index(["first", "second"])["jaccard"]
    assert table["resnet8@glyphs", "resnet14@glyphs"] == pytest.approx(2 / 6)
    assert table["resnet8@glyphs", "vgg@x"] == 0
    assert table["vgg@x", "vgg@x"] == 1
    assert found["chance"].to_list() == pytest.approx([1 / 3] * len(found))
    text = rankers.overlap_words(found)
    assert (
        "0.22 of their union in the mean (0.33 within a family of architectures, 0.17 across)"
        in text
    )
    assert "random subsets would share 0.33" in text
    assert png(drawn.overlap(found))
    assert "CA 0.00 to 0.33, mean 0.22" in drawn.overlap_alt(found)
    alone = rankers.overlaps(grid, ["greek"], ["vgg@x"])
    assert rankers.overlap_words(alone) == "There is one ranker only, so nothing overlaps."


def test_the_paper_is_read_from_its_tables() -> None:
    text = rankers.paper_findings()
    assert "all 12 numbers are above the baseline" in text
    assert "Caltech101, CA: 0.360 against 0.709" in text
    assert "Oxford-IIIT Pets, CS: 0.901 against 0.860" in text
    first, second = rankers.paper_table().blocks
    assert [name for name, _ in first.rows] == [
        "ResNet18", "VGG19", "ResNet50", "Table 6", "Baseline",
    ]  # fmt: skip
    assert [cell.text for cell in second.rows[3][1]] == ["0.871", "0.860"]
    assert [cell.bold for cell in second.rows[3][1]] == [True, False]


@pytest.fixture
def glyphs() -> Grid:
    return Grid(suites.load("glyphs"))


def test_the_setting_has_the_papers_kinds_of_rankers(glyphs: Grid) -> None:
    found = rankers.setting(glyphs, subsets=3)
    assert found.source == "resnet14@glyphs+cyrillic"
    own, alike, plain = found.rankers
    assert own == found.source
    assert alike.endswith("+cyrillic")
    assert labels.family(alike) != labels.family(own)
    assert "+" not in plain
    assert found.tasks.named(found.tasks.pairs[found.source])[:4] == [
        "greek#0", "greek#1", "greek#2", "georgian#0",
    ]  # fmt: skip
    other = rankers.setting(glyphs, "cyrillic", subsets=3)
    assert other.source == "densenet22@glyphs+operators"
    bare = Grid(glyphs.suite.model_copy(update={"selection": None, "ensembles": None}))
    assert rankers.setting(bare, "greek", subsets=3).source == "resnet8@glyphs+cyrillic"
    with pytest.raises(ValueError, match="not trained on cyrillic"):
        rankers.setting(glyphs, "cyrillic", "resnet8@glyphs+cyrillic")
    with pytest.raises(ValueError, match="unknown glyphs network 'resnet9'"):
        rankers.setting(glyphs, rankers=["resnet9@glyphs"])


# The notebooks, small


SMALL = {"suite": "small"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of three sources and three tiny targets, under HASTE_PARAMS."""
    import yaml

    values = suites.load("glyphs").model_dump(mode="json", exclude_none=True)
    chosen = {"greek": "α-δ", "cyrillic": "БГДЖ", "arrows": "←↑→↓"}
    values |= {
        "name": "small",
        "sources": ["resnet8@glyphs", "resnet14@glyphs", "densenet16@glyphs"],
        "source_data": values["source_data"] | {"characters": "A-D", "train": 10, "test": 2},
        "targets": {
            name: values["targets"][name] | {"characters": letters, "train": 12, "test": 8}
            for name, letters in chosen.items()
        },
        "selection": {
            "sources": ["resnet8@glyphs+cyrillic"], "targets": ["greek", "arrows"], "subsets": 3,
        },
        "seeds": [0],
    }  # fmt: skip
    values["recipe"]["epochs"] = 1
    values["hardness"]["draws"] = 2
    del values["ensembles"], values["pretraining"]
    folder = tmp_path_factory.mktemp("params")
    (folder / "suites").mkdir()
    (folder / "suites" / "small.yaml").write_text(
        yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    )
    return folder


def run(name: str, output: Path, params: Path, monkeypatch: Any, **given: Any) -> str:
    """The text of an executed notebook's outputs."""
    monkeypatch.setenv("HASTE_PARAMS", str(params))
    node = papermill.execute_notebook(
        ROOT / "notebooks" / f"{name}.ipynb",
        output / "out.ipynb",
        {"output": str(output)} | SMALL | given,
        cwd=ROOT,
        progress_bar=False,
    )
    executed = nbformat.from_dict(node)
    shown = [o.get("data", {}) for c in executed.cells for o in c.get("outputs", ())]
    return "\n".join(str(one.get("text/markdown") or one.get("text/html", "")) for one in shown)


def test_the_page_of_costs(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = run("A_3_cost", tmp_path, small, monkeypatch, repeats=1)
    table = pd.read_csv(tmp_path / "A_3_cost-small-greek.csv")
    assert {"extraction", "leep", "transrate", "ca", "cs", "source", "matrix"} <= set(table["part"])
    assert "<strong>Figure A.3a.</strong>" in text
    assert "**Extraction.** 48 images" in text


def test_the_page_of_galleries(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = run("A_3_gallery", tmp_path, small, monkeypatch, count=4, shown=2)
    table = pd.read_csv(tmp_path / "A_3_gallery-small-all.csv")
    assert list(table["target"].unique()) == ["greek", "cyrillic", "arrows"]
    assert table["error"].between(0, 1).all()
    assert re.findall(r"Figure A\.3(\w)", text) == ["b", "c"]


def test_the_page_of_rankers(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = run("A_4_hardness_source", tmp_path, small, monkeypatch, metrics="leep")
    found: list[Row] = read_csv(tmp_path / "A_4_hardness_source-small-all.csv")
    hard = [row for row in found if row.variant == "ca"]
    assert sum("#" not in row.target for row in hard) == 3 * 3 * 3  # rankers, sources, targets
    assert sum("#" in row.target for row in hard) == 3 * 2 * 3  # rankers, targets, class subsets
    keys = [(r.target, r.source, r.metric, r.variant, r.hardness_source) for r in found]
    assert len(set(keys)) == len(keys)
    assert "3 rankers, 3 targets" in text
    assert "3 rankers, 2 targets" in text
