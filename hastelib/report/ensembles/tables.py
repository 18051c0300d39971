"""The tables of Section 5.4."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from hastelib.report import labels
from hastelib.report.comparison import ordered
from hastelib.report.ensembles.numbers import Candidates
from hastelib.report.paper import FORM, MARK
from hastelib.report.paper import table as correlation_table
from hastelib.report.tables import NONE, Block, Cell, Table, number

CONTROL = (
    f"Random is the control, as many samples drawn at random: {MARK} marks where it is as good as "
    "the best HASTE variant. In small type: 95% bootstrap intervals over the members of the pool."
)


def numbered(single: Sequence[Candidates]) -> dict[str, int]:
    """A number for every member of any pool, from 1, in the order in which they first come."""
    members = dict.fromkeys(name for one in single for name in one.members)
    return {name: i for i, name in enumerate(members, 1)}


def targets(names: Sequence[str]) -> tuple[str, ...]:
    """The names of targets as heads."""
    return tuple(labels.plain(name) for name in names)


def pool_table(single: Sequence[Candidates], sizes: Sequence[int]) -> Table:
    """The members: accuracy and LEEP alone, and how many ensembles they make.

    Args:
        single: the members of each target's pool.
        sizes: of the ensembles.

    Returns:
        Members down, numbered; targets across; ``frame`` has the columns target, member, accuracy
        and leep.
    """
    lines: list[tuple[str, tuple[Cell, ...]]] = []
    found = []
    for name, i in numbered(single).items():
        cells = []
        for one in single:
            if name not in one.members:
                cells.append(Cell(NONE))
                continue
            at = one.members.index(name)
            accuracy, leep = one.accuracy[at], one.scores["ms_leep", "all"][at]
            found.append((one.target, name, accuracy, leep))
            best = bool(round(accuracy, 3) == round(one.accuracy.max(), 3))
            cells.append(Cell(number(100 * accuracy, 1), number(leep, 2), best))
        lines.append((f"{i}. {labels.source(name)}", tuple(cells)))
    lines.append(("Members, P", tuple(Cell(str(len(one.members))) for one in single)))
    for size in sizes:
        counts = (math.comb(len(one.members), size) for one in single)
        lines.append((f"Ensembles of {size}", tuple(Cell(str(count)) for count in counts)))
    caption = (
        "The pool: accuracy in percent of each member alone after fine-tuning on the target, its "
        "LEEP on the whole train split in small type, the best member in bold. A dash: the member "
        "was trained on this very target and is left out."
    )
    block = Block(
        "",
        ("Member", *targets([one.target for one in single])),
        tuple(lines),
        1 + len(sizes),
    )
    frame = pd.DataFrame(found, columns=["target", "member", "accuracy", "leep"])
    return Table(caption, (block,), (), frame)


def table(correlations: pd.DataFrame, size: int) -> Table:
    """Correlations in the form of the paper's Table 4.

    Args:
        correlations: what :func:`hastelib.report.ensembles.correlations` gives.
        size: of the ensembles.
    """
    fewest, most = int(correlations["n"].min()), int(correlations["n"].max())
    many = f"{most}" if fewest == most else f"{fewest} to {most}"
    caption = (
        f"Ensembles of {size}: Pearson’s r between score and accuracy over all {many} ensembles "
        "of a target."
    )
    # Targets differ in their number of ensembles, which the pool's table has: not in every cell.
    made = correlation_table(correlations.assign(n=most), caption=caption, units="ensembles")
    return Table(made.caption, made.blocks, (FORM, CONTROL), correlations)


def shares_table(shares: pd.DataFrame, size: int) -> Table:
    """What ensembles gain, and how much of it is a sum over the members.

    Args:
        shares: what :func:`hastelib.report.ensembles.shares` gives.
        size: of the ensembles.
    """
    gains, sums = [], []
    for line in shares.to_dict("records"):
        name = labels.plain(str(line["target"]))
        percent = (number(100 * line[key], 1) for key in ("best_member", "mean", "best"))
        gains.append((name, tuple(map(Cell, percent))))
        values = (number(line[key], 2) for key in ("rho", "of_sum", "of_best", "rho_e_leep"))
        sums.append((name, tuple(map(Cell, values))))
    caption = (
        f"Ensembles of {size} and their members. Left, accuracy in percent: the best member alone, "
        "the mean ensemble, the best one. Right: ρ, the highest correlation that any score can "
        "reach that is a sum over members; what the members’ fine-tuned accuracies reach as a "
        "score, their sum and the best of them; and ρ of E-LEEP, 1 if it were a sum over members "
        "too."
    )
    blocks = (
        Block("Accuracy", ("Target", "Member", "Mean", "Best"), tuple(gains)),
        Block("Sums over members", ("Target", "ρ", "Sum", "Best", "E-LEEP"), tuple(sums)),
    )
    return Table(caption, blocks, (), shares)


def counted_table(counted: pd.DataFrame, size: int) -> Table:
    """How much MS-LEEP counts source classes.

    Args:
        counted: what :func:`hastelib.report.ensembles.counted` gives.
        size: of the ensembles.
    """
    variants = ordered(counted["variant"])
    blocks = []
    for title, column in (
        ("r with the classes", "of_leep"),
        ("Share of fit, %", "fit"),
        ("r given the classes", "given"),
    ):
        lines = []
        for target, part in counted.groupby("target", sort=False):
            values = part.set_index("variant")[column]
            factor, digits = (100, 0) if column == "fit" else (1, 2)
            cells = [Cell(number(factor * float(values[name]), digits)) for name in variants]
            if column == "given":
                cells.insert(0, Cell(number(float(part["plain"].iloc[0]), 2)))
            lines.append((labels.plain(str(target)), tuple(cells)))
        head = ["Target", *map(labels.variant, variants)]
        if column == "given":
            head.insert(1, "Classes")
        blocks.append(Block(title, tuple(head), tuple(lines)))
    caption = (
        "LEEP and the number of source classes. First: correlation over the members between LEEP "
        "and the log of their number of source classes. Second: the share of LEEP’s variance over "
        "the members that is still there when the labels are shuffled, fit to chance. Third: "
        f"correlation with the accuracy over the ensembles of {size}, of the sum of those logs "
        "(Classes), which needs no data at all, and of MS-LEEP once the sum is known (partial "
        "correlation)."
    )
    return Table(caption, tuple(blocks), (), counted)


def sets_table(sets: pd.DataFrame, size: int) -> Table:
    """What the number of source data sets does to E-LEEP.

    Args:
        sets: what :func:`hastelib.report.ensembles.of_sets` gives.
        size: of the ensembles.
    """
    variants = ordered([name for name in sets if name in labels.VARIANTS])
    unions, lines = [], []
    for line in sets.to_dict("records"):
        name = labels.plain(str(line["target"]))
        ends = (number(100 * line[end], 0) for end in ("fewest", "most"))
        unions.append((name, tuple(map(Cell, ends))))
        values = (number(line[column], 2) for column in ("accuracy", *variants))
        lines.append((name, tuple(map(Cell, values))))
    caption = (
        f"Over the ensembles of {size}. Left: percent of the train split in the union of hard "
        "subsets. Right: the correlation of the number of source data sets with the accuracy "
        "(Acc.) and with E-LEEP on each subset. The random control has the union’s size and "
        "nothing else of it."
    )
    head = ("Target", "Acc.", *map(labels.variant, variants))
    blocks = (
        Block("The union", ("Target", "Smallest", "Largest"), tuple(unions)),
        Block("r with the source data sets", head, tuple(lines)),
    )
    return Table(caption, blocks, (), sets)


def picks_table(picks: pd.DataFrame, single: Sequence[Candidates], size: int) -> Table:
    """What choosing by each score costs, and which members are chosen.

    Args:
        picks: what :func:`hastelib.report.ensembles.picks` gives.
        single: the members, which :func:`pool_table` numbers.
        size: of the ensembles.
    """
    numbers = numbered(single)
    blocks = []
    for metric, part in picks.groupby("metric", sort=False):
        known = [name for name in labels.VARIANTS if name in set(part["variant"])]
        chosen = known or list(part["variant"].unique())
        wide = part.set_index(["target", "variant"])
        lines = []
        for target in part["target"].unique():
            cells = []
            for name in chosen:
                one = wide.loc[(target, name)]
                members = " ".join(str(numbers[member]) for member in one["picked"])
                cells.append(Cell(number(100 * float(one["regret"]), 1), members))
            lines.append((labels.plain(str(target)), tuple(cells)))
        if len(lines) > 1:
            means = part.groupby("variant")["regret"].mean()
            last = tuple(Cell(number(100 * float(means[name]), 1)) for name in chosen)
            lines.append(("Mean", last))
        titles = {"best": "Best members", "drawn": "Drawn"}
        heads = (titles.get(name) or labels.variant(name) for name in chosen)
        title = "Without a score" if metric == "none" else labels.metric(str(metric))
        blocks.append(Block(title, ("Target", *heads), tuple(lines), int(len(lines) > 1)))
    caption = (
        f"Points of accuracy lost by taking the ensemble of {size} with the highest score, instead "
        "of the best one; in small type the members taken, by their numbers in the pool. Without a "
        "score: the members that are best alone, which takes their fine-tuning, and an ensemble "
        "drawn at random."
    )
    return Table(caption, tuple(blocks), (), picks)
