"""Ensembles: all bookkeeping against brute force on small pools, and intervals over the members."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path

import numpy as np
import papermill
import pytest
import torch

from hastelib import ensembles, finetune, hardness, metrics, report, stats, suites
from hastelib.ensembles import Members, Pool
from hastelib.experiments import HARD, Grid
from hastelib.figures import ensembles as drawn
from hastelib.records import Row, frame, read_csv
from hastelib.report import ensembles as told
from hastelib.specs import Glyphs
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
        assert score.samples[e] == len(own[0])

        union = torch.tensor(sorted({int(i) for rows in own for i in rows}))
        expected = metrics.e_leep([members.probs[m][union] for m in line], members.labels[union])
        score = found["e_leep", variant]
        assert score.values[0, e] == pytest.approx(expected, abs=1e-12)
        assert score.samples[e] == len(union)
        assert score.classes[e] == len(members.labels[union].unique())
        assert score.values.shape == (1, len(chosen))


def test_ms_leep_of_all_samples_is_the_metric_itself(members: Members):
    chosen = ensembles.candidates(6, 3)
    (found,) = ensembles.scores(members, [chosen], draws=1)
    for value, line in zip(found["ms_leep", "all"].values[0], chosen, strict=True):
        whole = metrics.ms_leep([members.probs[m] for m in line], members.labels)
        assert value == pytest.approx(whole, abs=1e-12)


def test_random_control_has_the_sizes_of_the_hard_subsets(members: Members):
    chosen = ensembles.candidates(6, 3)
    (found,) = ensembles.scores(members, [chosen], draws=4)
    assert (found["ms_leep", "random"].samples == 10).all()
    unions = (found["e_leep", "ca"].samples + found["e_leep", "cs"].samples) / 2
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


def _copies(often: np.ndarray, chosen: np.ndarray) -> list[int]:
    """The ensembles that a resample holds, each as often as copies of its members allow."""
    copies = [(i, c) for i, count in enumerate(often) for c in range(count)]
    numbers = {tuple(line): e for e, line in enumerate(chosen)}
    found = []
    for some in itertools.combinations(copies, chosen.shape[1]):
        line = tuple(i for i, _ in some)
        if len(set(line)) == len(line):  # two copies of a member are no ensemble of the pool
            found.append(numbers[line])
    return found


def test_weighted_correlation_is_that_of_explicit_copies():
    generator = np.random.default_rng(3)
    chosen = ensembles.candidates(6, 3)
    scores, accuracies = generator.normal(size=(2, len(chosen))) + 100
    often = ensembles.multiplicities(6, 40, seed=5)
    assert (often[0] == 1).all()
    assert (often.sum(1) == 6).all()
    weights = ensembles.weights(often, chosen)
    values = ensembles.replicates(scores, accuracies, weights)
    assert values[0] == pytest.approx(stats.pearson(scores, accuracies)[0], abs=1e-12)
    checked = 0
    for line, weight, value in zip(often, weights, values, strict=True):
        copies = _copies(line, chosen)
        assert np.array_equal(np.bincount(copies, minlength=len(chosen)), weight)
        if len(set(copies)) < ensembles.FEWEST:
            assert math.isnan(value)
            continue
        expected = np.corrcoef(scores[copies], accuracies[copies])[0, 1]
        assert value == pytest.approx(expected, abs=1e-9)
        checked += 1
    assert checked > 20


def test_constant_scores_have_no_correlation():
    chosen = ensembles.candidates(5, 2)
    accuracies = np.arange(10.0)
    assert np.isnan(ensembles.correlation(np.full(10, -1 / 3), accuracies, chosen, 20)).all()
    assert np.isnan(ensembles.correlation(accuracies, np.full(10, 0.7), chosen, 20)).all()


def test_a_pool_too_small_has_no_intervals(rows):
    """Of four members and ensembles of three, only resamples without repetition have any."""
    chosen = ensembles.candidates(4, 3)
    generator = np.random.default_rng(0)
    value, low, high = ensembles.correlation(*generator.normal(size=(2, 4)), chosen)
    assert -1 <= value <= 1
    assert math.isnan(low)
    assert math.isnan(high)
    kept = {"net0@x", "net1@x", "net2@x+b", "net3@x+b"}
    few = [row for row in rows if set(row.source.split("|")) <= kept]
    many, single = told.read(few, 3), told.read(few, 1)
    shuffled = {t: {v: fit[:4] for v, fit in of.items()} for t, of in SHUFFLED.items()}
    text = told.findings({3: many}, single, CLASSES_OF, shuffled, **FEW)
    assert "too small for intervals" in text
    assert "above zero in 0 and below it in 0 of 0" in text
    assert "nan" not in text


def _pool_of(generator: np.random.Generator, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
    """Scores that are sums over members, accuracies that are not quite; r = 0.46 in the limit."""
    count, size = int(chosen.max()) + 1, chosen.shape[1]
    a, b = generator.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], size=count).T
    pairs = np.triu(generator.normal(size=(count, count)), 1)
    pairs += pairs.T
    between = np.array([pairs[np.ix_(line, line)].sum() / 2 for line in chosen])
    share = size / (size + 0.35**2 * size * (size - 1) / 2)
    return a[chosen].sum(1), b[chosen].sum(1) + 0.35 * between, np.array(0.5 * math.sqrt(share))


def test_intervals_over_members_cover_and_those_over_ensembles_do_not():
    chosen, hit, missed = ensembles.candidates(11, 4), 0, 0
    generator = np.random.default_rng(0)
    for _ in range(60):
        scores, accuracies, truth = _pool_of(generator, chosen)
        _, low, high = ensembles.correlation(scores, accuracies, chosen, 300)
        hit += bool(low <= truth <= high)
        _, low, high = stats.pearson(scores, accuracies, 200)
        missed += not low <= truth <= high
    assert hit >= 0.85 * 60
    assert missed >= 0.5 * 60


@pytest.mark.parametrize(("count", "size"), [(5, 2), (7, 4), (11, 3), (6, 1)])
def test_correlation_over_ensembles_is_rho_times_that_over_members(count: int, size: int):
    generator = np.random.default_rng(count)
    chosen = ensembles.candidates(count, size)
    a, values = generator.normal(size=count), generator.normal(size=len(chosen))
    rho = ensembles.additivity(values, chosen)
    b = ensembles.of_members(values, chosen)
    expected = np.corrcoef(a[chosen].sum(1), values)[0, 1]
    assert rho * np.corrcoef(a, b)[0, 1] == pytest.approx(expected, abs=1e-12)
    there = (chosen[:, :, None] == np.arange(count)).any(1).astype(float)
    rest = values - there @ np.linalg.lstsq(there, values, rcond=None)[0]
    assert rho**2 == pytest.approx(1 - rest.var() / values.var(), abs=1e-12)
    assert ensembles.additivity(a[chosen].sum(1), chosen) == pytest.approx(1)
    assert math.isnan(ensembles.additivity(np.ones(len(chosen)), chosen))


TARGETS = ("greek", "georgian")


def _rows(gain: float, sizes: tuple[int, ...] = (1, 2, 3)) -> list[Row]:
    """Six members on two targets; the hard scores know the accuracy better by ``gain``."""
    generator = np.random.default_rng(7)
    found = []
    for target in TARGETS:
        names = [f"net{i}@x" + (f"+{data}" if data != "a" else "") for i, data in enumerate(DATA)]
        own = generator.normal(size=6)
        noise = {v: generator.normal(size=6) for v in ("all", "random", "ca", "cs")}
        for size in sizes:
            for line in itertools.combinations(range(6), size):
                accuracy = 0.5 + own[list(line)].mean() / 12 + generator.normal() / 200
                for metric, (variant, errors) in itertools.product(
                    ensembles.METRICS, noise.items()
                ):
                    trust = gain if variant in HARD else -gain
                    part = (2.0 + trust) * own + 2.0 * errors
                    scale = 1 / size if metric == "e_leep" else 1.0
                    found.append(
                        Row(
                            section="5.4",
                            suite="glyphs",
                            target=target,
                            source=ensembles.JOIN.join(names[i] for i in line),
                            metric=metric,
                            variant=variant,
                            score=float(scale * part[list(line)].sum()) - 5,
                            score_std=0.1 if variant == "random" else math.nan,
                            fraction=1.0 if variant == "all" else 0.2 + 0.1 * size,
                            samples=40 if variant == "all" else 10,
                            classes=4.0,
                            draws=2 if variant == "random" else 1,
                            accuracy=float(accuracy),
                            seeds=1,
                            data="0123456789ab",
                            weights="ba9876543210",
                            device="cpu",
                            versions="none",
                        )
                    )
    return found


CLASSES_OF = {f"net{i}@x" + (f"+{d}" if d != "a" else ""): CLASSES[i] for i, d in enumerate(DATA)}
SHUFFLED = {
    target: {v: np.log(np.array(CLASSES)) - 3 for v in ("all", "random", "ca", "cs")}
    for target in TARGETS
}
FEW = {"resamples": 100}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return _rows(gain=1.5)


def test_rows_read_back_as_candidates(rows):
    many = told.read(rows, 3)
    assert [one.target for one in many] == list(TARGETS)
    for one in many:
        assert one.size == 3
        assert np.array_equal(one.chosen, ensembles.candidates(6, 3))
        of = {r.source: r for r in rows if r.target == one.target and r.metric == "e_leep"
              and r.variant == "cs"}  # fmt: skip
        for e, line in enumerate(one.chosen):
            row = of["|".join(one.members[i] for i in line)]
            assert one.scores["e_leep", "cs"][e] == row.score
            assert one.accuracy[e] == row.accuracy
        assert set(one.sets) == {2, 3}  # members 0 and 1 share a set, as do 2, 3 and 4, 5
    with pytest.raises(ValueError, match="no ensembles of 4"):
        told.read(rows, 4)
    lost = [r for r in rows if r.source != "net0@x|net1@x|net2@x+b"]
    with pytest.raises(ValueError, match=r"expected all 20 ensembles of 3 of the 6 .* got 19"):
        told.read(lost, 3)


def test_correlations_and_paired_differences(rows):
    many = told.read(rows, 3)
    found = told.correlations(many, **FEW).set_index(["target", "metric", "variant"])
    tests = told.differences(many, **FEW)
    for one in many:
        weights = ensembles.weights(ensembles.multiplicities(6, 100), one.chosen)
        for (metric, variant), scores in one.scores.items():
            line = found.loc[(one.target, metric, variant)]
            assert line["value"] == pytest.approx(np.corrcoef(scores, one.accuracy)[0, 1])
            assert line["low"] < line["value"] < line["high"]
            assert line["n"] == 20
            if variant == "all":
                continue
            pair = [
                ensembles.replicates(one.scores[metric, v], one.accuracy, weights)
                for v in (variant, "all")
            ]
            expected = ensembles.interval(pair[0] - pair[1])
            assert expected == stats.interval(pair[0] - pair[1])  # most resamples have one
            test = tests[(tests["target"] == one.target) & (tests["metric"] == metric)]
            test = test[test["variant"] == variant].iloc[0]
            assert tuple(test[["difference", "low", "high"]]) == pytest.approx(expected)
    mean = tests[tests["target"] == "mean"].set_index(["metric", "variant"])
    singles = tests[tests["target"] != "mean"].groupby(["metric", "variant"])["difference"].mean()
    for cell, value in singles.items():
        assert mean.loc[cell, "difference"] == pytest.approx(value)


def test_leaving_out_a_member_is_the_smaller_pool(rows):
    one = told.read(rows, 2)[0]
    found = told.left_out([one], "ms_leep")
    for i, value in enumerate(found["value"]):
        kept = ~(one.chosen == i).any(1)
        expected = np.corrcoef(one.scores["ms_leep", "all"][kept], one.accuracy[kept])[0, 1]
        assert value == pytest.approx(expected)


def test_picks_and_their_regret(rows):
    single, many = told.read(rows, 1), told.read(rows, 3)
    found = told.picks(many, single).set_index(["target", "metric", "variant"])
    for one, alone in zip(many, single, strict=True):
        top = np.sort(np.argsort(alone.scores["ms_leep", "ca"])[-3:])
        line = found.loc[(one.target, "ms_leep", "ca")]
        assert line["picked"] == tuple(one.members[i] for i in top)  # the highest LEEPs
        at = [tuple(line) for line in one.chosen.tolist()].index(tuple(top.tolist()))
        assert line["regret"] == pytest.approx(one.accuracy.max() - one.accuracy[at])
        drawn_at_random = found.loc[(one.target, "none", "drawn"), "regret"]
        assert drawn_at_random == pytest.approx(one.accuracy.max() - one.accuracy.mean())


def test_partial_correlation_is_that_of_the_residuals(rows):
    single, many = told.read(rows, 1), told.read(rows, 2)
    found = told.counted(many, single, CLASSES_OF, SHUFFLED)
    line = found[(found["target"] == "greek") & (found["variant"] == "all")].iloc[0]
    one = many[0]
    known = np.log(CLASSES)[one.chosen].sum(1)
    table = np.corrcoef([one.scores["ms_leep", "all"], one.accuracy, known])
    r_xy, r_xz, r_yz = table[0, 1], table[0, 2], table[1, 2]
    expected = (r_xy - r_xz * r_yz) / math.sqrt((1 - r_xz**2) * (1 - r_yz**2))
    assert line["given"] == pytest.approx(expected)
    leep = single[0].scores["ms_leep", "all"]
    slope = np.polyfit(leep, SHUFFLED["greek"]["all"], 1)[0]
    assert line["fit"] == pytest.approx(slope)


def test_theorem_on_the_page_is_checked_by_other_means(rows):
    claims = told.through_members(told.read(rows, 3), told.read(rows, 1))
    assert len(claims) == 2 * 3
    assert len(report.verify(claims).frame) == 6


def test_tables_say_what_the_numbers_are(rows):
    single, many = told.read(rows, 1), told.read(rows, 3)
    found = told.correlations(many, **FEW)
    table = told.table(found, 3)
    text = str(table)
    assert "over all 20 ensembles of a target" in text
    assert "intervals over the members of the pool" in text
    assert "over the ensembles." not in text
    assert table.frame.equals(found)
    pool = str(told.pool_table(single, (3, 2)))
    assert "| 3. net2+b |" in pool
    assert "| Ensembles of 3 | 20 | 20 |" in pool
    assert "| Ensembles of 2 | 15 | 15 |" in pool
    numbers = told.numbered(single)
    picked = told.picks(many, single)
    shown = str(told.picks_table(picked, single, 3))
    line = picked[(picked["metric"] == "ms_leep") & (picked["variant"] == "ca")].iloc[0]
    assert " ".join(str(numbers[name]) for name in line["picked"]) in shown
    for made in (
        told.shares_table(told.shares(many, single), 3),
        told.counted_table(told.counted(many, single, CLASSES_OF, SHUFFLED), 3),
        told.sets_table(told.of_sets(many), 3),
    ):
        assert all(f"| {name} |" in str(made) for name in TARGETS)
        assert "nan" not in str(made)


@pytest.mark.parametrize("gain", [1.5, -1.5])
def test_findings_say_who_wins(gain: float):
    table = frame(_rows(gain))
    single, found = told.read(table, 1), {size: told.read(table, size) for size in (3, 2)}
    text = told.findings(found, single, CLASSES_OF, SHUFFLED, **FEW)
    wins = losses = 0
    for many in found.values():
        values = told.correlations(many, **FEW).set_index(["target", "metric", "variant"])["value"]
        for target, metric, variant in itertools.product(TARGETS, ensembles.METRICS, HARD):
            base = round(values[target, metric, "all"], 3)
            wins += round(values[target, metric, variant], 3) > base
            losses += round(values[target, metric, variant], 3) < base
    assert (wins > losses) == (gain > 0)
    assert f"better than the baseline in {wins} of 16 comparisons" in text
    assert f"worse in {losses};" in text
    assert "better than the random control in" in text
    assert "nan" not in text


def test_words_on_a_single_target(rows):
    single, many = told.read(rows, 1)[:1], told.read(rows, 3)[:1]
    text = told.findings({3: many}, single, CLASSES_OF, SHUFFLED, **FEW)
    assert "of 1 target" in text
    assert "mean r" not in text
    assert "nan" not in text


def test_equal_class_counts_explain_nothing(rows):
    single, many = told.read(rows, 1), told.read(rows, 3)
    equal = dict.fromkeys(CLASSES_OF, 10)
    text = told.findings({3: many}, single, equal, SHUFFLED, **FEW)
    assert "every member has as many" in text


def test_cost_counts_what_is_shared(rows):
    found = {size: told.read(rows, size) for size in (3, 2)}
    text = told.cost(found, seeds=2, seconds=1.25)
    assert "70 ensembles on 2 targets" in text
    assert "24 fine-tunings" in text  # 6 members, 2 targets, 2 seeds
    assert f"it would have been {2 * 2 * (20 * 3 + 15 * 2)}" in text


def test_paper_words_reproduce_the_papers_headline(rows):
    text = told.paper_words({3: told.read(rows, 3)})
    assert "Table 4 (K = 4), MS-LEEP: mean relative change +14.43%" in text
    assert "E-LEEP: mean relative change +4.10%" in text
    limit = math.cos(math.acos(-0.288) - math.acos(0.230))
    assert f"then correlate by at most {limit:.2f}." in text
    pool = told.paper_pool()
    assert "A.2 lists 13 members" in pool
    assert "Stanford Dogs 10, or 210" in pool
    assert "Caltech101 12, or 495" in pool


def test_figures_draw_what_they_say(rows):
    single, many = told.read(rows, 1)[0], told.read(rows, 3)[0]
    figure = drawn.dots(many, single)
    assert len(figure.axes) == 8
    points = sum(len(line.get_xdata()) for line in figure.axes[0].lines)
    assert points == 20
    r = np.corrcoef(many.scores["ms_leep", "all"], many.accuracy)[0, 1]
    assert f"r = {r:.2f}".replace("-", "−") in figure.axes[0].get_title(loc="left")
    assert f"Baseline {r:.2f}".replace("-", "−") in drawn.dots_alt(many, single)
    numbers = told.numbered([single])
    figure = drawn.members(many, single, numbers)
    assert {text.get_text() for text in figure.axes[0].texts} == set(map(str, numbers.values()))
    means = 100 * ensembles.of_members(many.accuracy, many.chosen)
    assert f"from {means.min():.1f} to {means.max():.1f}%" in drawn.members_alt(many, single)
    for made in (drawn.dots(many, single), drawn.members(many, single, numbers)):
        made.savefig(io.BytesIO())


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
    assert ensembles.targets(suite) == ("cyrillic",)
    assert ensembles.targets(suite, "greek") == ("greek",)
    found = ensembles.pool(suite, "cyrillic")
    assert found.rankers == (SOURCES[1], SOURCES[1], POOL[2], POOL[2])  # the first where not told
    assert found.sets.tolist() == [0, 0, 1, 1]


def test_pools_of_the_suites():
    glyphs = suites.load("glyphs")
    sizes = {t: len(ensembles.pool(glyphs, t).members) for t in ensembles.targets(glyphs)}
    assert sizes == {"georgian": 11, "greek": 10, "dingbats": 11, "cyrillic": 11, "operators": 12}
    pocket = suites.load("pocket")
    for target in ensembles.targets(pocket):
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
        ensembles.with_sources(Grid(suite), misspelt)


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
    grid = ensembles.with_sources(Grid(suite, Store(tmp_path)), pools)
    ensembles.prepare(grid, pools)
    assert len(tuned) == len(set(tuned)) == 6  # two members to be, then four on the target
    found = ensembles.rows(grid, pools, (1, 2))
    ensembles.prepare(grid, pools)
    assert len(tuned) == 6
    assert len(found) == (4 + 6) * 2 * 4
    assert {len(one.source.split("|")) for one in found} == {1, 2}

    features = {name: grid.features(name, "cyrillic") for name in POOL}
    labels = features[POOL[0]].labels
    hard = {
        name: hardness.hardest(grid.hardness("cyrillic", by=by)["ca"], 0.25)
        for name, by in zip(POOL, pools[0].rankers, strict=True)
    }
    outcomes = {name: grid.outcome(name, "cyrillic", 0) for name in POOL}
    of = {(one.source, one.metric): one for one in found if one.variant == "ca"}
    for pair in itertools.combinations(POOL, 2):
        row = of["|".join(pair), "ms_leep"]
        each = [metrics.leep(features[n].probs[hard[n]], labels[hard[n]]) for n in pair]
        assert row.score == pytest.approx(sum(each))
        assert row.samples == 13
        union = torch.tensor(sorted({*hard[pair[0]].tolist(), *hard[pair[1]].tolist()}))
        joint = of["|".join(pair), "e_leep"]
        expected = metrics.e_leep([features[n].probs[union] for n in pair], labels[union])
        assert joint.score == pytest.approx(expected)
        assert joint.samples == len(union)
        mean = torch.stack([outcomes[n].probs.double() for n in pair]).mean(0)
        right = (mean.argmax(1) == outcomes[pair[0]].labels).double().mean()
        assert row.accuracy == joint.accuracy == pytest.approx(float(right))
        assert row.seeds == 1
    mixed = of[f"{POOL[0]}|{POOL[2]}", "e_leep"]
    assert mixed.hardness_source == f"{SOURCES[1]}|{POOL[2]}"
    assert len({one.weights for one in found}) == 4 + 6
    assert ensembles.source_classes(grid, pools)[POOL[2]] == 5


def test_the_notebook_runs_small(tmp_path: Path):
    members = (*SOURCES, "resnet14@glyphs", "resnet8@glyphs+arrows")
    papermill.execute_notebook(
        ROOT / "notebooks" / "5_4_ensemble.ipynb",
        tmp_path / "out.ipynb",
        {
            "target": "greek",
            "pool": ", ".join(members),
            "sizes": "2",
            "epochs": 1,
            "draws": 2,
            "output": str(tmp_path),
        },
        cwd=ROOT,
        progress_bar=False,
    )
    found = read_csv(tmp_path / "5_4_ensemble-glyphs-greek.csv")
    assert len(found) == (4 + 6) * 2 * 4
    assert {one.source for one in found if "|" not in one.source} == set(members)
