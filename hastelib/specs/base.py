"""What all specifications share."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")


class Strict(BaseModel):
    """Unknown keys are refused, and nothing changes after it was checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)
