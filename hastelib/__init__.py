"""Which pre-trained model transfers best to your data, before you fine-tune any of them.

:func:`rank` scores models on your data, plain and on its hardest part (the paper HASTE, *Towards
Estimating Transferability using Hard Subsets*); :func:`features` runs any torch module once and
gives what the scores are computed from; :mod:`~hastelib.metrics`, :mod:`~hastelib.hardness` and
:mod:`~hastelib.stats` are pure functions of arrays.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Threads of torch that wait for each other shall sleep, not spin: beside any other busy process
# spinning makes small operations a hundred times slower. Must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.2.0"

from hastelib import hardness, metrics, stats
from hastelib.features import Features, features
from hastelib.hardness import Signature

if TYPE_CHECKING:
    from hastelib.ranking import Ranking, rank

__all__ = ["Features", "Ranking", "Signature", "features", "hardness", "metrics", "rank", "stats"]


def __getattr__(name: str) -> Any:
    if name == "bounds":  # imported when asked for: it needs SciPy
        return importlib.import_module("hastelib.bounds")
    if name not in ("Ranking", "rank"):  # these need the readers of data sets
        raise AttributeError(f"module 'hastelib' has no attribute {name!r}")
    return getattr(importlib.import_module("hastelib.ranking"), name)


def __dir__() -> list[str]:
    return [*globals(), "Ranking", "bounds", "rank"]
