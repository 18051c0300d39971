"""A generated corpus: short texts whose labels a grammar decides.

Four tasks share one vocabulary. Two are wide enough to learn a source from, two are other
registers:

- ``topics``: news lines of four topics, some of whose words belong to two;
- ``emotions``: diary lines of six emotions;
- ``reviews``: several judgements of a film or a book, good or bad on the whole;
- ``tweets``: four emotions, three of the six and one of their own, with drawn-out words, hashtags
  and slang that no diary has.

Every text has a strength, drawn at random: the share of its clauses that speak for its label. The
others say nothing or name a word of a neighbouring class (love beside joy, fear beside sadness);
some clauses speak for the label by denying its opposite. So there are easy texts, hard ones,
and some that nobody could tell. What a diary, a review or a tweet is about leans on its label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import datasets
import numpy as np

from hastelib.data.base import SPLITS
from hastelib.glyphs.characters import Counted
from hastelib.store import Store

TASKS = {
    "topics": ["world", "sports", "business", "science"],
    "emotions": ["sadness", "joy", "love", "anger", "fear", "surprise"],
    "reviews": ["negative", "positive"],
    "tweets": ["anger", "joy", "optimism", "sadness"],
}
"""Task -> its labels."""

_CLASSES = """
world business,sports - -
    minister border treaty election embassy troops vote refugees capital summit parliament rebels
    talks official peace crisis
sports world - -
    coach striker league goal season match stadium champion injury medal fans final official record
    team race
business science,world - -
    shares profit bank merger market oil sales investors prices budget deal company record crisis
    chip software
science business - -
    telescope cell virus robot satellite gene laboratory orbit physics chip software species
    research climate company race
sadness fear,anger joy world
    sad lonely hopeless tearful empty gloomy miserable hurt lost grieving drained numb
joy love,surprise sadness sports
    happy cheerful glad delighted playful joyful bright content lively proud thrilled sunny
love joy anger science
    loving tender adored caring fond devoted sweet warm gentle close cherished romantic
anger sadness,fear love business
    angry furious bitter annoyed hateful outraged rude irritated cold hostile mad spiteful
fear sadness,surprise optimism world
    afraid scared nervous anxious shaky terrified worried tense helpless uneasy timid lost
surprise joy,fear sadness science
    amazed stunned curious shocked astonished dazed puzzled speechless impressed strange thrilled
    shaky
optimism joy,sadness fear sports
    hopeful better believe forward stronger tomorrow faith rise shine bright proud someday
negative positive positive business
    dull awful weak clumsy boring messy lifeless tedious cold miserable annoying empty
positive negative negative science
    superb moving clever rich charming brilliant gripping fresh warm delightful lively bright
"""  # a class, its neighbours, its opposite, what its texts are mostly about; the words for it
_ROWS = [block.split() for block in re.split(r"\n(?=\w)", _CLASSES.strip())]
NEIGHBOURS = {name: near.split(",") for name, near, *_ in _ROWS}
OPPOSITES = {name: opposite for name, _, opposite, *_ in _ROWS}
LEANS = {name: topic for name, _, _, topic, *_ in _ROWS}
CUES = {name: words for name, _, _, _, *words in _ROWS}
TWEETED = {word for name in TASKS["tweets"] for word in CUES[name]}
"""The words that tweets also draw out, or make hashtags."""

FILLERS = {
    "topics": "on {day} the {place} waited|{place} reports said on {day}|"
    "the spokesman gave no comment|it is the third time this year",
    "emotions": "i went out on {day}|it was about the {about}|i keep thinking of the {about}|"
    "my sister called again|i could not sleep",
    "reviews": "i watched it on {day}|it is about a {about}|the {about} comes in late|"
    "it runs for two hours",
    "tweets": "omg the {about}|smh {about} again|at the {place} rn|{day} mood|u know",
}
SAYS = {
    "topics": "the {cue} and the {cue} in the {place}|new {cue} after the {cue}|{cue} on {day}",
    "emotions": "i feel {cue}|i was so {cue} on {day}|it left me {cue} and {cue}",
    "reviews": "the {part} was {cue}|a {cue} {part}|it left me {felt}|i was {felt}",
    "tweets": "im so {cue} rn|{cue} af|{tag}|feeling {cue} lol",
}
DENIES = {
    "emotions": "i am not {cue} any more|i was never {cue}",
    "reviews": "the {part} was not {cue}|never {cue}",
    "tweets": "not {cue} lol|aint {cue}",
}
SLOTS = {
    "{place}": ["city", "north", "south", "office", "street", "station", "school"],
    "{day}": ["monday", "tuesday", "friday", "sunday", "tonight"],
    "{part}": ["story", "acting", "ending", "music", "dialogue", "cast", "plot"],
}
FELT = {"negative": ("sadness", "anger", "fear"), "positive": ("joy", "love", "surprise")}
"""The emotions that a judgement goes with."""

CLAUSES = {"topics": (2, 5), "emotions": (2, 5), "reviews": (4, 8), "tweets": (1, 4)}


class Corpus(Counted):
    """Short texts written by a grammar (``kind: corpus``), see :mod:`hastelib.glyphs.corpus`.

    ``task`` says what their labels are: ``topics`` of news, ``emotions`` of diary lines,
    the sentiment of ``reviews``, or the emotions of ``tweets``, another register.
    """

    kind: Literal["corpus"]
    task: Literal["topics", "emotions", "reviews", "tweets"]

    def load(self, store: Store) -> datasets.DatasetDict:
        """The splits, with ``text`` and ``label``."""
        names, text, found = TASKS[self.task], datasets.Value("string"), datasets.DatasetDict()
        features = datasets.Features(text=text, label=datasets.ClassLabel(names=names))
        for split in SPLITS:
            lines, count = list[str](), getattr(self, split)
            for label, name in enumerate(names):
                stream = [self.seed, [*TASKS].index(self.task), label, split == "test"]
                writer = _Writer(self.task, name, np.random.default_rng(stream))
                lines += [writer.text() for _ in range(count)]
            columns = {"text": lines, "label": np.arange(len(names)).repeat(count).tolist()}
            found[split] = datasets.Dataset.from_dict(columns, features=features)
        return found


def vocabulary() -> list[str]:
    """Every word that the grammar can write, in alphabetical order."""
    phrases = " ".join(some for rules in (FILLERS, SAYS, DENIES) for some in rules.values())
    words = {word for word in phrases.replace("|", " ").split() if "{" not in word}
    words |= {word for some in (*CUES.values(), *SLOTS.values()) for word in some}
    return sorted(words | {*map(_drawn_out, TWEETED)} | {f"#{word}" for word in TWEETED})


def _drawn_out(word: str) -> str:
    return word + 3 * word[-1]


class _Writer:
    def __init__(self, task: str, label: str, random: np.random.Generator) -> None:
        self.task, self.label, self.random = task, label, random

    def pick(self, options: Sequence[str]) -> str:
        return options[int(self.random.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)

    def cue(self, name: str) -> str:
        word = self.pick(CUES[name])
        long = self.task == "tweets" and self.chance(0.5) and word in TWEETED
        return _drawn_out(word) if long else word

    def phrase(self, options: str, name: str) -> str:
        """One of the phrases, its cues of class ``name``."""
        words = []
        for word in self.pick(options.split("|")).split():
            match word:
                case "{cue}":
                    words.append(self.cue(name))
                case "{felt}":
                    words.append(self.cue(self.pick(FELT[name])))
                case "{tag}":
                    cue = self.pick(CUES[name])
                    words.append(f"#{cue}" if cue in TWEETED else cue)
                case "{about}":
                    topic = LEANS[self.label] if self.chance(0.5) else self.pick(TASKS["topics"])
                    words.append(self.pick(CUES[topic]))
                case _:
                    words.append(self.pick(SLOTS.get(word, (word,))))
        return " ".join(words)

    def clause(self, strength: float) -> str:
        says = SAYS[self.task]
        if self.chance(strength):
            if self.task in DENIES and self.chance(0.25):
                return self.phrase(DENIES[self.task], OPPOSITES[self.label])
            return self.phrase(says, self.label)
        if self.chance(0.5):
            return self.phrase(FILLERS[self.task], self.label)
        return self.phrase(says, self.pick(NEIGHBOURS[self.label]))

    def text(self) -> str:
        strength = self.random.beta(3, 2)
        count = self.random.integers(*CLAUSES[self.task], endpoint=True)
        return " ".join(self.clause(strength) for _ in range(count))
