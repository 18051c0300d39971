"""What users get wrong, in one table: each meets one short error that says what to do.

A line is a call, which is given an empty folder, and words of the message. Only ``ValueError``,
``OSError`` and ``ImportError`` reach a user, in three lines at most.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import jaxtyping
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
import yaml
from safetensors.torch import save, save_file
from synthetic import row, spoilt
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

import hastelib
from hastelib import analysis, bounds, hardness, metrics, models, plugins, records, stats, suites
from hastelib.data import base as data
from hastelib.data.folders import Folder
from hastelib.data.images import Preprocessing
from hastelib.engine import Job, run
from hastelib.features import default_device
from hastelib.grid import Grid
from hastelib.metrics import Moments, Sample
from hastelib.store import Store

Call = Callable[[Path], Any]
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(8, 3)), np.arange(8) % 2
P = RANDOM.dirichlet(np.ones(3), size=8)
TORCH = torch.tensor(X)
UNITS = np.arange(6.0)
NESTED = torch.nested.nested_tensor([TORCH[0], TORCH[1]], layout=torch.jagged)
EMBEDDED = [
    getattr(metrics, name)
    for name in ("logme", "logme_fixed_point", "h_score", "transrate", "knn", "linear_probe")
]
MADE = hastelib.Features(TORCH, torch.tensor(P), {}, torch.tensor(Y))
SOURCE = hardness.source_signature([X, X[:, :2]])


def set_to(call: Call, **variables: str) -> Call:
    """The call with environment variables; ``HERE`` in them is its folder."""

    def told(here: Path) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value.replace("HERE", str(here)))
            return call(here)

    return told


def of_suite(**changes: Any) -> Call:
    """Loading the embedded suite's file with some changes."""

    def load(here: Path) -> Any:
        values = yaml.safe_load((suites.folder() / "glyphs.yaml").read_text(encoding="utf-8"))
        return of_text(yaml.safe_dump(values | changes))(here)

    return load


def of_choice(**changes: Any) -> Call:
    return lambda _: suites.load("glyphs").select(**changes)


def of_text(text: str) -> Call:
    def load(here: Path) -> Any:
        (here / "suites").mkdir()
        (here / "suites" / "glyphs.yaml").write_text(text, encoding="utf-8")
        return set_to(lambda _: suites.load("glyphs"), HASTE_PARAMS="HERE")(here)

    return load


def of_weights(content: Any) -> Call:
    """Reading a file of weights with this content: bytes as they are, else by torch."""

    def read(here: Path) -> Any:
        path = here / "w.pt"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        return models.read_state(path)

    return read


def of_plugin(text: str) -> Call:
    def load(here: Path) -> Any:
        (here / f"plugin_{here.parent.name}_{here.name}.py".replace("-", "_")).write_text(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(here)
            patch.setenv("HASTE_PLUGINS", next(here.glob("*.py")).stem)
            return plugins.load()

    return load


def of_file(content: bytes, read: Call) -> Call:
    def made(here: Path) -> Any:
        (here / "file").write_bytes(content)
        return read(here / "file")

    return made


def inputs(*batch: Any, **options: Any) -> Call:
    """Features of a small network on one batch."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    return lambda _: hastelib.features(network, [*batch], device="cpu", **options)


def ranked(**given: Any) -> Call:
    return lambda _: hastelib.rank(None, {"a": X}, **({"labels": Y} | given))


def entry(here: Path) -> Any:
    """An entry where a file is in the way of the folder."""
    (here / "file").touch()
    return Store(here / "file" / "cache").get("k", "e", lambda: ({}, {}))


def grid(here: Path, source: str = "resnet8@glyphs", **changes: Any) -> Grid:
    suite = suites.load("glyphs").select(sources=(source,), **changes)[0]
    return Grid(suite, Store(here))


IMAGES = torch.zeros(3, 3, 8, 8)
TEXT = datasets.Dataset.from_dict({"text": ["a"]})
SHUFFLING = DataLoader(TensorDataset(IMAGES), shuffle=True)
AT_RANDOM = BatchSampler(RandomSampler(IMAGES), 2, True)
DRAWN: Any = DataLoader(TensorDataset(IMAGES), batch_sampler=AT_RANDOM)
PARAMETERS = {"In": ['suite: str = ""\nepochs: int = 0'], "suite": "", "epochs": 0}
FRAME = pd.DataFrame(X)
COLUMN: Any = FRAME[0]
HALF = {name: torch.ones(2).half() for name in ("layer.0", "raw.0")} | {"count": torch.tensor(1)}
SHUFFLED = pd.Series(Y, index=range(8)[::-1])
RECIPE = {"epochs": 1, "learning_rate": 0.1}
LETTERS = {"kind": "glyphs", "characters": "A-C", "train": 2, "test": 1}
UNSIGNED = save({"w": torch.zeros(3)})
PICKLED = b"\x80\x02cposix\ngetcwd\nq\x00)Rq\x01."
BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)

ARRAYS: list[tuple[Call, str]] = [
    (lambda _: metrics.gbc(X[:, 0], Y), r"embeddings: expected shape \(n, d\), got .*\(8,\)"),
    (lambda _: metrics.gbc(X[:0], Y[:0]), r"embeddings: .* with nothing empty, got .*\(0, 3\)"),
    (lambda _: metrics.gbc(X[:, :0], Y), r"embeddings: .* nothing empty, got .*\(8, 0\)"),
    (lambda _: metrics.gbc(spoilt(X, (7, 0), -np.inf), Y), r"finite .* got -inf at \[7, 0\]"),
    (lambda _: metrics.gbc(X + 1j, Y), "embeddings: expected real numbers, got complex128"),
    (lambda _: metrics.gbc(TORCH > 0, Y), "embeddings: expected real numbers, got bool"),
    (lambda _: metrics.gbc([["a"]], Y), "embeddings: expected real numbers"),
    (lambda _: metrics.gbc([[1.0], [1.0, 2.0]], Y), "embeddings: expected an array, got list"),
    (lambda _: metrics.gbc(None, Y), "embeddings: expected real numbers, got NoneType"),  # type: ignore[arg-type]
    (lambda _: metrics.gbc((x for x in X), Y), "embeddings: expected real .* generator"),  # type: ignore[arg-type]
    (lambda _: metrics.gbc(pd.DataFrame({"a": ["x"] * 8}), Y), "embeddings: .* real numbers"),
    (lambda _: metrics.gbc(TORCH.to_sparse(), Y), "a dense tensor of plain numbers, got a sparse"),
    (lambda _: metrics.gbc(TORCH.to("meta"), Y), "tensor of plain numbers, got a meta one"),
    (lambda _: metrics.gbc(NESTED, Y), "got a nested one"),
    (lambda _: metrics.gbc(scipy.sparse.csr_matrix(X), Y), r"csr_matrix; give its toarray\(\)"),
    (lambda _: metrics.gbc(np.ma.masked_array(X, X > 1), Y), "an array without a mask, got masked"),
    (lambda _: metrics.gbc(X * 1e300, Y), r"embeddings: expected numbers between -1e\+152 and"),
    (lambda _: metrics.logme(X * 1e300, Y), r"embeddings: expected numbers between -1e\+152 and"),
    (lambda _: metrics.gbc([torch.ones(3, requires_grad=True)] * 8, Y), "got list that is none"),
    (lambda _: metrics.gbc(FRAME, SHUFFLED), "labels: expected the index of embeddings.*reindex"),
    (lambda _: metrics.leep(FRAME.abs(), SHUFFLED), "labels: expected the index of probs"),
    (lambda _: metrics.nce(pd.Series(Y), SHUFFLED), "labels: expected the index of source_labels"),
    (lambda _: hardness.hardest(COLUMN, 0.5, SHUFFLED), "labels: expected the index of scores"),
    (lambda _: stats.pearson(FRAME[0], SHUFFLED), "accuracies: expected the index of scores"),
    (lambda _: metrics.gbc(X, Y[:7]), r"labels: expected shape \(8,\), one label a sample"),
    (lambda _: metrics.gbc(X, Y[:, None]), r"labels: expected shape \(8,\)"),
    (lambda _: metrics.gbc(X, Y.astype(float)), "labels: expected integer class labels, got float"),
    (lambda _: metrics.gbc(X, torch.tensor(Y).half()), "integer class labels, got float16"),
    (lambda _: metrics.gbc(X, ["a", "b"] * 4), r"names.*np.unique\(labels, return_inverse=True\)"),
    (lambda _: metrics.gbc(X, None), "labels: expected integer class labels, got NoneType"),  # type: ignore[arg-type]
    (lambda _: metrics.gbc(X, spoilt(Y, 3, -1)), "labels: expected labels of at least 0, got -1"),
    (lambda _: metrics.gbc(X, spoilt(Y, 3, 255).astype(np.uint8)), "labels: .* 255, in bytes the"),
    (lambda _: metrics.gbc(X, pd.array([0, 1, None, 0] * 2, dtype="Int64")), "labels: .*masked"),
    (lambda _: metrics.leep(P[0], Y), r"probs: expected shape \(n, z\)"),
    (lambda _: metrics.leep(P[:0], Y[:0]), "probs: .*nothing empty"),
    (lambda _: metrics.leep(spoilt(P, (1, 1), np.nan), Y), "probs: expected finite .*, got nan"),
    (lambda _: metrics.leep(P * 1.002, Y), r"that sum to 1 \(within 0.001\), got 1.002 in row"),
    (lambda _: metrics.leep(np.log(P), Y), "probs: expected probabilities of at least 0"),
    (lambda _: metrics.leep(P, Y[1:]), r"labels: expected shape \(8,\)"),
    (lambda _: metrics.leep(P, Y * 1.0), "labels: expected integer class labels"),
    (lambda _: metrics.leep(P, -Y), "labels: expected labels of at least 0"),
    (lambda _: metrics.nce(P, Y), "source_labels: expected integer class labels"),
    (lambda _: metrics.nce(Y[:0], Y[:0]), "source_labels: expected at least one sample"),
    (lambda _: metrics.nce(Y, Y[:5]), r"labels: expected shape \(8,\)"),
    (lambda _: metrics.ms_leep([], Y), "probs_list: expected at least one matrix"),
    (lambda _: metrics.e_leep(P, Y), "probs_list: expected a list of matrices"),
    (lambda _: metrics.ms_leep([P, P[1:]], Y), r"probs_list: expected as many rows .* \[8, 7\]"),
    (lambda _: metrics.e_leep([P, P / 2], Y), r"probs_list\[1\]: expected rows that sum to 1"),
    (lambda _: metrics.gbc(X, Y, covariance="full"), "covariance: .*'spherical', 'diagonal'"),
    (lambda _: metrics.gbc(X, Y, log_det="twice"), "log_det: expected one of 'exact'"),
    (lambda _: metrics.gbc(X, Y, components=0), "components: expected an integer of at least 1"),
    (lambda _: metrics.h_score(X, Y, shrinkage="oas"), "shrinkage: .*None, 'ledoit_wolf'"),
    (lambda _: metrics.transrate(X, Y, eps=0), "eps: expected a positive number, got 0"),
    (lambda _: metrics.logme_fixed_point(X * 0, Y), "embeddings: .*got only zeros"),
    (lambda _: Sample(MADE).scores(["leap"]), "names: .*'leep', .*got 'leap'"),
    (lambda _: Sample(MADE).scores("leep"), "names: expected a list"),
    (lambda _: Moments().update(X, Y).update(X[:, :2], Y), "batch: expected embeddings of width 3"),
    (lambda _: Moments().update(X, Y).merge(Moments().update(X[:, :2], Y)), "other: .*3, got 2"),
    (lambda _: Moments().update(spoilt(X, (2, 1), np.nan), Y), "batch: expected finite numbers"),
    (lambda _: Moments().update(X, Y[1:]), r"labels: expected shape \(8,\)"),
    (lambda _: Moments().logme(), "labels: expected at least 2 classes, got"),
    (lambda _: Moments().update(X, Y * 0).h_score(), "labels: expected at least 2 classes, got"),
    (lambda _: Moments().pca(2), "batch: expected at least 2 samples, got 0 so far"),
    *[(lambda _, f=f: f(spoilt(X, (2, 1), np.nan), Y), r"nan at \[2, 1\]") for f in EMBEDDED],
    *[(lambda _, f=f: f(X, Y * 0 + 6), "got only class 6 in 8 samples") for f in EMBEDDED],
    # hardness
    (lambda _: hardness.source_signature([]), "layers: expected at least one matrix"),
    (lambda _: hardness.source_signature(X), "layers: expected a list of matrices, got float64"),
    (lambda _: hardness.source_signature(TORCH), "layers: expected a list of matrices, got"),
    (lambda _: hardness.source_signature([X[0]]), r"layers\[0\]: expected shape \(n, d\)"),
    (lambda _: hardness.source_signature([X, X[:0]]), r"layers\[1\]: expected .* nothing empty"),
    (lambda _: hardness.class_agnostic([X, X[:3]], SOURCE), r"as many rows in each, got \[8, 3\]"),
    (lambda _: hardness.class_agnostic([X * np.nan], SOURCE), r"layers\[0\]: expected finite"),
    (lambda _: hardness.class_agnostic([X], SOURCE), r"layers: expected layers of widths \[3, 2\]"),
    (lambda _: SOURCE.update([X, X]), r"layers: expected layers of widths \[3, 2\]"),
    (lambda _: SOURCE.merge(hardness.source_signature([X])), "other: expected layers of widths"),
    (lambda _: hardness.class_agnostic([X, X[:, :2]], SOURCE, "sine"), "similarity: .*cosine"),
    (lambda _: hardness.class_specific(X[0], Y), r"embeddings: expected shape \(n, d\)"),
    (lambda _: hardness.class_specific(X * np.nan, Y), "embeddings: expected finite numbers"),
    (lambda _: hardness.class_specific(X, Y[1:]), r"labels: expected shape \(8,\)"),
    (lambda _: hardness.class_specific(X, Y, "oas"), "covariance: .*'spherical', 'diagonal'"),
    (lambda _: hardness.class_specific(X, Y, "full"), r"more than d \+ 1 = 4 .*choose another"),
    (lambda _: hardness.hardest(X, 0.5), r"scores: expected shape \(n,\)"),
    (lambda _: hardness.hardest(UNITS[:0], 0.5), "scores: .* nothing empty"),
    (lambda _: hardness.hardest(UNITS * np.nan, 0.5), "scores: expected finite numbers"),
    *[
        (lambda _, share=share: hardness.hardest(UNITS, share), r"fraction: .* in \(0, 1\], got")
        for share in (0.0, -0.1, 1.01, math.nan, True)
    ],
    (lambda _: hardness.hardest(UNITS, 1e-12), "fraction: expected at least one of 6 samples"),
    (lambda here: hardness.Signature.load(here / "none"), "none"),
    (of_file(b"short", hardness.Signature.load), "path: expected a file of Signature.save"),
    (of_file(UNSIGNED, hardness.Signature.load), "raw.0, ... and count, got .'w'"),
    (lambda _: hardness.Signature.of(HALF), "arrays: expected float64 vectors, got float16"),
    # statistics
    (lambda _: stats.pearson(UNITS[:0], UNITS[:0]), "scores: expected .* nothing empty"),
    (lambda _: stats.kendall(UNITS[None], UNITS), r"scores: expected shape \(n,\), got .*\(1, 6\)"),
    (lambda _: stats.kendall(UNITS, UNITS[1:]), "accuracies: .* as many numbers as scores, 6"),
    (lambda _: stats.pearson(UNITS, UNITS * np.nan), r"accuracies: .*finite.*got nan at \[0\]"),
    (lambda _: stats.pearson(UNITS * 1e300, UNITS), r"scores: expected numbers between -1e\+152"),
    (lambda _: stats.pearson(UNITS, UNITS, resamples=0), "resamples: .* at least 1, got 0"),
    (lambda _: stats.pearson(UNITS, UNITS, seed=-1), "seed: expected an integer of at least 0"),
    (lambda _: stats.replicates("mean", UNITS, UNITS), "statistic: expected one of 'pearson'"),
    (lambda _: stats.static([0.1, 0.2]), r"accuracies: expected shape \(t, s\)"),
    (lambda _: stats.static([[0.1, math.inf]]), "accuracies: expected finite numbers, or NaN"),
    (lambda _: stats.relative_improvement([0.1, 0.0], [0.1, 0.2]), r"base: .*, got 0 at \[1\]"),
    (lambda _: stats.relative_improvement([0.1, 0.2], [0.1]), "modified: .* as base, 2, got 1"),
    (lambda _: stats.relative_improvement([0.1], [math.nan]), "modified: expected finite numbers"),
    # bounds
    (lambda _: bounds.optimal_log_likelihood(UNITS, Y[:6]), r"embeddings: .*\(n, d\)"),
    (lambda _: bounds.linear_head(X, Y, tolerance=0), "tolerance: .*positive"),
    (lambda _: bounds.leep_lower_bound(X * 0 + 1, Y), "probs: .*sum to 1"),
    (lambda _: bounds.leep_lower_bound(pd.DataFrame(P), SHUFFLED), "labels: .*index of probs"),
    (lambda _: metrics.e_leep([pd.DataFrame(P)], SHUFFLED), r"labels: .*index of probs_list\[0\]"),
    (lambda _: metrics.transrate(X, Y, eps=1e-307), "eps: expected at least .* of this size"),
    (lambda _: bounds.leep_lower_bound(P, Y, "firm"), "joint: .*'soft', 'hard'"),
]

FILES: list[tuple[Call, str]] = [
    # suites
    (of_suite(epocs=3), "epocs: unknown key"),
    (of_suite(recipe=RECIPE | {"epochs": 0}), "recipe.epochs: .*greater than 0"),
    (of_suite(targets={"a": {"kind": "film"}}), "'glyphs', 'digits', 'parquet', 'folder'"),
    *[
        (of_suite(targets={name: LETTERS}), r"targets: .*names without # \+ , \| / and")
        for name in ("a#3", "a+b", "", "a,b", "a/b")
    ],
    (of_suite(name="other"), "says name: other; write name: glyphs"),
    (of_suite(a=1, b=2, c=3, d=4), "4 mistakes, such as"),
    (of_text("name: ["), r"glyphs\.yaml is not YAML: .*line 1"),
    (of_text("name: a\nname: b\n"), "is not YAML: the key 'name' stands twice .*line 1"),
    (of_text("just words"), "is not valid"),
    (of_text(BOMB), "is not valid"),
    (set_to(lambda _: suites.load("glyphs"), HASTE_PARAMS="HERE"), "no suites in .*HASTE_PARAMS"),
    (of_suite(recipe=RECIPE | {"lr": 1}), "recipe.lr: unknown key"),
    (of_suite(sources=[]), "sources: .*at least 1"),
    (of_suite(seeds=[0, 0]), "seeds: .*each of them once"),
    (lambda _: suites.find("glyps"), "unknown suite 'glyps'; choose one of: glyphs"),
    (lambda _: suites.find(target="pacs_sketch"), r"in several suites \(paper, pocket\); say whi"),
    (lambda _: suites.find("pocket", "greek"), "unknown target 'greek'; .*pacs_sketch"),
    (lambda _: suites.find(target="grek"), "unknown target 'grek'; choose one of: .*greek"),
    (of_choice(epoch=2), "unknown parameter 'epoch'; choose .*epochs"),
    (of_choice(targets="klingon"), "unknown target of suite glyphs 'klingon'; choose .*greek"),
    (of_choice(epochs="many"), "recipe.epochs: .*integer"),
    (of_choice(covariance="round"), "hardness.covariance: .*'spherical'"),
    (of_choice(fraction=0.0), "hardness.fraction: .*greater than 0"),
    (of_choice(fraction=1.5), "hardness.fraction: .*less than"),
    (of_choice(source="a@b"), "sources .* or hardness_source"),
    (of_choice(hardness_source="densenet121@pocket"), "are not what 'densenet121@pocket' was trai"),
    # rows
    (lambda here: records.read(here / "rows.csv"), "rows.csv"),
    (of_file(b"schema,section\n3,5.1\n", records.read), "file: .*missing suite, target"),
    (lambda _: records.check(pd.DataFrame([row(schema=1)])), "expected schema 3, got 1; run the"),
    (lambda _: records.check(pd.DataFrame([row(score=math.inf)])), "a finite score, or nan"),
    (lambda _: records.check(pd.DataFrame([row(score=math.nan)])), "a finite score, or nan"),
    (lambda _: records.check(pd.DataFrame([row(reason="none")])), "a finite score, or nan"),
    (lambda _: records.check(pd.DataFrame([row(accuracy=1.2)])), r"accuracies in \[0, 1\]"),
    (lambda _: records.check(pd.DataFrame([row(accuracy=math.nan)])), "of at least one seed"),
    (lambda _: records.check(pd.DataFrame([row(), row(score=3.0)])), "each row once, got several"),
    # the cache
    (entry, "cannot write to .*HASTE_CACHE"),
    # jobs
    *[
        (set_to(lambda _: run([Job("a", print)]), HASTE_SCHEDULER=to), f"scheduler '{to}'; choose")
        for to in ("nowhere", "0", "processes:2", "-1")
    ],
    (lambda here: run([Job("a", print)], f"{here}/s.json"), "no scheduler file .*s.json; start"),
    (lambda _: run([Job("a", print), Job("a", print)]), r"each name once, got several of \['a'\]"),
    (lambda _: run([Job("a", print, needs=("b",))]), "unknown or circular"),
    (set_to(lambda _: default_device(), HASTE_DEVICE="gpu"), "HASTE_DEVICE: .*cpu, cuda.*'gpu'"),
    # networks
    (lambda _: models.parse("resnet50@glyphs"), "weights of resnet50 'glyphs'; .*IMAGENET1K_V2"),
    (lambda here: grid(here).data("greek#99999999"), "a class subset after #, from 0 to 9999"),
    (lambda _: models.parse("resnet20"), "write torchvision/NAME"),
    (lambda _: models.parse(""), "unknown source ''"),
    (lambda _: models.parse("resnet8@glyph"), "unknown weights of resnet8 'glyph'; .*glyphs"),
    (lambda _: models.parse("resnet21@pocket"), "unknown network 'resnet21'; .*resnet20"),
    (lambda _: models.parse("resnet51@IMAGENET1K_V1"), "unknown network 'resnet51'; .*resnet50"),
    (set_to(lambda _: models.load("resnet18@x.pt"), HASTE_WEIGHTS="HERE"), "no weight file x.pt"),
    (lambda here: grid(here, "resnet9@glyphs"), "unknown network 'resnet9'; choose one of"),
    (lambda here: grid(here).check("resnet8@glyphs+klingon"), "unknown target 'klingon'"),
    (lambda here: grid(here).jobs(["resnet8@glyphs"], ["grek"]), "unknown target 'grek'"),
    (lambda here: grid(here).frame("5.1", ["greek"], ["leap"]), "unknown metric 'leap'; .*leep"),
    # weights
    (of_weights(b""), "cannot read the weights in"),
    (of_weights(b"\0\1\2\3"), "it is no file of weights; delete it and fetch it again"),
    (of_weights(b"<html>404</html>"), "it is no file of weights; delete it and fetch it again"),
    (of_weights(PICKLED), "it holds Python objects, which may run any code; .*safetensors"),
    (of_weights(nn.Linear(1, 1)), r"it holds Python objects.*state_dict\(\) alone"),
    (of_weights([torch.ones(1)]), "holds no weights by name"),
    (of_weights({"epoch": 3}), "holds no weights by name"),
    (of_file(b"short", lambda file: models.read_state(file)), "cannot read the weights in"),
    # plugins
    (set_to(lambda _: plugins.load(), HASTE_PLUGINS="no_such"), "names 'no_such', which cannot be"),
    (of_plugin("def ("), r"cannot be imported \(SyntaxError"),
    (of_plugin("1 / 0"), r"cannot be imported \(ZeroDivisionError"),
    # features
    (lambda _: hastelib.features(nn.Linear(1, 1), []), "batches: expected at least one"),
    (inputs(IMAGES), "batches: expected pairs of inputs and labels, or mappings, got float32"),
    (inputs((IMAGES.numpy(), torch.arange(3))), "batches: expected inputs that are tensors"),
    (lambda _: hastelib.features(X, []), "model: expected a torch module"),  # type: ignore[arg-type]
    (inputs((IMAGES, torch.ones(3))), "integer class labels, got float32"),
    (inputs((IMAGES, torch.zeros(3, 2, dtype=torch.int64))), r"of shape \(3, 2\)"),
    (inputs((IMAGES, torch.tensor([0, 1]))), "labels: expected 3, one for each sample"),
    (inputs((IMAGES * math.nan, torch.arange(3))), "gives NaN or infinity on this batch"),
    (inputs((IMAGES, torch.arange(3)), layers=["layer9"]), "the network has no module layer9"),
    (inputs((IMAGES, torch.arange(3)), pool="max"), "pool: expected one of 'mean', 'cls'"),
    (lambda _: hastelib.features(nn.Linear(1, 1), SHUFFLING), "a RandomSampler; build it with shu"),
    (lambda _: Preprocessing(8, 8).normalise(IMAGES), "pixels: expected bytes .* got float32"),
    # a notebook's parameters
    *[
        (lambda _, given=given: analysis.start(given), words)
        for given, words in (
            ({"suite": "glif"}, "unknown suite 'glif'; choose one of: glyphs"),
            ({"target": "klingon"}, "unknown target 'klingon'; choose one of"),
            ({"sources": "resnet8@glyphs, resnet9@glyphs"}, "unknown network 'resnet9'"),
            ({"metrics": "leep,lip"}, "unknown metric 'lip'; choose one of"),
            ({"metrics": " , "}, "unknown metric ''; choose one of"),
            ({"seeds": -1}, "seeds: .*at least 1"),
            ({"output": f"{__file__}/runs"}, r"Not a directory: .*/runs"),
            ({"fraction": 2.0}, "hardness.fraction"),
        )
    ],
    *[
        (lambda _, given=given: analysis.parameters(PARAMETERS | given), words)
        for given, words in (
            ({"epoch": 3}, "unknown parameter 'epoch'; choose one of: epochs, suite"),
            ({"epochs": "five"}, "epochs: .*integer.*got 'five'"),
            ({"epochs": True}, "epochs: .*integer.*got True"),
            ({"suite": 1}, "suite: .*string, got 1; papermill's -r passes it on as it is written"),
        )
    ],
    # ranking
    (ranked(labels=-Y), "labels: expected labels of at least 0, got -1"),
    (ranked(labels=np.ma.masked_array(Y, Y > 0)), "labels: .* got masked ones; remove them"),
    (ranked(labels=np.array([0, 255] * 4, np.uint8)), "labels: .* 255, in bytes the mark of no"),
    (ranked(labels=Y[:, None]), "labels: .* several labels a sample"),
    (ranked(labels=Y / 2), "labels: .* real numbers"),
    (ranked(labels=[]), "labels: expected at least one sample"),
    (ranked(labels=[[0], [0, 1]] * 4), "labels: .* several labels a sample"),
    (ranked(labels=[{0}] * 8), "labels: .* values of type set"),
    (ranked(labels=["a", math.nan] * 4), "labels: .* values of type float, str"),
    (ranked(prior={"a": math.inf}), "prior: expected finite numbers"),
    (ranked(device="gpu"), "device or HASTE_DEVICE: .* got 'gpu'"),
    (ranked(prior={"b": 1.0}), "unknown model in prior or signature 'b'; choose one of: a"),
    (ranked(fraction=2), r"fraction: expected a number in \(0, 1\], got 2"),
    (ranked(seed="x"), "seed: expected an integer of at least 0"),
    (ranked(max_samples=0), "max_samples: expected an integer of at least 1"),
    (ranked(batch_size=0), "batch_size: expected an integer of at least 1"),
    (ranked(metrics=["logm"]), "unknown metric 'logm'"),
    (ranked(hard=["hard"]), "unknown hard variant 'hard'"),
    (ranked(budget="half"), "budget: expected None or halving"),
    *[
        (lambda _, given=given: hastelib.rank(given, ["resnet8@glyphs"]), words)
        for given, words in (
            (None, "expected a folder, a data set or a DataLoader, or labels="),
            (7, "expected a folder of class folders.*got int"),
            (datasets.Dataset.from_dict({"picture": [1]}), "expected the columns image or text"),
            (datasets.DatasetDict({"all": TEXT}), "expected a split train, got all"),
            (
                TEXT.add_column("label", [0]).select([]),
                "column label: expected at least one sample",
            ),
            (DataLoader(TensorDataset(IMAGES[:0])), "data: expected at least one sample"),
            (SHUFFLING, "build it with shuffle="),
            (DRAWN, "a RandomSampler; build it with shuffle="),
            (TEXT.with_transform(dict), "expected no transform of its own"),
            (pd.DataFrame({"image": [0]}), "a torch Dataset of pairs.*got DataFrame"),
            ([(torch.zeros(2), [0.0, 1.0])], "expected one class a sample, got several labels"),
            ([(torch.zeros(2), 0.5)], "expected one class a sample, got real numbers"),
        )
    ],
    *[
        (lambda _, given=given: hastelib.rank(None, given, labels=Y), words)
        for given, words in (
            ("resnet8@glyphs", "models: expected a list of names"),
            ([nn.Linear(1, 1)], "models: expected a list of names"),
            ([], "models, metrics: expected at least one"),
        )
    ],
    # data
    (lambda here: data.load(Folder(kind="folder", path=f"{here}/x")), "no folder .*/x. It"),
    (lambda here: data.load(Folder(kind="folder", path=str(here))), "folder of images per"),
]


@pytest.fixture(autouse=True, scope="module")
def _as_users_have_it() -> Iterator[None]:
    """Nothing checks types at runtime outside of the tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("call", "words"), [pytest.param(*case, id=case[1]) for case in [*ARRAYS, *FILES]]
)
def test_it_is_refused_in_a_sentence(call: Call, words: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, OSError, ImportError), match=words) as refused:
        call(tmp_path)
    message = str(refused.value)
    assert len(message.splitlines()) <= 3, message
    assert len(message) <= 600, message


def test_a_broken_suite_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "suites").mkdir()
    monkeypatch.setenv("HASTE_PARAMS", str(tmp_path))
    text = (Path(__file__).parents[1] / "params" / "suites" / "glyphs.yaml").read_text()
    (tmp_path / "suites" / "glyphs.yaml").write_text(text)
    (tmp_path / "suites" / "broken.yaml").write_text("name: [")
    assert suites.find(target="greek").name == "glyphs"
    with pytest.raises(ValueError, match=r"broken.yaml is not YAML"):
        suites.find(target="mine")


def test_common_forms_of_weights_are_read(tmp_path: Path) -> None:
    state = {"conv.weight": torch.ones(2), "n": torch.tensor(1)}
    for form in (
        state,
        {"state_dict": state, "epoch": 3},
        {"model": state},
        {"model_state_dict": state, "optimizer": {"lr": 0.1}},
        state | {"epoch": 3},
        {"state_dict": {f"module.{name}": x for name, x in state.items()}},
    ):
        found = of_weights(form)(tmp_path)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)
    save_file(state, tmp_path / "w.safetensors")
    assert models.read_state(tmp_path / "w.safetensors").keys() == state.keys()


ODD: dict[str, Any] = {"longdouble": X.astype(np.longdouble), "big-endian": X.astype(">f8")}
ODD |= {"strided": X[::-1][::-1], "pandas": FRAME, "lists": X.tolist()}
ODD |= {"no mask": np.ma.masked_array(X, X > 9), "gradient": TORCH.requires_grad_()}
SMALL = torch.tensor(X).to(torch.float8_e4m3fn)


@pytest.mark.parametrize("kind", ODD)
def test_odd_arrays_that_are_fine(kind: str) -> None:
    assert metrics.gbc(ODD[kind], pd.Series(Y)) == pytest.approx(metrics.gbc(X, Y), rel=1e-12)
    assert metrics.gbc(SMALL, Y) == metrics.gbc(SMALL.double(), Y)


def test_names_of_classes_are_labels_of_a_ranking() -> None:
    found = hastelib.rank(None, {"a": X, "b": ODD["longdouble"]}, labels=["x", "y"] * 4)
    assert found.table()["gbc"].tolist() == [metrics.gbc(X, Y)] * 2
