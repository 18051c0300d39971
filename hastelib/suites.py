"""Suites: what is run on what, one YAML file each under ``params/suites``.

A suite names its sources, its targets, the fine-tuning recipe and the hardness settings. It is
validated when it is read: an unknown suite, target or key is a ``ValueError`` that lists the
choices.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from hastelib.data import Folder, Masks, Official, Parquet, Strict, Texts
from hastelib.glyphs import Corpus, Digits, Glyphs, Scenes

DataSpec = Annotated[
    Glyphs | Digits | Parquet | Folder | Scenes | Masks | Official | Corpus | Texts,
    Field(discriminator="kind"),
]
"""What a data set is made from, as a suite's file says it: one class a ``kind``."""

Part = Literal["segmentation", "language"]


class Recipe(Strict):
    """How a network is trained on the cross-entropy: SGD with momentum, or Adam.

    ``schedule`` is ``constant`` (the paper's, but for segmentation), ``onecycle``, or ``plateau``,
    which halves the learning rate when the mean loss of an epoch has not fallen for more than
    ``patience`` epochs. ``threads`` of one job are fixed, so that a result does not depend on
    what else runs. ``precision`` holds for extraction too: ``tf32`` rounds the factors of matrix
    products on a GPU to 10 bits, ``bf16`` is automatic mixed precision in bfloat16.
    """

    epochs: int = Field(gt=0)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=64, gt=1)
    schedule: Literal["constant", "onecycle", "plateau"] = "constant"
    threads: int = Field(default=2, gt=0)
    optimiser: Literal["sgd", "adam"] = "sgd"
    patience: int = Field(default=2, ge=0)
    precision: Literal["float32", "tf32", "bf16"] = "float32"

    def parts(self) -> dict[str, Any]:
        """What determines an outcome, for its key: fields that came later only where they are set,
        so that outcomes from before keep their keys."""
        later, fields = ("optimiser", "patience", "precision"), type(self).model_fields
        same = {name for name in later if getattr(self, name) == fields[name].default}
        return self.model_dump(exclude=same)

    @property
    def method(self) -> str:
        """The optimiser in words."""
        return f"SGD with momentum {self.momentum:g}" if self.optimiser == "sgd" else "Adam"


class Hardness(Strict):
    """How the hard subset is found.

    ``source`` computes the hardness for every source of the suite (the paper: ResNet-50, Sec. 5.1);
    ``fraction`` of the train split is kept; ``similarity`` is how class-agnostic hardness reads
    Eq. 1 (``dot`` is as printed); ``draws`` random subsets of the same size make the control.
    """

    source: str
    fraction: float = Field(default=0.25, gt=0, le=1)
    covariance: Literal["spherical", "diagonal", "ledoit_wolf", "tied", "full"] = "spherical"
    similarity: Literal["cosine", "dot"] = "cosine"
    draws: int = Field(default=20, gt=0)


class Selection(Strict):
    """Target selection (the paper, Sec. 5.2): sources meet class subsets of targets.

    ``subsets`` of each target are drawn, or as many as there are. ``recipe`` is how the sources
    are fine-tuned here, where it is not the suite's.
    """

    sources: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    subsets: int = Field(default=50, gt=2)
    recipe: Recipe | None = None


class Ensembles(Strict):
    """Ensemble selection (the paper, Sec. 5.4 and A.2).

    The ``pool`` on a target is its members but those trained on that very target. ``rankers``:
    for each source data set (``""``: the suite's) the member that ranks the samples for all.
    """

    pool: tuple[str, ...] = Field(min_length=2)
    targets: tuple[str, ...] = Field(min_length=1)
    rankers: dict[str, str] = Field(default={})


class Suite(Strict):
    """One suite: see ``params/suites/*.yaml`` for examples.

    A network sees squares of ``image_size`` pixels, or at most so many ``tokens`` of a text.
    ``source_data`` are what the sources were trained on, or ``source_share`` of each of their
    classes; not needed where every source is trained on a target, by ``pretraining`` (the recipe
    for None). ``segmentation`` and ``language`` are
    suites of their own, for sections 5.3 and 5.5.
    """

    name: str
    about: str
    image_size: int | None = Field(default=None, gt=0)
    tokens: int | None = Field(default=None, gt=2)
    source_data: DataSpec | None = None
    source_share: float = Field(default=1.0, gt=0, le=1)
    sources: tuple[str, ...] = Field(min_length=1)
    targets: dict[str, DataSpec] = Field(min_length=1)
    recipe: Recipe
    seeds: tuple[int, ...] = (0,)
    hardness: Hardness
    pretraining: Recipe | None = None
    selection: Selection | None = None
    ensembles: Ensembles | None = None
    segmentation: Suite | None = None
    language: Suite | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        """The parts have the suite's name, and its description unless they have their own."""
        if isinstance(values, dict) and {"name", "about"} <= values.keys():
            shared = {"about": values["about"], "name": values["name"]}
            given = {p: values.get(p) for p in get_args(Part)}
            parts = {p: shared | own for p, own in given.items() if isinstance(own, dict)}
            return values | parts
        return values

    @model_validator(mode="after")
    def _one_size(self) -> Suite:
        if (self.image_size is None) == (self.tokens is None):
            raise ValueError("expected either image_size or tokens")
        return self

    @property
    def size(self) -> int:
        """Of what a network sees: pixels, or tokens."""
        return self.image_size or self.tokens or 0

    @field_validator("sources", "seeds")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("expected each of them once")
        return values

    def target(self, name: str) -> DataSpec:
        """The data of a target; ``ValueError`` with the choices where there is none."""
        one_of("target", name, self.targets)
        return self.targets[name]

    def select(
        self, *, targets: str | Sequence[str] | None = None, **changes: Any
    ) -> tuple[Suite, tuple[str, ...]]:
        """The suite with overrides, and the targets asked for (all of them for None or "").

        ``changes`` replace fields of the suite (``sources``, ``seeds``), of all its recipes
        (``epochs``, ``learning_rate``, ...) or of its hardness (``fraction``, ``covariance``,
        ``draws``); a value of None leaves the field as it is.

        Raises:
            ValueError: an unknown name, or a value that the field does not admit.
        """
        values = self.model_dump()
        recipes = [
            values["recipe"],
            values["pretraining"],
            (values["selection"] or {}).get("recipe"),
        ]
        places = [*filter(None, recipes), values["hardness"], values]
        for name, value in changes.items():
            if value is None:
                continue
            if name == "source":
                raise ValueError("say which: sources (what is compared) or hardness_source")
            field = "source" if name == "hardness_source" else name
            one_of("parameter", field, itertools.chain(*places))
            for part in [part for part in places[:-1] if field in part] or [values]:
                part[field] = value
        wanted = [targets] if isinstance(targets, str) and targets else targets or [*self.targets]
        for target in wanted:
            one_of(f"target of suite {self.name}", target, self.targets)
        return _validated(values, f"suite {self.name}"), tuple(wanted)


def one_of(what: str, name: Any, choices: Iterable[str]) -> None:
    """Refuse a name that is not among the choices, listing them."""
    choices = sorted(set(choices))
    if name not in choices:
        raise ValueError(f"unknown {what} {name!r}; choose one of: {', '.join(choices)}")


def _validated(values: Any, where: str) -> Suite:
    try:
        return Suite.model_validate(values)
    except ValidationError as error:
        lines = [f"{where} is not valid:"]
        for found in error.errors():
            place = ".".join(map(str, found["loc"]))
            message = "unknown key" if found["type"] == "extra_forbidden" else found["msg"]
            lines.append(f"  {place}: {message}, got {found['input']!r}"[:300])
        raise ValueError("\n".join(lines)) from None


def folder() -> Path:
    """``params/suites`` of this checkout, or of the folder in ``HASTE_PARAMS``."""
    root = os.environ.get("HASTE_PARAMS")
    return (Path(root) if root else Path(__file__).parents[1] / "params") / "suites"


def names() -> list[str]:
    """The suites there are."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def load(name: str, part: Part | None = None) -> Suite:
    """The suite of that name, or a part of it.

    Raises:
        ValueError: no such suite (lists the choices), the file is not valid (says where), or the
            suite has no such part.
    """
    if not names():
        raise ValueError(
            f"no suites in {folder()}; set HASTE_PARAMS to the folder params of a clone"
        )
    one_of("suite", name, names())
    path = folder() / f"{name}.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    suite = _validated(values, str(path))
    if suite.name != name:
        raise ValueError(f"{path} says name: {suite.name}; write name: {name}")
    found: Suite | None = getattr(suite, part) if part else suite
    if found is None:
        raise ValueError(f"suite {name} has no part {part}; add it to {path}, or choose another")
    return found


def find(suite: str | None = None, target: str | None = None, part: Part | None = None) -> Suite:
    """The suite named, or the only one that has the target, or ``glyphs``; of it that part.

    Raises:
        ValueError: an unknown suite or target, or a target that several suites have.
    """
    if suite or not target:
        found = load(suite or "glyphs", part)
        if target:
            found.target(target)
        return found
    whole = [load(name) for name in names()]
    every = [one for one in (getattr(s, part) if part else s for s in whole) if one]
    having = [one for one in every if target in one.targets]
    if not having:
        one_of("target", target, [t for one in every for t in one.targets])
    if len(having) > 1:
        raise ValueError(
            f"target {target!r} is in several suites ({', '.join(s.name for s in having)}); "
            "say which with suite"
        )
    return having[0]
