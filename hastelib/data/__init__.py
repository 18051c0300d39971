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
    split_of,
    subset,
    subset_classes,
    subset_rows,
)
from hastelib.data.folders import Folder, image_folder
from hastelib.data.images import Batches, Images, Preprocessing, paths
from hastelib.data.official import Official
from hastelib.data.published import Parquet, Texts
from hastelib.data.scenes import Masks
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


def load(spec: Spec, store: Store | None = None, whole: bool = False) -> datasets.DatasetDict:
    """The splits ``train`` and ``test`` of a data set; their columns are described above.

    ``spec`` is from a suite, or built by hand: ``Folder(kind="folder", path="...")``; ``store``
    keeps drawings and decoded masks. Without an official test split it is split 80/20, stratified,
    with the specification's ``seed`` (0 where it has none); but ``whole`` (source data, to which
    nothing is fine-tuned) leaves all in ``train``.

    Raises:
        MissingDataError: the data are neither there nor to be had.
        ValueError: the data are there, but not in the form that the specification describes.
    """
    found = spec.load(store or Store())
    if whole and "test" not in found:
        return datasets.DatasetDict(found)
    return split_of(found, getattr(spec, "seed", 0), str(spec))
