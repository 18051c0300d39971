"""Targets and source data: one ``datasets.DatasetDict`` each, whatever its origin.

Every data set has the splits ``train`` and ``test`` with the columns ``image`` and ``label``
(a ``ClassLabel``). :class:`Images` turns a split into batches for a network.
"""

from hastelib.data.files import MissingDataError, data_folder
from hastelib.data.images import Images, fingerprint
from hastelib.data.load import load
from hastelib.data.subsets import chosen_classes, class_subset, class_subsets

__all__ = [
    "Images",
    "MissingDataError",
    "chosen_classes",
    "class_subset",
    "class_subsets",
    "data_folder",
    "fingerprint",
    "load",
]
