"""Numbers that contradict each other, rankings that cannot be, counts that the text gives."""

from __future__ import annotations

import math
from functools import cache
from itertools import permutations

import numpy as np
import pandas as pd
import scipy.stats
from jaxtyping import Float
from numpy import ndarray

from hastelib.report import labels
from hastelib.report.audit.common import (
    CLASS_SIZES,
    CLASSES,
    HEADLINES,
    OTHERS,
    POOL,
    SIZES,
    pairs,
    percent,
    printed_table,
    score,
    short,
    simple,
)
from hastelib.report.comparison import counts
from hastelib.report.tables import Block, Cell, Table

# Numbers that contradict each other


def hardness_sources() -> Table:
    """Table 8's values, by the network that ranks, beside Table 6's for the same experiment."""
    eight, six = printed_table(8), printed_table(6)
    known = six[six["metric"] == "leep"].set_index(["row", "variant"])["value"]
    base = eight[eight["variant"] == "all"].set_index("target")["value"]
    frame = eight[eight["variant"] != "all"].copy()
    frame["row"] = frame["target"].str.removesuffix(" Pets")
    frame["baseline"] = frame["target"].map(base)
    frame["table 6"] = [known[key] for key in zip(frame["row"], frame["variant"], strict=True)]
    networks = list(frame["hardness_source"].unique())
    keys = ["row", "variant", "table 6", "baseline"]
    wide = frame.pivot(index=keys, columns="hardness_source", values="value")  # noqa: PD010
    shown = simple(
        "HASTE-LEEP of CUB200 sources: in Table 8, by the network that ranks (RN: ResNet); in "
        "Table 6; and Table 8’s baseline.",
        ("", *(name.replace("ResNet", "RN") for name in networks), "Table 6", "Base"),
        wide.reset_index(),
        lambda r: (
            f"{r['row']} {labels.variant(r['variant'])}",
            *(short(r[key]) for key in (*networks, "table 6", "baseline")),
        ),
    )
    same = int((frame["value"] == frame["table 6"]).sum())
    note = f"{same} of Table 8’s {len(frame)} values are Table 6’s, whichever network ranked there."
    return Table(shown.caption, shown.blocks, (note,), frame)


def mislabelled() -> Table:
    """Table 13, headed LEEP, beside Table 2's LEEP, whose caption it repeats."""
    blocks, parts = [], []
    for which, metric in ((2, "leep"), (13, "logme")):
        part = printed_table(which)
        part = part[part["metric"] == metric]
        wide = part.pivot(index="row", columns="variant", values="value")  # noqa: PD010
        parts.append(wide.loc[list(part["row"].unique())])
        lines = [
            (str(row), tuple(Cell(short(line[k])) for k in ("all", "ca", "cs")))
            for row, line in parts[-1].iterrows()
        ]
        blocks.append(Block(f"Table {which}", ("", "Base", "CA", "CS"), tuple(lines)))
    frame = pd.concat(parts, axis=1, keys=["2", "13"])
    means = pairs([2, 13]).groupby("metric")["relative"].mean()
    same = int((parts[0] == parts[1].loc[parts[0].index]).to_numpy().sum())
    note = (
        f"{same} of {parts[0].size} values agree. Mean relative change: Table 2’s LEEP "
        f"{percent(means['leep'])}%, Table 13 {percent(means['logme'])}%; for LogME the text "
        f"prints {percent(HEADLINES[13, 'logme'])}%."
    )
    caption = "What stands under the header LEEP for Caltech101 sources in Tables 2 and 13."
    return Table(caption, tuple(blocks), (note,), frame)


def repeated() -> Table:
    """Rows whose baseline and CA are those of another row, to three decimals, with both CS."""
    keys = ["table", "row", "metric"]
    every = pd.concat([printed_table(which) for which in (*SIZES, 9)])
    wide = every.pivot(index=keys, columns="variant", values="value").reset_index()  # noqa: PD010
    wide = wide[wide["all"].ne(wide["ca"]) & wide["ca"].notna()]
    frame = wide[wide.duplicated(["all", "ca"], keep=False)].sort_values(["all", "ca", "table"])
    return simple(
        "Rows that have baseline and CA in common with another row.",
        ("Row", "Base", "CA", "CS"),
        frame[[*keys, "all", "ca", "cs"]],
        lambda r: (
            f"T{r['table']} {r['row']} {labels.metric(r['metric'])}",
            *(short(r[key]) for key in ("all", "ca", "cs")),
        ),
    )


# Rank correlations of seven sources


@cache
def _rankings(n: int = 7) -> tuple[ndarray, ndarray, ndarray]:
    """Of all rankings by score: whether two accuracies are tied, tau and weighted tau."""
    orders = np.array(list(permutations(range(n))))
    first, second = np.triu_indices(n, 1)
    found = []
    for tied in range(n):  # 0: no tie; else the accuracies at tied - 1 and tied are equal
        y = np.arange(n) - (np.arange(n) >= max(tied, 1)) * (tied > 0)
        here = orders[orders[:, tied - 1] < orders[:, tied]] if tied else orders  # each one once
        truth = np.sign(y[first] - y[second])
        signs = np.sign(here[:, first] - here[:, second])
        tau = signs @ truth / math.sqrt(len(truth) * np.abs(truth).sum())
        weighted = np.array([scipy.stats.weightedtau(order, y).statistic for order in here])
        found.append((np.full(len(here), tied > 0), tau, weighted))
    ties, taus, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return ties, taus, weights


def _thousandths(values: Float[ndarray, " m"], cut: bool) -> ndarray:
    scaled = np.round(1000 * values, 6)  # 1000 * 0.29 is not quite 290
    return (np.trunc(scaled) if cut else np.round(scaled)).astype(int)


def rankings() -> Table:
    """Can seven sources be ranked so that both their Kendall correlations are as printed?

    All rankings by score are tried against accuracies without ties and with one tied pair, which
    gives the same values as a tied pair of scores. In ``frame``, a row per cell of Tables 10 and
    11, ``tied`` says that the printed tau needs a tie, and ``tau cut``, ``tau rounded``, ``cut``
    and ``rounded`` count the rankings that give tau alone and both, cut off or rounded.
    """
    keys = ["row", "metric", "variant"]
    both = [printed_table(which).set_index(keys)["value"] for which in (10, 11)]
    frame = pd.concat(both, axis=1, keys=["tau", "weighted"]).reset_index()
    ties, tau, weighted = _rankings()
    printed = [_thousandths(frame[name].to_numpy(), False)[:, None] for name in ("tau", "weighted")]
    for cut, name in ((True, "cut"), (False, "rounded")):
        right = _thousandths(tau, cut) == printed[0]
        frame[f"tau {name}"] = right.sum(1)
        frame[name] = (right & (_thousandths(weighted, cut) == printed[1])).sum(1)
        frame["tied"] = frame.get("tied", True) & ~(right & ~ties).any(1)
    columns = ["tied", "tau rounded", "tau cut", "cut"]
    found = (frame[columns] > 0).groupby(frame["row"], sort=False).sum()
    found.loc["All"] = found.sum()
    notes = [
        f"Both at once: {int((frame['cut'] > 0).sum())} of {len(frame)} cells if cut off, "
        f"{int((frame['rounded'] > 0).sum())} if rounded."
    ]
    for r in frame[frame["cut"] == 0].to_dict("records"):
        near = weighted[_thousandths(tau, True) == round(1000 * r["tau"])]
        notes.append(
            f"{r['row']}, {labels.metric(r['metric'])} {labels.variant(r['variant'])}: no ranking "
            f"of seven with τ = {short(r['tau'])} has weighted τ = {short(r['weighted'])}; the "
            f"nearest is {short(near[np.abs(near - r['weighted']).argmin()], 4)}."
        )
    shown = simple(
        f"Of the {len(frame) // (len(found) - 1)} cells of each target: τ (Table 10) that only a "
        "tied pair can give; τ that some ranking of seven gives, rounded, or cut off after three "
        "decimals; and τ together with the weighted τ of Table 11, both cut off.",
        ("", "Tied", "τ rounded", "τ cut", "Both cut"),
        found.reset_index(),
        lambda r: (r["row"], *(str(r[name]) for name in columns)),
        summary=1,
    )
    return Table(shown.caption, shown.blocks, tuple(notes), frame)


def unchanged() -> str:
    """How often HASTE leaves both rank correlations as they were, and what r did there."""
    r, tau, weighted = (pairs([which])["gain"] for which in (1, 10, 11))
    still = (tau == 0) & (weighted == 0)
    up, same, down = counts(r[still])
    return (
        f"In {int(still.sum())} of {len(r)} comparisons both rank correlations stay exactly as "
        "they were: on the hard subset the scores rank the sources no better and no worse. "
        f"Pearson’s r went up in {up} of these, down in {down}, and stayed in {same}. Of the "
        f"{int((r > 0).sum())} comparisons that HASTE wins by r, it wins "
        f"{int(((r > 0) & (tau > 0)).sum())} by τ and {int(((r > 0) & (weighted > 0)).sum())} by "
        "weighted τ."
    )


# What the text gives as numbers


def pools() -> Table:
    """How many ensembles are there, if a target's own models are left out of A.2's pool?"""
    total = OTHERS + sum(POOL.values())
    frame = pd.DataFrame({"target": POOL.keys(), "own": POOL.values()})
    frame["pool"] = total - frame["own"]
    for k in (4, 3):
        frame[f"of {k}"] = [math.comb(pool, k) for pool in frame["pool"]]
    return simple(
        f"A.2 lists {total} models. Per target its own, what is left (P), and the ensembles of K.",
        ("Target", "Own", "P", "K = 4", "K = 3"),
        frame,
        lambda r: [str(value) for value in r.values()],
    )


def tasks(least: float = 0.4) -> Table:
    """How many different target tasks are there with 40% to 100% of the classes?"""
    frame = pd.DataFrame({"target": CLASSES.keys(), "classes": CLASSES.values()})
    frame["smallest"] = np.ceil(least * frame["classes"] - 1e-9).astype(int)
    frame["sets"] = [
        float(sum(math.comb(c, k) for k in range(smallest, c + 1)))
        for c, smallest in zip(frame["classes"], frame["smallest"], strict=True)
    ]
    return simple(
        f"Different sets of {least:.0%} to 100% of the classes; 5.2 draws {SIZES[2]} of them.",
        ("Target", "Classes", "Smallest", "Sets"),
        frame,
        lambda r: (
            *(r["target"], str(r["classes"]), str(r["smallest"])),
            f"{r['sets']:.0f}" if r["sets"] < 1000 else "> 1000",
        ),
    )


def covariances() -> Table:
    """For which classes can Eq. 4's inverse exist? It needs more than d samples of a class."""
    columns = ["section", "target", "width", "smallest", "largest"]
    frame = pd.DataFrame(CLASS_SIZES, columns=columns)
    ends = [frame[name] > frame["width"] for name in ("smallest", "largest")]
    frame["inverse"] = np.where(ends[0], "all", np.where(ends[1], "some", "none"))
    return simple(
        "Width d of the embedding, samples of the smallest and the largest class, and which "
        "classes can have an invertible covariance.",
        ("Target", "d", "Samples", "Inverse"),
        frame,
        lambda r: (
            *(f"{r['section']} {r['target']}", str(r["width"])),
            *(score(dict.fromkeys([r["smallest"], r["largest"]])), r["inverse"]),
        ),
    )
