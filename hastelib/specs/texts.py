"""Where texts come from: a generated corpus, Parquet files."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hastelib.specs.base import Published, Strict


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


class Texts(Published):
    """Texts in Parquet files (``kind: texts``), see :class:`hastelib.specs.Published`.

    ``text`` names the column with the texts. ``most_train`` and ``most_test`` cap the rows of a
    split: as many are drawn, stratified by class, with ``seed``.
    """

    kind: Literal["texts"]
    text: str = "text"
    most_train: int | None = Field(default=None, gt=1)
    most_test: int | None = Field(default=None, gt=1)
