"""The results page: the paper's tables beside ours, and how often HASTE helps in all."""

from __future__ import annotations

import math
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
import scipy.stats
from synthetic import SOURCES, row, rows

from hastelib import report
from hastelib.figures import results as drawn
from hastelib.records import write_csv
from hastelib.report import results
from hastelib.report.ablations import common
from hastelib.report.results import PAPER, lines
from hastelib.report.results.tables import MISSING

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "results.ipynb"


def correlations(**values: list[float]) -> pd.DataFrame:
    """Lines of one metric: ``ca=[...]``, a value for each of the targets one, two, ..."""
    names = ["one", "two", "three", "four"]
    found = [
        ("tiny", "", target, "leep", variant, "", "pearson", value, 7)
        for variant, column in values.items()
        for target, value in zip(names, column, strict=False)
    ]
    return pd.DataFrame(found, columns=list(lines.COLUMNS))


def made(tmp_path: Path, numbers: dict[int, pd.DataFrame]) -> results.Results:
    """The paper's tables, and these of a suite called tiny."""
    whole = results.gather("tiny", [tmp_path], kept=tmp_path)
    ours = {which: results.Found(found) for which, found in numbers.items()}
    return results.Results({PAPER: whole.sides[PAPER], "tiny": ours})


def line(table: pd.DataFrame, **cell) -> pd.Series:
    """The only line of a cell."""
    for name, value in cell.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


# The catalogue


def test_every_table_of_the_paper_is_there():
    files = sorted((ROOT / "book" / "paper_tables").glob("*.csv"))
    numbers = [int(path.stem.split("_")[0]) for path in files]
    assert [one.number for one in results.CATALOGUE] == numbers == [*range(1, 14)]
    for one in results.CATALOGUE:
        assert len(one.printed) == len(report.paper_numbers(one.number))
        assert set(one.printed["metric"]) == set(one.metrics)
        assert set(one.printed["statistic"]) == {
            {10: "kendall", 11: "weighted_kendall"}.get(one.number, "pearson")
        }
    assert set(results.entry(13).printed["metric"]) == {"logme"}  # headed LEEP in print
    with pytest.raises(ValueError, match="1 to 13, got 14"):
        results.entry(14)


def test_every_table_stands_on_the_page():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    text = "\n".join(cell.source for cell in cells)
    for which in range(1, 14):
        assert f"### Table {which}:" in text
        assert f"results.comparison(made, cells, {which})" in text
        assert f"results.values(made, {which})" in text


# Sums by hand


def test_gains_are_sums_by_hand(tmp_path: Path):
    ours = correlations(
        all=[0.5, 0.2, 0.9], random=[0.4, 0.3, 0.9], ca=[0.6, 0.1, 0.9], cs=[0.8, 0.4, 0.7]
    )
    found = results.cells(made(tmp_path, {1: ours}))
    ca = line(found, side="tiny", number=1, metric="leep", variant="ca")
    assert ca["gain"] == pytest.approx((0.1 - 0.1 + 0.0) / 3)
    assert (ca["wins"], ca["ties"], ca["losses"], ca["pairs"]) == (1, 1, 1, 3)
    assert (ca["low"], ca["high"]) == pytest.approx((-0.1, 0.1))
    cs = line(found, side="tiny", number=1, metric="leep", variant="cs")
    assert cs["gain"] == pytest.approx((0.3 + 0.2 - 0.2) / 3)
    assert cs["random_gain"] == pytest.approx((0.4 + 0.1 - 0.2) / 3)
    assert (cs["random_wins"], cs["random_losses"]) == (2, 1)
    paper = line(found, side=PAPER, number=1, metric="leep", variant="cs")
    printed = (
        report.paper_numbers(1)
        .query("metric == 'leep'")
        .pivot_table(index="target", columns="variant", values="value")
    )
    assert paper["gain"] == pytest.approx((printed["cs"] - printed["all"]).mean())
    assert math.isnan(paper["random_gain"])
    assert paper["random_pairs"] == 0


def test_signs_agree(tmp_path: Path):
    # In print LEEP gains with CA and with CS in Table 1.
    ours = correlations(all=[0.5, 0.5], ca=[0.4, 0.5], cs=[0.6, 0.5])
    both = results.compared(results.cells(made(tmp_path, {1: ours})), "tiny")
    assert list(both["variant"]) == ["ca", "cs"]
    assert list(both["agree"]) == [False, True]
    assert both["difference"].tolist() == pytest.approx(
        [-0.05 - both["gain_paper"][0], 0.05 - both["gain_paper"][1]]
    )
    assert results.agreement(both) == (1, 2)
    # Both paper signs are positive, half of ours: one of two by chance.
    assert results.chance(both) == pytest.approx(1.0)


def test_no_gain_has_no_sign(tmp_path: Path):
    ours = correlations(all=[0.5, 0.5], ca=[0.4, 0.6], cs=[0.6, 0.5])
    both = results.compared(results.cells(made(tmp_path, {1: ours})), "tiny")
    assert list(both["agree"]) == [None, True]
    assert results.agreement(both) == (1, 1)


def test_what_cannot_be_computed_is_no_comparison(tmp_path: Path):
    ours = correlations(all=[0.5, math.nan, 0.2], ca=[0.6, 0.9, math.nan])
    assert results.often(made(tmp_path, {1: ours}), "tiny").n == 1


def test_unnamed_variant_stands_for_both(tmp_path: Path):
    # Table 7 in print has one HASTE column; CA and CS together are compared with it.
    ours = correlations(all=[0.5, 0.2], ca=[0.6, 0.1], cs=[0.8, 0.4]).assign(metric="ms_leep")
    one = line(results.cells(made(tmp_path, {7: ours})), side="tiny", number=7)
    assert (one["variant"], one["pairs"]) == ("haste", 4)
    assert one["gain"] == pytest.approx((0.1 - 0.1 + 0.3 + 0.2) / 4)


# How often


@pytest.mark.parametrize(("wins", "ties", "losses"), [(7, 2, 1), (0, 0, 5), (4, 0, 4), (31, 3, 90)])
def test_the_sign_test_is_scipys(wins: int, ties: int, losses: int):
    one = results.Often(wins, ties, losses)
    n = wins + losses
    k = max(wins, losses)
    by_hand = min(1.0, 2 * sum(math.comb(n, i) for i in range(k, n + 1)) / 2**n)
    assert one.p == pytest.approx(scipy.stats.binomtest(wins, n).pvalue)
    assert one.p == pytest.approx(by_hand)
    low = scipy.stats.beta.ppf(0.025, wins, losses + 1) if wins else 0.0
    high = scipy.stats.beta.ppf(0.975, wins + 1, losses) if losses else 1.0
    assert one.interval == pytest.approx((low, high))
    assert one.n == n + ties


def test_nothing_to_count():
    one = results.Often(0, 3, 0)
    assert math.isnan(one.p)
    assert all(math.isnan(end) for end in one.interval)


def test_counts_are_over_own_experiments(tmp_path: Path):
    first = correlations(all=[0.5, 0.2], random=[0.7, 0.1], ca=[0.6, 0.1], cs=[0.8, 0.4])
    again = correlations(all=[0.5, 0.2], ca=[0.6, 0.1], **{"stochastic_1%": [0.9, 0.9]})
    found = made(tmp_path, {1: first, 9: again})
    assert results.often(found, "tiny") == results.Often(3, 0, 1)
    assert results.often(found, "tiny", "random") == results.Often(2, 1, 1)
    # Table 9 looks at Table 1's experiment again; its mixtures are no hard subsets.
    assert results.often(found, "tiny", numbers=results.EVERY) == results.Often(4, 0, 2)
    # Target one wins both; two wins one and loses one.
    assert results.votes(found, "tiny") == results.Often(1, 1, 0)


def test_the_papers_counts_are_those_of_its_tables():
    wins = ties = losses = 0
    for which in (1, 2, 3, 4, 5, 6, 7, 12, 13):
        numbers = report.paper_numbers(which)
        keys = ["source", "target", "metric"]
        base = numbers[numbers["variant"] == "all"].set_index(keys)["value"]
        for one in numbers[numbers["variant"] != "all"].to_dict("records"):
            gain = round(one["value"] - base[tuple(one[key] for key in keys)], 3)
            wins, ties, losses = wins + (gain > 0), ties + (gain == 0), losses + (gain < 0)
    found = results.gather("tiny", ["nowhere"], kept=Path("nowhere"))
    assert results.often(found, PAPER) == results.Often(wins, ties, losses)
    assert results.often(found, PAPER, "random").n == 0


def test_one_target_has_one_name():
    from hastelib.report.results.numbers import same_name

    names = ("Oxford-IIIT", "OxfordPets", "Oxford-IIIT Pets")
    assert len({same_name(name) for name in names}) == 1
    assert same_name("Stanford Dogs") == same_name("StanfordDogs") != same_name("CUB200")


# From files


def test_a_missing_file_is_not_measured(tmp_path: Path):
    found = results.gather("tiny", [tmp_path], "other", kept=tmp_path)
    cells = results.cells(found)
    assert set(cells["side"]) == {PAPER}
    for which in range(1, 14):
        assert MISSING in repr(results.comparison(found, cells, which))
        assert MISSING in repr(results.values(found, which))
        assert "Not measured on `tiny` and `other`." in results.finding(found, cells, which)
    assert repr(results.summary(found, cells)).count(MISSING) == 2 * 13
    assert repr(results.inventory(found)).count(MISSING) == 2 * 13
    assert "none of the tables is measured" in results.overall(found, cells)
    assert MISSING in results.behind(found)
    assert results.claims(found) == {}
    assert report.verify(results.claims(found)).frame.empty
    assert repr(results.counting(found)).count(MISSING) == 2 * 2 * 3
    assert len(drawn.gains(cells).axes) == 2
    assert "the paper" in drawn.gains_alt(cells)


def test_a_table_appears_once_its_file_is_there(tmp_path: Path):
    listed = rows()
    write_csv(listed, tmp_path / "5_1_source-glyphs-all.csv")
    found = results.gather("glyphs", [tmp_path], kept=tmp_path / "none")
    # A.6's and A.7's source selection are in the same rows.
    assert list(found.sides["glyphs"]) == [1, 10, 11, 12]
    expected = report.correlations(listed).set_index(["target", "metric", "variant"])["value"]
    for _, one in found.of("glyphs", 1).iterrows():
        assert one["value"] == expected[one["target"], one["metric"], one["variant"]]
    assert set(found.of("glyphs", 1)["metric"]) == {"leep", "nce", "gbc"}
    assert set(found.of("glyphs", 12)["metric"]) == {"logme"}
    kendall = report.correlations(listed, "kendall").set_index(["target", "metric", "variant"])
    one = found.of("glyphs", 10).iloc[5]
    assert one["value"] == kendall["value"][one["target"], one["metric"], one["variant"]]
    assert found.sides["glyphs"][1].seeds == 3
    cells = results.cells(found)
    assert MISSING not in repr(results.comparison(found, cells, 1))
    assert MISSING not in results.finding(found, cells, 1)
    assert "(3 of" not in results.overall(found, cells)
    assert "(2 of the 9 tables)" in results.overall(found, cells)
    shown = repr(results.values(found, 1))
    for value in found.of("glyphs", 1)["value"]:
        assert report.tables.number(value) in shown


def test_what_was_run_comes_before_what_is_kept(tmp_path: Path):
    kept, output = tmp_path / "kept", tmp_path / "runs"
    names = {
        kept / "tiny" / "5_1_source-tiny-all.csv",
        kept / "tiny" / "5_1_source-tiny-digits.csv",
        output / "5_1_source-tiny-greek.csv",
    }
    for path in names:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    where = (output, kept / "tiny")
    # A run over all targets, wherever it is, before any of one target.
    assert results.files("5_1_source", "tiny", where) == (where[1] / "5_1_source-tiny-all.csv",)
    assert results.files("5_1_source", "tiny", where, "greek") == (
        output / "5_1_source-tiny-greek.csv",
    )
    (where[1] / "5_1_source-tiny-all.csv").unlink()
    assert set(results.files("5_1_source", "tiny", where)) == {
        where[1] / "5_1_source-tiny-digits.csv",
        output / "5_1_source-tiny-greek.csv",
    }
    assert results.files("5_2_target", "tiny", where) == ()


def subset_rows(source: str, generator: np.random.Generator, metrics=("leep",), section="5.2"):
    """Rows of one source on class subsets of two targets."""
    return [
        row(
            section=section,
            suite="glyphs",
            target=f"{target}#{k}",
            source=source,
            metric=metric,
            variant=variant,
            score=float(generator.normal()),
            accuracy=0.5 + 0.02 * k,
            accuracy_std=math.nan,
            seeds=1,
            hardness_source=source if variant in ("ca", "cs") else "",
        )
        for target in ("greek", "arrows")
        for k in range(6)
        for metric in metrics
        for variant in ("all", "random", "ca", "cs")
    ]


def test_sources_of_target_selection_have_a_table_each(tmp_path: Path):
    # In the suite's selection the ResNet comes first, whatever the order of the rows.
    names = ["densenet22@glyphs+operators", "resnet14@glyphs+cyrillic"]
    generator = np.random.default_rng(1)
    listed = [one for name in names for one in subset_rows(name, generator)]
    write_csv(listed, tmp_path / "5_2_target-glyphs-all.csv")
    language = [one for name in names for one in subset_rows(name, generator, section="5.5")]
    write_csv(language, tmp_path / "5_5_language-glyphs-all.csv")
    found = results.gather("glyphs", [tmp_path], kept=tmp_path / "none")
    assert set(found.of("glyphs", 2)["source"]) == {names[1]}
    assert set(found.of("glyphs", 6)["source"]) == {names[0]}
    assert set(found.of("glyphs", 5)["source"]) == set(names)
    part = [one for one in listed if (one.source, one.variant) == (names[0], "ca")]
    part = [one for one in part if one.target.startswith("greek#")]
    by_hand = np.corrcoef([one.score for one in part], [one.accuracy for one in part])[0, 1]
    one = line(found.of("glyphs", 6), target="greek", variant="ca")
    assert one["value"] == pytest.approx(by_hand)
    assert one["n"] == 6
    assert "→ greek" in repr(results.values(found, 5))


def test_rankers_share_their_baseline(tmp_path: Path):
    generator = np.random.default_rng(2)
    source = "resnet14@glyphs+cyrillic"
    listed = subset_rows(source, generator, section="A.4")
    other = [
        one.model_copy(update={"hardness_source": "resnet20@glyphs", "score": generator.normal()})
        for one in listed
        if one.variant in ("ca", "cs")
    ]
    write_csv([*listed, *other], tmp_path / "A_4_hardness_source-glyphs-all.csv")
    write_csv(listed, tmp_path / "5_2_target-glyphs-all.csv")
    found = results.gather("glyphs", [tmp_path], kept=tmp_path / "none")
    table = found.of("glyphs", 8)
    counts = table.groupby("variant")["value"].count()
    assert dict(counts) == {"all": 2, "random": 2, "ca": 4, "cs": 4}
    # Each ranker's hard subsets are compared with the one baseline.
    assert len(results.gains(table)) == 8
    assert results.gains(table)["other"].nunique() == 2
    ((claim, numbers),) = results.claims(found).items()
    assert "Table 8, ranked by the source itself" in claim
    assert numbers == (0.0, 0.0)
    assert "greek, resnet20" in repr(results.values(found, 8))


def test_mixtures_are_means_over_the_draws(tmp_path: Path):
    generator = np.random.default_rng(3)
    cells = [("all", 1.0, 0), ("ca", 0.0, 0), ("cs", 0.0, 0), ("random", 0.0, 0)]
    cells += [("cs", 0.01, 0), ("cs", 0.01, 1), ("ca", 0.01, 0), ("random", 0.01, 0)]
    listed = []
    for place, source in enumerate(SOURCES):
        for variant, share, draw in cells:
            one = row(section="A.5", source=source, variant=variant, accuracy=0.5 + place / 20)
            told = {"score": generator.normal(), "place": share, "draw": draw, "of": "easy"}
            listed.append(one.model_dump() | told)
    table = pd.DataFrame(listed)
    common.write(table, tmp_path / "A_5_stochastic-glyphs-all.csv")
    found = results.gather("glyphs", [tmp_path], kept=tmp_path / "none").of("glyphs", 9)
    assert list(found["variant"]) == ["all", "ca", "cs", "random", "stochastic_1%"]
    chosen = table[(table["variant"] == "cs") & (table["place"] == 0.01)]
    each = [np.corrcoef(p["score"], p["accuracy"])[0, 1] for _, p in chosen.groupby("draw")]
    assert line(found, variant="stochastic_1%")["value"] == pytest.approx(np.mean(each))


def test_files_of_different_runs_are_told(tmp_path: Path):
    listed = rows(targets=("greek", "digits"))
    write_csv(listed, tmp_path / "5_1_source-glyphs-all.csv")
    again = [one.model_copy(update={"section": "A.6"}) for one in listed if one.metric != "logme"]
    path = tmp_path / "A_6_correlations-glyphs-all.csv"
    write_csv(again, path)
    found = results.gather("glyphs", [tmp_path], kept=tmp_path / "none")
    assert "disagree" not in results.behind(found)
    (name,) = [name for name in results.claims(found) if "A.6" in name]
    assert results.claims(found)[name] == (0.0, 0.0)
    for change in ({"accuracy": 0.123}, {"score": -9.0}):
        write_csv([again[0].model_copy(update=change), *again[1:]], path)
        found = results.gather("glyphs", [tmp_path], kept=tmp_path / "none")
        assert "5_1_source and A_6_correlations disagree" in results.behind(found)
        assert results.claims(found) == {}


def test_one_target_of_many(tmp_path: Path):
    write_csv(rows(), tmp_path / "5_1_source-glyphs-all.csv")
    found = results.gather("glyphs", [tmp_path], target="digits", kept=tmp_path / "none")
    assert set(found.of("glyphs", 1)["target"]) == {"digits"}


# Words and figure


VERDICTS = (
    "it wins more often than it loses",
    "it loses more often than it wins",
    "cannot be told from so few",
)


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        ({"all": [0.1] * 4, "ca": [0.9] * 4, "cs": [0.9] * 4}, VERDICTS[0]),
        ({"all": [0.9] * 4, "ca": [0.1] * 4, "cs": [0.1] * 4}, VERDICTS[1]),
        ({"all": [0.5] * 4, "ca": [0.1] * 4, "cs": [0.9] * 4}, VERDICTS[2]),
    ],
)
def test_the_verdict_follows_the_counts(tmp_path: Path, ours: dict, verdict: str):
    found = made(tmp_path, {1: correlations(**ours)})
    text = results.overall(found, results.cells(found))
    said = [words for words in VERDICTS if words in text]
    assert said == [verdict]


def test_the_figure_draws_every_mean_gain(tmp_path: Path):
    write_csv(rows(), tmp_path / "5_1_source-glyphs-all.csv")
    cells = results.cells(results.gather("glyphs", [tmp_path], kept=tmp_path / "none"))
    figure = drawn.gains(cells)
    for axes, variant in zip(figure.axes, ("ca", "cs"), strict=True):
        told = cells[cells["variant"].isin([variant, "haste"])]
        points = [x for curve in axes.lines for x in np.asarray(curve.get_xdata())]
        for value in told["gain"]:
            shown = np.clip(value, -drawn.SHOWN, drawn.SHOWN)
            assert min(abs(x - shown) for x in points) < 1e-9
    text = drawn.gains_alt(cells)
    up = int((cells[(cells["side"] == "glyphs") & (cells["variant"] == "ca")]["gain"] > 0).sum())
    assert re.search(rf"glyphs {up} of \d+ mean gains above zero", text)


def test_the_page_runs_with_nothing_but_one_section(tmp_path: Path):
    write_csv(rows(), tmp_path / "5_1_source-glyphs-all.csv")
    page = papermill.execute_notebook(
        NOTEBOOK,
        tmp_path / "out.ipynb",
        {"output": str(tmp_path)},
        cwd=ROOT,
        progress_bar=False,
    )
    data = [output.get("data", {}) for cell in page.cells for output in cell.get("outputs", [])]
    text = "\n".join(one.get("text/markdown", "") for one in data)
    found = results.gather("glyphs", [tmp_path], "pocket")
    cells = results.cells(found)
    for which in range(1, 14):
        assert results.finding(found, cells, which) in text
    assert results.overall(found, cells) in text
    whole = all(which in found.sides["glyphs"] for which in range(1, 14))
    assert ("Not measured on `glyphs`" in text) != whole
