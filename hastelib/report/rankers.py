"""Hardness from one network or another (A.4): what changes with the network that ranks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from hastelib.experiments import HARD, Grid
from hastelib.experiments.names import taught_on
from hastelib.records import Row
from hastelib.report import labels
from hastelib.report.comparison import DIGITS, MEAN, Rows, correlations, differences, several
from hastelib.report.paper import MARK, paper_numbers
from hastelib.report.selection import Tasks, over_targets, tasks
from hastelib.report.tables import Block, Cell, Table, interval, narrow, number

BASES = ("random", "all")
"""What does not depend on the network that ranks, the control and the baseline."""


def ranked(
    grid: Grid,
    targets: Sequence[str],
    names: Sequence[str],
    sources: Sequence[str],
    rankers: Sequence[str],
) -> dict[str, list[Row]]:
    """The rows of some sources, with each ranker in turn ranking the samples for all of them.

    The baseline and the control are those of the first ranker, which no other changes.
    """
    # One draw, not used: of the others only the hard subsets are wanted.
    brief = Grid(grid.suite.select(draws=1)[0], grid.store, grid.scheduler)
    found: dict[str, list[Row]] = {}
    shared: list[Row] = []
    for by in dict.fromkeys(rankers):
        one = brief if found else grid
        rows = one.rows("A.4", targets, names, sources=sources, rankers=dict.fromkeys(sources, by))
        shared = shared or [row for row in rows if row.variant in BASES]
        found[by] = [*shared, *(row for row in rows if row.variant in HARD)]
    return found


def source_selection(
    grid: Grid, targets: Sequence[str], names: Sequence[str]
) -> dict[str, list[Row]]:
    """The rows of 5.1 with each source of the suite in turn as the ranker, its own first."""
    sources, first = grid.suite.sources, grid.suite.hardness.source
    return ranked(grid, targets, names, sources, [first, *sources])


def overlaps(grid: Grid, targets: Sequence[str], rankers: Sequence[str]) -> pd.DataFrame:
    r"""How much the hard subsets of two rankers share.

    .. math::

        J(A, B) = \frac{|A \cap B|}{|A \cup B|}

    Returns:
        The columns variant, first, second, jaccard, the mean over the targets, and chance, what
        two random subsets of that size share in the mean (the ratio of the expected sizes).
        Every pair comes in both orders, and a ranker with itself.
    """
    found = []
    for variant in HARD:
        rows = {
            (by, target): next(
                set(subset.rows.tolist())
                for subset in grid.subsets(target, by)
                if subset.variant == variant
            )
            for by in rankers
            for target in targets
        }
        shares = {target: len(rows[rankers[0], target]) for target in targets}
        sizes = {target: len(grid.data(target)["train"]) for target in targets}
        fractions = [shares[target] / sizes[target] for target in targets]
        chance = float(np.mean([f / (2 - f) for f in fractions]))
        for first, second in itertools.product(rankers, rankers):
            pairs = [(rows[first, target], rows[second, target]) for target in targets]
            jaccard = float(np.mean([len(a & b) / len(a | b) for a, b in pairs]))
            found.append((variant, first, second, jaccard, chance))
    return pd.DataFrame(found, columns=["variant", "first", "second", "jaccard", "chance"])


@dataclass(frozen=True)
class Setting:
    """The target selection of 5.2 for one source, and the networks that rank (A.4, Table 8)."""

    source: str
    tasks: Tasks
    rankers: tuple[str, ...]


def setting(
    grid: Grid,
    target: str = "",
    source: str = "",
    subsets: int | None = None,
    rankers: Sequence[str] = (),
) -> Setting:
    """The suite's target selection with the paper's kinds of rankers, or what is asked for.

    Args:
        grid: of the suite.
        target: one; all that the suite selects from for "".
        source: the network that is scored; where it is not given, the first of the suite's
            selection that was not trained on the target, or else the suite's first source
            fine-tuned on another target.
        subsets: of each target, or as many as there are.
        rankers: the networks that rank; where they are not given, the source itself, a network of
            another architecture trained on the same data, and one that saw the source data only.

    Raises:
        ValueError: unknown names; no target is left that the source was not trained on.
    """
    source = source or _first(grid, target)
    grid.check(source)
    for name in rankers:
        grid.check(name)
    chosen = tasks(grid, target, [source], subsets)
    return Setting(source, chosen, tuple(dict.fromkeys(rankers or _kinds(grid, source))))


def _first(grid: Grid, target: str) -> str:
    suite, told = grid.suite, grid.suite.selection
    for name in told.sources if told else ():
        if taught_on(name)[1] != target:
            return name
    others = [name for name in suite.targets if name != target]
    return f"{suite.sources[0]}+{others[0]}" if others else suite.sources[0]


def _kinds(grid: Grid, source: str) -> tuple[str, ...]:
    """The paper's kinds of rankers (A.4): itself, another trained alike, one of the source data."""
    suite = grid.suite
    base, taught = taught_on(source)
    pool = suite.ensembles.pool if suite.ensembles else ()
    suffix = "" if taught is None else f"+{taught}"
    alike = [name for name in pool if taught_on(name)[1] == taught and taught_on(name)[0] != base]
    alike += [f"{name}{suffix}" for name in suite.sources if name != base]
    apart = [name for name in alike if labels.family(name) != labels.family(source)]
    plain = (suite.ensembles.rankers.get("") if suite.ensembles else None) or suite.hardness.source
    return (source, *(apart or alike)[:1], plain)


def target_selection(grid: Grid, chosen: Setting, name: str = "leep") -> dict[str, list[Row]]:
    """The rows of Table 8: one source on class subsets of the targets, fine-tuned with seed 0."""
    once = Grid(grid.suite.select(seeds=(0,))[0], grid.store, grid.scheduler)
    wanted = chosen.tasks.named(chosen.tasks.pairs[chosen.source])
    return ranked(once, wanted, [name], [chosen.source], chosen.rankers)


def over_subsets(rows: Mapping[str, Rows]) -> dict[str, pd.DataFrame]:
    """The same rows turned: what is correlated within a target are its class subsets."""
    return {by: next(iter(over_targets(part).values())) for by, part in rows.items()}


def by_ranker(rows: Mapping[str, Rows], resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Correlations, and their differences to the baseline and to the control, by ranker.

    Args:
        rows: the network that ranks -> the rows that come of it.
        resamples: bootstrap samples behind the intervals of differences.
        seed: of the bootstrap.

    Returns:
        The columns ranker (empty for what does not depend on it), target (:data:`MEAN` for the
        mean over all), metric, variant, value; and against the baseline gain, low, high, against
        the control control, control_low, control_high (95% intervals, resampled together).
    """
    found: list[dict[str, Any]] = []
    for place, (by, part) in enumerate(rows.items()):
        values = correlations(part, resamples=1)
        gains = {
            other: differences(part, other=other, resamples=resamples, seed=seed).set_index(
                ["target", "metric", "variant"]
            )
            for other in ("all", "random")
        }
        lines = values[["target", "metric", "variant", "value"]]
        if several(values["target"]):
            means = lines.groupby(["metric", "variant"], sort=False)["value"]
            mean = means.agg(lambda column: column.mean(skipna=False)).reset_index()
            lines = pd.concat([lines, mean.assign(target=MEAN)], ignore_index=True)
        for line in lines.to_dict("records"):
            variant = line["variant"]
            if variant in BASES and place:  # the same with every ranker
                continue
            cell = line["target"], line["metric"], variant
            for other, names in (
                ("all", ("gain", "low", "high")),
                ("random", ("control", "control_low", "control_high")),
            ):
                table = gains[other]
                there = cell in table.index
                for name, column in zip(names, ("difference", "low", "high"), strict=True):
                    line[name] = float(table[column][cell]) if there else np.nan
            found.append(
                {"ranker": "" if variant in BASES else by} | {str(k): v for k, v in line.items()}
            )
    return pd.DataFrame(found)


def names_of(rankers: Sequence[str]) -> dict[str, str]:
    """Short names of rankers, where they stay different."""
    short = {name: labels.source(name) for name in rankers}
    return {n: s if [*short.values()].count(s) == 1 else n for n, s in short.items()}


def _block(part: pd.DataFrame, title: str) -> Block:
    values = {(str(line["ranker"]), str(line["variant"])): line for line in part.to_dict("records")}
    rankers = list(dict.fromkeys(by for by, _ in values if by))
    base, control = (round(values["", name]["value"], DIGITS) for name in ("all", "random"))
    rows = []
    for by, name in names_of(rankers).items():
        cells = []
        for variant in HARD:
            line = values[by, variant]
            value = round(line["value"], DIGITS)
            small = narrow(interval(line["low"], line["high"]))
            cells.append(Cell(number(value, DIGITS), small, bool(value > base)))
        rows.append((name, tuple(cells)))
    best = {
        variant: max(round(values[by, variant]["value"], DIGITS) for by in rankers)
        for variant in HARD
    }
    marks = [Cell(number(control), mark=MARK if control >= best[v] else "") for v in HARD]
    rows.append(("Random", tuple(marks)))
    rows.append(("Baseline", (Cell(number(base)), Cell(number(base)))))
    return Block(title, ("Ranked by", "CA", "CS"), tuple(rows), 2)


NOTES = (
    "Bold: above the baseline. In small type: the 95% bootstrap interval of the difference to the "
    f"baseline. {MARK} marks a random control that is as good as the best ranker of its column; "
    "it and the baseline are the same in both columns.",
)


def table(found: pd.DataFrame, by: str, caption: str) -> Table:
    """Table 8's form: rankers down, CA and CS across, the control and the baseline below.

    Args:
        found: what :func:`by_ranker` gives.
        by: ``metric``: a block per metric, of the mean over the targets (of the only target);
            ``target``: a block per target, and the mean.
        caption: what was measured.
    """
    chosen = found
    if by == "metric" and (found["target"] == MEAN).any():
        chosen = found[found["target"] == MEAN]
        caption += " Mean over the targets."
    named = labels.metric if by == "metric" else labels.plain
    blocks = [
        _block(part, named(str(name)).replace(MEAN, "Mean"))
        for name, part in chosen.groupby(by, sort=False)
    ]
    return Table(caption, tuple(blocks), NOTES, found)


def paper_table() -> Table:
    """The paper's Table 8 in this form, with what its Table 6 has for the same experiment."""
    numbers = paper_numbers("hardness_source")
    again = paper_numbers("target_selection_cub200")
    again = again[(again["metric"] == "leep") & again["variant"].isin(HARD)]
    blocks = []
    for target, part in numbers.groupby("target", sort=False):
        base = float(part.loc[part["variant"] == "all", "value"].iloc[0])
        told = part[part["variant"] != "all"]
        rows = []
        for by, line in told.groupby("hardness_source", sort=False):
            values = line.set_index("variant")["value"]
            rows.append((str(by), tuple(_printed(values[v], base) for v in HARD)))
        same = again[again["target"].map(_key) == _key(str(target))].set_index("variant")["value"]
        if len(same):
            rows.append(("Table 6", tuple(_printed(same[v], base) for v in HARD)))
        rows.append(("Baseline", (Cell(number(base)), Cell(number(base)))))
        blocks.append(Block(str(target), ("Ranked by", "CA", "CS"), tuple(rows), 1))
    caption = (
        "Table 8 of the paper (A.4), LEEP of CUB200 sources: Pearson’s r over class subsets of the "
        "target. Table 6 has the same experiment, ranked by the source itself, a ResNet18 as in "
        "the first line."
    )
    return Table(caption, tuple(blocks), ("Bold: above the baseline. No control.",), numbers)


def _printed(value: float, base: float) -> Cell:
    return Cell(number(value), bold=bool(value > base))


def _key(target: str) -> str:
    """Oxford-IIIT Pets of Table 8 is Oxford-IIIT in Table 6."""
    return target.split()[0].lower()


def _count(part: pd.DataFrame, column: str) -> str:
    """In how many of all above, and what the intervals say."""
    gains = part[part[column].notna()]
    low, high = ("low", "high") if column == "gain" else ("control_low", "control_high")
    above = int((gains[column].round(DIGITS) > 0).sum())
    sure, worse = int((gains[low] > 0).sum()), int((gains[high] < 0).sum())
    return (
        f"{above} of {len(gains)} (the 95% interval of the difference lies above zero in {sure}, "
        f"below it in {worse})"
    )


def _best(part: pd.DataFrame) -> str:
    ranked = part.groupby("ranker", sort=False)["value"].mean().sort_values()
    short = names_of(list(ranked.index))
    return (
        f"from {number(ranked.iloc[0])} ({short[ranked.index[0]]}) to "
        f"{number(ranked.iloc[-1])} ({short[ranked.index[-1]]})"
    )


def findings(found: pd.DataFrame, overlap: pd.DataFrame | None = None) -> str:
    """Is HASTE better than its baseline whoever ranks? As Markdown.

    Args:
        found: what :func:`by_ranker` gives.
        overlap: what :func:`overlaps` gives; left out where it is not given.
    """
    hard = found[found["variant"].isin(HARD)]
    single = hard[hard["target"] != MEAN]
    many = several(single["target"])
    head = (
        f"{single['ranker'].nunique()} rankers, {single['target'].nunique()} target"
        f"{'s' if many else ''}. Over rankers, targets, metrics and both kinds of hardness the "
        f"hard subset is above the baseline in {_count(single, 'gain')}, and above the random "
        f"control in {_count(single, 'control')}."
    )
    items = []
    for metric, variant in itertools.product(found["metric"].unique(), HARD):
        part = hard[(hard["metric"] == metric) & (hard["variant"] == variant)]
        shown = part[part["target"] == MEAN] if many else part
        line = found[(found["metric"] == metric) & (found["ranker"] == "")]
        line = line[line["target"] == MEAN] if many else line
        bases = line.set_index("variant")["value"]
        won = shown.groupby("ranker", sort=False)[["gain", "control"]].mean().round(DIGITS)
        missing = int(shown["value"].isna().sum())
        items.append(
            f"- **{labels.metric(metric)}, {labels.variant(variant)}.** "
            f"{'Mean correlation' if many else 'Correlation'} {_best(shown)}; baseline "
            f"{number(bases['all'])}, random {number(bases['random'])}. {_verdict(won)}"
            + (f" {missing} could not be computed." if missing else "")
        )
    text = "\n".join([head, "", *items])
    return text if overlap is None else f"{text}\n\n{overlap_words(overlap)}"


def _verdict(won: pd.DataFrame) -> str:
    """Of the paper's claim, irrespective of the architecture."""
    total = len(won)
    above, control = int((won["gain"] > 0).sum()), int((won["control"] > 0).sum())
    first = (
        "Above the baseline whoever ranks"
        if above == total
        else "Above the baseline with none of them"
        if not above
        else f"Above the baseline with {above} of {total} rankers"
    )
    second = (
        "and above the control with all of them"
        if control == total
        else f"and above the control with {control or 'none'} of them"
    )
    return f"{first}, {second}."


def overlap_words(overlap: pd.DataFrame) -> str:
    """How alike the hard subsets of different rankers are, as Markdown."""
    parts = []
    for variant, part in overlap.groupby("variant", sort=False):
        others = part[part["first"] != part["second"]]
        if others.empty:
            return "There is one ranker only, so nothing overlaps."
        same = others["first"].map(labels.family) == others["second"].map(labels.family)
        ordered = others.sort_values("jaccard", kind="stable")
        low, high = ordered.iloc[0], ordered.iloc[-1]
        kin = (
            f" ({number(others[same]['jaccard'].mean(), 2)} within a family of architectures, "
            f"{number(others[~same]['jaccard'].mean(), 2)} across)"
            if same.any() and not same.all()
            else ""
        )
        parts.append(
            f"- **{labels.variant(str(variant))}.** Two rankers' hard subsets share "
            f"{number(others['jaccard'].mean(), 2)} of their union in the mean{kin}, between "
            f"{number(low['jaccard'], 2)} ({_pair(low)}) and {number(high['jaccard'], 2)} "
            f"({_pair(high)}); random subsets would share {number(part['chance'].iloc[0], 2)}."
        )
    return "\n".join(parts)


def _pair(line: pd.Series) -> str:
    return f"{labels.source(line['first'])} and {labels.source(line['second'])}"


def paper_findings() -> str:
    """What Table 8 says, and where it disagrees with Table 6, as Markdown."""
    numbers = paper_numbers("hardness_source")
    base = numbers[numbers["variant"] == "all"].set_index("target")["value"]
    told = numbers[numbers["variant"] != "all"]
    above = int((told["value"] > told["target"].map(base)).sum())
    first = told[told["hardness_source"] == told["hardness_source"].iloc[0]]
    again = paper_numbers("target_selection_cub200")
    again = again[again["metric"] == "leep"]
    differ, margins = [], []
    for target, part in told.groupby("target", sort=False):
        gains = part["value"] - base[target]
        margins.append(
            f"{number(gains.min(), 3, True)} to {number(gains.max(), 3, True)} on {target}"
        )
        mine = first[first["target"] == target].set_index("variant")["value"]
        same = again[again["target"].map(_key) == _key(str(target))].set_index("variant")["value"]
        differ += [
            f"{target}, {labels.variant(variant)}: {number(mine[variant])} against "
            f"{number(same[variant])}"
            for variant in HARD
            if variant in same and abs(mine[variant] - same[variant]) > 1e-9
        ]
    text = (
        f"In the paper all but {len(told) - above} of {len(told)} numbers are above the baseline"
        if above < len(told)
        else f"In the paper all {len(told)} numbers are above the baseline"
    )
    contradiction = (
        f" Its ResNet18 lines are the experiment of Table 6, with other results: "
        f"{'; '.join(differ)}."
        if differ
        else ""
    )
    return f"{text}, by {' and '.join(margins)}.{contradiction}"


def flat(rows: Mapping[str, Sequence[Row]]) -> list[Row]:
    """All rows for the CSV: what does not depend on the ranker once."""
    parts = list(rows.values())
    rest = [row for part in parts[1:] for row in part if row.variant not in BASES]
    return [*(parts[0] if parts else ()), *rest]
