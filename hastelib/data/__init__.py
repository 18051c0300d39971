"""Targets and source data: one ``datasets.DatasetDict`` each, whatever its origin.

Every data set has the splits ``train`` and ``test`` with a column ``label`` (a ``ClassLabel``)
and a column ``image`` or ``text``; scenes have an ``image`` and a ``mask``, and their ``label``
lists the classes in the mask. A split becomes :class:`Batches` for a network: :class:`Images`,
or what the network's modality has instead.
"""

import datasets

from hastelib.data.base import (
    SPLITS,
    MissingDataError,
    Spec,
    Split,
    Strict,
    class_names,
    class_subsets,
    data_folder,
    fingerprint,
    subset,
    subset_classes,
    subset_rows,
)
from hastelib.data.folders import Folder, image_folder
from hastelib.data.images import Batches, Images, Preprocessing, paths
from hastelib.data.published import Parquet, Texts
from hastelib.data.scenes import Masks, Official
from hastelib.store import Store

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
    "Spec",
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


def load(spec: Spec, store: Store | None = None) -> datasets.DatasetDict:
    """The splits ``train`` and ``test`` of a data set; their columns are described above.

    ``spec`` is from a suite, or built by hand: ``Folder(kind="folder", path="...")``; ``store``
    keeps drawings and decoded masks.

    Raises:
        MissingDataError: the data are neither there nor to be had.
        ValueError: the data are there, but not in the form that the specification describes.
    """
    return spec.load(store or Store())
