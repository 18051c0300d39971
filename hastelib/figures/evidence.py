"""The figures of the page *LogME, exactly*, and their alternative texts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from hastelib.figures.draw import MARKERS, new_figure
from hastelib.logme import Landscape
from hastelib.report.tables import number

LOOK = {
    "exact": ("#333333", "o", "exact"),
    "fixed": ("#de8f05", "D", "fixed point"),
    "mended": ("#0173b2", "^", "mended"),
}
UNITS = ("#0173b2", "#de8f05", "#d55e00", "#029e73")


def profile(found: Landscape) -> Figure:
    """Where does the iteration end on the evidence that it is to maximise?

    The log evidence of one class over log t, its maximum, and the ends of the fixed point for
    the same embeddings in several units. A mark on the lower peak is a stationary point that is
    not the maximum; one below the curve has not even the best alpha for its t.
    """
    with new_figure(3.3) as figure:
        axes = figure.subplots()
        decades = 1 / np.log(10)
        axes.plot(found.log_t * decades, found.curve, color="#333333")
        top = found.peaks().iloc[0]
        axes.plot(top["log_t"] * decades, top["value"], "*", color="#333333", markersize=13)
        axes.annotate(
            "exact",
            (top["log_t"] * decades, top["value"]),
            xytext=(9, 2),
            textcoords="offset points",
            fontsize=9,
        )
        for one, colour, marker in zip(
            found.ends.to_dict("records"), UNITS, MARKERS[1:], strict=False
        ):
            axes.plot(
                one["log_t"] * decades,
                one["value"],
                marker,
                color=colour,
                markersize=7,
                label=f"{one['unit']:g} F",
            )
        axes.set(xlabel="log₁₀ t, in units of the largest eigenvalue")
        axes.set_ylabel("log evidence per sample")
        axes.margins(y=0.1)
        figure.legend(loc="outside upper center", ncols=4, title="fixed point on")
    return figure


def profile_alt(found: Landscape) -> str:
    """The alternative text of :func:`profile`."""
    decades = 1 / np.log(10)
    peaks = " and ".join(
        f"{number(one['value'])} at 10 to the {number(one['log_t'] * decades, 1)}"
        for one in found.peaks().to_dict("records")
    )
    ends = "; ".join(
        f"{one['unit']:g} F at 10 to the {number(one['log_t'] * decades, 1)} with "
        f"{number(one['value'])}{'' if one['converged'] else ', not converged'}"
        for one in found.ends.to_dict("records")
    )
    return f"A curve of log evidence per sample over t with maxima {peaks}. Fixed point: {ends}."


def gap(found: pd.DataFrame, reference: float) -> Figure:
    """How far off is the fixed point, and where does that begin?

    Its distance from the exact score over n / d, a line per unit of F, on a logarithmic axis;
    dashed, how far apart the exact scores of a suite's sources are. Above that line the error
    decides the ranking.
    """
    with new_figure(3.3) as figure:
        axes = figure.subplots()
        axes.axvline(1, color="#888888", linewidth=0.8)
        axes.axhline(reference, color="#333333", linestyle="--", linewidth=1)
        for (unit, part), colour, marker in zip(
            found.groupby("unit"), UNITS, MARKERS, strict=False
        ):
            axes.plot(
                part["n"] / part["d"],
                part["gap"].abs(),
                marker=marker,
                color=colour,
                label=f"{unit:g} F",
            )
        axes.set(xscale="log", yscale="log", xlabel="n / d")
        axes.set_ylabel("|fixed point − exact|, nats")
        ticks = [
            x for x in (1 / 8, 1 / 4, 1 / 2, 1, 2, 4) if x >= found["n"].min() / found["d"].max()
        ]
        names = {1 / 8: "⅛", 1 / 4: "¼", 1 / 2: "½"}
        axes.set_xticks(ticks, [names.get(x, f"{x:g}") for x in ticks])
        axes.xaxis.set_minor_locator(FixedLocator([]))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.annotate(
            "between the suite’s sources",
            (axes.get_xlim()[1], reference),
            xytext=(-2, 4),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
        )
        figure.legend(loc="outside upper center", ncols=3)
    return figure


def gap_alt(found: pd.DataFrame, reference: float) -> str:
    """The alternative text of :func:`gap`."""
    parts = []
    for unit, part in found.groupby("unit"):
        below, rest = part[part["n"] < part["d"]], part[part["n"] >= part["d"]]
        parts.append(
            f"{unit:g} F from {number(below['gap'].abs().max(), 1)} nats at n = "
            f"{below['n'].min()} to {number(below['gap'].abs().min(), 2)} at n = "
            f"{below['n'].max()}, at most {rest['gap'].abs().max():.1g} from n = d on"
        )
    return (
        f"Distance of the fixed point from the exact score at d = {found['d'].iloc[0]}: "
        f"{'; '.join(parts)}. The suite’s sources are {number(reference, 2)} nats apart."
    )


def ranking(found: pd.DataFrame) -> Figure:
    """Does a score follow the models' quality, or their width?

    Kendall's tau of each version with the known quality (left) and with the width (right) of the
    models of synthetic zoos, over the number of samples: the mean, and the range over the zoos.
    """
    with new_figure(3.1) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, name in zip(panels, ("quality", "width"), strict=True):
            for version, (colour, marker, label) in LOOK.items():
                part = found[found["version"] == version].groupby("n")[name]
                means = part.mean()
                axes.fill_between(means.index, part.min(), part.max(), color=colour, alpha=0.13)
                style = "--" if version == "mended" else "-"
                axes.plot(means.index, means, style, color=colour, marker=marker, label=label)
            sizes = sorted(found["n"].unique())
            axes.set_xscale("log")
            axes.set_xticks(sizes, [f"{n}" for n in sizes])
            axes.xaxis.set_minor_locator(FixedLocator([]))
            axes.set_title(f"with {name}")
            axes.set_xlabel("samples n")
        panels[0].set_ylabel("Kendall’s τ")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=3)
    return figure


def ranking_alt(found: pd.DataFrame) -> str:
    """The alternative text of :func:`ranking`."""
    means = found.groupby(["version", "n"])[["quality", "width"]].mean()
    first, last = found["n"].min(), found["n"].max()
    parts = [
        f"{label}: with quality {number(means['quality'][version, first], 2)} at n = {first} and "
        f"{number(means['quality'][version, last], 2)} at n = {last}, with width "
        f"{number(means['width'][version, first], 2)} and "
        f"{number(means['width'][version, last], 2)}"
        for version, (_, _, label) in LOOK.items()
    ]
    return f"Kendall’s τ of the scores of synthetic models. {'. '.join(parts)}."
