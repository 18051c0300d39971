"""Suites: what is run on what, one YAML file each under ``params/suites``.

A suite names its sources, its targets, the data the sources were trained on, the fine-tuning
recipe and the hardness settings. Everything is validated when it is read: an unknown suite,
target, source or key is a ``ValueError`` that lists the choices.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Glyphs(_Strict):
    """Characters drawn with the fonts that matplotlib ships (``kind: glyphs``).

    ``characters`` is a string of characters or of ranges such as ``α-ω``; ``train`` and ``test``
    count drawings per class.
    """

    kind: Literal["glyphs"]
    characters: str
    style: Literal["plain", "outline"] = "plain"
    train: int = Field(gt=0)
    test: int = Field(gt=0)
    seed: int = 0


class Digits(_Strict):
    """scikit-learn's handwritten digits, real 8 x 8 scans (``kind: digits``)."""

    kind: Literal["digits"]
    train: int = Field(gt=0)
    test: int = Field(gt=0)
    seed: int = 0


class Parquet(_Strict):
    """Parquet files under ``HASTE_DATA``, else a data set of the hub (``kind: parquet``).

    ``train`` and ``test`` are paths under ``HASTE_DATA``; without ``test`` the rows are split
    80/20, stratified by class, with ``seed``. ``hub`` and ``revision`` say where the same data is
    published, ``hub_splits`` what its splits are called. ``image`` and ``label`` name the
    columns; ``where`` keeps the rows whose column has that value; ``classes`` keeps those
    classes, each given by name or by a prefix that ends in ``*``.
    """

    kind: Literal["parquet"]
    train: str
    test: str | None = None
    hub: str | None = None
    revision: str | None = None
    hub_splits: dict[Split, str] = {"train": "train", "test": "test"}
    image: str = "image"
    label: str = "label"
    where: dict[str, str] = {}
    classes: tuple[str, ...] | None = None
    seed: int = 0


class Folder(_Strict):
    """Your own images: a folder of class folders (``kind: folder``).

    ``path`` holds one folder per class, or a ``train`` and a ``test`` folder of such folders;
    relative paths start at ``HASTE_DATA``. Without ``test`` the images are split 80/20,
    stratified, with ``seed``.
    """

    kind: Literal["folder"]
    path: str
    seed: int = 0


DataSpec = Annotated[Glyphs | Digits | Parquet | Folder, Field(discriminator="kind")]


class Recipe(_Strict):
    """How a network is trained: SGD with momentum on the cross-entropy.

    ``schedule`` is ``constant`` (the paper's) or ``onecycle``; ``threads`` is the number of CPU
    threads of one job, fixed so that a result does not depend on what else runs.
    """

    epochs: int = Field(gt=0)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    batch_size: int = Field(default=64, gt=1)
    schedule: Literal["constant", "onecycle"] = "constant"
    threads: int = Field(default=2, gt=0)


class Hardness(_Strict):
    """How the hard subset is found.

    ``source`` is the network that computes the hardness for every source of the suite (the
    paper uses ResNet-50, Sec. 5.1); ``fraction`` of the train split is kept; ``draws`` random
    subsets of the same size make the control.
    """

    source: str
    fraction: float = Field(default=0.25, gt=0, le=1)
    covariance: Literal["spherical", "diagonal", "ledoit_wolf", "tied", "full"] = "spherical"
    draws: int = Field(default=20, gt=0)


class Selection(_Strict):
    """Target selection (the paper, Sec. 5.2): which sources meet class subsets of which targets.

    ``subsets`` of each target are drawn, or as many as there are.
    """

    sources: tuple[str, ...] = Field(min_length=1)
    targets: tuple[str, ...] = Field(min_length=1)
    subsets: int = Field(default=50, gt=2)


class Ensembles(_Strict):
    """Ensemble selection (the paper, Sec. 5.4 and A.2).

    The ``pool`` on a target is its members but those trained on that very target. ``rankers``
    names, for each source data set (``""`` for the suite's), the member that ranks the samples
    for all members trained on it.
    """

    pool: tuple[str, ...] = Field(min_length=2)
    targets: tuple[str, ...] = Field(min_length=1)
    rankers: dict[str, str] = {}


class Suite(_Strict):
    """One suite: see ``params/suites/*.yaml`` for examples."""

    name: str
    about: str
    image_size: int = Field(gt=0)
    source_data: DataSpec
    sources: tuple[str, ...] = Field(min_length=1)
    targets: dict[str, DataSpec] = Field(min_length=1)
    recipe: Recipe
    seeds: tuple[int, ...] = (0,)
    hardness: Hardness
    pretraining: Recipe | None = None
    selection: Selection | None = None
    ensembles: Ensembles | None = None

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

        ``changes`` replace fields of the suite (``sources``, ``seeds``), of its recipe
        (``epochs``, ``learning_rate``, ...) or of its hardness (``fraction``, ``covariance``,
        ``draws``); a value of None leaves the field as it is.

        Raises:
            ValueError: an unknown name, or a value that the field does not admit.
        """
        values = self.model_dump()
        for name, value in changes.items():
            if value is None:
                continue
            if name == "source":
                raise ValueError("say which: sources (what is compared) or hardness_source")
            place = "source" if name == "hardness_source" else name
            for part in (values["recipe"], values["hardness"], values):
                if place in part:
                    part[place] = value
                    break
            else:
                one_of("parameter", name, [*values["recipe"], *values["hardness"], *values])
        suite = _validated(values, f"suite {self.name}")
        wanted = [targets] if isinstance(targets, str) and targets else targets or [*self.targets]
        for target in wanted:
            one_of(f"target of suite {self.name}", target, self.targets)
        return suite, tuple(wanted)


def one_of(what: str, name: Any, choices: Iterable[str]) -> None:
    """Refuse a name that is not among the choices, listing them."""
    choices = sorted(set(choices))
    if name not in choices:
        raise ValueError(f"unknown {what} {name!r}; choose one of: {', '.join(choices)}")


def _validated(values: Any, where: str) -> Suite:
    try:
        return Suite.model_validate(values)
    except ValidationError as error:
        lines = []
        for found in error.errors():
            place = ".".join(str(part) for part in found["loc"])
            message = found["msg"]
            if found["type"] == "extra_forbidden":
                message = "unknown key"
            lines.append(f"  {place}: {message}, got {found['input']!r}"[:300])
        raise ValueError(f"{where} is not valid:\n" + "\n".join(lines)) from None


def folder() -> Path:
    """``params/suites`` of this checkout, or of the folder in ``HASTE_PARAMS``."""
    root = os.environ.get("HASTE_PARAMS")
    return (Path(root) if root else Path(__file__).parents[1] / "params") / "suites"


def names() -> list[str]:
    """The suites there are."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def load(name: str) -> Suite:
    """The suite of that name.

    Raises:
        ValueError: no such suite (lists the choices), or the file is not valid (says where).
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
    return suite


def find(suite: str | None = None, target: str | None = None) -> Suite:
    """The suite named, or the only one that has the target, or ``glyphs``.

    Raises:
        ValueError: an unknown suite or target, or a target that several suites have.
    """
    if suite:
        found = load(suite)
        if target:
            found.target(target)
        return found
    if not target:
        return load("glyphs")
    having = [one for one in map(load, names()) if target in one.targets]
    if not having:
        one_of("target", target, [t for one in map(load, names()) for t in one.targets])
    if len(having) > 1:
        raise ValueError(
            f"target {target!r} is in several suites ({', '.join(s.name for s in having)}); "
            "say which with suite"
        )
    return having[0]
