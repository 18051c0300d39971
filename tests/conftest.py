"""What every test runs under: shapes checked, one thread, nothing of the user's folders touched."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from jaxtyping import install_import_hook

os.environ["OMP_NUM_THREADS"] = "1"  # before anything imports torch
# The modules whose annotations carry shapes. Not the networks: tracing one passes proxies.
install_import_hook(
    [f"hastelib.{name}" for name in ("metrics", "bounds", "hardness", "stats", "linalg")],
    "beartype.beartype",
)
hypothesis.settings.register_profile("few", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("few")


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for this session alone; the other folders only where a test names them."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HASTE_CACHE", str(cache))
        for name in ("HASTE_DATA", "HASTE_WEIGHTS", "HASTE_PARAMS"):
            patch.delenv(name, raising=False)
        # Other processes find this folder's modules and the environment's programs.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield cache


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Made-up copies of the official data sets, see ``official_copies.py``; at first none."""
    from official_copies import Copies, serving

    with serving(tmp_path / "served") as server:
        yield Copies(tmp_path / "data", monkeypatch, server)
