"""Correlations, tables and sentences: right, in the paper's form, and plain about what is bad."""

from __future__ import annotations

import math
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from synthetic import METRICS, NOISE, SOURCES, TARGETS, gone, row, rows

from hastelib import report, stats
from hastelib.report import bins, comparison, paper, tables

FEW = {"resamples": 200}
SMALL = rows(targets=TARGETS[:2], metrics=["leep"])


def correlated(**values: float) -> pd.DataFrame:
    """Correlations of one metric on one target, as given."""
    return pd.DataFrame(
        [
            {
                "suite": "glyphs",
                "target": "greek",
                "metric": "leep",
                "variant": variant,
                "statistic": "pearson",
                "value": value,
                "low": value - 0.1,
                "high": value + 0.1,
                "n": 7,
            }
            for variant, value in values.items()
        ]
    )


class Tree(HTMLParser):
    """Refuses tags that do not close where they should; counts what it meets."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.seen)


# Correlations


@pytest.mark.parametrize("statistic", ["pearson", "kendall", "weighted_kendall"])
def test_correlations_are_those_of_stats(statistic):
    found = report.correlations(SMALL, statistic, resamples=50, seed=3)
    assert len(found) == 8
    for line in found.to_dict("records"):
        part = [r for r in SMALL if (r.target, r.variant) == (line["target"], line["variant"])]
        columns = ([r.score for r in part], [r.accuracy for r in part])
        expected = getattr(stats, statistic)(*columns, resamples=50, seed=3)
        assert (line["value"], line["low"], line["high"]) == expected
        assert line["n"] == len(SOURCES)


def test_correlations_come_in_the_order_of_the_rows_and_the_baseline_first():
    mixed = [r for r in rows() if r.variant == "cs"] + [r for r in rows() if r.variant != "cs"]
    found = report.correlations(mixed, **FEW)
    assert list(found["target"].unique()) == list(TARGETS)
    assert list(found["metric"].unique()) == list(METRICS)
    assert list(found["variant"])[:4] == ["all", "random", "ca", "cs"]


def test_a_missing_score_leaves_its_source_out():
    holed = [gone(r) if (r.variant, r.source) == ("ca", SOURCES[1]) else r for r in SMALL]
    found = report.correlations(holed, **FEW).set_index(["target", "variant"])
    part = [r for r in holed if (r.target, r.variant) == ("greek", "ca") and not r.reason]
    assert found.loc[("greek", "ca"), "n"] == 6
    assert found.loc[("greek", "all"), "n"] == 7
    expected = np.corrcoef([r.score for r in part], [r.accuracy for r in part])[0, 1]
    assert found.loc[("greek", "ca"), "value"] == pytest.approx(expected)


def test_constant_scores_and_too_few_sources_have_no_correlation():
    constant = [r.model_copy(update={"score": 1.0}) if r.variant == "cs" else r for r in SMALL]
    found = report.correlations(constant, **FEW).set_index(["target", "variant"])
    assert math.isnan(found.loc[("greek", "cs"), "value"])
    two = report.correlations([r for r in SMALL if r.source in SOURCES[:2]], **FEW)
    assert two["value"].isna().all()
    assert set(two["n"]) == {2}


def test_correlations_refuse_what_they_cannot_tell_apart():
    with pytest.raises(ValueError, match="several rows for"):
        report.correlations([*SMALL, SMALL[0]])
    with pytest.raises(ValueError, match="no rows"):
        report.correlations([])
    with pytest.raises(
        ValueError, match="statistic: expected one of kendall, pearson, spearman, weighted"
    ):
        report.correlations(SMALL, "somers")


# Differences


@pytest.mark.parametrize("statistic", ["pearson", "kendall", "weighted_kendall"])
def test_differences_are_those_of_the_correlations(statistic):
    values = report.correlations(SMALL, statistic, resamples=20).set_index(["target", "variant"])
    found = report.differences(SMALL, statistic, resamples=20)
    single = found[found["target"] != comparison.MEAN]
    for line in single.to_dict("records"):
        expected = (
            values.loc[(line["target"], line["variant"]), "value"]
            - values.loc[(line["target"], "all"), "value"]
        )
        assert line["difference"] == pytest.approx(expected, abs=1e-12)
    means = found[found["target"] == comparison.MEAN].set_index("variant")["difference"]
    expected_means = single.groupby("variant")["difference"].mean()
    pd.testing.assert_series_equal(means.sort_index(), expected_means, check_names=False)


def test_the_same_scores_differ_by_nothing_in_any_resample():
    """Also says that the two sides are resampled together."""
    same = rows(["greek"], ["leep"], noise={"all": 0.1})
    twin = [r.model_copy(update={"variant": "ca", "fraction": 0.25}) for r in same]
    found = report.differences([*same, *twin], **FEW).iloc[0]
    assert (found["difference"], found["low"], found["high"]) == (0, 0, 0)


def test_the_interval_of_a_difference_is_that_of_a_plain_bootstrap():
    found = report.differences(SMALL, resamples=300, seed=5)
    line = found[(found["target"] == "greek") & (found["variant"] == "cs")].iloc[0]
    part = {v: [r for r in SMALL if (r.target, r.variant) == ("greek", v)] for v in ("all", "cs")}
    accuracies = np.array([r.accuracy for r in part["all"]])
    scores = {v: np.array([r.score for r in part[v]]) for v in part}
    units = np.random.default_rng(5).integers(7, size=(300, 7))
    gains = [
        np.corrcoef(scores["cs"][u], accuracies[u])[0, 1]
        - np.corrcoef(scores["all"][u], accuracies[u])[0, 1]
        for u in units
        if len(set(u)) > 1
    ]
    assert line["low"] == pytest.approx(np.quantile(gains, 0.025))
    assert line["high"] == pytest.approx(np.quantile(gains, 0.975))


def test_differences_use_the_sources_that_both_sides_have():
    hole = ("greek", "ca", SOURCES[1])
    holed = [gone(r) if (r.target, r.variant, r.source) == hole else r for r in SMALL]
    found = report.differences(holed, **FEW).set_index(["target", "variant"])
    assert found.loc[("greek", "ca"), "n"] == 6
    assert found.loc[("greek", "cs"), "n"] == 7
    assert found.loc[(comparison.MEAN, "ca"), "n"] == 6


def test_one_target_has_no_mean_and_two_sources_no_difference():
    one = report.differences(rows(["greek"], ["leep"]), **FEW)
    assert comparison.MEAN not in set(one["target"])
    two = report.differences([r for r in SMALL if r.source in SOURCES[:2]], **FEW)
    assert two[["difference", "low", "high"]].isna().all(axis=None)


# The paper's numbers

ROWS = {1: 63, 2: 45, 3: 24, 4: 30, 5: 36, 6: 45, 7: 20, 8: 14, 9: 27, 10: 63, 11: 63, 12: 21}
ROWS[13] = 15


@pytest.mark.parametrize("which", ROWS)
def test_every_table_of_the_paper_is_there_and_shows_itself(which):
    numbers = report.paper_numbers(which)
    assert len(numbers) == ROWS[which]
    assert (numbers["table"] == which).all()
    assert numbers["value"].between(-1, 1).all()
    columns = ["source", "target", "metric", "variant", "hardness_source"]
    assert not numbers.duplicated(columns).any()
    shown = report.paper_table(which)
    tree = Tree(shown._repr_html_())
    assert tree.count("table") == numbers["metric"].nunique()
    assert f"Table {which} of the paper" in shown.caption
    for value in numbers["value"]:
        assert tables.number(value) in shown._repr_markdown_()


@pytest.mark.parametrize(
    ("which", "target", "metric", "variant", "value"),
    [
        (1, "CUB200", "leep", "all", 0.534),
        (1, "PACS-Sketch", "leep", "all", -0.029),
        (1, "Flowers102", "gbc", "cs", -0.02),
        (1, "PACS-Sketch", "nce", "cs", -0.208),
        (2, "Flowers102", "leep", "ca", 0.820),
        (2, "PACS-Sketch", "gbc", "cs", 0.894),
        (3, "SUIM", "gbc", "all", -0.218),
        (3, "CityScapes", "gbc", "ca", 0.923),
        (4, "Caltech101", "e_leep", "cs", 0.518),
        (4, "Flowers102", "ms_leep", "ca", 0.368),
        (5, "IMDB", "leep", "cs", 0.06),
        (6, "Caltech101", "leep", "ca", 0.709),
        (6, "PACS-Sketch", "gbc", "all", 0.819),
        (7, "Flowers102", "ms_leep", "haste", -0.376),
        (9, "CUB200", "leep", "stochastic_10%", 0.679),
        (10, "Oxford-IIIT", "leep", "ca", 1.0),
        (10, "PACS-Sketch", "nce", "all", 0.0),
        (11, "Flowers102", "gbc", "ca", -0.119),
        (11, "CUB200", "leep", "cs", 0.638),
        (12, "PACS-Sketch", "logme", "ca", 0.677),
        (13, "CUB200", "leep", "all", -0.951),
    ],
)
def test_numbers_of_the_paper(which, target, metric, variant, value):
    numbers = report.paper_numbers(which)
    found = numbers[
        (numbers["target"] == target)
        & (numbers["metric"] == metric)
        & (numbers["variant"] == variant)
    ]
    assert list(found["value"]) == [value]


@pytest.mark.parametrize(
    ("which", "metric", "percent"),
    [
        (1, "leep", 129.75),
        (1, "nce", 29.38),
        (1, "gbc", -0.08),
        (2, "leep", 1.00),
        (2, "nce", 1.16),
        (2, "gbc", 5.11),
        (3, "leep", 182.24),
        (3, "nce", 33.34),
        (3, "gbc", 149.31),
        (4, "ms_leep", 14.43),
        (4, "e_leep", 4.10),
        (5, "leep", 38.14),
        (5, "nce", 33.41),
        (5, "gbc", 57.25),
        (6, "leep", 251.13),
        (12, "logme", 120.54),
        (13, "leep", 236.17),
    ],
)
def test_the_headline_percentages_follow_from_the_tables(which, metric, percent):
    """A wrong digit anywhere in a column would show here."""
    found = report.improvements(report.paper_numbers(which)).frame
    both = found[(found["metric"] == metric) & found["variant"].isin(["haste", "ca"])].iloc[-1]
    assert both["relative"] == pytest.approx(percent, abs=0.0051)


def test_known_errata_stand_in_the_notes_not_in_the_numbers():
    swapped = report.paper_numbers(9).set_index(["target", "variant"])
    assert swapped.loc[("Flowers102", "all"), "value"] == 0.534
    assert "swapped" in swapped.loc[("Flowers102", "all"), "note"]
    assert set(report.paper_numbers(13)["metric"]) == {"leep"}
    assert "LogME" in report.paper_table(13)._repr_html_()
    assert "In print" in report.paper_table(5).notes[-1]
    assert not any("In print" in note for note in report.paper_table(1).notes)


def test_a_table_is_found_by_name_and_an_unknown_one_lists_the_names():
    assert report.paper_numbers("segmentation").equals(report.paper_numbers(3))
    with pytest.raises(ValueError, match="01: source_selection, 02: target_selection_caltech101"):
        report.paper_table("segmentations")


def test_without_the_repository_the_numbers_say_where_they_are(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(paper, "PAPER_TABLES", tmp_path / "book" / "paper_tables")
    with pytest.raises(FileNotFoundError, match="install hastelib from a clone"):
        report.paper_table(1)


def test_the_baseline_of_table_8_stands_in_every_row():
    text = report.paper_table(8)._repr_markdown_()
    line = "| Caltech101, VGG19 | −0.030 | **0.200** | **0.267** |"
    assert line in text
    assert report.improvements(report.paper_numbers(8)).frame["targets"].tolist() == [6, 6, 12]


# Tables


def cells(**values: float) -> dict[str, tables.Cell]:
    block = report.table(correlated(**values)).blocks[0]
    return dict(zip(("all", "random", "ca", "cs"), block.rows[0][1], strict=True))


def bold(**values: float) -> set[str]:
    return {name for name, cell in cells(**values).items() if cell.bold}


def test_bold_is_what_beats_its_base_or_the_base():
    assert bold(all=0.5, random=0.9, ca=0.6, cs=0.7) == {"ca", "cs"}
    assert bold(all=0.5, random=0.9, ca=0.4, cs=0.7) == {"cs"}
    assert bold(all=0.5, random=0.9, ca=0.4, cs=0.3) == {"all"}
    assert bold(all=0.5, random=0.9, ca=0.5, cs=0.3) == set()
    assert bold(all=0.5, random=0.9, ca=0.50049, cs=0.3) == set()  # the same as printed
    assert bold(all=math.nan, random=0.9, ca=0.5, cs=0.3) == set()
    assert bold(all=0.5, random=0.9, ca=math.nan, cs=math.nan) == set()


def test_the_control_is_marked_where_it_is_as_good_as_hardness():
    def marked(**values: float) -> bool:
        found = {name for name, cell in cells(**values).items() if cell.mark}
        assert found <= {"random"}
        return bool(found)

    assert marked(all=0.9, random=0.7, ca=0.6, cs=0.7)
    assert not marked(all=0.5, random=0.65, ca=0.6, cs=0.7)
    assert not marked(all=0.5, random=math.nan, ca=0.6, cs=0.7)


def test_a_cell_has_its_interval_and_says_when_a_source_is_missing():
    found = correlated(all=0.512, random=-0.0004, ca=0.6, cs=0.7)
    found.loc[2, "n"] = 6
    row_cells = report.table(found).blocks[0].rows[0][1]
    assert [cell.text for cell in row_cells] == ["0.512", "0.000", "0.600", "0.700"]
    assert row_cells[0].small == "[.41, .61]"
    assert row_cells[2].small == "[.50, .70], n = 6"


def test_table_has_a_block_per_metric_five_columns_wide_and_the_mean():
    found = report.correlations(rows(), **FEW)
    shown = report.table(found, metrics=["gbc", "leep"], caption="Ours")
    assert shown.caption == "Ours"
    assert [block.title for block in shown.blocks] == ["GBC", "LEEP"]
    assert set(shown.frame["metric"]) == {"gbc", "leep"}
    for metric, block in zip(("gbc", "leep"), shown.blocks, strict=True):
        assert block.head == ("Target", "Baseline", "Random", "CA", "CS")
        assert [name for name, _ in block.rows[:-1]] == [t.replace("_", " ") for t in TARGETS]
        part = found[found["metric"] == metric]
        means = [part[part["variant"] == v]["value"].mean() for v in ("all", "random", "ca", "cs")]
        assert block.rows[-1][0] == "Mean"
        assert [cell.text for cell in block.rows[-1][1]] == [tables.number(m) for m in means]


def test_the_mean_is_over_the_targets_that_have_everything():
    holed = [gone(r) if (r.target, r.variant) == ("greek", "ca") else r for r in SMALL]
    block = report.table(report.correlations(holed, **FEW)).blocks[0]
    assert block.rows[0][1][2].text == tables.NONE
    assert block.rows[-1][0] == "Mean of 1 of 2"
    assert [c.text for c in block.rows[-1][1]] == [c.text for c in block.rows[1][1]]


def test_one_target_has_no_mean():
    assert report.table(report.correlations(rows(["greek"]), **FEW)).blocks[0].summary == 0


def test_an_unknown_metric_lists_those_there_are():
    with pytest.raises(ValueError, match=r"'h_score'.*there are: leep"):
        report.table(report.correlations(SMALL, **FEW), metrics=["leep", "h_score"])


def test_html_is_well_formed_escaped_and_reachable():
    hostile = correlated(all=0.5, random=0.4, ca=0.6, cs=0.7)
    hostile["target"] = "<script>alert('&')</script>"
    hostile["metric"] = "<i>metric"
    html = report.table(hostile, caption='a "caption" <b>')._repr_html_()
    tree = Tree(html)
    assert not {"script", "i", "b"} & {tag for tag, _ in tree.seen}
    assert "&lt;script&gt;" in html
    assert tree.count("caption") == tree.count("table") == 1
    scopes = [attributes.get("scope") for tag, attributes in tree.seen if tag == "th"]
    assert scopes == ["col"] * 5 + ["row"]
    box = next(a for tag, a in tree.seen if a.get("class") == "haste-table")
    assert box["role"] == "region"
    assert box["tabindex"] == "0"
    assert box["aria-label"] == '<i>metric, a "caption" <b>'


def test_markdown_stands_in_where_there_is_no_html():
    text = repr(report.table(correlated(all=0.5, random=0.8, ca=0.6, cs=0.4), caption="Ours"))
    assert text.startswith("Ours\n\n**LEEP**\n\n| Target | Baseline | Random | CA | CS |\n| --- |")
    line = "| greek | 0.500 [.40, .60] | 0.800† [.70, .90] | **0.600** [.50, .70] |"
    assert line in text


def test_beside_pairs_the_metrics_and_says_notes_once():
    ours = report.table(report.correlations(rows(), **FEW))
    both = report.beside(ours, report.paper_table(1), report.paper_table(12))
    html = both._repr_html_()
    tree = Tree(html)
    assert tree.count("table") == 4 + 4
    order = [html.index(f">{title}, {name}<") for title in ("LEEP", "NCE", "GBC", "LogME")
             for name in ("ours", "paper")]  # fmt: skip
    assert order == sorted(order)
    assert html.count("Higher is better") == 1
    assert "Table 12 of the paper" in repr(both)


def test_accuracies_say_whether_the_sources_differ():
    part = [
        row(target=t, source=s, accuracy=a, accuracy_std=d)
        for t, s, a, d in [
            ("greek", SOURCES[0], 0.80, 0.03),
            ("greek", SOURCES[1], 0.90, 0.04),
            ("digits", SOURCES[0], 0.95, math.nan),
            ("digits", SOURCES[1], 0.93, math.nan),
        ]
    ]
    shown = report.accuracies(part)
    (block,) = shown.blocks
    assert block.head == ("Source", "greek", "digits")
    lines = dict(block.rows)
    assert [c.text for c in lines["resnet14"]] == ["90.0", "93.0"]
    assert [c.small for c in lines["resnet14"]] == ["± 4.0", ""]
    assert [c.bold for c in lines["resnet14"]] == [True, False]
    found = shown.frame.set_index("target")
    assert found.loc["greek", "range"] == pytest.approx(0.10)
    assert found.loc["greek", "deviation"] == pytest.approx(math.sqrt((0.03**2 + 0.04**2) / 2))
    assert found.loc["greek", "times"] == pytest.approx(0.1 / math.sqrt(0.00125))
    assert math.isnan(found.loc["digits", "times"])
    assert [c.text for c in lines["Range / std"]] == ["2.8", tables.NONE]
    Tree(shown._repr_html_())


def test_sources_of_the_same_architecture_keep_their_full_names():
    part = [row(source=s) for s in ("resnet20@glyphs", "resnet20@cifar10", "resnet8@glyphs")]
    names = [name for name, _ in report.accuracies(part).blocks[0].rows[:3]]
    assert names == ["resnet20@glyphs", "resnet20@cifar10", "resnet8"]


def test_improvements_count_and_average():
    found = pd.concat(
        [
            correlated(all=0.5, random=0.55, ca=0.6, cs=0.5),
            correlated(all=-0.2, random=0.0, ca=-0.1, cs=0.2).assign(target="digits"),
        ]
    )
    shown = report.improvements(found)
    lines = shown.frame.set_index("variant")
    assert lines.loc["ca", "relative"] == pytest.approx((20 + 50) / 2)
    assert lines.loc["haste", "relative"] == pytest.approx((20 + 50 + 0 + 200) / 4)
    assert lines.loc["ca", "difference"] == pytest.approx(0.1)
    assert lines.loc["ca", "ratio"] == pytest.approx(100 * (0.25 / 0.15 - 1))
    assert tuple(lines.loc["cs", ["wins", "ties", "losses"]]) == (1, 1, 0)
    assert tuple(lines.loc["haste", ["random_wins", "random_ties", "random_losses"]]) == (2, 0, 2)
    assert [name for name, _ in shown.blocks[0].rows] == ["Random", "CA", "CS", "CA and CS"]
    Tree(shown._repr_html_())


def test_what_is_printed_alike_is_a_tie():
    lines = report.improvements(correlated(all=0.5, random=0.5, ca=0.5004, cs=0.4996)).frame
    assert lines["ties"].tolist() == [1, 1, 1, 2]
    assert lines["random_ties"].tolist() == [0, 1, 1, 2]


def test_a_base_of_zero_has_no_relative_improvement():
    lines = report.improvements(correlated(all=0.0, ca=0.4, cs=0.5)).frame
    assert lines["relative"].isna().all()
    assert lines["ratio"].isna().all()
    assert "| – – | +0.450 |" in repr(report.improvements(correlated(all=0.0, ca=0.4, cs=0.5)))


def test_picks_cost_the_accuracy_between_the_best_and_the_chosen():
    part = [
        row(source=s, score=score, accuracy=a)
        for s, score, a in zip(SOURCES[:3], (-1.0, -0.5, -2.0), (0.9, 0.7, 0.8), strict=True)
    ]
    (line,) = report.picks(part).to_dict("records")
    assert (line["picked"], line["best"]) == (SOURCES[1], SOURCES[0])
    assert line["regret"] == pytest.approx(0.2)
    assert report.picks([gone(r) for r in part]).empty


# Sentences


def test_findings_agree_with_the_numbers():
    part = rows()
    found = report.correlations(part, **FEW)
    text = report.findings(found, part, **FEW)
    wide = found.pivot_table("value", ["target", "metric"], "variant").round(3)
    better = sum(int((wide[v] > wide["all"]).sum()) for v in ("ca", "cs"))
    beyond = sum(int((wide[v] > wide["random"]).sum()) for v in ("ca", "cs"))
    assert text.startswith("7 targets, 4 metrics, 7 sources.")
    assert f"better than the baseline in {better} of 56 comparisons" in text
    assert f"better than the random control in {beyond} of 56 comparisons" in text
    for other in ("all", "random"):
        tests = report.differences(part, other=other, **FEW)
        single = tests[(tests["target"] != comparison.MEAN) & tests["variant"].isin(["ca", "cs"])]
        above, below = (single["low"] > 0).sum(), (single["high"] < 0).sum()
        assert f"lies above zero in {above} and below it in {below} of 56. If" in text
    for metric, name in zip(METRICS, ("LEEP", "NCE", "GBC", "LogME"), strict=True):
        (item,) = [line for line in text.splitlines() if line.startswith(f"- **{name}.**")]
        part_wide = wide.xs(metric, level="metric")
        means = found[found["metric"] == metric].groupby("variant")["value"].mean()
        assert f"CA {tables.number(means['ca'])}" in item
        assert (
            f"CS better on {int((part_wide['cs'] > part_wide['all']).sum())} of 7 targets" in item
        )


def test_findings_say_plainly_when_hardness_helps_and_when_it_harms():
    good = rows(metrics=["leep"], noise=NOISE | {"all": 0.6, "random": 0.6, "ca": 0, "cs": 0})
    text = report.findings(report.correlations(good, **FEW), good, **FEW)
    assert "better than the baseline in 14 of 14" in text
    assert "an interval above zero" in text
    assert "an interval below zero" not in text
    bad = rows(metrics=["leep"], noise={"all": 0, "random": 0, "ca": 0.6, "cs": 0.6})
    text = report.findings(report.correlations(bad, **FEW), bad, **FEW)
    assert "better than the baseline in 0 of 14 comparisons**, equally in 0 and worse in 14" in text
    assert "an interval below zero" in text
    assert "an interval above zero" not in text


def test_findings_for_one_target():
    part = rows(["greek"])
    text = report.findings(report.correlations(part, **FEW), part, **FEW)
    assert text.startswith("1 target, 4 metrics")
    assert "of 8 comparisons" in text
    assert "Against the baseline: CA " in text
    assert "better on" not in text


def test_findings_without_scores_accuracy_spread_or_control():
    part = [gone(r) if r.metric == "leep" and r.variant == "ca" else r for r in rows()]
    part = [r.model_copy(update={"score": 0.5}) if r.metric == "nce" else r for r in part]
    text = report.findings(report.correlations(part, **FEW), part, **FEW)
    assert "35 correlations of 112 could not be computed" in text
    assert "**NCE.** Pearson’s r could not be computed" in text
    plain = [r for r in rows(["greek"]) if r.variant != "random"]
    text = report.findings(report.correlations(plain, **FEW), plain, **FEW)
    assert "random control" not in text
    assert "nan" not in text


# Hardness bins


def test_bins_go_from_hard_to_easy_and_count_right():
    hardness = np.array([0.1, 0.9, 0.5, 0.9, 0.2, 0.7, 0.3])
    right = np.array([True, False, True, False, True, True, False])
    found = report.hardness_bins(hardness, {"resnet8": right}, bins=3)
    assert found["total"].tolist() == [3, 2, 2]
    assert found["correct"].tolist() == [1, 1, 2]  # hardest first: indices 1 3 5, 2 6, 4 0
    assert found["bin"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (10, 10), (3, 7), (480, 500)])
def test_wilson_is_scipys(hits, total):
    expected = scipy.stats.binomtest(hits, total).proportion_ci(method="wilson")
    assert bins.wilson(hits, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_bins_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="bins: expected 1 to 3"):
        report.hardness_bins(np.ones(3), {}, bins=5)
    with pytest.raises(ValueError, match="expected 3 truth values, got shape"):
        report.hardness_bins(np.ones(3), {"a": np.ones(3)}, bins=2)
    with pytest.raises(ValueError, match="hardness: expected"):
        report.hardness_bins(np.array([1.0, math.nan]), {}, bins=2)


def test_extremes_say_whether_the_hard_samples_are_got_wrong():
    hardness = np.arange(10.0)
    right = hardness < 6  # the hard ones are wrong
    bins = report.hardness_bins(hardness, {"a": right, "b": right})
    table = report.extremes({("greek", "ca"): bins, ("greek", "cs"): bins.assign(bin=6 - bins.bin)})
    assert table.frame["hardest"].tolist() == [0.0, 1.0]
    assert table.frame["easiest"].tolist() == [1.0, 0.0]
    assert [block.rows[0][1][2].text for block in table.blocks] == ["+100.0", "−100.0"]
    assert "CA: the hardest part is classified worse than the easiest on 1 of 1" in table.notes[0]
    assert "CS: the hardest part is classified worse than the easiest on 0 of 1" in table.notes[1]


def test_tables_need_no_matplotlib():
    code = "import sys, hastelib.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
