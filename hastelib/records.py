"""The long frame that every section writes, and its file.

One schema for the whole book: a row for every section, suite, target, source, metric, variant,
similarity, fraction, hardness source and draw. :data:`COLUMNS` documents the columns. A section may
add columns of its own after these.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hastelib.store import writing

SCHEMA = 2
"""The version of the columns; raised when one is added, dropped or changes its meaning."""

COLUMNS: dict[str, tuple[str, str]] = {
    "schema": ("int64", "version of these columns, 2"),
    "section": ("str", "the paper's section that the row belongs to, such as 5.1"),
    "suite": ("str", "the suite, a file of params/suites"),
    "target": ("str", "the target data set in the suite; greek#3 is class subset 3 of greek"),
    "source": ("str", "the pre-trained network; of an ensemble its members, | between them"),
    "metric": ("str", "leep, nce, gbc, logme, h_score, transrate, ... or one of your own"),
    "variant": (
        "str",
        "what is scored: all of the target's train split (the baseline), random samples, the "
        "hardest by class-agnostic (ca, Eq. 2) or class-specific hardness (cs, Eq. 4); or static, "
        "which scores nothing but ranks the sources by their mean standardised accuracy on the "
        "other targets",
    ),
    "similarity": ("str", "of ca: cosine, or dot, which is Eq. 1 as printed; empty for the others"),
    "fraction": ("float64", "share of the train split that is scored, 1 for all, 0 for static"),
    "hardness_source": ("str", "the network that ranked the samples; empty for all and random"),
    "draw": ("int64", "number of the random subset, from 0; 0 where nothing is random"),
    "score": ("float64", "the metric, higher is better, in nats where it is a likelihood; or nan"),
    "reason": ("str", "why the score is nan; empty where there is one"),
    "samples": ("int64", "number of samples that are scored"),
    "classes": ("float64", "number of target classes among them"),
    "accuracy": (
        "float64",
        "top-1 (for segmentation the mean IoU) on the test split after fine-tuning, in [0, 1], "
        "mean over the seeds; nan where it was not measured",
    ),
    "accuracy_std": ("float64", "its standard deviation over the seeds (ddof = 1); nan for one"),
    "seeds": ("int64", "number of fine-tunings behind the accuracy, 0 where it was not measured"),
    "data": ("str", "fingerprint of the target's train split, 12 hexadecimal digits"),
    "weights": ("str", "fingerprint of the source's weights, 12 hexadecimal digits"),
    "device": ("str", "what it ran on, such as cpu, 2 cores"),
    "versions": ("str", "the software, such as hastelib 0.1.0, torch 2.12.1"),
}
"""Column -> its type and its meaning with the unit."""

KEYS = [*COLUMNS][1:11]
"""The columns that tell the rows apart."""

CSV_BYTES = 1_500_000
"""A longer table is written as Parquet."""


def check(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame, its columns in order and of their types.

    Raises:
        ValueError: a missing column, another schema, a row that stands twice, a score without a
            number and a reason, an accuracy outside [0, 1].
    """
    if missing := [name for name in COLUMNS if name not in frame]:
        raise ValueError(
            f"frame: expected the columns of schema {SCHEMA}, missing {', '.join(missing)}; run "
            "the notebook that makes it again"
        )
    if other := sorted(set(frame["schema"]) - {SCHEMA}):
        raise ValueError(
            f"frame: expected schema {SCHEMA}, got {', '.join(map(str, other))}; run the notebook "
            "that makes it again, or use the hastelib named in its column versions"
        )
    rest = [name for name in frame if name not in COLUMNS]
    types = {name: kind for name, (kind, _) in COLUMNS.items() if kind != "str"}
    frame = frame[[*COLUMNS, *rest]].astype(types).reset_index(drop=True)
    words = [name for name in COLUMNS if name not in types]
    frame[words] = frame[words].astype(object).fillna("")
    # A section's own column may tell rows apart too, such as the bucket of 5.6.
    if (twice := frame.duplicated([*KEYS, *rest])).any():
        first = frame.loc[twice, KEYS].iloc[0].to_dict()
        raise ValueError(f"frame: expected each row once, got several of {first}")
    wrong = frame["score"].isna() != (frame["reason"] != "")
    wrong |= frame["score"].isin([float("inf"), float("-inf")])
    if wrong.any():
        first = frame.loc[wrong, ["metric", "score", "reason"]].iloc[0].to_dict()
        raise ValueError(f"frame: expected a finite score, or nan and the reason why, got {first}")
    measured = frame["accuracy"].notna()
    wrong = measured & ~frame["accuracy"].between(0, 1) | (measured != (frame["seeds"] > 0))
    if wrong.any():
        first = frame.loc[wrong, ["accuracy", "seeds"]].iloc[0].to_dict()
        raise ValueError(f"frame: expected accuracies in [0, 1] of at least one seed, got {first}")
    return frame


def write(frame: pd.DataFrame, stem: str | Path) -> Path:
    """Write a frame as ``stem.csv``, or as ``stem.parquet`` where that would be too long a CSV.

    The file is there whole or not at all, and every number reads back as it was. A file of the
    other kind, from an earlier run, goes.

    Returns:
        The path.

    Raises:
        PermissionError: the folder cannot be written to.
    """
    frame = check(frame)
    text = frame.to_csv(index=False, na_rep="nan", lineterminator="\n").encode()
    small = len(text) <= CSV_BYTES
    paths = [Path(f"{stem}.csv"), Path(f"{stem}.parquet")]
    path, other = paths if small else paths[::-1]
    try:
        with writing(path) as temporary:
            if small:
                temporary.write_bytes(text)
            else:
                frame.to_parquet(temporary, index=False)
    except PermissionError as error:
        raise PermissionError(
            f"cannot write {path}: make {path.parent} writable, free some space, or choose "
            "another folder with the notebook's parameter `output`"
        ) from error
    other.unlink(missing_ok=True)
    return path


def read(path: str | Path) -> pd.DataFrame:
    """Read what :func:`write` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as :func:`check`, with the path; or the file is cut short.
    """
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            return check(pd.read_parquet(path))
        words = {name: str for name, (kind, _) in COLUMNS.items() if kind == "str"}
        found = pd.read_csv(path, dtype=words, keep_default_na=False, na_values=["nan"])
        return check(found)
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: {error}") from error
