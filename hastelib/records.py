"""The long frame that every section writes, and its file.

One schema for the whole book: a row for every section, suite, target, source, metric, variant,
similarity, fraction, hardness source and draw. A section may add columns of its own after these.
"""

import math
from pathlib import Path

import pandas as pd

from hastelib.store import writing

SCHEMA = 3
"""The version of the columns; raised when one is added, dropped or changes its meaning."""

COLUMNS = {
    "schema": "int64", "section": "str", "suite": "str", "target": "str", "source": "str",
    "metric": "str", "variant": "str", "similarity": "str", "fraction": "float64",
    "hardness_source": "str", "draw": "int64", "score": "float64", "reason": "str",
    "samples": "int64", "classes": "float64", "accuracy": "float64", "accuracy_std": "float64",
    "seeds": "int64", "recipe": "str", "seconds": "float64", "data": "str", "weights": "str",
    "device": "str", "versions": "str",
}  # fmt: skip
"""Column -> its type; book/api/records.md has the meanings and units."""

KEYS = [*COLUMNS][1:11]
"""The columns that tell the rows apart."""
WORDS = [name for name, dtype in COLUMNS.items() if dtype == "str"]
CSV_BYTES = 1_500_000
"""A longer table is written as Parquet."""


def check(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, its columns in order and of their types; ``ValueError`` where it breaks a rule."""
    hint = "run the notebook that makes it again"
    if missing := [name for name in COLUMNS if name not in frame]:
        wanted = f"the columns of schema {SCHEMA}, missing {', '.join(missing)}; {hint}"
        raise ValueError(f"frame: expected {wanted}")
    if versions := sorted(set(frame["schema"]) - {SCHEMA}):
        wanted = f"schema {SCHEMA}, got {', '.join(map(str, versions))}; {hint}"
        raise ValueError(f"frame: expected {wanted}, or use the hastelib named in its versions")
    extra = [name for name in frame if name not in COLUMNS]
    frame = frame[[*COLUMNS, *extra]].astype(COLUMNS | dict.fromkeys(WORDS, "object"))
    frame = frame.reset_index(drop=True).fillna(dict.fromkeys(WORDS, ""))
    score, measured = frame["score"], frame["accuracy"].notna()
    unsound = (score.isna() == (frame["reason"] == "")) | (score.abs() == math.inf)
    bad_accuracy = measured & ~frame["accuracy"].between(0, 1) | (measured != (frame["seeds"] > 0))
    for invalid, columns, expected in (
        # A section's own column may tell rows apart too, such as the bucket of 5.6.
        (frame.duplicated([*KEYS, *extra]), KEYS, "each row once, got several of"),
        (unsound, ["metric", "score", "reason"], "a finite score, or nan and the reason why, got"),
        (bad_accuracy, ["accuracy", "seeds"], "accuracies in [0, 1] of at least one seed, got"),
    ):
        if invalid.any():
            first = frame.loc[invalid, columns].iloc[0].to_dict()
            raise ValueError(f"frame: expected {expected} {first}")
    return frame


def write(frame: pd.DataFrame, stem: str | Path) -> Path:
    """Write a frame as ``stem.csv``, or as ``stem.parquet`` where the CSV would be too long.

    The file, whose path is returned, is written whole or not at all, and every number reads back
    as it was. A file of the other kind, from an earlier run, goes.

    Raises:
        PermissionError: the folder cannot be written to.
    """
    frame = check(frame)
    text = frame.to_csv(index=False, na_rep="nan", lineterminator="\n").encode()
    paths = [Path(f"{stem}.csv"), Path(f"{stem}.parquet")]
    path, other = paths if len(text) <= CSV_BYTES else paths[::-1]
    with writing(path, "choose another folder with the notebook's parameter `output`") as temporary:
        if path.suffix == ".csv":
            temporary.write_bytes(text)
        else:
            frame.to_parquet(temporary, index=False)
    other.unlink(missing_ok=True)
    return path


def read(path: str | Path) -> pd.DataFrame:
    """Read what :func:`write` wrote; ``ValueError`` as of :func:`check`, or if cut short."""
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            return check(pd.read_parquet(path))
        types = dict.fromkeys(WORDS, str)
        return check(pd.read_csv(path, dtype=types, keep_default_na=False, na_values=["nan"]))
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: {error}") from error
