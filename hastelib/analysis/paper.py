"""The numbers of the paper's 13 tables, as printed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats

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
    options: dict[str, Any] = {"dtype": {"section": str}, "keep_default_na": False}
    return pd.concat([pd.read_csv(files[n], **options) for n in tables or files], ignore_index=True)


def row(ours: pd.DataFrame, printed: pd.DataFrame, target: str, units: int) -> pd.DataFrame:
    """One target's correlations here beside the printed ones; empty where none are printed.

    Args:
        ours: a :func:`hastelib.analysis.summary` by metric and variant.
        printed: of :func:`read`, Pearson's r; their intervals are :func:`fisher`'s.
        target: as a suite calls it: ``oxford_pets`` is Oxford-IIIT in Table 1.
        units: how many models, or class subsets, the printed ones are correlated over.
    """
    names = [re.sub(r"[^a-z0-9]|pets", "", name.lower()) for name in (*printed["target"], target)]
    keys = pd.Series(names).replace("oxfordiiit", "oxford")
    theirs = printed[keys[:-1].to_numpy() == keys.iloc[-1]]
    value = theirs.set_index(["metric", "variant"])["value"]
    value = value[value.index.isin(ours.index)]
    low, high = fisher(value.clip(-0.9995, 0.9995), units)
    theirs = pd.DataFrame({"value": value, "low": low, "high": high})
    return pd.concat({"Here": ours.reindex(value.index), "Paper": theirs}, axis=1)


def fisher(r: Any, n: Any, level: float = 0.95) -> tuple[Any, Any]:
    """Fisher's interval of a correlation r over n pairs: tanh(artanh r -+ z / sqrt(n - 3))."""
    reach = scipy.stats.norm.ppf((1 + level) / 2) / np.sqrt(n - 3)
    return np.tanh(np.arctanh(r) - reach), np.tanh(np.arctanh(r) + reach)
