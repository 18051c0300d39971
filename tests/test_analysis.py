"""One bootstrap for every correlation, and tables and figures that show what they are given."""

import itertools
import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic import SOURCES, TARGETS, gone, rows

from hastelib import analysis, stats
from hastelib.analysis import paper, plots, tables
from hastelib.analysis.notebook import hardness_bins

BY = ["metric", "target", "variant"]
FEW: Any = {"resamples": 50}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return rows()


@pytest.fixture(scope="module")
def boot(frame: pd.DataFrame) -> pd.DataFrame:
    return analysis.bootstrap(frame, BY, **FEW)


def of(frame: pd.DataFrame, metric: str, target: str, variant: str, draw: int = 0) -> pd.DataFrame:
    told = {"metric": metric, "target": target, "variant": variant, "draw": draw}
    return frame[(frame[[*told]] == pd.Series(told)).all(axis=1)]


# The bootstrap


@pytest.mark.parametrize(
    "statistic", ["pearson", "spearman", "kendall", "weighted_kendall", "regret"]
)
def test_a_cell_is_the_statistic_of_its_rows(frame: pd.DataFrame, statistic: str):
    boot = analysis.bootstrap(frame, BY, statistic=statistic, **FEW)
    assert boot.shape == (51, 2 * 3 * 4)
    assert list(boot.columns.unique("metric")) == ["leep", "gbc"]  # as they first come
    one = of(frame, "gbc", "greek", "cs")
    expected = stats.replicates(statistic, one["score"].to_numpy(), one["accuracy"].to_numpy(), 50)
    rounded = 1e-12 if statistic == "pearson" else 0  # by weights, not by rows
    np.testing.assert_allclose(boot["gbc", "greek", "cs"], expected, rounded)


def test_random_is_the_mean_of_the_draws_correlations(frame, boot):
    each = [of(frame, "leep", "greek", "random", draw) for draw in range(4)]
    values = [np.corrcoef(one["score"], one["accuracy"])[0, 1] for one in each]
    assert boot["leep", "greek", "random"].iloc[0] == pytest.approx(np.mean(values), abs=1e-12)
    steady = np.mean([one["score"].to_numpy() for one in each], axis=0)
    stricter = np.corrcoef(steady, each[0]["accuracy"])[0, 1]
    assert stricter > np.mean(values)  # averaging the scores first is another control


def test_what_is_not_there_takes_no_more_with_it_than_it_must(frame, boot):
    hole = gone(frame, frame["source"].eq(SOURCES[0]) & frame["variant"].eq("cs"))
    rest = analysis.bootstrap(frame[frame["source"] != SOURCES[0]], BY, **FEW)
    pd.testing.assert_frame_equal(analysis.bootstrap(hole, BY, **FEW), rest)
    turned = analysis.bootstrap(frame[frame["target"] != "cyrillic"].iloc[::-1], BY, **FEW)
    np.testing.assert_allclose(turned.iloc[0], boot[turned.columns].iloc[0], rtol=0, atol=1e-12)
    found = analysis.bootstrap(gone(frame, frame["variant"].eq("cs")), BY, **FEW)
    assert found.xs("cs", axis=1, level="variant").isna().all(axis=None)
    rest = [column for column in found if column[2] != "cs"]
    pd.testing.assert_frame_equal(found[rest], boot[rest])
    # Means are over the cells that have a value.
    lost = gone(frame, frame["target"].eq("greek") & frame["variant"].eq("cs"))
    mean = analysis.mean(analysis.bootstrap(lost, BY, **FEW))
    assert list(mean.columns.names) == ["metric", "variant"]
    for variant, there in (("cs", TARGETS[1:]), ("all", TARGETS)):
        kept = boot.loc[:, [("leep", target, variant) for target in there]].mean(axis=1)
        np.testing.assert_allclose(mean["leep", variant], kept)


def test_few_units_have_no_interval_and_two_no_value(frame, boot):
    four = analysis.bootstrap(frame[frame["source"].isin(SOURCES[:4])], BY, **FEW)
    found = analysis.summary(four)
    assert found["value"].notna().all()
    assert found[["low", "high"]].isna().all(axis=None)
    column = boot["leep", "greek", "all"]
    value, *ends = analysis.summary(boot).loc[("leep", "greek", "all")]
    assert value == column.iloc[0]
    assert ends == pytest.approx(np.quantile(column.iloc[1:], [0.025, 0.975]), abs=1e-12)
    two = analysis.bootstrap(frame[frame["source"].isin(SOURCES[:2])], BY, **FEW)
    assert two.isna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "by", "message"),
    [
        (lambda f: f.drop(columns="score"), BY, r"missing \['score'\]"),
        (lambda f: f, ["metric", "target"], "expected 'variant'"),
        (lambda f: f.iloc[:0], BY, "expected rows, got none"),
        (lambda f: f, ["metric", "variant"], "expected each cell, source and draw once"),
    ],
)
def test_frames_that_mean_nothing_are_refused(frame, change, by, message):
    with pytest.raises(ValueError, match=message):
        analysis.bootstrap(change(frame), by, **FEW)


# Arithmetic on its columns


def test_gains_are_paired(frame, boot):
    gains = analysis.against(boot, "all")
    assert "all" not in gains.columns.levels[2]
    rest = boot.loc[:, boot.columns.get_level_values("variant") != "all"]
    assert "all" not in analysis.summary(rest).index.levels[2]
    difference = boot["leep", "greek", "cs"] - boot["leep", "greek", "all"]
    np.testing.assert_array_equal(gains["leep", "greek", "cs"], difference)
    with pytest.raises(ValueError, match=r"other: expected one of .*, got 'static'"):
        analysis.against(boot, "static")
    one = frame.query("metric == 'leep' and target == 'greek'")  # of a single level
    gain = analysis.against(analysis.bootstrap(one, ["variant"], **FEW), "all")["cs"]
    np.testing.assert_allclose(gain.to_numpy().ravel(), difference, atol=1e-12)


def test_cells_share_the_draws_of_their_units_by_name():
    generator = np.random.default_rng(0)
    pairs = pd.DataFrame(generator.normal(size=(6, 2)), [*"abcdef"], ["score", "accuracy"])
    apart = pairs.set_axis([*"uvwxyz"])
    parts = {"whole": pairs, "part": pairs[1:], "apart": apart}
    frame = pd.concat(parts, names=["target", "source"]).reset_index().assign(variant="all")
    boot = analysis.bootstrap(frame, ["target", "variant"], **FEW).droplevel("variant", axis=1)
    units, which = stats.drawn(6, 50, 0)
    for line, value in zip(units[which], boot["part"], strict=True):
        there = [i for i in line if i > 0]  # a is not in it
        if len({*there}) < 2:
            assert math.isnan(value)
        else:
            assert value == pytest.approx(np.corrcoef(pairs.iloc[there].T)[0, 1])
    np.testing.assert_allclose(boot["whole"], stats.replicates("pearson", *pairs.T.to_numpy(), 50))
    assert not np.allclose(boot["whole"][1:], boot["apart"][1:], equal_nan=True)


def test_the_interval_covers():
    """Of 100 samples of 12 units with r = 0.6, the 95% interval holds it in about nine of ten."""
    generator = np.random.default_rng(0)
    pairs = generator.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=100 * 12)
    one = pd.DataFrame(pairs, columns=["score", "accuracy"])
    one[["target", "source"]] = [divmod(i, 12) for i in range(len(one))]
    boot = analysis.bootstrap(one.assign(variant="all"), ["target", "variant"], resamples=300)
    found = analysis.summary(boot)
    assert 0.83 <= ((found["low"] <= 0.6) & (found["high"] >= 0.6)).mean() <= 0.97


# Ensembles


def ensembles_of(count: int, size: int) -> list[str]:
    return ["|".join(f"m{i}" for i in line) for line in itertools.combinations(range(count), size)]


def test_ensembles_are_weighted_by_copies_of_their_members():
    names = ensembles_of(6, 3)
    generator = np.random.default_rng(3)
    scores, accuracies = generator.normal(size=(2, len(names))) + 100
    columns = {"source": names, "variant": "all", "score": scores, "accuracy": accuracies}
    frame = pd.DataFrame(columns)
    found = analysis.bootstrap(frame, ["variant"], members="|", resamples=40)["all"]
    assert found.iloc[0].item() == pytest.approx(np.corrcoef(scores, accuracies)[0, 1])
    weights = analysis.ensemble_weights(names, "|", 40)
    often = np.random.default_rng(0).multinomial(6, np.full(6, 1 / 6), size=40)
    checked = 0
    for line, weight, value in zip(often, weights[1:], found.to_numpy()[1:], strict=True):
        copies = [(i, c) for i, n in enumerate(line) for c in range(n)]
        lines = [[i for i, _ in some] for some in itertools.combinations(copies, 3)]
        there = [names.index("|".join(f"m{i}" for i in s)) for s in lines if len(set(s)) == 3]
        assert np.array_equal(np.bincount(there, minlength=len(names)), weight)
        if len(set(there)) < analysis.FEWEST:
            assert math.isnan(value.item())
            continue
        assert value.item() == pytest.approx(np.corrcoef(scores[there], accuracies[there])[0, 1])
        checked += 1
    assert checked > 20
    # Of four members and ensembles of three, only resamples without repetition have any.
    small = frame[:4].assign(source=ensembles_of(4, 3))
    found = analysis.summary(analysis.bootstrap(small, ["variant"], members="|")).iloc[0]
    assert -1 <= found["value"] <= 1
    assert found[["low", "high"]].isna().all()


def test_intervals_over_members_cover_and_those_over_ensembles_do_not():
    """Scores are sums over members, accuracies nearly so; the truth is r = 0.46 in the limit."""
    names, generator = ensembles_of(11, 4), np.random.default_rng(0)
    chosen = np.array(list(itertools.combinations(range(11), 4)))
    truth = 0.5 * math.sqrt(4 / (4 + 0.35**2 * 4 * 3 / 2))
    parts = []
    for draw in range(40):
        a, b = generator.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=11).T
        pairs = np.triu(generator.normal(size=(11, 11)), 1)
        pairs += pairs.T
        extra = np.array([pairs[np.ix_(line, line)].sum() / 2 for line in chosen])
        told = {"score": a[chosen].sum(1), "accuracy": b[chosen].sum(1) + 0.35 * extra}
        parts.append(pd.DataFrame({"source": names, "target": draw, "variant": "all"} | told))
    inside = {}
    for members in ("|", ""):
        by = ["target", "variant"]
        boot = analysis.bootstrap(pd.concat(parts), by, members=members, resamples=200)
        found = analysis.summary(boot)
        inside[members] = ((found["low"] <= truth) & (found["high"] >= truth)).mean()
    assert inside["|"] >= 0.85
    assert inside[""] <= 0.5


# Claims, accuracies, bins


def test_claims_that_fail_stop_the_page(capsys):
    analysis.verify({"one": (1, 1.0), "yes": (True, np.bool_(True))})
    with pytest.raises(ValueError, match=r"do not hold:\n  wins: expected 3, got 4"):
        analysis.verify({"wins": (3, 4), "right": (1, 1)})
    assert analysis.verify({"wins": (3, 4)}, when=False) is None  # of another run
    assert "Not checked: 1 claims" in capsys.readouterr().out


def test_accuracies_that_do_not_differ_are_nothing_to_predict():
    frame = rows(targets=["greek"])
    values = frame.drop_duplicates("source")["accuracy"]
    width = values.max() - values.min()
    nothing = "nothing to predict"
    for std, times, verdict in (
        (0.012, width / 0.012, ""), (0.2, width / 0.2, nothing), (math.nan, math.nan, "")
    ):  # fmt: skip
        found = analysis.spread(frame.assign(accuracy_std=std)).loc["greek"]
        assert found["range"] == pytest.approx(width)
        assert found["times"] == pytest.approx(times, nan_ok=True)
        assert found["verdict"] == verdict


@pytest.mark.parametrize(("n", "bins"), [(10, 5), (13, 5), (7, 3)])
def test_bins_are_those_of_array_split(n: int, bins: int):
    values = np.random.default_rng(n).permutation(n).astype(float)
    samples = pd.DataFrame({"target": "t", "source": "s", "ca": values})
    found = hardness_bins(samples, "ca", bins)["bin"].to_numpy()
    for place, part in enumerate(np.array_split(np.argsort(-values, kind="stable"), bins), 1):
        assert (found[part] == place).all()


# The paper, tables and figures


def test_numbers_and_intervals_read_as_they_are():
    assert len(paper.read()) == sum(len(paper.read(which)) for which in range(1, 14)) == 466
    assert list(paper.read(12, 1)["table"].unique()) == [12, 1]
    with pytest.raises(ValueError, match=r"from 1 to 13, got \[14\]"):
        paper.read(14)
    assert tables.number(-0.0004) == "0.000"
    assert tables.number(-1.5, 1) == "−1.5"
    assert tables.number(0.25, 2, sign=True) == "+0.25"
    assert tables.number(math.nan) == "–"
    assert tables.interval(-0.5, 0.0004) == "[−0.50, +0.00]"  # does not end below zero
    assert tables.interval(-0.0004, 0.5) == "[−0.00, 0.50]"
    assert (tables.interval(math.nan, 1), tables.label("h_score")) == ("", "H-score")
    assert tables.source("resnet14@glyphs+greek") == "resnet14+greek"
    names = "densenet22@glyphs", "mobilenet_v2@x", "mobilenetv1_050@pocket", "torchvision/vgg16"
    assert [*map(tables.family, names)] == ["densenet", "mobilenet", "mobilenet", "vgg"]


def test_a_table_joins_value_and_interval(boot):
    shown = tables.plain(analysis.summary(boot).loc["leep"], "r < 1 & more").to_html()
    assert "<caption>r &lt; 1 &amp; more</caption>" in shown
    value, low, high = analysis.summary(boot).loc[("leep", "greek", "cs")]
    ends = tables.short(tables.interval(low, high, 3))
    assert f"{tables.number(value)}<br><small>{ends}</small>" in shown
    assert ">low<" not in shown
    mixed = pd.DataFrame({"a": ["<b>[.5]</b>", "–"], "b": ["<b>x1</b>", "y"]})
    kinds = tables.plain(mixed.rename_axis("variant").rename_axis(columns="metric")).to_html()
    assert kinds.count(" text") == 2  # numbers in bold stand right, words left
    assert (kinds.count(">Samples<"), kinds.count(">Metric<")) == (1, 0)  # what the rows are
    with pytest.raises(ValueError, match="expected each row's name once"):
        tables.plain(pd.DataFrame({"a": [1, 2]}, index=["x", "x"]))


def test_the_wide_table_has_groups_means_and_bold(boot):
    summary = analysis.summary(boot)
    html = tables.wide(summary, mean=analysis.summary(analysis.mean(boot))).to_html()
    assert html.count("<tr>") == 1 + 2 * (3 + 1)  # a head, of each metric targets and their mean
    for (metric, target, variant), value in summary["value"].items():
        text = tables.number(value)
        plain = round(summary["value"][metric, target, "all"], 3)
        bold = variant in ("ca", "cs") and round(value, 3) > plain
        assert (f"<b>{text}</b>" if bold else f">{text}<") in html
    mean = analysis.summary(analysis.mean(boot)).loc[("leep", "all")]
    assert tables.short(tables.interval(mean["low"], mean["high"])) in html
    both = tables.beside(tables.wide(summary), tables.wide(summary))._repr_html_()
    assert both.count("<table") == 2


def test_figures_have_a_caption_and_a_description(boot, capsys):
    figure = plots.forest(analysis.summary(boot))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["LEEP", "GBC"]
    text = plots.html(figure, "What <b> to see.", 'A "plot".', "Figure 5.1b")
    assert 'id="figure-5-1b"' in text
    assert 'alt="A &quot;plot&quot;."' in text
    assert "What &lt;b&gt; to see." in text
    with pytest.raises(ValueError, match="needs a caption"):
        plots.html(figure, " ", "alt")
    plt.close(figure)


def test_a_gallery_has_a_row_a_title_and_a_text_a_picture():
    groups = {"Hardest": ([Image.new("L", (4, 4))] * 2, ["0.9", "0.8"])}
    figure = plots.gallery(groups, height=1)
    (row,) = figure.subfigs
    assert row.get_suptitle() == "Hardest"
    assert [ax.get_xlabel() for ax in row.axes] == ["0.9", "0.8"]
    with pytest.raises(ValueError, match="zip"):
        plots.gallery({"Hardest": ([Image.new("L", (4, 4))], [])}, height=1)
