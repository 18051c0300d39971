"""Section 5.3: sources that learnt one set of scenes each, compared on a fixed other one."""

from hastelib.report.segmentation.pixels import (
    claims,
    pixel_effect,
    pixel_scores,
    pixel_table,
    pixel_words,
)
from hastelib.report.segmentation.rankers import COMMON, one_ranker, ranker_table, ranker_words
from hastelib.report.segmentation.sets import (
    about,
    best_and_worst,
    by_set,
    class_ious,
    counted_words,
    described,
    hard_scenes,
    hard_words,
    interval_words,
    mean_ious,
    pictures,
    rows,
    set_of,
    sources,
    targets,
)

__all__ = [
    "COMMON",
    "about",
    "best_and_worst",
    "by_set",
    "claims",
    "class_ious",
    "counted_words",
    "described",
    "hard_scenes",
    "hard_words",
    "interval_words",
    "mean_ious",
    "one_ranker",
    "pictures",
    "pixel_effect",
    "pixel_scores",
    "pixel_table",
    "pixel_words",
    "ranker_table",
    "ranker_words",
    "rows",
    "set_of",
    "sources",
    "targets",
]
