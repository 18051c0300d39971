"""Which pre-trained model transfers best, estimated on the hardest part of the target data.

The library under the HASTE book: pure functions (:mod:`~hastelib.metrics`,
:mod:`~hastelib.hardness`, :mod:`~hastelib.stats`), the networks and data they are computed from
(:mod:`~hastelib.suites`, :mod:`~hastelib.data`, :mod:`~hastelib.models`, :mod:`~hastelib.extract`,
:mod:`~hastelib.finetune`), and the grids and tables of the book (:mod:`~hastelib.grid`,
:mod:`~hastelib.records`, :mod:`~hastelib.analysis`).
"""

import os

# Threads of torch that wait for each other shall sleep, not spin: beside any other busy process
# spinning makes small operations a hundred times slower. Must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
