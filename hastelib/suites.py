"""Suites: what is run on what, one YAML file each under ``params/suites``."""

from __future__ import annotations

import difflib
import itertools
import os
import re
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from hastelib.data.base import Strict
from hastelib.data.folders import Folder
from hastelib.data.official import Official
from hastelib.data.published import Masks, Parquet, Texts
from hastelib.glyphs import Corpus, Digits, Glyphs, Scenes
from hastelib.hardness import Covariance

DataSpec = Annotated[
    Glyphs | Digits | Parquet | Folder | Scenes | Masks | Official | Corpus | Texts,
    Field(discriminator="kind"),
]
Part = Literal["segmentation", "language"]
MOST = 24  # choices in a message; if there are more, those spelt alike


class Recipe(Strict):
    """How a network is trained on the cross-entropy.

    ``plateau`` halves the learning rate when the mean loss of an epoch has not fallen for more than
    ``patience`` epochs; ``clip`` bounds the norm of the gradient; ``flips`` mirrors each image, or
    scene with its mask, or not, in every epoch. ``threads`` are those of one job, so that a result
    does not depend on what else runs. ``precision`` holds for extraction too: ``tf32`` rounds the
    factors of matrix products on a GPU to 10 bits, ``bf16`` is automatic mixed precision.
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
    flips: bool = False
    clip: float | None = Field(default=None, gt=0)
    precision: Literal["float32", "tf32", "bf16"] = "float32"

    @property
    def told(self) -> str:
        """The recipe in words."""
        parts = [
            f"SGD with momentum {self.momentum:g}" if self.optimiser == "sgd" else "Adam",
            f"weight decay {self.weight_decay:g}" if self.weight_decay else "",
            f"gradient norms up to {self.clip:g}" if self.clip else "",
            self.precision if self.precision != "float32" else "",
            f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}",
            f"learning rate {self.learning_rate:g} ({self.schedule})",
            f"batches of {self.batch_size}",
            "flips" if self.flips else "",
        ]
        return ", ".join(filter(None, parts))


class Hardness(Strict):
    """How the hard subset is found.

    ``source`` ranks the samples for every source of the suite (the paper: ResNet-50, Sec. 5.1);
    ``fraction`` of the train split is kept; ``similarity`` is how class-agnostic hardness reads
    Eq. 1 (``dot``: as printed); ``draws`` random subsets of the same size make the control.
    """

    source: str
    fraction: float = Field(default=0.25, gt=0, le=1)
    covariance: Covariance = "spherical"
    similarity: Literal["cosine", "dot"] = "cosine"
    draws: int = Field(default=20, gt=0)


class Selection(Strict):
    """Target selection (the paper, Sec. 5.2): sources meet at most ``subsets`` subsets a target.

    ``recipe`` is how they are fine-tuned here, where it is not the suite's.
    """

    sources: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    subsets: int = Field(default=50, gt=2)
    recipe: Recipe | None = None


class Ensembles(Strict):
    """Ensembles of the ``pool``, without its members trained on the target (the paper, 5.4, A.2).

    ``rankers``: for each source data set (``""``: the suite's) the member that ranks for all.
    """

    pool: tuple[str, ...] = Field(min_length=2)
    targets: tuple[str, ...] = Field(min_length=1)
    rankers: dict[str, str] = Field(default={})


class Suite(Strict):
    """One suite: see ``params/suites/*.yaml`` for examples.

    A network sees squares of ``image_size`` pixels, or at most ``tokens`` tokens of a text.
    The sources were trained on ``source_data``, or on ``source_share`` of each of its classes;
    it is not needed where all are trained on targets, by ``pretraining`` (the recipe for None).
    ``rates`` are learning rates of some sources, and of those trained from them, in place of the
    recipe's. ``segmentation`` and ``language`` are suites of their own, for sections 5.3 and 5.5.
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
    rates: dict[str, float] = Field(default={})
    seeds: tuple[int, ...] = (0,)
    hardness: Hardness
    pretraining: Recipe | None = None
    selection: Selection | None = None
    ensembles: Ensembles | None = None
    segmentation: Suite | None = None
    language: Suite | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_parts(cls, values: Any) -> Any:
        """The parts have the suite's name, and its description unless they have their own."""
        if not isinstance(values, dict):
            return values
        shared = {name: values[name] for name in ("name", "about") if name in values}
        parts = {part: values.get(part) for part in get_args(Part)}
        return values | {p: shared | v for p, v in parts.items() if isinstance(v, dict)}

    @model_validator(mode="after")
    def _check_size(self) -> Suite:
        if (self.image_size is None) == (self.tokens is None):
            raise ValueError("expected either image_size or tokens")
        return self

    @property
    def size(self) -> int:
        """The size of what a network sees, in pixels or tokens."""
        return self.image_size or self.tokens or 0

    @field_validator("targets")
    @classmethod
    def _check_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Class subsets and trained sources add ``#`` and ``+`` to a target's name."""
        if refused := [name for name in values if not name.strip() or {*name} & {*"#+,|/"}]:
            raise ValueError(f"expected names without # + , | / and not empty, not {refused[0]!r}")
        return values

    @field_validator("sources", "seeds")
    @classmethod
    def _check_distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError("expected each of them once")
        return values

    def recipe_of(self, source: str) -> Recipe:
        """How a source is fine-tuned."""
        rate = self.rates.get(source.partition("+")[0], self.recipe.learning_rate)
        return self.recipe.model_copy(update={"learning_rate": rate})

    def target(self, name: str) -> DataSpec:
        """The data of a target; ``ValueError`` with the choices where there is none."""
        one_of("target", name, self.targets)
        return self.targets[name]

    def _check_ranker(self, source: str) -> None:
        """Refuse a ranker that was not trained on the suite's source data, as far as names say."""

        def data(name: str) -> str:
            return re.split("[_/]", name.partition("@")[2])[0]

        known = {data(s) for s in (*self.sources, self.hardness.source) if "+" not in s}
        comparable = "." not in source and "+" not in source  # a file's name says nothing
        if self.source_data and comparable and data(source) not in known:
            raise ValueError(
                f"hardness_source: the source data of suite {self.name} are not what {source!r} "
                f"was trained on; choose a network of {', '.join(sorted(known))}, one trained on a "
                "target (a@b+target), or write a suite with its source_data"
            )

    def select(
        self, *, targets: str | Sequence[str] | None = None, **changes: Any
    ) -> tuple[Suite, tuple[str, ...]]:
        """The suite with overrides, and the targets asked for (all of them for None or "").

        ``changes`` replace fields of the suite (``seeds``), of all its recipes (``epochs``) or of
        its hardness (``fraction``); None leaves a field as it is. ``ValueError`` for an unknown
        name, or a value that the field does not admit.
        """
        values = self.model_dump()
        selection_recipe = (values["selection"] or {}).get("recipe") or {}
        parts = values["recipe"], values["pretraining"] or {}, selection_recipe, values["hardness"]
        for name, value in changes.items():
            if value is None:
                continue
            if name == "source":
                raise ValueError("say which: sources (what is compared) or hardness_source")
            field = "source" if name == "hardness_source" else name
            one_of("parameter", field, itertools.chain(values, *parts))
            if name == "hardness_source":
                self._check_ranker(value)
            for part in [part for part in parts if field in part] or [values]:
                part[field] = value
            if field == "learning_rate":
                values["rates"] = {}
        wanted = [targets] if targets and isinstance(targets, str) else targets or self.targets
        for target in wanted:
            one_of(f"target of suite {self.name}", target, self.targets)
        return _validated(values, f"suite {self.name}"), tuple(wanted)


def one_of(what: str, name: Any, choices: Iterable[str]) -> None:
    """Refuse a name that is not among the choices, listing them."""
    choices = sorted(set(choices))
    if name not in choices:
        close = difflib.get_close_matches(str(name), choices, MOST, 0.5) or choices[:MOST]
        shown, more = (choices, "") if len(choices) <= MOST else (close, f", ... ({len(choices)})")
        raise ValueError(f"unknown {what} {name!r}; choose one of: {', '.join(shown)}{more}")


class _Loader(yaml.SafeLoader):
    """Refuses a repeated key, of which YAML's own loader would take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            problem = f"the key {repeated[0]!r} stands twice"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return node


def _validated(values: Any, where: str) -> Suite:
    try:
        return Suite.model_validate(values)
    except ValidationError as error:
        lines = []
        for mistake in error.errors()[:2]:
            place = ".".join(map(str, mistake["loc"]))
            message = "unknown key" if mistake["type"] == "extra_forbidden" else mistake["msg"]
            # The full repr of a few lines with aliases can be of any length.
            lines.append(f"  {place}: {message}, got {reprlib.repr(mistake['input'])}"[:200])
        more = f" {error.error_count()} mistakes, such as" if error.error_count() > 2 else ""
        raise ValueError("\n".join([f"{where} is not valid:{more}", *lines])) from None


def folder() -> Path:
    """``params/suites`` of this checkout, or of the folder in ``HASTE_PARAMS``."""
    root = os.environ.get("HASTE_PARAMS")
    return (Path(root) if root else Path(__file__).parents[1] / "params") / "suites"


def names() -> list[str]:
    """The suites there are; ``ValueError`` where there is none."""
    if stems := sorted(path.stem for path in folder().glob("*.yaml")):
        return stems
    raise ValueError(f"no suites in {folder()}; set HASTE_PARAMS to the folder params of a clone")


def load(name: str, part: Part | None = None) -> Suite:
    """The suite of that name, or a part of it.

    ``ValueError`` where there is none (lists the choices), or its file is not valid (says where).
    """
    one_of("suite", name, names())
    path = folder() / f"{name}.yaml"
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    suite = _validated(values, str(path))
    if suite.name != name:
        raise ValueError(f"{path} says name: {suite.name}; write name: {name}")
    chosen: Suite | None = getattr(suite, part) if part else suite
    if chosen is None:
        raise ValueError(f"suite {name} has no part {part}; add it to {path}, or choose another")
    return chosen


def find(suite: str | None = None, target: str | None = None, part: Part | None = None) -> Suite:
    """The suite named, or the only one that has the target, or ``glyphs``; or that part of it.

    ``ValueError`` for an unknown suite or target, or a target that several suites have.
    """
    if suite or not target:
        loaded = load(suite or "glyphs", part)
        if target:
            loaded.target(target)
        return loaded
    suites, errors = list[Suite](), list[ValueError]()
    for name in names():
        try:
            suites.append(load(name))
        except ValueError as error:  # matters only if no other file has the target
            errors.append(error)
    candidates = [c for c in (getattr(s, part) if part else s for s in suites) if c]
    matches = [c for c in candidates if target in c.targets]
    if not matches and errors:
        raise errors[0]
    if not matches:
        one_of("target", target, [t for c in candidates for t in c.targets])
    if len(matches) > 1:
        raise ValueError(
            f"target {target!r} is in several suites ({', '.join(s.name for s in matches)}); "
            "say which with suite"
        )
    return matches[0]
