"""Texts: Parquet files in the hub's layout, caps, subsets."""

from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pytest

from hastelib.data.base import MissingDataError, fingerprint, load, subset, subset_rows
from hastelib.data.published import Texts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up copy of a data set in the hub's layout, three unequal classes."""
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["low", "mid", "high"])
    )
    for split, counts in (("train", (60, 30, 10)), ("test", (12, 6, 2))):
        labels = np.repeat([0, 1, 2], counts)
        lines = [f"{split} text {i}" for i in range(len(labels))]
        shuffled = np.random.default_rng(0).permutation(len(labels))
        columns = {"text": [lines[i] for i in shuffled], "label": labels[shuffled].tolist()}
        path = tmp_path / "made" / f"{split}.parquet"
        path.parent.mkdir(exist_ok=True)
        datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    monkeypatch.setenv("HASTE_DATA", str(tmp_path))
    return tmp_path


def made(**changes) -> Texts:
    files = {split: f"made/{split}.parquet" for split in ("train", "test")}
    return Texts(**{"kind": "texts", **files, **changes})


def test_parquet_layout(folder: Path) -> None:
    data = load(made())
    assert data["train"].column_names == ["text", "label"]
    assert {split: len(part) for split, part in data.items()} == {"train": 100, "test": 20}
    assert data["train"].features["label"].names == ["low", "mid", "high"]
    columns = {"body": ["a", "b", "c", "d"], "mood": ["up", "down", "up", "down"]}
    datasets.Dataset.from_dict(columns).to_parquet(folder / "own.parquet")
    data = load(made(train="own.parquet", test="own.parquet", text="body", label="mood"))
    assert data["train"].features["label"].names == ["down", "up"]
    assert data["train"]["text"][:] == columns["body"]
    assert data["train"]["label"][:] == [1, 0, 1, 0]


def test_caps_are_stratified_and_seeded(folder: Path) -> None:
    data = load(made(most_train=50, most_test=10))
    assert Counter(data["train"]["label"][:]) == {0: 30, 1: 15, 2: 5}
    assert Counter(data["test"]["label"][:]) == {0: 6, 1: 3, 2: 1}
    same, other = (load(made(most_train=50, seed=seed))["train"] for seed in (0, 1))
    assert fingerprint(same) == fingerprint(data["train"])
    assert fingerprint(other) != fingerprint(data["train"])
    everything = load(made())["train"]["text"][:]
    places = [everything.index(text) for text in data["train"]["text"]]
    assert places == sorted(places)
    assert len(load(made(most_train=500))["train"]) == 100


def test_class_subsets_keep_the_texts_of_their_classes(folder: Path) -> None:
    data = load(made())
    part = subset(data, *subset_rows(data, 0))
    for split in ("train", "test"):
        (_, every), (names, some) = (
            (names, [(x, names[y]) for x, y in zip(d["text"], d["label"], strict=True)])
            for d in (data[split], part[split])
            for names in [d.features["label"].names]
        )
        assert some == [row for row in every if row[1] in names]


def test_what_cannot_be_read(folder: Path) -> None:
    rows = {"text": ["a", None], "label": [0, 1]}
    datasets.Dataset.from_dict(rows).to_parquet(folder / "own.parquet")
    for changes, words in (
        ({"train": "own.parquet"}, "1 of 2 rows have no text"),
        ({"most_train": 2}, "no 2 rows of the train split can be drawn by class"),
        ({"image": "image"}, "image"),
    ):
        with pytest.raises(ValueError, match=words):
            load(made(**changes))


def test_a_hub_that_cannot_be_reached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def refuse(*arguments, **named):
        seen["arguments"], seen["named"] = arguments, named
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load_dataset", refuse)
    spec = made(train="gone.parquet", hub="a/b", config="c", revision="0123")
    with pytest.raises(MissingDataError, match=r"a/b \(revision 0123\).*no network"):
        load(spec)
    assert seen["arguments"] == ("a/b", "c")
    assert seen["named"] == {"split": "train", "revision": "0123"}
