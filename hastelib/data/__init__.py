"""Targets and source data: one ``datasets.DatasetDict`` each, whatever its origin.

Every data set has the splits ``train`` and ``test`` with the columns ``image`` and ``label``
(a ``ClassLabel``). :class:`Images` turns a split into batches for a network.
"""

from hastelib.data.files import MissingDataError, data_folder
from hastelib.data.images import Images, fingerprint
from hastelib.data.load import load

__all__ = ["Images", "MissingDataError", "data_folder", "fingerprint", "load"]
