"""The rows that every section writes, and their CSV.

One tidy schema for the whole book: one row per section, suite, target, source, metric and
variant. The docstring of :class:`Row` is the documentation of the CSV's columns.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hastelib.store import writing

SCHEMA = 1
"""The version of the columns; raised when one is added, dropped or changes its meaning."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]


class Row(BaseModel):
    """One score of one source on one target, and the accuracy that it should predict.

    In the CSV the columns stand in the order given here; floats are written with the fewest
    digits that read back as the same number, and a float that does not exist as ``nan``.

    Attributes:
        schema_version: version of these columns, :data:`SCHEMA`; the CSV's column is ``schema``.
        section: the paper's section that the row belongs to, such as ``5.1``.
        suite: name of the suite, a file of ``params/suites``.
        target: name of the target data set in the suite.
        source: name of the pre-trained network.
        metric: ``leep``, ``nce``, ``gbc``, ``logme``, ``h_score``, ``transrate``, ``n_leep``,
            ``logme_fixed_point``, ``ms_leep`` or ``e_leep``, or one of your own.
        variant: the samples that the score is computed on: ``all`` of the target's train split
            (the baseline), ``random`` ones, the hardest by the class-agnostic hardness ``ca``
            (Eq. 2), or by the class-specific hardness ``cs`` (Eq. 4).
        score: the metric, higher is better, in nats where it is a likelihood; for ``random`` the
            mean over the draws; ``nan`` where it cannot be computed.
        score_std: standard deviation of the score over the draws (ddof = 1); ``nan`` unless
            ``random``.
        reason: why the score is ``nan``; empty where there is a score.
        fraction: share of the train split that was used, 1 for ``all``.
        samples: number of samples that were used.
        classes: number of classes among them; for ``random`` the mean over the draws.
        draws: number of random subsets behind the score, 1 where there is nothing random.
        accuracy: top-1 on the target's test split after fine-tuning, in [0, 1], mean over the
            seeds; ``nan`` where it was not measured.
        accuracy_std: standard deviation of the accuracy over the seeds (ddof = 1); ``nan`` for a
            single seed.
        seeds: number of fine-tunings behind the accuracy, 0 where it was not measured.
        hardness_source: the network that ranked the samples by hardness; empty for ``all`` and
            ``random``.
        data: the target data's fingerprint, 12 hexadecimal digits.
        weights: the source weights' fingerprint, 12 hexadecimal digits.
        device: what it ran on, such as ``cpu, 2 threads``.
        versions: the software, such as ``hastelib 0.1.0, torch 2.12.1``.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True
    )

    schema_version: int = Field(default=SCHEMA, ge=SCHEMA, le=SCHEMA, alias="schema")
    section: str = Field(min_length=1)
    suite: str = Field(min_length=1)
    target: str = Field(min_length=1)
    source: str = Field(min_length=1)
    metric: Name
    variant: Name
    score: float
    score_std: float = math.nan
    reason: str = ""
    fraction: float = Field(gt=0, le=1)
    samples: int = Field(ge=0)
    classes: float = Field(ge=0)
    draws: int = Field(default=1, ge=1)
    accuracy: float
    accuracy_std: float = math.nan
    seeds: int = Field(ge=0)
    hardness_source: str = ""
    data: Fingerprint
    weights: Fingerprint
    device: str
    versions: str

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if math.isinf(self.score) or math.isnan(self.score) != bool(self.reason):
            raise ValueError(
                "score must be a finite number, or nan with the reason why in `reason`; got "
                f"score {self.score} and reason {self.reason!r}"
            )
        if not (math.isnan(self.accuracy) or 0 <= self.accuracy <= 1):
            raise ValueError(f"accuracy must lie in [0, 1] or be nan, got {self.accuracy}")
        if math.isnan(self.accuracy) != (self.seeds == 0):
            raise ValueError(
                "seeds must be 0 where accuracy is nan and only there; got "
                f"accuracy {self.accuracy} and seeds {self.seeds}"
            )
        return self


COLUMNS = tuple(field.alias or name for name, field in Row.model_fields.items())
"""The columns of the CSV, in order."""


def write_csv(rows: Iterable[Row], path: str | Path) -> None:
    """Write rows as CSV, whole or not at all.

    Args:
        rows: the rows, written in the order given.
        path: the file; its folder is made where it does not exist.

    Raises:
        PermissionError: the folder cannot be written to.
    """
    path = Path(path)
    rows = list(rows)
    try:
        with (
            writing(path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            # str() of a float is its repr: the shortest text that reads back exactly.
            table.writerows(row.model_dump().values() for row in rows)
    except PermissionError as error:
        raise PermissionError(
            f"cannot write {path}: make {path.parent} writable, free some space, or choose "
            "another folder with the notebook's parameter `output`"
        ) from error


def read_csv(path: str | Path) -> list[Row]:
    """Read what :func:`write_csv` wrote; every number is the one that was written.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another version of the schema, missing or unknown columns, or a value that
            its column does not admit; says which line and what to do.
    """
    path = Path(path)
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.reader(file)
        header = next(table, [])
        lines = [(table.line_num, cells) for cells in table if cells]
    again = "run the notebook that makes it again"
    versions = {cells[0] for _, cells in lines} if header[:1] == ["schema"] else set()
    if other := sorted(versions - {str(SCHEMA)}):
        raise ValueError(
            f"{path} has schema {', '.join(other)}, this hastelib reads schema {SCHEMA}: {again}, "
            "or read it with the hastelib named in its column `versions`"
        )
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    if missing or unknown or len(header) != len(COLUMNS):
        raise ValueError(
            f"{path} is not a table of schema {SCHEMA}: missing columns {missing or 'none'}, "
            f"unknown columns {unknown or 'none'}, {len(header)} of {len(COLUMNS)} columns; "
            f"{again}, or rename and fill its columns as the docstring of hastelib.records.Row says"
        )
    return [_row(path, line, header, cells) for line, cells in lines]


def _row(path: Path, line: int, header: Sequence[str], cells: Sequence[str]) -> Row:
    where = f"{path}, line {line}"
    if len(cells) != len(header):
        raise ValueError(
            f"{where}: expected {len(header)} cells, got {len(cells)}; the file is cut short or "
            "was edited by hand: run the notebook that makes it again"
        )
    try:
        return Row.model_validate_strings(dict(zip(header, cells, strict=True)))
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'row'}: {one['msg']}, got {one['input']!r}"
            for one in error.errors()
        )
        raise ValueError(f"{where}: {found[:600]}") from None


def frame(rows: Iterable[Row] | pd.DataFrame) -> pd.DataFrame:
    """The rows as a table, one column per column of the CSV; a table comes back as it is."""
    if isinstance(rows, pd.DataFrame):
        return rows
    return pd.DataFrame([row.model_dump() for row in rows], columns=list(COLUMNS))
