"""The embedded data: drawings, digits, scenes and texts come from their seeds alone."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from hastelib import suites
from hastelib.data import base as data
from hastelib.glyphs import Corpus, Digits, Glyphs, Scenes, characters, corpus, scenes
from hastelib.store import Store

GREEK = Glyphs(kind="glyphs", characters="α-γ", train=4, test=2)
TWEETS = Corpus(kind="corpus", task="tweets", train=6, test=3)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# --- characters and digits ----------------------------------------------------------------------


def test_characters():
    assert characters.characters("A-Cx") == ["A", "B", "C", "x"]
    assert "✅" not in characters.characters("✁-✘")  # no font has it, so the range leaves it out
    with pytest.raises(ValueError, match="no font of matplotlib draws"):
        characters.characters("A✅")
    with pytest.raises(ValueError, match="named twice"):
        characters.characters("A-CB")
    every = [one for text in scenes.KINDS.values() for one in characters.characters(text)]
    assert len(every) == len(set(every))
    for spec in suites.load("glyphs").targets.values():
        for one in characters.characters(spec.characters) if isinstance(spec, Glyphs) else ():
            assert sum(ord(one) in codes for codes in characters.fonts().values()) >= 2


def test_drawings_are_deterministic_dark_on_light_and_outlines_use_less():
    def sheets(style: str) -> list[np.ndarray]:
        return [characters.draw("M", style, np.random.default_rng(s)) for s in range(40)]

    def ink(style: str) -> float:
        return float(np.mean([np.median(sheet) - sheet.mean() for sheet in sheets(style)]))

    first, again = sheets("plain"), sheets("plain")
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert (first[0].shape, first[0].dtype) == ((32, 32), np.uint8)
    assert ink("plain") > ink("outline") > 0


@pytest.mark.parametrize("spec", [GREEK, Digits(kind="digits", train=3, test=2)])
def test_every_class_has_its_number_of_drawings(store: Store, spec: Any):
    made = data.load(spec, store)
    names = [*"αβγ"] if spec == GREEK else [*"0123456789"]
    assert data.class_names(made["train"]) == names
    for split, count in (("train", spec.train), ("test", spec.test)):
        assert np.bincount(made[split]["label"]).tolist() == [count] * len(names)
        assert made[split][0]["image"].size == (32, 32)
        pixels = np.asarray(made[split][0]["image"])
        assert np.median(pixels[:, [0, -1]]) > 200  # paper at the edge: dark ink on light


# --- scenes --------------------------------------------------------------------------------------


def style(**changes: Any) -> Scenes:
    settings = {"kind": "scenes", "train": 3, "test": 2, "height": 32, "width": 48, **changes}
    return Scenes.model_validate(settings)


@pytest.mark.parametrize("palette", ["paper", "night", "colour"])
def test_a_mask_has_exactly_the_pixels_that_ink_covers_by_half(palette: str) -> None:
    spec = style(palette=palette, density=(1, 1), height=64, width=64)
    checked = 0
    for seed in range(8):
        image, mask = scenes.draw(spec, np.random.default_rng(seed))
        values, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
        ground, ink = values[counts.argsort()[::-1][:2]].astype(float)
        # Where a pixel lies between the two colours: 0 is the ground, 1 the ink.
        cover = ((image - ground) @ (ink - ground)) / ((ink - ground) @ (ink - ground))
        clear = abs(cover - 0.5) > 0.03  # bytes round
        assert ((cover > 0.5) == (mask > 0))[clear].all()
        assert len(np.unique(mask[mask > 0])) == 1
        checked += int((mask > 0).sum())
    assert checked > 500


def test_clutter_and_degradation_change_the_picture_and_not_the_classes_there_are() -> None:
    specs = style(), style(degradation=1.0)
    plain, worse = (scenes.draw(spec, np.random.default_rng(7)) for spec in specs)
    np.testing.assert_array_equal(plain[1], worse[1])
    assert np.abs(plain[0].astype(int) - worse[0]).mean() > 5
    cluttered = scenes.draw(style(clutter=1.0), np.random.default_rng(7))[0]
    assert len(np.unique(cluttered.reshape(-1, 3), axis=0)) > 10


def test_a_scene_says_which_classes_it_has(store: Store) -> None:
    spec = style(kinds=("stars", "digits"), density=(4, 5))
    made = data.load(spec, store)["train"]
    assert data.class_names(made) == ["background", "stars", "digits"]
    for row in made:
        assert row["label"] == np.unique(np.asarray(row["mask"])).tolist()
    assert {len(row["label"]) for row in made} <= {2, 3}


@pytest.mark.parametrize(
    ("field", "value"),
    [("kinds", []), ("kinds", ["stars", "stars"]), ("kinds", ["runes"]), ("density", [3, 2]),
     ("scale", [0.2, 1.5]), ("clutter", 1.5), ("colour", "red")],
)  # fmt: skip
def test_a_style_that_makes_no_sense_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        style(**{field: value})


# --- texts ---------------------------------------------------------------------------------------


def written(task: str = "tweets", train: int = 6, test: int = 3, seed: int = 0):
    return data.load(Corpus(kind="corpus", task=task, train=train, test=test, seed=seed))


@pytest.mark.parametrize("task", ["topics", "emotions", "reviews", "tweets"])
def test_corpus_counts_labels_and_words(task: str) -> None:
    made = written(task)
    names = made["train"].features["label"].names
    assert names == corpus.TASKS[task]["labels"]
    for split, count in (("train", 6), ("test", 3)):
        assert Counter(made[split]["label"][:]) == dict.fromkeys(range(len(names)), count)
    words = {word for split in made.values() for text in split["text"] for word in text.split()}
    assert words <= set(corpus.vocabulary())


def test_corpus_splits_registers_and_subsets_differ() -> None:
    made = written(train=30, test=30)
    assert set(made["train"]["text"]) != set(made["test"]["text"])
    diary, tweets = (
        {w for text in written(task, 80)["train"]["text"] for w in text.split()}
        for task in ("emotions", "tweets")
    )
    assert any(word.startswith("#") for word in tweets)
    assert not any(word.startswith("#") for word in diary)
    assert tweets & diary & set(corpus.CUES["anger"])
    made = written("reviews", train=20, test=5)
    # Of two classes a subset is one of the train texts.
    parts = [data.subset(made, *data.subset_rows(made, which)) for which in range(4)]
    assert all(part["train"].features["label"].names == ["negative", "positive"] for part in parts)
    assert all(data.fingerprint(part["test"]) == data.fingerprint(made["test"]) for part in parts)
    assert all(16 <= len(part["train"]) <= 40 for part in parts)
    assert len({data.fingerprint(part["train"]) for part in parts}) == len(parts)


def test_cues_speak_for_their_class_but_not_alone() -> None:
    made = written("emotions", train=200)["train"]
    names = made.features["label"].names
    own = {name: set(corpus.CUES[name]) for name in names}
    best = [
        max(names, key=lambda name: sum(word in own[name] for word in text.split()))
        for text in made["text"]
    ]
    right = np.mean([b == names[y] for b, y in zip(best, made["label"], strict=True)])
    assert 0.5 < right < 0.9  # neither noise nor a look-up
    with pytest.raises(ValidationError, match="task"):
        written("poems")


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "other"),
    [(GREEK, {"style": "outline"}), (style(), {"palette": "night"}), (TWEETS, {"seed": 1})],
)
def test_the_seed_decides_and_more_of_them_change_none(store: Store, tmp_path: Path, spec, other):
    few, kept, again = (data.load(spec, one) for one in (store, store, Store(tmp_path / "again")))
    assert len([*store.folder.rglob("*.safetensors")]) == 2 * (spec != TWEETS)
    more = data.load(spec.model_copy(update={"train": spec.train + 2, "test": spec.test + 1}))
    changed = data.load(spec.model_copy(update=other))
    assert data.fingerprint(few["train"]) != data.fingerprint(few["test"])
    for name, split in few.items():
        assert len({data.fingerprint(one[name]) for one in (few, kept, again)}) == 1
        parts = split.features.keys() - {"label"}
        assert all(split[0][part] != changed[name][0][part] for part in parts)
        for label in split["label"]:
            own, all_ = ([r for r in one if r["label"] == label] for one in (split, more[name]))
            assert own == all_[: len(own)]
