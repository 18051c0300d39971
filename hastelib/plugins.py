"""Sources and metrics of your own, in modules that are imported before anything runs.

``HASTE_PLUGINS`` names them, separated by commas; workers have it too. A module puts its sources
into :data:`hastelib.models.SOURCES`, its metrics into :data:`hastelib.metrics.METRICS`.
"""

import importlib
import os


def load() -> None:
    """Import the modules that ``HASTE_PLUGINS`` names; ``ImportError`` says which cannot be."""
    for name in filter(None, map(str.strip, os.environ.get("HASTE_PLUGINS", "").split(","))):
        try:
            importlib.import_module(name)
        except Exception as error:  # a module of yours may raise anything
            raise ImportError(
                f"HASTE_PLUGINS names {name!r}, which cannot be imported ({type(error).__name__}: "
                f"{error}); give the name of a module without .py, and set PYTHONPATH to the "
                "folder that holds it"
            ) from error
