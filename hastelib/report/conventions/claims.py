"""What the page on conventions claims: each claim with what is expected and what a run gives."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy import ndarray

from hastelib import metrics
from hastelib.extract import Features
from hastelib.report.conventions.forms import Case, rate_reduction

Claims = dict[str, tuple[float, float]]
"""Claim -> (expected, got)."""


def _problem(
    generator: np.random.Generator, n: int, d: int, c: int
) -> tuple[Float64[ndarray, "n d"], Int64[ndarray, " n"]]:
    """Embeddings around random class centres, and labels in which every class occurs twice."""
    y = np.concatenate([np.repeat(np.arange(c), 2), generator.integers(c, size=n - 2 * c)])
    return generator.normal(size=(c, d))[y] + generator.normal(size=(n, d)), y


def _distance(
    difference: Float64[ndarray, " d"],
    first: Float64[ndarray, "d d"],
    second: Float64[ndarray, "d d"],
) -> float:
    """The Bhattacharyya distance of two Gaussians from the difference of their means."""
    shared = (first + second) / 2
    logs = [float(np.linalg.slogdet(S).logabsdet) for S in (shared, first, second)]
    return float(difference @ np.linalg.solve(shared, difference)) / 8 + (
        logs[0] / 2 - (logs[1] + logs[2]) / 4
    )


def _integral(*gaussians: tuple[Float64[ndarray, " d"], Float64[ndarray, "d d"]]) -> float:
    """The Bhattacharyya coefficient of two Gaussians in the plane, summed up on a fine grid."""
    from scipy.stats import multivariate_normal

    line = np.linspace(-30, 30, 601)
    plane = np.stack(np.meshgrid(line, line), axis=-1)
    p, q = (multivariate_normal(*one).pdf(plane) for one in gaussians)
    return float(np.sqrt(p * q).sum() * (line[1] - line[0]) ** 2)


def overlaps(seed: int = 0) -> Claims:
    """The distance against an integral, GBC against both, and the log determinant counted once."""
    generator = np.random.default_rng(seed)
    roots = generator.normal(size=(2, 2, 2))
    covariances = [root @ root.T + np.eye(2) / 2 for root in roots]
    means = generator.normal(size=(2, 2))
    full = math.exp(-_distance(means[0] - means[1], *covariances))
    X = generator.normal(size=(60, 2)) * np.where(np.arange(60) < 30, 1.0, 4.0)[:, None]
    y = np.repeat([0, 1], 30)
    X[y == 1] += 3
    parts = [X[y == k] for k in (0, 1)]
    sphere = [(Z.mean(0), Z.var(0).mean() * np.eye(2)) for Z in parts]
    axes = [(Z.mean(0), np.diag(Z.var(0))) for Z in parts]
    once = metrics.gbc(X, y, components=None, log_det="published")
    worse = []
    for _ in range(1000):
        F, labelled = _problem(generator, 30, 6, 4)
        pair = [metrics.gbc(F, labelled, log_det=kind) for kind in ("published", "exact")]
        worse.append(pair[0] > pair[1] + 1e-12)
    return {
        "exp(−D), full covariances": (_integral(*zip(means, covariances, strict=True)), full),
        "GBC, spherical": (-2 * _integral(*sphere), metrics.gbc(X, y, components=None)),
        "GBC, diagonal": (-2 * _integral(*axes), metrics.gbc(X, y, "diagonal", None)),
        "counted once = the integral": (
            False,
            math.isclose(once, -2 * _integral(*sphere), rel_tol=1e-3),
        ),
        "counted once > GBC, of 1000": (0, sum(worse)),
    }


def blanks(seed: int = 0, columns: int = 20) -> Claims:
    """What columns of zeros, which say nothing, do to GBC without a PCA."""
    X, y = _problem(np.random.default_rng(seed), 60, 5, 2)
    wide = np.pad(X, ((0, 0), (0, columns)))
    distances = {}
    for name, Z in (("plain", X), ("wide", wide)):
        once = metrics.gbc(Z, y, components=None, log_det="published")
        case = Case(Features(torch.from_numpy(Z), torch.ones(len(y), 1), {}, torch.from_numpy(y)))
        variances = case.means((Z - case.means(Z)[case.index]) ** 2).mean(1)
        log_det = math.log(variances.mean()) - float(np.log(variances).mean())
        distances[name] = -math.log(-once / 2) - log_det / 2
    return {
        "squares over 8 s": (
            distances["plain"] * (5 + columns) / 5,
            distances["wide"],
        ),
        "GBC after PCA to 5": (
            metrics.gbc(X, y, components=5),
            metrics.gbc(wide, y, components=5),
        ),
        "after PCA to 64: the same": (
            False,
            math.isclose(metrics.gbc(X, y), metrics.gbc(wide, y), rel_tol=1e-3),
        ),
    }


def shares(seed: int = 0) -> Claims:
    """The H-score as a trace, as the product of two projections, and its bounds."""
    generator = np.random.default_rng(seed)
    X, y = _problem(generator, 60, 12, 7)
    n, c = len(X), 7
    F = X - X.mean(0)
    Y = np.eye(c)[y]
    onto_classes = Y @ np.linalg.pinv(Y)
    onto_embedding = F @ np.linalg.pinv(F)
    g = onto_classes @ F
    trace = float(np.trace(np.linalg.pinv(F.T @ F / (n - 1)) @ (g.T @ g / (n - 1))))
    U = np.linalg.svd(F, full_matrices=False)[0]
    wide = generator.normal(size=(n, n + 5))
    above = 0
    for _ in range(1000):
        size = tuple(generator.integers(2, (24, 12)))
        Z, labelled = _problem(generator, 2 * int(size[1]) + int(size[0]), *map(int, size))
        above += metrics.h_score(Z, labelled) > min(size[0], size[1] - 1) + 1e-9
    return {
        "tr(cov(f)⁺ cov(g))": (trace, metrics.h_score(X, y)),
        "squared norm of P Q": (trace, float(((onto_embedding @ onto_classes) ** 2).sum())),
        "by singular vectors": (trace, float(((U.T @ Y) ** 2 / Y.sum(0)).sum())),
        "H > min(r, c − 1), of 1000": (0, above),
        "random features, n ≤ d": (c - 1, metrics.h_score(wide, y)),
        "the same, shuffled": (c - 1, metrics.h_score(wide, generator.permutation(y))),
    }


def chance(seed: int = 0, shuffles: int = 4000) -> Claims:
    """The mean H-score over shuffled labels against r (c - 1) / (n - 1), for three widths."""
    generator = np.random.default_rng(seed)
    claims: Claims = {}
    for d in (5, 20, 40):
        X, y = _problem(generator, 60, d, 7)
        U, S, _ = np.linalg.svd(X - X.mean(0), full_matrices=False)
        U = U[:, 1e-9 * S[0] < S]
        total = 0.0
        for _ in range(shuffles):
            Y = np.eye(7)[generator.permutation(y)]
            total += float(((U.T @ Y) ** 2 / Y.sum(0)).sum())
        claims[f"shuffled labels, d = {d}"] = (d * 6 / 59, total / shuffles)
    return claims


def reductions(seed: int = 0) -> Claims:
    """TransRate: its sign, its determinant on either side, and the scale."""
    generator = np.random.default_rng(seed)
    below = 0
    for _ in range(1000):
        X, y = _problem(generator, 30, int(generator.integers(1, 40)), 5)
        eps = 10 ** generator.uniform(-6, 3)
        case = Case(Features(torch.from_numpy(X), torch.ones(30, 1), {}, torch.from_numpy(y)))
        below += rate_reduction(case, X, eps, weighted=True) < -1e-9
    X, y = lopsided()
    many, few = ((X[y == k, 0] ** 2).mean() for k in (0, 1))
    whole = float((X**2).mean())
    closed = (math.log1p(whole / 1e-4) - (math.log1p(many / 1e-4) + math.log1p(few / 1e-4)) / 2) / 2
    Z, labelled = _problem(generator, 30, 50, 5)
    sides = [
        float(np.linalg.slogdet(np.eye(len(G)) + G / 0.3).logabsdet) for G in (Z @ Z.T, Z.T @ Z)
    ]
    return {
        "by size < 0, of 1000": (0, below),
        "equal weights": (closed, metrics.transrate(X, y)),
        "it is negative": (True, metrics.transrate(X, y) < 0),
        "log det, n × n and d × d": (sides[0], sides[1]),
        "3 Z, ε against Z, ε/9": (
            metrics.transrate(3 * Z, labelled, 0.02),
            metrics.transrate(Z, labelled, 0.02 / 9),
        ),
    }


def lopsided() -> tuple[Float64[ndarray, "n 1"], Int64[ndarray, " n"]]:
    """98 samples close to 0 and two far from it: TransRate with equal weights is negative."""
    X = np.concatenate([np.tile([0.1, -0.1], 49), [1.0, -1.0]])[:, None]
    return X, (np.abs(X[:, 0]) > 0.5).astype(np.int64)


def ends(seed: int = 0) -> Claims:
    """What TransRate tends to for a small and a large eps."""
    generator = np.random.default_rng(seed)
    claims: Claims = {}
    for d in (10, 100):
        X, y = _problem(generator, 60, d, 4)
        F = X - X.mean(0)
        ranks = [int(np.linalg.matrix_rank(part)) for part in (F, *(F[y == k] for k in range(4)))]
        small = [metrics.transrate(X, y, eps) for eps in (1e-12, 1e-10)]
        slope = (small[0] - small[1]) / math.log(100)
        rise = float(ranks[0] - np.mean(ranks[1:])) / 2
        claims[f"ε → 0, slope, d = {d}"] = (rise, slope)
        traces = [
            float((part**2).sum()) / len(part) for part in (F, *(F[y == k] for k in range(4)))
        ]
        claims[f"ε → ∞, d = {d}"] = (
            (traces[0] - float(np.mean(traces[1:]))) / 2,
            1e8 * metrics.transrate(X, y, 1e8),
        )
        claims[f"ε → ∞, by size, d = {d}"] = (
            0,
            1e8 * metrics.transrate(X, y, 1e8, weighted=True),
        )
    return claims


def posteriors(seed: int = 0) -> Claims:
    """LEEP on posteriors that are sure, and N-LEEP with as many Gaussians as samples."""
    generator = np.random.default_rng(seed)
    X, y = _problem(generator, 60, 4, 5)
    z = generator.integers(8, size=60)
    shuffled = generator.permutation(y)
    return {
        "LEEP of one-hot rows": (metrics.nce(z, y), metrics.leep(np.eye(8)[z], y)),
        "N-LEEP, n Gaussians": (0, metrics.n_leep(X, y, gaussians=60)),
        "the same, shuffled": (0, metrics.n_leep(X, shuffled, gaussians=60)),
    }
