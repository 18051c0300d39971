"""Where texts come from: a generated corpus, Parquet files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hastelib.specs.base import Split, Strict


class Corpus(Strict):
    """Short texts written by a grammar (``kind: corpus``), see :mod:`hastelib.data.corpus`.

    ``task`` says what their labels are: ``topics`` of news, ``emotions`` of diary lines,
    the sentiment of ``reviews``, or the emotions of ``tweets``, another register. ``train`` and
    ``test`` count texts per class.
    """

    kind: Literal["corpus"]
    task: Literal["topics", "emotions", "reviews", "tweets"]
    train: int = Field(gt=0)
    test: int = Field(gt=0)
    seed: int = 0


class Texts(Strict):
    """Parquet files of texts under ``HASTE_DATA``, else a data set of the hub (``kind: texts``).

    ``train`` and ``test`` are paths under ``HASTE_DATA``; without ``test`` the rows are split
    80/20, stratified by class, with ``seed``. ``hub``, ``config`` and ``revision`` say where the
    same data is published, ``hub_splits`` what its splits are called. ``text`` and ``label`` name
    the columns. ``most_train`` and ``most_test`` cap the rows of a split: as many are drawn,
    stratified by class, with ``seed``.
    """

    kind: Literal["texts"]
    train: str
    test: str | None = None
    hub: str | None = None
    config: str | None = None
    revision: str | None = None
    hub_splits: dict[Split, str] = Field(default={"train": "train", "test": "test"})
    text: str = "text"
    label: str = "label"
    most_train: int | None = Field(default=None, gt=1)
    most_test: int | None = Field(default=None, gt=1)
    seed: int = 0


SPECS = (Corpus, Texts)
