"""A generated corpus: short texts whose labels a grammar decides, ``corpus.yaml``.

Four tasks share one vocabulary: ``topics`` (news lines), ``emotions`` (diary lines), ``reviews``
(several judgements, good or bad on the whole) and ``tweets`` (three of the six emotions and one of
their own, with drawn-out words, hashtags and slang that no diary has).

Every text has a strength, drawn at random: the share of its clauses that speak for its label. The
others say nothing or name a word of a neighbouring class (love beside joy, fear beside sadness);
some clauses speak for the label by denying its opposite. So there are easy texts, hard ones,
and some that nobody could tell. What a diary, a review or a tweet is about leans on its label.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import datasets
import numpy as np
import yaml

from hastelib.data.base import SPLITS, Splits
from hastelib.glyphs.characters import Counted
from hastelib.store import Store

_GRAMMAR = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
TASKS, CLASSES = _GRAMMAR["tasks"], _GRAMMAR["classes"]
"""What the grammar says of each task, and of each label."""
CUES: dict[str, list[str]] = {name: entry["words"].split() for name, entry in CLASSES.items()}
TWEETED = {word for name in TASKS["tweets"]["labels"] for word in CUES[name]}
"""The words that tweets also draw out, or make hashtags."""


class Corpus(Counted):
    """Short texts written by a grammar (``kind: corpus``), see :mod:`hastelib.glyphs.corpus`."""

    kind: Literal["corpus"]
    task: Literal["topics", "emotions", "reviews", "tweets"]

    def load(self, store: Store) -> Splits:
        """The splits, with ``text`` and ``label``."""
        names, text, splits = TASKS[self.task]["labels"], datasets.Value("string"), Splits()
        features = datasets.Features(text=text, label=datasets.ClassLabel(names=names))
        for split in SPLITS:
            texts, count = list[str](), getattr(self, split)
            for label, name in enumerate(names):
                stream = [self.seed, [*TASKS].index(self.task), label, split == "test"]
                writer = _Writer(self.task, name, np.random.default_rng(stream))
                texts += [writer.text() for _ in range(count)]
            columns = {"text": texts, "label": np.arange(len(names)).repeat(count).tolist()}
            splits[split] = datasets.Dataset.from_dict(columns, features=features)
        return splits


def vocabulary() -> list[str]:
    """Every word that the grammar can write, in alphabetical order."""
    kinds = ("fillers", "says", "denies")
    phrases = [phrase for rules in TASKS.values() for kind in kinds for phrase in rules[kind]]
    words = {word for word in " ".join(phrases).split() if "{" not in word}
    words.update(*CUES.values(), *_GRAMMAR["slots"].values())
    return sorted(words | {*map(_drawn_out, TWEETED)} | {f"#{word}" for word in TWEETED})


def _drawn_out(word: str) -> str:
    return word + 3 * word[-1]


class _Writer:
    """Writes the texts of a label."""

    def __init__(self, task: str, label: str, random: np.random.Generator) -> None:
        self.rules, self.entry, self.random = TASKS[task], CLASSES[label], random
        self.tweets, self.label = task == "tweets", label

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.random.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def cue(self, name: str) -> str:
        word = self.pick(CUES[name])
        emphatic = self.tweets and self.chance(0.5) and word in TWEETED
        return _drawn_out(word) if emphatic else word

    def phrase(self, kind: str, name: str) -> str:
        """One of the phrases, its cues of class ``name``."""
        words = []
        for word in self.pick(self.rules[kind]).split():
            match word:
                case "{cue}":
                    words.append(self.cue(name))
                case "{felt}":
                    words.append(self.cue(self.pick(CLASSES[name]["felt"])))
                case "{tag}":
                    cue = self.pick(CUES[name])
                    words.append(f"#{cue}" if cue in TWEETED else cue)
                case "{about}":
                    leaning = self.chance(0.5)
                    topic = self.entry["topic"] if leaning else self.pick(TASKS["topics"]["labels"])
                    words.append(self.pick(CUES[topic]))
                case _:
                    words.append(self.pick(_GRAMMAR["slots"].get(word, (word,))))
        return " ".join(words)

    def clause(self, strength: float) -> str:
        if self.chance(strength):
            if self.rules["denies"] and self.chance(0.25):
                return self.phrase("denies", self.entry["opposite"])
            return self.phrase("says", self.label)
        if self.chance(0.5):
            return self.phrase("fillers", self.label)
        return self.phrase("says", self.pick(self.entry["near"]))

    def text(self) -> str:
        strength = self.random.beta(3, 2)
        least, most = self.rules["clauses"]
        count = self.random.integers(least, most, endpoint=True)
        return " ".join(self.clause(strength) for _ in range(count))
