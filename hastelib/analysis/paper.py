"""The numbers of the paper's 13 tables, as printed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parents[2] / "book" / "paper_tables"


def read(*tables: int) -> pd.DataFrame:
    """Some of the paper's tables as one long frame; all of them where none is named.

    Args:
        tables: their numbers, 1 to 13.

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
            f"the paper's numbers are not at {FOLDER}: they belong to the book, not to the "
            "installed package; install hastelib from a clone of its repository "
            "(pip install -e .) to have both"
        )
    if unknown := sorted(set(tables) - set(files)):
        raise ValueError(f"tables: expected numbers from 1 to {max(files)}, got {unknown}")
    return pd.concat(
        [
            pd.read_csv(files[which], dtype={"section": str}, keep_default_na=False)
            for which in tables or files
        ],
        ignore_index=True,
    )
