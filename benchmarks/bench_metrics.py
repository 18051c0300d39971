"""Metrics: what the library computes against the formulas as they are written."""

from __future__ import annotations

import baselines
import memory
import pytest
import torch
from conftest import SAMPLES, THREADS, Row

from hastelib import metrics


def same(expected, got):
    assert got == pytest.approx(expected, rel=1e-9)


def close(expected, got):
    assert got == pytest.approx(expected, rel=1e-6)


def no_less(expected, got):
    """The largest evidence is no less than that of a point; with n > d both are evidences."""
    assert got >= expected - 1e-9


def bench_leep(compare, features):
    """On one thread, as NumPy; in float32 the plain code also computes in that."""
    torch.set_num_threads(1)
    p, y = features.probs.numpy(), features.labels.numpy()
    compare(
        "LEEP, one thread",
        ("plain NumPy, unchecked", lambda: baselines.leep(p, y)),
        ("in blocks", lambda: metrics.leep(p, y)),
        close,
        wanted=1,
        rounds=15,
    )


def bench_nce(compare, double):
    torch.set_num_threads(1)
    z, y = double.probs.argmax(1).numpy(), double.labels.numpy()
    compare(
        "NCE, one thread",
        ("plain NumPy, unchecked", lambda: baselines.nce(z, y)),
        ("nce", lambda: metrics.nce(z, y)),
        same,
        wanted=1,
        rounds=50,
    )


@pytest.mark.skipif(not memory.STATUS.exists(), reason="peak memory is read where Linux keeps it")
def bench_memory(record):
    """Of LogME and the H-score, and of two extractions, streamed; of TransRate and GBC, beyond
    float32 embeddings."""
    copied = 4 * SAMPLES * 512 * 12 / 2**20
    for side, n, d, most, than in (
        ("moments", 200_000, 1024, 1024, "1 GiB"),
        ("extraction", 100_000, 2048, 8192, "8 GiB (of seven)"),
        ("transrate", 4 * SAMPLES, 512, copied, "with a float64 copy"),
        ("gbc", 4 * SAMPLES, 512, copied, "with a float64 copy"),
    ):
        used = memory.peak(side, n, 8 if side in ("moments", "extraction") else n, d, THREADS)
        what = f"memory, n = {n}, d = {d}"
        sides = (side, used, than, most)
        record(Row(what, "float32", *sides, unit="MiB", wanted=1, at_most=True, rounds="1"))


@pytest.mark.parametrize(
    ("what", "name", "slow", "fast", "wanted"),
    [
        ("TransRate", "transrate", "d x d determinants", "class Grams", 20),
        ("H-score", "h_score", "d x d covariances", "one Gram matrix", 1),
    ],
)
def bench_against_squares(compare, features, double, what, name, slow, fast, wanted):
    plain, ours = getattr(baselines, name), getattr(metrics, name)
    compare(
        what,
        (slow, lambda: plain(double.embedding, double.labels)),
        (fast, lambda: ours(features.embedding, features.labels)),
        same,
        wanted=wanted,
        once=True,
    )


def bench_gbc(compare, features, double):
    compare(
        "GBC, no PCA",
        ("loop over pairs", lambda: baselines.gbc(double.embedding, double.labels)),
        ("vectorised", lambda: metrics.gbc(features.embedding, features.labels, components=None)),
        same,
        wanted=10,
    )


def bench_logme(compare, features):
    compare(
        "LogME",
        (
            "fixed point, as fast",
            lambda: metrics.logme_fixed_point(features.embedding, features.labels),
        ),
        ("exact", lambda: metrics.logme(features.embedding, features.labels)),
        no_less,
        wanted=0.95,  # they share nine tenths of their work: a tie, but for noise
        rounds=9,
    )


def bench_logme_usual(compare, features, double):
    usual = baselines.logme_fixed_point

    def agree(expected, got):
        same(expected, metrics.logme_fixed_point(double.embedding, double.labels))
        no_less(expected, got)

    compare(
        "LogME, usual code",
        ("fixed point, SVD, a class at a time", lambda: usual(double.embedding, double.labels)),
        ("exact", lambda: metrics.logme(features.embedding, features.labels)),
        agree,
        wanted=1,
        once=True,
    )


def bench_scores(compare, features):
    X, p, y = features.embedding, features.probs, features.labels
    names = ["leep", "nce", "gbc", "logme", "h_score", "transrate"]

    def agree(expected, got):
        same(expected, {name: value for name, (value, _) in got.items()})

    def separately():
        return {
            "leep": metrics.leep(p, y),
            "nce": metrics.nce(p.argmax(1), y),
            "gbc": metrics.gbc(X, y),
            "logme": metrics.logme(X, y),
            "h_score": metrics.h_score(X, y),
            "transrate": metrics.transrate(X, y),
        }

    compare(
        "all metrics",
        ("separate calls", separately),
        ("scores", lambda: metrics.Sample(features).scores(names)),
        agree,
        wanted=1 / 0.6,
    )
