"""Which pre-trained model transfers best to your data, before you fine-tune any of them.

:func:`rank` scores models on your data, plain and on its hardest part (the paper HASTE, *Towards
Estimating Transferability using Hard Subsets*); :func:`features` runs any torch module once and
gives what the scores are computed from; :mod:`~hastelib.metrics`, :mod:`~hastelib.hardness` and
:mod:`~hastelib.stats` are pure functions of arrays.
"""

import os

# Threads of torch that wait for each other shall sleep, not spin: beside any other busy process
# spinning makes small operations a hundred times slower. Must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

from hastelib import hardness, metrics, stats  # noqa: E402
from hastelib.features import Features, features  # noqa: E402
from hastelib.hardness import Signature  # noqa: E402
from hastelib.ranking import Ranking, rank  # noqa: E402

__all__ = [
    "Features",
    "Ranking",
    "Signature",
    "features",
    "hardness",
    "metrics",
    "rank",
    "stats",
]
