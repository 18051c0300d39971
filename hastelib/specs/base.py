"""What all specifications share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")


class Strict(BaseModel):
    """Unknown keys are refused, and nothing changes after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Published(Strict):
    """Parquet files in the hub's layout, under ``HASTE_DATA`` or else from the hub.

    ``train`` and ``test`` are paths under ``HASTE_DATA``; without ``test`` the rows are split
    80/20, stratified by class, with ``seed``. ``hub``, ``config`` and ``revision`` say where the
    same data is published, ``hub_splits`` what its splits are called. ``label`` names the column
    with the classes.
    """

    train: str
    test: str | None = None
    hub: str | None = None
    config: str | None = None
    revision: str | None = None
    hub_splits: dict[Split, str] = Field(default={"train": "train", "test": "test"})
    label: str = "label"
    seed: int = 0
