"""Targets and source data: one ``datasets.DatasetDict`` each, whatever its origin.

Every data set has the splits ``train`` and ``test`` with a column ``label`` (a ``ClassLabel``)
and a column ``image`` or ``text``; scenes have an ``image`` and a ``mask``, and their ``label``
lists the classes in the mask. A split becomes :class:`Batches` for a network: :class:`Images`,
or what the network's modality has instead.
"""

from hastelib.data.batches import Batches
from hastelib.data.files import MissingDataError, data_folder
from hastelib.data.fingerprints import class_names, fingerprint
from hastelib.data.images import Images, Preprocessing
from hastelib.data.load import load
from hastelib.data.subsets import class_subsets, subset, subset_classes, subset_rows

__all__ = [
    "Batches",
    "Images",
    "MissingDataError",
    "Preprocessing",
    "class_names",
    "class_subsets",
    "data_folder",
    "fingerprint",
    "load",
    "subset",
    "subset_classes",
    "subset_rows",
]
