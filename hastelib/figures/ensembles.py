"""Ensembles and the members they are made of, drawn."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from hastelib import ensembles
from hastelib.figures.draw import VARIANT_LOOK, new_figure
from hastelib.report import labels
from hastelib.report.comparison import ordered
from hastelib.report.ensembles import Candidates
from hastelib.report.ensembles.numbers import correlation
from hastelib.report.tables import number

WITH, WITHOUT = "#d55e00", "#0173b2"


def _variants(one: Candidates) -> list[str]:
    return ordered(variant for _, variant in one.scores)


def _strongest(single: Candidates) -> int:
    return int(single.accuracy.argmax())


def dots(one: Candidates, single: Candidates) -> Figure:
    """Do higher scores go with more accurate ensembles, and is that one member's doing?

    Metrics down, variants across, a dot for each ensemble; those with the member that is best
    alone in another colour. Where the two colours stand apart upwards, that one member makes the
    difference; where they do not stand apart sideways as well, the score does not see it.

    Args:
        one: the ensembles of a size for a target.
        single: the members of that target's pool.
    """
    variants = _variants(one)
    strong = (one.chosen == _strongest(single)).any(1)
    with new_figure(4.0) as figure:
        grid = figure.subplots(len(ensembles.METRICS), len(variants), sharey=True, squeeze=False)
        for line, metric in zip(grid, ensembles.METRICS, strict=True):
            for axes, variant in zip(line, variants, strict=True):
                scores = one.scores[metric, variant]
                for those, colour in ((~strong, WITHOUT), (strong, WITH)):
                    axes.plot(
                        scores[those],
                        100 * one.accuracy[those],
                        ".",
                        color=colour,
                        markersize=3,
                        alpha=0.6,
                    )
                r = number(correlation(scores, one.accuracy), 2)
                head = f"{labels.variant(variant)}\n" if metric == ensembles.METRICS[0] else ""
                axes.set_title(f"{head}r = {r}", fontsize=9)
                axes.xaxis.set_major_locator(MaxNLocator(2))
            line[0].set_ylabel(labels.metric(metric), fontweight="bold")
        figure.supxlabel("score, each panel on its own scale", fontsize=9)
        figure.supylabel(f"accuracy on {labels.plain(one.target)} in %", fontsize=9)
        name = labels.source(single.members[_strongest(single)])
        handles = [
            Line2D([], [], color=colour, marker="o", linestyle="", label=f"{word} {name}")
            for word, colour in (("with", WITH), ("without", WITHOUT))
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def dots_alt(one: Candidates, single: Candidates) -> str:
    """The alternative text of :func:`dots`."""
    strong = (one.chosen == _strongest(single)).any(1)
    ends = 100 * one.accuracy.min(), 100 * one.accuracy.max()
    means = [100 * one.accuracy[those].mean() for those in (strong, ~strong)]
    panels = "; ".join(
        f"{labels.metric(metric)} "
        + ", ".join(
            f"{labels.variant(v)} {number(correlation(one.scores[metric, v], one.accuracy), 2)}"
            for v in _variants(one)
        )
        for metric in ensembles.METRICS
    )
    return (
        f"Scatter plots of score against accuracy for {len(one.chosen)} ensembles of {one.size} on "
        f"{labels.plain(one.target)}, accuracies from {number(ends[0], 1)} to "
        f"{number(ends[1], 1)}%. Those with {labels.source(single.members[_strongest(single)])} "
        f"reach {number(means[0], 1)}% on average, those without {number(means[1], 1)}%. "
        f"Pearson’s r: {panels}."
    )


def members(one: Candidates, single: Candidates, numbers: Mapping[str, int]) -> Figure:
    """The members behind the ensembles: whose score says how much they bring?

    A panel for each variant; across a member's own LEEP, up the mean accuracy of the ensembles
    that it is in, with the member's number in the pool. The correlation in these panels, times
    rho, is the correlation of MS-LEEP over all ensembles.

    Args:
        one: the ensembles of a size for a target.
        single: the members of that target's pool.
        numbers: what to call each member.
    """
    variants = _variants(one)
    means = 100 * ensembles.of_members(one.accuracy, one.chosen)
    with new_figure(4.3) as figure:
        grid = figure.subplots(-(-len(variants) // 2), 2, sharey=True, squeeze=False)
        for axes, variant in zip(grid.flat, variants, strict=True):
            own = single.scores["ms_leep", variant]
            colour = VARIANT_LOOK.get(variant, ("#d55e00", "v"))[0]
            axes.plot(own, means, "o", color=colour, markersize=4)
            for name, *place in zip(one.members, own, means, strict=True):
                axes.annotate(
                    str(numbers[name]),
                    place,
                    xytext=(4, 2),
                    textcoords="offset points",
                    fontsize=7.5,
                    color="#333333",
                )
            r = number(correlation(own, means), 2)
            axes.set_title(f"{labels.variant(variant)}, r = {r}")
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.margins(0.12)
        figure.supxlabel(f"a member’s LEEP on {labels.plain(one.target)}", fontsize=10)
        figure.supylabel(f"mean accuracy of its ensembles of {one.size} in %", fontsize=10)
    return figure


def members_alt(one: Candidates, single: Candidates) -> str:
    """The alternative text of :func:`members`."""
    means = 100 * ensembles.of_members(one.accuracy, one.chosen)
    best = labels.source(one.members[int(means.argmax())])
    parts = ", ".join(
        f"{labels.variant(v)} {number(correlation(single.scores['ms_leep', v], means), 2)}"
        for v in _variants(one)
    )
    return (
        f"Scatter plots of LEEP against the mean accuracy of the ensembles of {one.size} that a "
        f"member is in, for {len(one.members)} members on {labels.plain(one.target)}: from "
        f"{number(means.min(), 1)} to {number(means.max(), 1)}%, {best} highest. Pearson’s r: "
        f"{parts}."
    )
