"""Targets and source data: one ``datasets.DatasetDict`` each, whatever its origin.

Every data set has the splits ``train`` and ``test`` with a column ``label`` (a ``ClassLabel``)
and a column ``image`` or ``text``; scenes have an ``image`` and a ``mask``, and their ``label``
lists the classes in the mask. A split becomes :class:`Batches` for a network.
"""

from hastelib.data.base import (
    SPLITS,
    MissingDataError,
    Split,
    Strict,
    class_names,
    class_subsets,
    data_folder,
    fingerprint,
    load,
    subset,
    subset_classes,
    subset_rows,
)
from hastelib.data.folders import Folder, image_folder
from hastelib.data.images import Batches, Images, Preprocessing, paths
from hastelib.data.official import Official
from hastelib.data.published import Masks, Parquet, Texts

__all__ = [
    "SPLITS",
    "Batches",
    "Folder",
    "Images",
    "Masks",
    "MissingDataError",
    "Official",
    "Parquet",
    "Preprocessing",
    "Split",
    "Strict",
    "Texts",
    "class_names",
    "class_subsets",
    "data_folder",
    "fingerprint",
    "image_folder",
    "load",
    "paths",
    "subset",
    "subset_classes",
    "subset_rows",
]
