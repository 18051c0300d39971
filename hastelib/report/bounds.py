"""LEEP between its bounds, on a suite and on random problems."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hastelib import bounds, metrics
from hastelib.experiments import Grid
from hastelib.report import labels
from hastelib.report.comparison import ordered
from hastelib.report.tables import NONE, Block, Cell, Table, number
from hastelib.theory import ROUNDING, Claim, Problem


def sandwich(grid: Grid, targets: Sequence[str], l2: float | None = None) -> pd.DataFrame:
    """LEEP and everything that bounds it, or is said to, for every source, target and subset.

    Of the random subsets the first draw is taken.

    Returns:
        The columns target, source, variant, samples, classes, soft and counts (Lemma 2's bound
        with the soft joint and with hard counts), leep, mixture (the best mixture head, with
        mixture_gap), linear (the best linear head, with linear_gap, 0 where separable) and
        penalised (the log-likelihood of the linear head with the penalty l2; without one, nan).
    """
    found = []
    for target, source in itertools.product(targets, grid.suite.sources):
        features = grid.features(source, target)
        subsets = {subset.variant: subset for subset in reversed(grid.subsets(target))}
        for variant in ordered(subsets):
            part = features.at(subsets[variant].rows)
            mixture = bounds.mixture_head(part.probs, part.labels, tolerance=1e-3)
            linear = bounds.linear_head(part.embedding, part.labels, tolerance=1e-6)
            penalised = math.nan
            if l2 is not None:
                head = bounds.linear_head(part.embedding, part.labels, l2, tolerance=1e-6)
                penalised = head.log_likelihood
            found.append(
                {
                    "target": target,
                    "source": source,
                    "variant": variant,
                    "samples": len(part.labels),
                    "classes": len(part.labels.unique()),
                    "soft": bounds.leep_lower_bound(part.probs, part.labels),
                    "counts": bounds.leep_lower_bound(part.probs, part.labels, joint="hard"),
                    "leep": metrics.leep(part.probs, part.labels),
                    "mixture": mixture.log_likelihood,
                    "mixture_gap": mixture.gap,
                    "linear": linear.log_likelihood,
                    "linear_gap": linear.gap,
                    "separable": linear.separable,
                    "penalised": penalised,
                }
            )
    return pd.DataFrame(found)


def _failed(low: pd.Series, high: pd.Series) -> int:
    return int((low - high > ROUNDING).sum())


def violations(cells: pd.DataFrame) -> Table:
    """How often each inequality fails on the suite, by subset.

    Args:
        cells: what :func:`sandwich` gives.

    Returns:
        Inequalities down, subsets across, counts of failures; ``frame`` has the columns claim,
        variant, failed, tried.
    """
    whole = cells[cells["variant"] == "all"].set_index(["target", "source"])
    found = []
    for variant in ordered(cells["variant"]):
        part = cells[cells["variant"] == variant].set_index(["target", "source"])
        pairs = {
            "soft bound ≤ LEEP": (part["soft"], part["leep"]),
            "hard-count bound ≤ LEEP": (part["counts"], part["leep"]),
            "LEEP ≤ l, mixture heads": (part["leep"], part["mixture"]),
            "LEEP ≤ l, linear heads": (part["leep"], part["linear"] + part["linear_gap"]),
        }
        if variant != "all":
            other = whole.loc[part.index]
            pairs |= {
                "l ≤ l(all), mixture heads": (
                    part["mixture"],
                    other["mixture"] + other["mixture_gap"],
                ),
                "l ≤ l(all), linear heads": (
                    part["linear"],
                    other["linear"] + other["linear_gap"],
                ),
                "LEEP ≤ LEEP(all)": (part["leep"], other["leep"]),
                "LEEP − soft bound ≤ that of all": (
                    part["leep"] - part["soft"],
                    other["leep"] - other["soft"],
                ),
            }
        found += [
            (claim, variant, _failed(low, high), len(part)) for claim, (low, high) in pairs.items()
        ]
    frame = pd.DataFrame(found, columns=["claim", "variant", "failed", "tried"])
    variants = ordered(frame["variant"])
    wide = frame.pivot(index="claim", columns="variant", values="failed")  # noqa: PD010
    rows = tuple(
        (
            str(claim),
            tuple(
                Cell(NONE if np.isnan(wide.loc[claim, v]) else f"{int(wide.loc[claim, v])}")
                for v in variants
            ),
        )
        for claim in frame["claim"].drop_duplicates()
    )
    most = int(frame["tried"].max())
    caption = (
        f"How often each inequality fails, of {most} pairs of a source and a target for each "
        "subset (Baseline: the whole train split; Random: one draw). Only the first and the third "
        "are theorems."
    )
    head = ("Inequality", *map(labels.variant, variants))
    return Table(caption, (Block("", head, rows),), (), frame)


def trials(tried: pd.DataFrame) -> Table:
    """The claims on random problems: expected and actual failures.

    Args:
        tried: what :func:`hastelib.theory.trials` gives.

    Returns:
        Claims down; for what is proved 0 failures are expected and the table says whether they
        match, for the rest the count and the worst excess stand alone.

    Raises:
        ValueError: a claim that is proved fails.
    """
    broken = tried[tried["proved"] & (tried["failed"] > 0)]
    if len(broken):
        raise ValueError(f"proved, but not true: {', '.join(broken['claim'])}")
    rows = tuple(
        (
            line["claim"],
            (
                Cell("0" if line["proved"] else NONE),
                Cell(f"{line['failed']:,}"),
                Cell("✓" if line["proved"] else number(100 * line["failed"] / line["tried"], 1)),
                Cell(number(line["worst"]) if line["failed"] else NONE),
            ),
        )
        for line in tried.to_dict("records")
    )
    caption = (
        f"Every claim tried on {int(tried['tried'].max()):,} random problems: failures expected, "
        "failures got, whether they match (for what is not proved: the share in %), and the worst "
        "excess in nats."
    )
    head = ("Claim", "Expected", "Got", "Match or %", "Worst")
    return Table(caption, (Block("", head, rows),), (), tried)


def numbers(problem: Problem, claim: Claim) -> Table:
    """A small problem in full, with both sides of a claim."""
    classes = problem.probs.shape[1]
    head = ("Sample", "y", *(f"f(x)_{z}" for z in range(classes)))
    rows = tuple(
        (str(i), (Cell(str(int(label))), *(Cell(number(p)) for p in probs)))
        for i, (label, probs) in enumerate(zip(problem.labels, problem.probs, strict=True))
    )
    low, high, _ = claim.sides(problem)
    caption = (
        f"{claim.name}: the low side is {number(low, 4)}, the high side {number(high, 4)}; it "
        f"fails by {number(low - high, 4)} nats."
    )
    return Table(caption, (Block("", head, rows),))


def findings(cells: pd.DataFrame) -> str:
    """What the bounds do on the suite, in sentences computed from the numbers."""
    share = cells.groupby("variant")["separable"].mean()
    slack = (cells["leep"] - cells["soft"]).groupby(cells["variant"]).mean()
    room = (cells["mixture"] - cells["leep"]).groupby(cells["variant"]).mean()
    level = cells.groupby("variant")["leep"].mean()
    shown = ordered(cells["variant"])

    def listed(values: pd.Series, scale: float = 1, digits: int = 3, unit: str = "") -> str:
        return ", ".join(
            f"{labels.variant(v)} {number(scale * values[v], digits)}{unit}" for v in shown
        )

    hard = [variant for variant in shown if variant in ("ca", "cs")]
    tighter = [v for v in hard if slack[v] < slack["all"]]
    beats = [v for v in tighter if slack[v] < slack["random"]]
    names = " and ".join(map(labels.variant, tighter)) or "no hard subset"
    same = " and ".join(map(labels.variant, beats)) or "neither"
    return "\n".join(
        [
            f"- **Separable.** A linear head separates the classes outright in: "
            f"{listed(share, 100, 0, '%')} of the pairs. There l(w, k*) is 0, the bound says "
            "nothing, and no head attains it; a finite upper bound drawn there instead would be "
            "that of an optimiser stopped early.",
            f"- **Mean LEEP**: {listed(level)}. Mean distance to the soft lower bound: "
            f"{listed(slack)}. The lower bound is tighter than on the whole set for {names}, and "
            f"tighter than on the random subset of the same size for {same}.",
            f"- **Mean room above LEEP** within its own family of heads: {listed(room)}.",
        ]
    )
