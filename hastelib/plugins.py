"""Sources and metrics of your own: modules that are imported before anything runs.

``HASTE_PLUGINS`` names them, separated by commas. A module puts its sources into
:data:`hastelib.models.SOURCES` and its metrics into :data:`hastelib.metrics.METRICS`. Worker
processes and the workers of a cluster have the variable too, so what is known here is known there.
"""

from __future__ import annotations

import importlib
import os


def load() -> None:
    """Import the modules that ``HASTE_PLUGINS`` names.

    Raises:
        ImportError: one cannot be found or imported; says which.
    """
    for name in filter(None, map(str.strip, os.environ.get("HASTE_PLUGINS", "").split(","))):
        try:
            importlib.import_module(name)
        except Exception as error:  # a module of yours may raise anything
            raise ImportError(
                f"HASTE_PLUGINS names {name!r}, which cannot be imported ({type(error).__name__}: "
                f"{error}); give the name of a module without .py, and set PYTHONPATH to the "
                "folder that holds it"
            ) from error
