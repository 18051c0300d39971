"""One ranker for all sources, in place of each for itself."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from hastelib.experiments import Grid, taught_on
from hastelib.records import frame
from hastelib.report import labels
from hastelib.report.segmentation.sets import sources
from hastelib.report.tables import Block, Cell, Table, number

COMMON = "common"
"""The variant of the hardest scenes as one network ranks them for all sources."""


def one_ranker(
    grid: Grid, wanted: Sequence[str], names: Sequence[str], table: pd.DataFrame
) -> pd.DataFrame:
    """The section's rows, with the scores on the hardest scenes of one ranker as a variant more.

    Where every source ranks for itself, each is scored on other scenes; the suite's
    ``hardness.source`` gives all of them the same.

    Args:
        grid: of the segmentation part of a suite.
        wanted: targets; those that the ranker was trained on are left out.
        names: metrics.
        table: the rows of the section.
    """
    ranker = grid.suite.hardness.source
    wanted = [target for target in wanted if taught_on(ranker)[1] != target]
    found = []
    for target in wanted:
        found += grid.rows("5.3", [target], names, sources=sources(grid.suite, target))
    common = frame(found)
    common = common[common["variant"] == "ca"].assign(variant=COMMON)
    return pd.concat([table[table["target"].isin(wanted)], common], ignore_index=True)


def ranker_table(correlations: pd.DataFrame, ranker: str) -> Table:
    """The correlations with the hardest scenes of each source's own ranking, and of one for all."""
    blocks = []
    variants = ("all", "random", "ca", COMMON)
    for metric, part in correlations.groupby("metric", sort=False):
        wide = part.pivot(index="target", columns="variant", values="value")  # noqa: PD010
        wide = wide.reindex(part["target"].unique())
        lines = [
            (labels.plain(str(target)), tuple(Cell(number(line[v])) for v in variants))
            for target, line in wide.iterrows()
        ]
        summary = len(wide) > 1
        if summary:
            lines.append(("Mean", tuple(Cell(number(float(wide[v].mean()))) for v in variants)))
        head = ("Target", "Baseline", "Random", "CA, own", "CA, one")
        blocks.append(Block(labels.metric(str(metric)), head, tuple(lines), int(summary)))
    caption = (
        "Pearson’s r between score and mean IoU, on all scenes, on random ones, on those hardest "
        f"for each source itself, and on those hardest for {labels.source(ranker)} alone, the same "
        "for all sources."
    )
    return Table(caption, tuple(blocks), (), correlations)


def ranker_words(correlations: pd.DataFrame) -> str:
    """What one ranker for all changes, as Markdown."""
    wide = correlations.pivot(  # noqa: PD010
        index=["target", "metric"], columns="variant", values="value"
    ).dropna()
    if wide.empty:
        return "There are too few sources for a correlation."
    better = int((wide[COMMON].round(3) > wide["ca"].round(3)).sum())
    above = {
        name: int((wide[name].round(3) > wide["random"].round(3)).sum()) for name in ("ca", COMMON)
    }
    means = {name: number(float(wide[name].mean())) for name in ("all", "random", "ca", COMMON)}
    return (
        f"On the same scenes for all sources r is higher than on each source’s own in {better} of "
        f"{len(wide)} comparisons. The random control is beaten in {above['ca']} with own rankings "
        f"and in {above[COMMON]} with one. Mean r over targets and metrics: baseline "
        f"{means['all']}, random {means['random']}, own {means['ca']}, one {means[COMMON]}."
    )
