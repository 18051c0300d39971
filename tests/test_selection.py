"""Target selection: the rows turned, the subsets described, the number of classes held fixed."""

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
from PIL import Image
from synthetic import gone, row

from hastelib import metrics, notebooks, report, stats, suites
from hastelib.data import class_subsets
from hastelib.experiments import Grid
from hastelib.figures import selection as drawn
from hastelib.records import Row, frame, read_csv
from hastelib.report import selection, selection_classes
from hastelib.specs import Glyphs
from hastelib.store import Store
from hastelib.suites import Selection

ROOT = Path(__file__).parents[1]
SOURCES = ("resnet14@glyphs+cyrillic", "densenet22@glyphs+operators")
TARGETS = ("greek", "georgian")
VARIANTS = ("all", "random", "ca", "cs")
UNITS = 12
FEW = {"resamples": 200}


def made(
    knows: dict[str, float], counts: float = 1.0, seed: int = 0, units: int = UNITS
) -> list[Row]:
    """Rows of class subsets.

    The accuracy falls by ``counts`` with the logarithm of the number of classes, and has a part
    of its own; a variant's score sees that number, and ``knows`` of the other part.
    """
    random = np.random.default_rng(seed)
    found = []
    sizes_of = {target: random.integers(8, 25, units) for target in TARGETS}
    for source, target in itertools.product(SOURCES, TARGETS):
        sizes = sizes_of[target]
        other = random.normal(size=units)
        for metric, (variant, known) in itertools.product(("leep", "logme"), knows.items()):
            noise = random.normal(size=units)
            for i, size in enumerate(sizes):
                found.append(
                    row(
                        section="5.2",
                        source=source,
                        target=f"{target}#{i}",
                        metric=metric,
                        variant=variant,
                        classes=float(size) if variant != "ca" else size - 1.0,
                        score=-math.log(size) + 0.3 * (known * other[i] + (1 - known) * noise[i]),
                        accuracy=0.9 - 0.1 * counts * math.log(size / 8) + 0.02 * other[i],
                        seeds=1,
                    )
                )
    return found


ROWS = made({"all": 0.5, "random": 0.5, "ca": 0.9, "cs": 0.0})


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Two tiny targets; the selection's sources are trained on one of them each."""
    chosen, _ = suites.load("glyphs").select(
        sources=["resnet8@glyphs"], seeds=(0,), epochs=1, draws=2
    )
    small = {
        "greek": Glyphs(kind="glyphs", characters="α-ε", train=8, test=6),
        "latin": Glyphs(kind="glyphs", characters="F-J", train=8, test=6),
    }
    changed = {
        "targets": small,
        "source_data": Glyphs(kind="glyphs", characters="A-C", train=6, test=2),
        "selection": Selection(
            sources=("resnet8@glyphs+latin", "resnet8@glyphs+greek"),
            targets=("greek", "latin"),
            subsets=3,
        ),
    }
    return Grid(chosen.model_copy(update=changed), Store(tmp_path_factory.mktemp("tasks")))


# What is run


def test_tasks_leave_out_what_a_source_was_trained_on(grid: Grid):
    found = selection.tasks(grid)
    assert found.pairs == {
        "resnet8@glyphs+latin": ("greek",),
        "resnet8@glyphs+greek": ("latin",),
    }
    assert found.grid.suite.sources == ("resnet8@glyphs+latin", "resnet8@glyphs+greek")
    assert found.subsets["greek"] == tuple(itertools.islice(class_subsets(5), 3))
    assert found.named(["greek"]) == ["greek#0", "greek#1", "greek#2"]
    only = selection.tasks(grid, "greek", ["resnet8@glyphs"], 4)
    assert only.pairs == {"resnet8@glyphs": ("greek",)}
    assert len(only.subsets["greek"]) == 4


def test_tasks_take_as_many_subsets_as_there_are(grid: Grid):
    sizes = [math.comb(5, k) for k in range(2, 6)]  # 40% of 5 classes are 2
    assert len(selection.tasks(grid, "greek", subsets=50).subsets["greek"]) == sum(sizes)


def test_tasks_without_a_selection_use_the_first_sources_and_targets(grid: Grid):
    sources = ("resnet8@glyphs", "resnet14@glyphs", "resnet20@glyphs")
    suite = grid.suite.model_copy(update={"selection": None, "sources": sources})
    found = selection.tasks(Grid(suite, grid.store), subsets=5)
    assert found.pairs == {
        "resnet8@glyphs+greek": ("latin",),
        "resnet14@glyphs+latin": ("greek",),
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"subsets": 2}, "subsets: expected at least 3"),
        ({"target": "klingon"}, "klingon"),
        ({"sources": ["resnet9@glyphs"]}, "unknown glyphs network 'resnet9'"),
        ({"sources": ["resnet8@glyphs+klingon"]}, "unknown target 'klingon'"),
        (
            {"target": "greek", "sources": ["resnet8@glyphs+greek"]},
            r"expected one that was not trained on greek, got resnet8@glyphs\+greek",
        ),
    ],
)
def test_tasks_refuse(grid: Grid, given, message):
    with pytest.raises(ValueError, match=message):
        selection.tasks(grid, **given)


def test_about_says_who_ranks_and_how_many(grid: Grid):
    found = selection.tasks(grid)
    told = notebooks.about(
        found.grid, [*found.subsets], ranker="each source itself", part="class subset"
    )
    text = selection.about(found, told)
    assert "by each source itself, the hardest 25% of the class subset" in text
    assert found.grid.suite.hardness.source not in text.replace("`resnet8@glyphs+", "")
    assert "3 of each target, which makes 6 fine-tunings" in text


def test_rows_are_of_the_subsets_and_each_source_ranks_for_itself(grid: Grid):
    tasks = selection.tasks(grid)
    rows = selection.rows(tasks, ["leep"])
    assert [(r.source, r.target) for r in rows if r.variant == "all"] == [
        *(("resnet8@glyphs+latin", f"greek#{i}") for i in range(3)),
        *(("resnet8@glyphs+greek", f"latin#{i}") for i in range(3)),
    ]
    for one in rows:
        assert one.hardness_source == (one.source if one.variant in ("ca", "cs") else "")
        name, _, which = one.target.partition("#")
        kept = tasks.subsets[name][int(which)]
        n = 8 * len(kept)
        assert one.samples == (n if one.variant == "all" else math.ceil(n / 4))
        if one.variant == "all":
            assert one.classes == len(kept)
    # Against features taken straight from the source and its own signature.
    source, target = "resnet8@glyphs+latin", "greek#1"
    hard = grid.subsets(target, by=source)[-2]
    assert hard.variant == "ca"
    features = grid.features(source, target).at(hard.rows)
    expected = metrics.leep(features.probs, features.labels)
    found = {(r.source, r.target, r.variant): r.score for r in rows}
    assert found[source, target, "ca"] == expected
    table = selection.described(tasks, selection.over_targets(rows))
    assert [block.title for block in table.blocks] == [
        "Class subsets",
        "resnet8+latin",
        "resnet8+greek",
    ]
    first = table.frame.iloc[0]
    sizes = [len(one) for one in tasks.subsets["greek"]]
    assert (first["least"], first["most"], first["subsets"]) == (min(sizes), max(sizes), 3)
    accuracies = [r.accuracy for r in rows if r.source == source and r.variant == "all"]
    assert first["std"] == pytest.approx(np.std(accuracies, ddof=1))
    errors = [a * (1 - a) / (6 * size) for a, size in zip(accuracies, sizes, strict=True)]
    assert first["error"] == pytest.approx(np.sqrt(np.mean(errors)))
    assert "of 2 cases" in selection.overlap_words(table)


def test_jaccard_by_hand():
    assert selection.jaccard([(0, 1), (1, 2), (0, 1)]) == pytest.approx((1 / 3 + 1 + 1 / 3) / 3)
    assert math.isnan(selection.jaccard([(0, 1)]))


# The rows turned


def test_correlations_are_over_the_subsets_of_a_target():
    parts = selection.over_targets(ROWS)
    assert list(parts) == list(SOURCES)
    for source, part in parts.items():
        found = report.correlations(part, **FEW)
        assert list(found["target"].unique()) == list(TARGETS)
        assert set(found["n"]) == {UNITS}
        for line in found.to_dict("records"):
            rows = [
                r
                for r in ROWS
                if (r.source, r.metric, r.variant) == (source, line["metric"], line["variant"])
                and r.target.startswith(line["target"])
            ]
            expected = np.corrcoef([r.score for r in rows], [r.accuracy for r in rows])[0, 1]
            assert line["value"] == pytest.approx(expected)


def test_the_size_is_that_of_the_whole_subset():
    part = selection.over_targets(ROWS)[SOURCES[0]]
    lost = part[part["variant"] == "ca"]
    assert (lost["size"] == lost["classes"] + 1).all()
    assert (
        part.loc[part["variant"] == "all", "size"] == part.loc[part["variant"] == "all", "classes"]
    ).all()


def test_words_speak_of_class_subsets():
    part = selection.over_targets(ROWS)[SOURCES[0]]
    correlations = report.correlations(part, **FEW)
    table = report.table(correlations, units=selection.UNITS)
    text = report.findings(correlations, part, units=selection.UNITS, **FEW)
    assert f"over {UNITS} class subsets." in table.caption
    for said in (text, table.caption, *table.notes):
        assert "source" not in said
    assert "by taking the class subset with the highest score" in text
    best = part.drop_duplicates(["target", "source"]).groupby("target")["accuracy"]
    drawn_at_random = 100 * (best.max() - best.mean()).mean()
    assert f"is {drawn_at_random:.1f} for a class subset drawn at random." in text
    assert "best on average" not in text


def test_one_target_has_no_unit_that_is_best_on_average():
    one = [r for r in ROWS if r.target.startswith("greek")]
    part = selection.over_targets(one)[SOURCES[0]]
    text = report.findings(report.correlations(part, **FEW), part, units=selection.UNITS, **FEW)
    assert "drawn at random" in text
    assert "best on average" not in text


def test_tables_stand_beside_the_papers_own():
    parts = selection.over_targets(ROWS)
    both = [report.correlations(part, **FEW) for part in parts.values()]
    first = selection.tables(0, both[0])
    assert [table.caption[:8] for table in first.tables[1:]] == ["Table 2 ", "Table 13"]
    assert [block.title for block in first.tables[1].blocks] == ["LEEP"]  # NCE and GBC are not ours
    assert [block.title for block in first.tables[2].blocks] == ["LogME"]
    cell = first.tables[2].blocks[0].rows[0][1][0]
    assert cell.text == "−0.951"
    assert [t.caption[:8] for t in selection.tables(1, both[1]).tables[1:]] == ["Table 6 "]
    assert len(selection.tables(2, both[1]).tables) == 1


def test_headlines_are_the_papers_and_not_of_both_tables():
    found = selection.headlines().frame.set_index(["metric", "which"])["relative"]
    for metric, printed in (("leep", 0.99), ("nce", 1.15), ("gbc", 5.11)):
        assert found[metric, "Table 2"] == pytest.approx(printed, abs=0.015)
        halves = (found[metric, "Table 2"] + found[metric, "Table 6"]) / 2
        assert found[metric, "Both"] == pytest.approx(halves)
    assert found["leep", "Both"] == pytest.approx(126, abs=0.5)


# The number of classes


def test_floors_hold_and_would_stop_the_page(monkeypatch):
    table = selection_classes.floors()
    assert len(table.frame) == 12
    monkeypatch.setattr(metrics, "leep", lambda probs, labels: -1.0)
    with pytest.raises(ValueError, match="LEEP, 4 classes: expected"):
        selection_classes.floors()


def test_partial_correlations_are_those_of_the_residuals():
    part = selection.over_targets(ROWS)[SOURCES[1]]
    found = selection_classes.partial_correlations(part, resamples=3)
    for (target, metric, variant), values in found.items():
        units = part[
            (part["target"] == target) & (part["metric"] == metric) & (part["variant"] == variant)
        ]
        z = np.log(units["size"])
        rest = [
            units[name] - np.polyval(np.polyfit(z, units[name], 1), z)
            for name in ("score", "accuracy")
        ]
        assert values["partial"][0] == pytest.approx(np.corrcoef(*rest)[0, 1])
        assert values["classes"][0] == pytest.approx(-np.corrcoef(z, units["accuracy"])[0, 1])
        assert values["r"][0] == pytest.approx(
            scipy.stats.pearsonr(units["score"], units["accuracy"])[0]
        )


def test_a_score_that_is_the_number_of_classes_has_no_partial_correlation():
    plain = [
        r.model_copy(update={"score": -math.log(r.classes)})
        for r in made({"all": 1.0, "random": 1.0})
    ]
    part = selection.over_targets(plain)[SOURCES[0]]
    found = selection_classes.beyond_classes(part, **FEW)
    scores = found.iloc[1:]
    assert scores["partial"].isna().all()
    assert scores["ahead"].abs().max() < 1e-12
    assert (scores["wins"] == 0).all()
    assert scores["r"].to_numpy() == pytest.approx(found["r"].iloc[0])
    text = selection_classes.beyond_words({SOURCES[0]: found}, {SOURCES[0]: part})
    assert "LEEP –, LogME –" in text


def test_beyond_classes_finds_who_knows_more():
    """CA knows nine tenths of what counting does not say, CS nothing of it."""
    parts = selection.over_targets(
        made({"all": 0.5, "random": 0.5, "ca": 0.9, "cs": 0.0}, units=40)
    )
    found = {
        source: selection_classes.beyond_classes(part, **FEW) for source, part in parts.items()
    }
    for source, lines in found.items():
        alone, scores = lines.iloc[0], lines.iloc[1:].set_index(["metric", "variant"])
        z = parts[source][parts[source]["variant"] == "all"].drop_duplicates(["target", "source"])
        values = [
            stats.pearson(-np.log(units["size"].to_numpy()), units["accuracy"].to_numpy(), 5)[0]
            for _, units in z.groupby("target")
        ]
        assert alone["r"] == pytest.approx(np.mean(values))
        for metric in ("leep", "logme"):
            ca, cs = scores.loc[(metric, "ca")], scores.loc[(metric, "cs")]
            assert ca["partial"] > 0.9 > scores.loc[(metric, "all"), "partial"]
            assert ca["gain_low"] > 0
            assert ca["control_low"] > 0
            assert cs["gain_high"] < 0
            assert ca["ahead_low"] > 0
            assert ca["wins"] == 2
            base = scores.loc[(metric, "all")]
            assert math.isnan(base["gain"])
            assert ca["gain"] == pytest.approx(ca["partial"] - base["partial"])
    text = selection_classes.beyond_words(found, parts)
    assert "below zero for LEEP CS, LogME CS." in text
    assert "CA 9" in text  # of 8 to 24 classes one is gone
    table = selection_classes.beyond_table(found)
    assert [block.title for block in table.blocks] == [
        "resnet14+cyrillic: r",
        "resnet14+cyrillic: r given classes",
        "densenet22+operators: r",
        "densenet22+operators: r given classes",
    ]
    names = [name for name, _ in table.blocks[0].rows]
    assert names == ["Classes only", "LEEP", "LogME"]
    bold = [cell.bold for cell in table.blocks[1].rows[0][1]]
    assert bold == [False, False, True, False]


@pytest.mark.parametrize("better", [True, False])
def test_the_verdict_follows_the_numbers(better: bool):
    knows = (
        {"all": 0.4, "random": 0.4, "ca": 0.9, "cs": 0.9}
        if better
        else {"all": 0.9, "random": 0.9, "ca": 0.0, "cs": 0.0}
    )
    parts = selection.over_targets(made(knows, units=40))
    found = {
        source: selection_classes.beyond_classes(part, **FEW) for source, part in parts.items()
    }
    text = selection_classes.beyond_words(found, parts).splitlines()[0]
    for called in ("the baseline", "the random control"):
        sides = "above zero in 8, below in 0" if better else "above zero in 0, below in 8"
        wins = 8 if better else 0
        assert f"ahead of {called} in {wins} of 8 cases (an interval {sides})" in text
    scores = pd.concat([lines.iloc[1:] for lines in found.values()])
    sure = int((scores["ahead_low"] > 0).sum())
    assert f"{sure} with an interval of the difference above zero" in text
    assert text.startswith("**Most scores beat counting**") == (2 * sure > len(scores))


def test_missing_scores_are_left_out_of_counting_too():
    holed = [gone(r) if (r.variant, r.target) == ("ca", "greek#3") else r for r in ROWS]
    part = selection.over_targets(holed)[SOURCES[0]]
    given = selection_classes.given_classes(part, **FEW).set_index(["target", "metric", "variant"])
    assert given.loc[("greek", "leep", "ca"), "n"] == UNITS - 1
    assert given.loc[("greek", "leep", "all"), "n"] == UNITS
    units = part[
        (part["target"] == "greek") & (part["metric"] == "leep") & (part["variant"] == "ca")
    ]
    there = units.dropna(subset=["score"])
    value = selection_classes.partial_correlations(part, 1)["greek", "leep", "ca"]["classes"][0]
    assert value == pytest.approx(-np.corrcoef(np.log(there["size"]), there["accuracy"])[0, 1])
    table = report.table(given.reset_index(), caption="given", units=selection.UNITS)
    assert f"n = {UNITS - 1}" in repr(table)


def test_signs_count_ours_and_the_papers():
    parts = selection.over_targets(ROWS)
    turned = [r.model_copy(update={"score": -r.score}) for r in ROWS]
    for rows, count, less in ((ROWS, 0, False), (turned, 4, True)):
        parts = selection.over_targets(rows)
        text = selection_classes.signs({s: report.correlations(p, **FEW) for s, p in parts.items()})
        assert f"here: Baseline {count} of 4" in text
        assert "Table 13: Baseline 4 of 5, CA 0 of 5, CS 0 of 5" in text
        assert ("only less wrong" in text) == less
    assert "was not computed" in selection_classes.signs(
        {"a": report.correlations(parts[SOURCES[0]], **FEW).query("metric == 'leep'")}
    )


# Figures


def _picture(figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file)


def test_figures_have_a_dot_for_every_subset():
    parts = selection.over_targets(ROWS)
    figure = drawn.accuracy_by_classes(parts)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["greek", "georgian"]
    for axes in figure.axes:
        assert [len(line.get_xdata()) for line in axes.lines] == [UNITS, UNITS]
    assert _picture(figure).size[0] == round(5.2 * figure.dpi)
    text = drawn.accuracy_by_classes_alt(parts)
    part = parts[SOURCES[0]]
    units = part[part["target"] == "greek"].drop_duplicates("source")
    r = np.corrcoef(np.log(units["size"]), units["accuracy"])[0, 1]
    assert f"resnet14+cyrillic: greek {r:.2f}".replace("-", "−") in text


def test_scores_are_coloured_by_classes():
    part = selection.over_targets(ROWS)[SOURCES[0]]
    figure = drawn.scores_by_classes(part, ["leep", "logme"], "georgian")
    panels = [
        axes
        for axes in figure.axes
        if axes.collections and len(axes.collections[0].get_offsets()) == UNITS
    ]
    assert len(panels) == 8
    units = part[
        (part["target"] == "georgian") & (part["metric"] == "leep") & (part["variant"] == "all")
    ]
    assert panels[0].collections[0].get_array().tolist() == units["size"].tolist()
    values = selection_classes.partial_correlations(part, 1)["georgian", "leep", "all"]
    title = f"{values['r'][0]:.2f} | {values['partial'][0]:.2f}".replace("-", "−")
    assert panels[0].get_title(loc="left") == f"Baseline\n{title}"
    assert _picture(figure).size[0] == round(5.2 * figure.dpi)
    alt = drawn.scores_by_classes_alt(part, ["leep", "logme"], "georgian")
    assert f"LEEP: Baseline {title.replace(' | ', ' (')})" in alt


# The notebook


def test_a_small_run_of_the_notebook_writes_its_rows(tmp_path: Path):
    papermill.execute_notebook(
        ROOT / "notebooks" / "5_2_target.ipynb",
        tmp_path / "out.ipynb",
        {
            "output": str(tmp_path),
            "target": "arrows",
            "sources": "resnet8@glyphs",
            "subsets": 3,
            "epochs": 1,
            "metrics": "leep,logme",
        },
        cwd=ROOT,
        progress_bar=False,
    )
    rows = read_csv(tmp_path / "5_2_target-glyphs-arrows.csv")
    assert len(rows) == 3 * 2 * 4
    assert {r.target for r in rows} == {"arrows#0", "arrows#1", "arrows#2"}
    assert set(frame(rows)["section"]) == {"5.2"}
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert not [o for c in executed.cells for o in c.get("outputs", []) if o.output_type == "error"]
