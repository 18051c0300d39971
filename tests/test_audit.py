"""The audit: the CSVs against sums of the printed tables, and every statistic against another."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from hastelib import report
from hastelib.figures import audit as pictures
from hastelib.report import audit

# Sums of each printed row and column, and the count of numbers, taken from the paper's text by a
# script of its own that knows nothing of the CSVs.
PRINTED = {
    1: (
        63,
        {
            "CUB200": 4.862,
            "StanfordDogs": 8.171,
            "Flowers102": 2.850,
            "Oxford-IIIT": 7.693,
            "Caltech101": 4.906,
            "Imagenette": 7.761,
            "PACS-Sketch": 2.093,
        },
        [4.222, 4.393, 4.921, 3.490, 3.766, 3.944, 4.361, 4.762, 4.477],
    ),
    2: (
        45,
        {
            "CUB200": 8.431,
            "Flowers102": 6.905,
            "StanfordDogs": 7.944,
            "Oxford-IIIT": 7.980,
            "PACS-Sketch": 8.085,
        },
        [4.440, 4.521, 4.442, 4.429, 4.515, 4.437, 4.069, 4.241, 4.251],
    ),
    3: (
        24,
        {"BDD100k": 3.123, "CamVid": 2.723, "SUIM": 3.034, "CityScapes": 3.116},
        [1.078, 1.678, 2.032, 2.332, 1.713, 3.163],
    ),
    4: (
        30,
        {
            "Flowers102": 1.678,
            "Stanford Dogs": 2.709,
            "CUB200": 2.308,
            "OxfordPets": 1.288,
            "Caltech101": 2.982,
        },
        [1.538, 1.807, 1.575, 1.972, 2.090, 1.983],
    ),
    5: (
        36,
        {
            "Emotion - IMDB": 0.087,
            "Emotion - TweetEval": 7.808,
            "AGNews - Emotion": 8.081,
            "AGNews - TweetEval": 6.647,
        },
        [2.427, 2.729, 2.673, 2.516, 2.804, 2.764, 2.088, 2.332, 2.290],
    ),
    6: (
        45,
        {
            "Caltech101": 3.429,
            "Flowers102": 5.261,
            "StanfordDogs": 8.314,
            "Oxford-IIIT": 7.637,
            "PACS-Sketch": 8.340,
        },
        [3.316, 4.098, 3.460, 3.363, 4.032, 3.560, 3.629, 3.771, 3.752],
    ),
    7: (
        20,
        {
            "Flowers102": -1.306,
            "Stanford Dogs": 1.625,
            "CUB200": 1.546,
            "Oxford-IIIT": 0.900,
            "Caltech101": 1.867,
        },
        [0.992, 0.947, 1.292, 1.401],
    ),
    8: (
        14,
        {"ResNet18": 2.171, "VGG19": 2.242, "ResNet50": 2.620, "Baseline (LEEP Score)": 0.833},
        [1.160, 0.477, 3.536, 2.693],
    ),
    9: (
        27,
        {"Caltech101": 4.146, "Flowers102": 5.046, "CUB200": 6.012},
        [1.454, 1.352, 1.824, 1.809, 1.778, 1.765, 1.771, 1.775, 1.676],
    ),
    10: (
        63,
        {
            "CUB200": 4.045,
            "StanfordDogs": 6.996,
            "Flowers102": 2.711,
            "Oxford-IIIT": 6.233,
            "Caltech101": 3.803,
            "Imagenette": 6.396,
            "PACS-Sketch": 2.045,
        },
        [3.388, 3.771, 4.437, 2.428, 3.102, 3.453, 3.597, 3.882, 4.171],
    ),
    11: (
        63,
        {
            "CUB200": 4.010,
            "StanfordDogs": 7.500,
            "Flowers102": 2.918,
            "Oxford-IIIT": 6.588,
            "Caltech101": 4.839,
            "Imagenette": 6.811,
            "PACS-Sketch": 1.813,
        },
        [3.486, 3.911, 4.702, 2.794, 3.492, 3.808, 3.999, 3.891, 4.396],
    ),
    12: (
        21,
        {
            "CUB200": 0.137,
            "StanfordDogs": 2.817,
            "Flowers102": 0.887,
            "Oxford-IIIT": 2.843,
            "Caltech101": 1.862,
            "Imagenette": 2.829,
            "PACS-Sketch": 0.371,
        },
        [2.204, 4.810, 4.732],
    ),
    13: (
        15,
        {
            "CUB200": 0.937,
            "Flowers102": 0.759,
            "StanfordDogs": 0.802,
            "Oxford-IIIT": 0.429,
            "PACS-Sketch": 0.495,
        },
        [-3.452, 3.474, 3.400],
    ),
}


def _as_printed(which: int) -> pd.DataFrame:
    """A CSV with the row and the column in which each number is printed."""
    table = report.paper_numbers(which)
    columns = table["metric"] + " " + table["variant"]
    if which == 8:  # rows are networks, columns targets; a baseline fills the first of its target
        rows = table["hardness_source"].replace("", "Baseline (LEEP Score)")
        columns = table["target"] + " " + table["variant"].replace("all", "ca")
    elif which == 5:
        rows = table["source"] + " - " + table["target"]
    else:
        rows = table["target"]
    return table.assign(row=rows, column=columns)


@pytest.mark.parametrize("which", PRINTED)
def test_the_csvs_sum_to_what_is_printed(which):
    count, rows, columns = PRINTED[which]
    table = _as_printed(which)
    assert len(table) == count
    sums = table.groupby("row", sort=False)["value"].sum()
    assert dict(sums) == pytest.approx(rows, abs=1e-9)
    across = table.groupby("column", sort=False)["value"].sum()
    assert list(across) == pytest.approx(columns, abs=1e-9)


def test_the_printed_sums_agree_with_each_other():
    for count, rows, columns in PRINTED.values():
        assert sum(rows.values()) == pytest.approx(sum(columns), abs=1e-9)
        assert count <= len(rows) * len(columns)


# Headlines


def test_every_headline_comes_out():
    frame = audit.headlines().frame
    assert len(frame) == 16
    assert set(frame["table"]) == {1, 2, 3, 4, 5, 12, 13}
    assert (frame["got"] - frame["printed"]).abs().max() <= 0.02
    for line in frame.to_dict("records"):
        which, metric = line["table"], "leep" if line["table"] == 13 else line["metric"]
        other = report.improvements(report.paper_numbers(which)).frame
        other = other[other["metric"] == metric]
        assert line["got"] == pytest.approx(other["relative"].iloc[-1])


def test_a_headline_that_does_not_come_out_stops():
    with pytest.raises(ValueError, match=r"Table 1, leep: expected 129.74, got 129.75"):
        audit.headlines(tolerance=0.005)


def test_the_range_is_that_of_all_roundings():
    """Table 3's NCE: eight numbers, every one of them half a unit up or down."""
    line = audit.headlines().frame.query("table == 3 and metric == 'nce'").iloc[0]
    table = audit.pairs([3]).query("metric == 'nce'")
    b, h = table["other"].to_numpy(), table["value"].to_numpy()
    shifts = np.array(list(itertools.product([-0.0005, 0.0005], repeat=8)))
    bases = b + shifts[:, :4]
    means = 100 * ((h + shifts[:, 4:] - bases) / np.abs(bases)).mean(1)
    assert (line["low"], line["high"]) == pytest.approx((means.min(), means.max()))


def test_contributions_add_up_and_leverage_leaves_a_row_out():
    points = audit.contributions().groupby(["table", "metric"], sort=False)["points"].sum()
    found = audit.leverage().frame
    assert list(points) == pytest.approx(list(found["mean"]))
    for line in found.to_dict("records"):
        table = audit.pairs([line["table"]])
        table = table[table["metric"] == line["metric"]]
        rest = table[table["row"] != line["row"]]["relative"].mean()
        assert line["without"] == pytest.approx(rest)
        every = [table[table["row"] != row]["relative"].mean() for row in table["row"].unique()]
        mean = table["relative"].mean()
        assert abs(mean - rest) == pytest.approx(max(abs(mean - one) for one in every))
        assert line["points"] == pytest.approx(mean - rest * (1 - 1 / len(every)))
        assert 1 / len(every) <= line["share"] <= 1
    first = found.set_index(["table", "metric"]).loc[(1, "leep")]
    assert first["row"] == "PACS-Sketch"
    assert first["points"] == pytest.approx(100 * (0.196 + 0.253 + 2 * 0.029) / 0.029 / 14)


# Sums of another kind


@pytest.mark.parametrize("variant", ["ca", "cs", "both"])
@pytest.mark.parametrize("which", [1, 2, 3, 4, 5, 6, 12])
def test_summaries_are_those_of_the_report(which, variant):
    name = "haste" if variant == "both" and which != 3 else "ca" if variant == "both" else variant
    other = report.improvements(report.paper_numbers(which)).frame
    other = other[other["variant"] == name].set_index("metric")
    found = audit.summaries(variant).frame
    found = found[found["table"] == which].set_index("metric")
    assert list(found.index) == list(other.index)
    pairs = {"mean": "relative", "ratio": "ratio", "gain": "difference"}
    for ours, theirs in {**pairs, **{k: k for k in ("wins", "ties", "losses")}}.items():
        assert list(found[ours]) == pytest.approx(list(other[theirs]))


def test_summaries_have_the_median_and_no_ratio_of_a_negative_base():
    found = audit.summaries().frame.set_index(["table", "metric"])
    changes = sorted(audit.pairs([4]).query("metric == 'e_leep'")["relative"])
    assert found.loc[(4, "e_leep"), "median"] == pytest.approx((changes[4] + changes[5]) / 2)
    assert math.isnan(found.loc[(13, "logme"), "ratio"])
    with pytest.raises(ValueError, match="expected ca, cs or both, got 'haste'"):
        audit.summaries("haste")


def test_wins_and_their_sign_test():
    found = audit.wins().frame.set_index(["variant", "table"])
    for variant in ("ca", "cs", "both"):
        parts = found.loc[variant]
        for key in ("wins", "ties", "losses"):
            assert parts.loc[0, key] == parts.drop(0)[key].sum()
    # Table 2, counted by eye: CA loses GBC on Flowers102; CS ties 4 and loses 4.
    assert tuple(found.loc[("ca", 2)][["wins", "ties", "losses"]]) == (14, 0, 1)
    assert tuple(found.loc[("cs", 2)][["wins", "ties", "losses"]]) == (7, 4, 4)
    line = found.loc[("both", 4)]
    n, k = int(line["wins"] + line["losses"]), int(line["losses"])
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    assert line["p"] == pytest.approx(2 * tail)


def test_left_out_is_the_range_without_each_row_and_metric():
    found = audit.left_out().frame.set_index("table")
    table = audit.pairs([7])
    rows = [table[table["row"] != row]["gain"].mean() for row in table["row"].unique()]
    assert found.loc[7, "row_low"] == pytest.approx(min(rows))
    assert found.loc[7, "row_high"] == pytest.approx(max(rows))
    metrics = [table[table["metric"] == name]["gain"].mean() for name in ("e_leep", "ms_leep")]
    assert found.loc[7, "metric_low"] == pytest.approx(min(metrics))
    assert math.isnan(found.loc[12, "metric_low"])
    assert (found["row_low"] <= found["gain"]).all()
    assert (found["gain"] <= found["row_high"]).all()


# Intervals and tests


def test_fisher_is_scipys_interval():
    generator = np.random.default_rng(0)
    for n, level in ((5, 0.9), (7, 0.95), (50, 0.99)):
        x, y = generator.normal(size=(2, n))
        result = scipy.stats.pearsonr(x, y)
        expected = result.confidence_interval(level)
        found = audit.fisher(np.array([result.statistic]), n, level)[:, 0]
        assert tuple(found) == pytest.approx((expected.low, expected.high))


def test_fisher_covers_as_it_says_at_seven_points():
    generator = np.random.default_rng(1)
    x = generator.normal(size=(20_000, 7))
    y = 0.5 * x + math.sqrt(0.75) * generator.normal(size=x.shape)
    x, y = ((v - v.mean(1, keepdims=True)) for v in (x, y))
    r = (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))
    low, high = audit.fisher(r, 7)
    assert ((low < 0.5) & (high > 0.5)).mean() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(("r", "n", "level"), [(1.0, 7, 0.95), (0.5, 3, 0.95), (0.5, 7, 95)])
def test_fisher_refuses(r, n, level):
    with pytest.raises(ValueError, match="expected correlations inside"):
        audit.fisher(np.array([r]), n, level)


def test_intervals_count_what_they_say():
    found = audit.intervals().frame.set_index("table")
    assert found.loc[1, "n"] == 7
    assert found.loc[1, "comparisons"] == 42
    table = audit.pairs([1])
    half = [np.ptp(scipy.special.expit(2 * (np.arctanh(b) + np.array([-1, 1]) * 0.97998)) * 2)
            for b in table["other"]]  # fmt: skip
    assert found.loc[1, "small"] == int((table["gain"].abs() < np.array(half) / 2).sum())
    every = report.paper_numbers(1)["value"]  # r differs from 0 where |artanh r| > 1.96 / 2
    assert found.loc[1, "zero"] == int((np.arctanh(every).abs() < 0.97998).sum())
    with pytest.raises(ValueError, match="table: expected one of 1, 2, 3, 4, 5, 6, 7, 12, 13, got"):
        audit.printed_intervals(10)
    assert audit.printed_intervals(5)["target"].iloc[0] == "Emotion–IMDB"


def test_williams_counts_what_is_possible_and_significant():
    between = (0.5, 0.9, 0.95)
    found = audit.williams(between).frame.set_index("table")
    cells = list(zip(audit.pairs([1])["value"], audit.pairs([1])["other"], strict=True))
    for place, r12 in enumerate(between):
        matrices = [np.array([[1, a, b], [a, 1, r12], [b, r12, 1]]) for a, b in cells]
        possible = [bool((np.linalg.eigvalsh(m) > -1e-12).all()) for m in matrices]
        assert found.loc[1, "possible"][place] == sum(possible)
        hits = 0
        for (a, b), there in zip(cells, possible, strict=True):
            if there:
                det = 1 - a**2 - b**2 - r12**2 + 2 * a * b * r12
                spread = 2 * 6 / 4 * det + ((a + b) / 2) ** 2 * (1 - r12) ** 3
                t = (a - b) * math.sqrt(6 * (1 + r12) / spread)
                hits += bool(2 * scipy.stats.t.sf(abs(t), 4) < 0.05)
        assert found.loc[1, "hits"][place] == hits
    lowest = found.loc[1, "lowest"]
    below, above = (
        audit.williams((lowest - 0.005, lowest + 0.005)).frame.set_index("table").loc[1, "hits"]
    )
    assert (below, above > 0) == (0, True)


# Claims


def test_claims_are_counted_right():
    frame = audit.claims()
    assert set(frame["verdict"]) <= {"holds", "holds on average", "does not hold"}
    text = dict(zip(frame["section"], frame["found"], strict=True))
    verdict = dict(zip(frame["section"], frame["verdict"], strict=True))
    table = audit.pairs()
    won, tied, lost = ((np.sign(table["gain"]) == k).sum() for k in (1, 0, -1))
    assert (
        f"Of {len(table)} comparisons {won} are won, {tied} tied, {lost} lost" in text["Abstract"]
    )
    assert verdict["Abstract"] == "does not hold"
    wide = report.paper_numbers(1).pivot_table("value", ["metric", "target"], "variant")
    both = (wide["ca"] > wide["all"]) & (wide["cs"] > wide["all"])
    assert f"{both.sum()} of 21; LEEP {both['leep'].sum()} of 7" in text["5.1"]
    assert "12 of 12" in text["A.4"]
    assert verdict["A.4"] == "holds"
    # Table 9, counted by eye: CUB200's .723 equals its CS and its .728 exceeds it.
    assert "than CS: 16–1–1" in text["A.5"]
    assert "GBC CA, NCE CS, LEEP CS, LEEP CA, GBC CS" in text["6"]
    words = audit.claims_in_words()
    assert words.count("\n- ") == len(frame) - 1
    tally = re.search(r"Verdicts on the (\d+) sentences: (.*)\.", words)
    assert tally
    assert sum(int(n) for n in re.findall(r"\d+", tally[2])) == int(tally[1]) == len(frame)


# Contradictions


def test_repeated_rows():
    frame = audit.repeated().frame
    keys = set(zip(frame["table"], frame["row"], frame["metric"], strict=True))
    assert {(1, "Caltech101", "nce"), (3, "SUIM", "nce")} <= keys
    assert {(1, "CUB200", "leep"), (9, "Flowers102", "leep")} <= keys
    assert {(5, "Emotion–TweetEval", "leep"), (5, "AGNews–TweetEval", "nce")} <= keys
    assert (frame.groupby(["all", "ca"]).size() > 1).all()
    assert (1, "PACS-Sketch", "leep") not in keys


def test_table_8_against_table_6():
    found = audit.hardness_sources()
    assert len(found.frame) == 12
    line = found.frame.query("row == 'Caltech101' and variant == 'ca'")
    assert list(line["value"]) == [0.360, 0.200, 0.630]
    assert set(line["table 6"]) == {0.709}
    assert set(line["baseline"]) == {-0.03}
    assert found.notes[0].startswith("0 of Table 8’s 12 values")


def test_rankings_have_the_correlations_of_any_seven_scores():
    ties, tau, weighted = audit.contradictions._rankings()
    assert len(tau) == math.factorial(7) * (1 + 6 / 2)
    generator = np.random.default_rng(2)
    for tied in (False, True):
        for _ in range(20):
            scores, accuracies = generator.permutation(7), generator.permutation(7).astype(float)
            if tied:
                accuracies[accuracies == 3] = 4
            pair = np.array(
                [
                    scipy.stats.kendalltau(scores, accuracies).statistic,
                    scipy.stats.weightedtau(scores, accuracies).statistic,
                ]
            )
            here = np.array([tau, weighted])[:, ties == tied]
            assert np.abs(here - pair[:, None]).max(0).min() < 1e-12
            swapped = scipy.stats.weightedtau(accuracies, scores).statistic
            assert swapped == pytest.approx(pair[1])  # so a tie of two scores gives nothing new


def test_one_cell_of_tables_10_and_11_fits_no_ranking():
    frame = audit.rankings().frame
    assert len(frame) == 63
    bad = frame[frame["cut"] == 0]
    assert bad[["row", "metric", "variant"]].to_numpy().tolist() == [["Imagenette", "nce", "ca"]]
    # tau = .714 is 15/21, three discordant pairs, without a tie or with: 15/sqrt(21 * 20) is not.
    assert math.trunc(1000 * 15 / 21) == 714
    found = {
        round(float(scipy.stats.weightedtau(order, range(7)).statistic), 6)
        for order in itertools.permutations(range(7))
        if sum(a > b for a, b in itertools.combinations(order, 2)) == 3
    }
    assert min(abs(value - 0.758) for value in found) > 0.005
    assert set(frame[frame["tied"]]["row"]) == {"Caltech101", "PACS-Sketch", "Imagenette"}
    assert (frame["tau cut"] > 0).all()
    assert (frame["tau rounded"] > 0).sum() < len(frame)
    notes = audit.rankings().notes
    assert notes[0].startswith(
        f"Both at once: 62 of 63 cells if cut off, {(frame['rounded'] > 0).sum()}"
    )
    assert notes[1].startswith("Imagenette, NCE CA: no ranking")


def test_unchanged_ranks():
    r, tau, weighted = (audit.pairs([which])["gain"].to_numpy() for which in (1, 10, 11))
    still = int(((tau == 0) & (weighted == 0)).sum())
    assert audit.unchanged().startswith(f"In {still} of 42 comparisons")
    assert f"Of the {(r > 0).sum()} comparisons" in audit.unchanged()


# Numbers of the text


def test_pools_and_tasks_are_counted_right():
    pools = audit.pools().frame.set_index("target")
    assert pools.loc["CUB200"].tolist() == [2, 11, 330, 165]
    assert pools.loc["Stanford Dogs"].tolist() == [3, 10, 210, 120]
    assert pools.loc["Caltech101"].tolist() == [1, 12, 495, 220]
    tasks = audit.tasks().frame.set_index("target")
    for name, classes in (("IMDB", 2), ("CARER", 6), ("PACS-Sketch", 7)):
        some = [
            chosen
            for k in range(1, classes + 1)
            for chosen in itertools.combinations(range(classes), k)
            if k >= 0.4 * classes
        ]
        assert tasks.loc[name, "sets"] == len(some)


def test_a_covariance_has_an_inverse_only_with_more_samples_than_dimensions():
    generator = np.random.default_rng(3)
    for count, rank in ((5, 4), (6, 5), (9, 5)):
        samples = generator.normal(size=(count, 5))
        assert np.linalg.matrix_rank(np.cov(samples.T)) == rank
    frame = audit.covariances().frame.set_index(["section", "target"])["inverse"]
    assert set(frame.loc["5.1"]) == {"none"}
    assert frame.loc[("5.2", "PACS-Sketch")] == "some"
    assert frame.loc[("5.5", "IMDB")] == "all"


# The page


def test_the_summary_has_the_numbers_of_the_tables():
    text = audit.summary()
    assert len(text.splitlines()) == 5
    table = audit.pairs()
    assert f"{(table['gain'] > 0).sum()} of {len(table)} comparisons" in text
    found = audit.leverage().frame
    assert f"In {(found['share'] > 0.5).sum()} of {len(found)} mean relative changes" in text
    assert "99% interval" in audit.summary(0.99)


@pytest.mark.parametrize(
    "table",
    [audit.headlines, audit.leverage, audit.summaries, audit.wins, audit.left_out, audit.widths,
     audit.intervals, audit.williams, audit.hardness_sources, audit.mislabelled, audit.repeated,
     audit.rankings, audit.pools, audit.tasks, audit.covariances],
)  # fmt: skip
def test_tables_are_narrow_and_have_no_nan(table):
    shown = table()
    for block in shown.blocks:
        assert len(block.head) <= 6
        for _, cells in block.rows:
            assert len(cells) == len(block.head) - 1
            assert not any("nan" in cell.text for cell in cells)


def test_figures_draw_every_row_and_say_so():
    keys = ["table", "metric"]
    found = audit.leverage().frame.merge(
        audit.summaries().frame[[*keys, "ratio", "median"]], on=keys
    )
    figure = pictures.headlines(found)
    assert len(figure.axes[0].get_yticklabels()) == len(found)
    dots = [line for line in figure.axes[0].lines if line.get_marker() in "oD^s"]
    assert [len(line.get_xdata()) for line in dots] == [len(found)] * 4
    assert "Table 1 LEEP +129.8, +5.7, +10.3, +2.6" in pictures.headlines_alt(found)
    points = audit.contributions([1])
    figure = pictures.contributions(points)
    assert [len(axes.patches) for axes in figure.axes] == [7, 7, 7]
    widths = [bar.get_width() for axes in figure.axes for bar in axes.patches]
    assert sum(widths) == pytest.approx(points["points"].sum())
    text = pictures.contributions_alt(points)
    assert text.count("PACS-Sketch") == 3
    assert "nan" not in text + pictures.headlines_alt(found)


def test_table_13_is_not_table_2():
    found = audit.mislabelled()
    frame = found.frame.loc["PACS-Sketch"]
    assert frame["2"].tolist() == [0.940, 0.943, 0.944]
    assert frame["13"].tolist() == [0.044, 0.035, 0.416]
    assert found.notes[0].startswith("0 of 15 values agree")
    assert "+236.17%" in found.notes[0]
