"""Texts with a label in Parquet files."""

from __future__ import annotations

from typing import Literal

import datasets
import numpy as np
from pydantic import Field
from sklearn.model_selection import train_test_split

from hastelib.data.base import SPLITS, split_of
from hastelib.data.published import Published
from hastelib.store import Store


class Texts(Published):
    """Texts in Parquet files (``kind: texts``).

    ``text`` names the column with the texts. ``most_train`` and ``most_test`` cap the rows of a
    split: as many are drawn, stratified by class, with ``seed``.
    """

    kind: Literal["texts"]
    text: str = "text"
    most_train: int | None = Field(default=None, gt=1)
    most_test: int | None = Field(default=None, gt=1)

    def load(self, store: Store) -> datasets.DatasetDict:
        """The splits, with ``text`` and ``label``."""
        found = self.columns(self.text, "text", {})
        for split, data in found.items():
            if (kind := str(data.features["text"].dtype)) not in ("string", "large_string"):
                raise ValueError(
                    f"{self.train}: expected texts in column {self.text!r} of the {split} split, "
                    f"got {kind}"
                )
        both = split_of(found, self.seed, self.train)
        most = {"train": self.most_train, "test": self.most_test}
        return datasets.DatasetDict({s: self._capped(both[s], most[s], s) for s in SPLITS})

    def _capped(self, data: datasets.Dataset, most: int | None, split: str) -> datasets.Dataset:
        """At most so many rows, the classes in their proportions, in the order of the file."""
        if most is None or len(data) <= most:
            return data
        labels, rows = data.with_format("numpy")["label"][:], np.arange(len(data))
        if len(data) - most < len(np.unique(labels)):  # too few are left out to do so by class
            kept = np.random.default_rng(self.seed).permutation(len(data))[:most]
            return data.select(np.sort(kept))
        try:
            kept, _ = train_test_split(
                rows, train_size=most, stratify=labels, random_state=self.seed
            )
        except ValueError as error:
            raise ValueError(
                f"{self.train}: no {most} rows of the {split} split can be drawn by class: {error}"
            ) from error
        return data.select(np.sort(kept))
