"""A.5: easy samples mixed into the hard subset at random."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.stats
import torch
from jaxtyping import Int64
from torch import Tensor

from hastelib import hardness
from hastelib.experiments import HARD, Grid
from hastelib.report import labels
from hastelib.report.ablations.common import Curves, Part, scored, shuffled, variants
from hastelib.report.ablations.subsets import share
from hastelib.report.comparison import DIGITS, MEAN, counts
from hastelib.report.paper import MARK, paper_numbers
from hastelib.report.tables import NONE, Block, Cell, Table, interval, number

OF = ("easy", "hard", "all")
"""What the percentage can be of: the easy samples, the hard ones, or the whole train split."""


def count(easy: int, hard: int, part: float, of: str = "easy") -> int:
    r"""How many easy samples are added: :math:`\lceil r N - 10^{-9} \rceil`.

    Args:
        easy: samples that are not in the hard subset.
        hard: samples that are.
        part: the share r, in [0, 1].
        of: what N is: ``easy``, ``hard``, or ``all`` of them.

    Raises:
        ValueError: an unknown ``of``, a share outside [0, 1], more samples than there are.
    """
    if of not in OF:
        raise ValueError(f"of: expected one of {', '.join(OF)}, got {of!r}")
    if not 0 <= part <= 1:
        raise ValueError(f"share: expected a number in [0, 1], got {part}")
    n = {"easy": easy, "hard": hard, "all": easy + hard}[of]
    added = max(0, math.ceil(part * n - 1e-9))
    if added > easy:
        raise ValueError(f"share: {part:g} of {n} are {added} samples, but only {easy} are easy")
    return added


def mixed(
    order: Int64[Tensor, " n"], hard: int, part: float, draw: int, of: str = "easy"
) -> Int64[Tensor, " k"]:
    """The hard subset, and easy samples drawn at random without replacement.

    Args:
        order: (n,) indices, the hardest first.
        hard: how many of them are the hard subset.
        part: the share of easy samples that is added.
        draw: of the random order of the easy samples. A smaller share is the beginning of a
            larger one.
        of: as for :func:`count`, which says what is raised.

    Returns:
        (k,) indices, the hard subset first.
    """
    rest = order[hard:]
    added = count(len(rest), hard, part, of)
    return torch.cat([order[:hard], rest[shuffled(len(rest), draw)[:added]]])


def mixtures(
    grid: Grid,
    targets: Sequence[str],
    names: Sequence[str],
    shares: Sequence[float],
    repetitions: int,
    of: str = "easy",
) -> pd.DataFrame:
    """Scores on hard subsets with easy samples added, and on as many random samples.

    Args:
        grid: of the suite.
        targets: of the suite.
        names: metrics.
        shares: of easy samples added; 0, the hard subset itself, is put before them.
        repetitions: of every mixture, and of the random control at every size.
        of: what the shares are of, as for :func:`count`.

    Returns:
        What :func:`hastelib.report.ablations.common.scored` gives; ``place`` is the share.

    Raises:
        ValueError: a share that is not above 0 or there twice, no repetition, or as
            :func:`count` says.
    """
    if repetitions < 1 or len(set(shares)) < len(shares) or not all(r > 0 for r in shares):
        raise ValueError(
            f"expected different shares above 0 and at least 1 repetition, got {list(shares)} and "
            f"{repetitions}"
        )

    def parts(target: str) -> list[Part]:
        found = []
        for variant, values in grid.hardness(target).items():
            order = hardness.hardest(values, 1.0)
            hard = len(hardness.hardest(values, grid.suite.hardness.fraction))
            for r in (0.0, *shares):
                draws = range(repetitions if r else 1)
                found += [Part(variant, r, d, mixed(order, hard, r, d, of)) for d in draws]
        for r in (0.0, *shares):
            size = hard + count(len(order) - hard, hard, r, of)
            found += [
                Part("random", r, d, shuffled(len(order), d)[:size]) for d in range(repetitions)
            ]
        return found

    return scored(grid, "A.5", targets, names, parts)


def added(table: pd.DataFrame) -> str:
    """How many samples the shares are, as Markdown.

    Args:
        table: what :func:`mixtures` gives.
    """
    one = table[table["variant"].isin(HARD)]
    sizes = one.groupby(["target", "place"])["samples"].first().unstack()  # noqa: PD010
    parts = []
    for place in sizes.columns[1:]:
        more = sizes[place] - sizes[0.0]
        ends = dict.fromkeys([int(more.min()), int(more.max())])
        parts.append(f"{share(float(place))} adds {'–'.join(map(str, ends))}")
    ends = dict.fromkeys([int(sizes[0.0].min()), int(sizes[0.0].max())])
    return f"To hard subsets of {'–'.join(map(str, ends))} samples {', '.join(parts)}."


def _rows(found: Curves, metric: str, target: str) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    lines = found.table()
    lines = lines[(lines["metric"] == metric) & (lines["target"] == target)]
    names = variants(found)
    cells = {(line["variant"], line["place"]): line for line in lines.to_dict("records")}
    base = cells.get(("all", 1.0))
    rows = []
    for place in sorted({place for variant, place in cells if variant != "all"}):
        values = {v: round(cells[v, place]["value"], DIGITS) for v in names if (v, place) in cells}
        best = max((values[v] for v in HARD if v in values), default=np.nan)
        texts = []
        for name in names:
            if name not in values:
                texts.append(Cell(NONE))
                continue
            std = cells[name, place]["std"]
            alone = cells.get((name, 0.0))
            bold = bool(
                name in HARD and place and alone and values[name] > round(alone["value"], DIGITS)
            )
            mark = MARK if name == "random" and values[name] >= best else ""
            small = "" if np.isnan(std) else f"± {number(std, DIGITS)}"
            texts.append(Cell(number(values[name], DIGITS), small, bold, mark))
        rows.append(("Hard only" if not place else f"+ {share(place)}", tuple(texts)))
    if base:
        blank = [Cell("")] * (len(names) - 1)
        rows.append(("Baseline", (Cell(number(base["value"], DIGITS)), *blank)))
    return tuple(rows)


def table(found: Curves, metric: str, per_target: bool = False) -> Table:
    """Table 9's form turned: shares down, subsets across.

    Args:
        found: the curves of :func:`mixtures`.
        metric: one of theirs.
        per_target: a block per target in place of the mean over them.
    """
    names = found.targets if per_target or len(found.targets) == 1 else [MEAN]
    blocks = [
        Block(
            f"{labels.metric(metric)}, {'mean' if name == MEAN else labels.plain(name)}",
            ("", *map(labels.variant, variants(found))),
            _rows(found, metric, name),
            1,
        )
        for name in names
    ]
    caption = (
        "Pearson’s r between score and fine-tuned accuracy over the sources, mean over the "
        "repetitions"
        + (f", and over {len(found.targets)} targets" if names == [MEAN] else "")
        + "; in small type its standard deviation over them."
    )
    notes = (
        "Bold: a mixture above its hard subset alone. Random: the same number of samples drawn at "
        f"random from all, a correlation per draw; {MARK} marks where it is as good as the better "
        "of CA and CS.",
    )
    return Table(caption, tuple(blocks), notes, found.table())


def paper_table() -> Table:
    """The paper's Table 9 in this form, with its errata."""
    numbers = paper_numbers(9)
    shares = [name for name in numbers["variant"].unique() if name.startswith("stochastic")]
    blocks, notes = [], []
    for target, part in numbers.groupby("target", sort=False):
        values = part.set_index("variant")["value"]
        alone = values["cs"]
        rows = [("Hard only", (Cell(number(values["ca"])), Cell(number(alone))))]
        for name in shares:
            mixture = Cell(number(values[name]), bold=bool(values[name] > alone))
            rows.append((f"+ {name.removeprefix('stochastic_')}", (Cell(NONE), mixture)))
        rows.append(("Baseline", (Cell(number(values["all"])), Cell(""))))
        blocks.append(Block(f"LEEP, {target}", ("", "CA", "CS"), tuple(rows), 1))
        for note, lines in part[part["note"] != ""].groupby("note", sort=False):
            which = ", ".join(labels.variant(v) for v in lines["variant"])
            notes.append(f"{target}, {which}: {note}.")
    caption = (
        "Table 9 of the paper (A.5). It does not say which hard subset is mixed; the column is our "
        "reading. Each number is the mean of ten repetitions, printed without their spread."
    )
    return Table(caption, tuple(blocks), ("In print: " + " ".join(notes),), numbers)


# In words


def paper_findings() -> str:
    """Which subset Table 9 mixes into, and whether mixing makes it worse, as Markdown."""
    numbers = paper_numbers(9)
    wide = numbers.pivot(index="target", columns="variant", values="value")  # noqa: PD010
    shares = [name for name in numbers["variant"].unique() if name.startswith("stochastic")]
    apart = {v: float((wide[shares[0]] - wide[v]).abs().mean()) for v in HARD}
    nearer = min(apart, key=lambda name: apart[name])
    mixtures = wide[shares]
    worse, same, better = (
        int((np.sign((mixtures.sub(wide["cs"], axis=0)).round(DIGITS)) == sign).to_numpy().sum())
        for sign in (-1, 0, 1)
    )
    above = int((mixtures.gt(wide["all"], axis=0)).to_numpy().sum())
    last = shares[-1].removeprefix("stochastic_")
    falls = float((mixtures[shares[-1]] - wide["cs"]).mean())
    rest = float((wide["all"] - wide["cs"]).mean())
    return (
        f"With {shares[0].removeprefix('stochastic_')} added, the printed numbers are on average "
        f"{number(apart['ca'])} from the CA column and {number(apart['cs'])} from the CS one, so "
        f"the mixed subset is most likely {labels.variant(nearer)}. Against CS alone the mixtures "
        f"are worse in {worse} of {mixtures.size} cases, equal in {same}, better in {better}; "
        f"above the baseline in {above}. With {last} added r falls by {number(-falls)} on average, "
        f"of {number(-rest)} from CS to the whole set."
    )


def findings(found: Curves) -> str:
    """Does mixing in easy samples make the hard subset worse? As Markdown."""
    return "\n".join(
        f"- **{labels.metric(metric)}, {labels.variant(variant)}.** {_of(found, metric, variant)}"
        for metric in found.metrics
        for variant in HARD
        if found.places(metric, variant)
    )


def _of(found: Curves, metric: str, variant: str) -> str:
    line = found.line(metric, variant)
    if 0.0 not in line.index or len(line) < 2:
        return "The hard subset has no correlation to compare with."
    last = float(line.index[-1])
    whole = (metric, variant, last)
    change, low, high = found.difference(whole, (metric, variant, 0.0))
    base = found.difference((metric, "all", 1.0), (metric, variant, 0.0))[0]
    trend = _trend(line)
    mixtures = line[line.index > 0]
    better, _, worse = counts((mixtures.round(DIGITS) - round(line[0.0], DIGITS)).round(DIGITS))
    per = [
        found.difference(whole, (metric, variant, 0.0), name)[0]
        for name in found.common(whole, (metric, variant, 0.0))
    ]
    ups = int((np.array(per).round(DIGITS) > 0).sum())
    sure = " (the interval leaves out zero)" if low > 0 or high < 0 else ""
    certain = "" if sure else ", not beyond what the choice of sources does"
    if change < 0:
        verdict = f"On average adding easy samples makes it worse, as the paper says{certain}"
    elif change > 0:
        verdict = f"Adding easy samples does **not** make it worse here: it helps{certain}"
    else:
        verdict = "Adding easy samples changes nothing"
    control = found.difference(whole, (metric, "random", last))
    towards = (
        "That is the direction of the whole set"
        if change * base > 0
        else "That is not the direction of the whole set"
    )
    std = found.table()
    cell = (std["metric"] == metric) & (std["variant"] == variant) & (std["place"] == last)
    spread = float(std.loc[cell & (std["target"] == MEAN), "std"].iloc[0])
    text = (
        f"Alone r = {number(line[0.0])}, with {share(last)} added {number(line[last])}: "
        f"{number(change, 3, True)} {interval(low, high, 3)}{sure}. {verdict}. {towards}, which "
        f"has {number(base, 3, True)}. Of {len(mixtures)} shares {worse} are worse than none, "
        f"{better} better; Spearman’s ρ of share and r is {number(trend, 2)}."
    )
    ends = max(line[0.0], line[0.0] + base)
    beyond = mixtures[mixtures.round(DIGITS) > round(ends, DIGITS)]
    text += f" {len(beyond)} of the shares lie above both ends, the hard subset and the whole set."
    if len(per) > 1:
        text += f" With {share(last)}, r rises on {ups} of {len(per)} targets."
    if not math.isnan(spread):
        text += f" The repetitions differ by ± {number(spread)}."
    return text + (
        f" Against as many random samples the mixture with {share(last)} has "
        f"{number(control[0], 3, True)} {interval(*control[1:], 3)}."
    )


def _trend(line: pd.Series) -> float:
    values = line.to_numpy()
    if len(values) < 3 or not np.ptp(values):
        return math.nan
    return float(scipy.stats.spearmanr(line.index, values).statistic)
