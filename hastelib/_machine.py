"""What this process may use of the machine."""

from __future__ import annotations

import multiprocessing
import os


def cores() -> int:
    """The cores that this process may use: its share, where ``HASTE_WORKERS`` workers share them.

    None in a worker that must not start processes of its own (the daemons of ``dask worker``).
    """
    if multiprocessing.current_process().daemon:
        return 0
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (there or 1) // int(os.environ.get("HASTE_WORKERS", "1")))
