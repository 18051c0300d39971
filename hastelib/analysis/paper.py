"""The numbers of the paper's 13 tables, as printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
