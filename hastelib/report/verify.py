"""Claims with what they predict and what a run gave, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from hastelib.report.tables import MINUS, Block, Cell, Table


def verify(
    claims: Mapping[str, tuple[float, float]],
    tolerance: float = 1e-9,
    caption: str = "Each claim, what it predicts, and what the run on this page gave.",
) -> Table:
    """A table of claims: expected, got, match. A claim that fails stops the page.

    Args:
        claims: the claim in words -> (expected, got); counts and truth values count as numbers.
        tolerance: how far apart the two may be, absolutely or relative to what is expected.
        caption: of the table.

    Returns:
        The table; ``frame`` has the columns claim, expected, got.

    Raises:
        ValueError: some claims do not hold; names each with both numbers.
    """
    failed = [
        f"{claim}: expected {expected!r}, got {got!r}"
        for claim, (expected, got) in claims.items()
        if not math.isclose(expected, got, rel_tol=tolerance, abs_tol=tolerance)
    ]
    if failed:
        raise ValueError("these claims do not hold:\n  " + "\n  ".join(failed))
    rows = tuple(
        (claim, (Cell(_text(expected)), Cell(_text(got)), Cell("✓")))
        for claim, (expected, got) in claims.items()
    )
    frame = pd.DataFrame(
        [(claim, *pair) for claim, pair in claims.items()], columns=["claim", "expected", "got"]
    )
    block = Block("", ("Claim", "Expected", "Got", "Match"), rows)
    return Table(caption, (block,), (), frame)


def _text(value: float) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.6g}".replace("-", MINUS)
