"""The numbers of the paper's 13 tables, as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parents[2] / "book" / "paper_tables"


def read(*tables: int) -> pd.DataFrame:
    """Some of the paper's tables, by their numbers from 1 to 13, as one long frame; or all of them.

    Returns:
        The columns table, section, task, source, target, metric, variant (``all``, ``ca``, ``cs``;
        ``haste`` where the paper does not say which; ``stochastic_1%`` and so on), hardness_source,
        statistic, value, and note (known errata). The order is that of print.

    Raises:
        FileNotFoundError: the book's folder is not there.
        ValueError: no such table.
    """
    files = {int(path.stem[:2]): path for path in sorted(FOLDER.glob("*.csv"))}
    if not files:
        raise FileNotFoundError(
            f"the paper's numbers are not at {FOLDER}: they belong to the book, not the package; "
            "install hastelib from a clone of its repository (pip install -e .) to have both"
        )
    if unknown := sorted(set(tables) - set(files)):
        raise ValueError(f"tables: expected numbers from 1 to {max(files)}, got {unknown}")
    how: dict[str, Any] = {"dtype": {"section": str}, "keep_default_na": False}
    return pd.concat([pd.read_csv(files[n], **how) for n in tables or files], ignore_index=True)


def row(ours: pd.DataFrame, printed: pd.DataFrame, target: str, units: int) -> pd.DataFrame:
    """One target's correlations here beside the printed ones; empty where none are printed.

    Args:
        ours: by metric and variant: what :func:`hastelib.analysis.summary` gives.
        printed: of :func:`read`, Pearson's r.
        target: as a suite calls it: ``oxford_pets`` is Oxford-IIIT in Table 1.
        units: how many models, or class subsets, the printed ones are correlated over. Their
            interval is Fisher's: the hyperbolic tangent of artanh r -+ 1.96 / sqrt(units - 3).
    """
    theirs = printed[printed["target"].map(_plain) == _plain(target)]
    value = theirs.set_index(["metric", "variant"])["value"]
    value = value[value.index.isin(ours.index)]
    z, reach = np.arctanh(value.clip(-0.9995, 0.9995)), 1.96 / np.sqrt(units - 3)
    theirs = pd.DataFrame({"value": value, "low": np.tanh(z - reach), "high": np.tanh(z + reach)})
    return pd.concat({"Here": ours.reindex(value.index), "Paper": theirs}, axis=1)


def _plain(name: str) -> str:
    """The name of a data set as no two tables spell it."""
    name = re.sub(r"[^a-z0-9]", "", name.lower())
    return {"oxfordiiit": "oxfordpets", "oxfordiiitpets": "oxfordpets"}.get(name, name)
