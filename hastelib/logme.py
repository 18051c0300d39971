r"""LogME's evidence taken apart: its forms, what is claimed of it, and the common fixed point.

Claims are for :func:`hastelib.analysis.verify`: in words -> (expected, got). Three versions of the
score are compared: ``exact`` (:func:`hastelib.metrics.logme`), ``fixed``
(:func:`hastelib.metrics.logme_fixed_point`), and ``mended``, the fixed point less the terms that
it forgets, :math:`\frac{d - \min(n, d)}{2n} \log \alpha`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.stats
from jaxtyping import Float64, Int64
from numpy import ndarray

from hastelib import metrics
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded
from hastelib.metrics.evidence import DECADES, POINTS, iterated, maximum_evidence

Claims = dict[str, tuple[float, float]]

VERSIONS = ("exact", "fixed", "mended")
END = DECADES * math.log(10)
STEP = 2 * END / (POINTS - 1)
"""Of the grid in log t that :func:`hastelib.metrics.logme` starts from."""


# The evidence in its forms


def dense(
    F: Float64[ndarray, "n d"], y: Float64[ndarray, " n"], alpha: float, beta: float
) -> float:
    r"""The log density of :math:`y \sim \mathcal N(0, I / \beta + F F^T / \alpha)`, by SciPy."""
    covariance = np.eye(len(y)) / beta + F @ F.T / alpha
    return float(scipy.stats.multivariate_normal(cov=covariance).logpdf(y))


def by_samples(
    F: Float64[ndarray, "n d"], y: Float64[ndarray, " n"], alpha: float, beta: float
) -> float:
    r"""From n x n matrices: with :math:`S = t I + F F^T`, :math:`t = \alpha / \beta`.

    .. math:: \frac12 (n \log \alpha - \log \det S - \alpha y^T S^{-1} y - n \log 2 \pi)
    """
    n = len(y)
    S = alpha / beta * np.eye(n) + F @ F.T
    misfit = y @ np.linalg.solve(S, y)
    log_det = np.linalg.slogdet(S)[1]
    return float(n * math.log(alpha / (2 * math.pi)) - log_det - alpha * misfit) / 2


def by_weights(
    F: Float64[ndarray, "n d"], y: Float64[ndarray, " n"], alpha: float, beta: float
) -> float:
    r"""From d x d matrices: :math:`A = \alpha I + \beta F^T F`, :math:`m = \beta A^{-1} F^T y`.

    .. math::

        \frac12 (d \log \alpha + n \log \beta - \log \det A
        - \beta |y - F m|^2 - \alpha |m|^2 - n \log 2 \pi)
    """
    (n, d), A = F.shape, alpha * np.eye(F.shape[1]) + beta * F.T @ F
    m = beta * np.linalg.solve(A, F.T @ y)
    misfit = beta * np.sum((y - F @ m) ** 2) + alpha * np.sum(m**2)
    known = d * math.log(alpha) + n * math.log(beta / (2 * math.pi))
    return float(known - np.linalg.slogdet(A)[1] - misfit) / 2


def problem(
    n: int, d: int, seed: int, classes: int = 4, latent: int = 6
) -> tuple[Float64[ndarray, "n d"], Int64[ndarray, " n"]]:
    """Classes as Gaussian clouds in a few latent dimensions, seen through d noisy ones."""
    generator = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centres = generator.normal(size=(classes, latent))
    z = centres[y] + generator.normal(size=(n, latent))
    F = z @ generator.normal(size=(latent, d)) / math.sqrt(2 * latent)
    return F + 0.3 * generator.normal(size=(n, d)), y


def two_scales(
    seed: int, n: int = 100, strong: int = 5, weak: int = 60, ratio: float = 0.01
) -> tuple[Float64[ndarray, "n d"], Int64[ndarray, " n"]]:
    """Two classes; large features that say little of them, small ones that say more."""
    generator = np.random.default_rng(seed)
    y = np.arange(n) % 2
    sign = (2.0 * y - 1)[:, None]
    large = generator.normal(size=(n, strong))
    large[:, :1] += 0.5 * sign
    small = ratio * (generator.normal(size=(n, weak)) + sign)
    return np.hstack([large, small]), y


def sharp(n: int = 200) -> tuple[Float64[ndarray, "n n"], Int64[ndarray, " n"]]:
    """Two classes; the profile of the second, at its maximum, is about as curved as can be.

    Half the misfit lies along an eigenvalue far above t = 1e-4, half along one far below; all
    other eigenvalues are t.
    """
    y = np.arange(n) % 2
    unit = y / np.linalg.norm(y)
    basis = np.random.default_rng(0).normal(size=(n, n))
    basis[:, 0] = unit
    basis = np.linalg.qr(basis)[0]
    angle = math.atan(1e-2)  # tan^2 is the ratio of the two energies, as that of the misfits' t
    first, second = basis[:, 0].copy(), basis[:, 1].copy()
    basis[:, 0] = math.cos(angle) * first + math.sin(angle) * second
    basis[:, 1] = math.sin(angle) * first - math.cos(angle) * second
    values = np.full(n, 1e-4)
    values[:2] = 1, 1e-8
    return basis * np.sqrt(values), y


# Claims


def forms(seed: int = 0, problems: int = 60) -> Claims:
    """The two forms against SciPy's density, at random alpha and beta."""
    generator = np.random.default_rng(seed)
    claims: Claims = {}
    worst = 0.0
    for i in range(problems):
        n, d = [(30, 8), (20, 20), (12, 40)][i % 3]
        F, index = problem(n, d, seed + i)
        y = (index == 0).astype(float)
        alpha, beta = 10 ** generator.uniform(-2, 2, 2)
        truth = dense(F, y, alpha, beta)
        found = by_samples(F, y, alpha, beta), by_weights(F, y, alpha, beta)
        worst = max(worst, *(abs(one - truth) / max(1, abs(truth)) for one in found))
        if i < 3:
            claims[f"{n} × {d}, by samples"] = truth, found[0]
            claims[f"{n} × {d}, by weights"] = truth, found[1]
    return claims | {f"worst of {problems} problems": (0, worst)}


def maxima(seed: int = 0, points: int = 20_001) -> Claims:
    """The score against a blunt search over both precisions, and against fine grids."""
    claims: Claims = {}
    above = 0
    for n, d in ((30, 6), (16, 40)):
        F, index = problem(n, d, seed)
        tops = [_searched(F, (index == label).astype(float)) / n for label in range(4)]
        claims[f"{n} × {d}, searched"] = float(np.mean(tops)), metrics.logme(F, index)
    log_t = np.linspace(-END, END, points)
    for F, index in [problem(40, d, seed + d) for d in (5, 40, 90)] + [two_scales(seed)]:
        curves = np.asarray(metrics.logme_profile(F, index, log_t))
        above += int(curves.max(1).mean() > metrics.logme(F, index) + 1e-12)
    return claims | {"grids with a higher point": (0, above)}


def _searched(F: Float64[ndarray, "n d"], y: Float64[ndarray, " n"]) -> float:
    """The largest log density over both precisions, without any of the theory."""
    tries = [
        scipy.optimize.minimize(
            lambda logs: -dense(F, y, *np.exp(logs)),
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 2000},
        )
        for start in ((0.0, 0.0), (4.0, 4.0))
    ]
    return float(max(-one.fun for one in tries))


def invariances(seed: int = 0) -> Claims:
    """The score of a matrix, and of others with the same F F' but for its unit."""
    claims: Claims = {}
    for n, d in ((60, 20), (30, 80)):
        F, y = problem(n, d, seed)
        score = metrics.logme(F, y)
        turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
        others = {"1000 F": 1000 * F, "F turned": F @ turn, "zero columns": _padded(F, 300)}
        for name, other in others.items():
            claims[f"{n} × {d}, {name}"] = score, metrics.logme(other, y)
    return claims


def _padded(F: Float64[ndarray, "n d"], columns: int) -> Float64[ndarray, "n e"]:
    return np.pad(F, ((0, 0), (0, columns)))


def ends(seed: int = 0, n: int = 24) -> Claims:
    """The profile where t is very large and very small, in the three cases there are."""
    small, smaller, large = -22.0, -23.0, 26.0
    wide, y = problem(n, 60, seed)
    tall, _ = problem(n, 5, seed)
    half, half_y = problem(n // 2, 60, seed)
    twice, twice_y = np.vstack([half, half]), np.concatenate([half_y, half_y])
    indicator = (y == 0).astype(float)
    gram = wide @ wide.T
    misfit = float(indicator @ np.linalg.solve(gram, indicator)) / n
    limit = -0.5 * (math.log(2 * math.pi * misfit) + 1 + float(np.linalg.slogdet(gram)[1]) / n)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metrics.logme(twice, twice_y)
    told = any(issubclass(one.category, metrics.UnboundedEvidenceWarning) for one in caught)
    outside, inside = (
        _at(F, labels, small) - _at(F, labels, smaller)
        for F, labels in ((tall, y), (twice, twice_y))
    )
    return {
        "t large": (noise(float(indicator.mean())), _at(wide, y, large)),
        "t small, r = n": (limit, _at(wide, y, -END)),
        "slope, t small, ρ > 0": (tall.shape[1] / (2 * n), outside),
        "slope, t small, ρ = 0": (-(n - n // 2) / (2 * n), inside),
        "ρ = 0 warns": (True, told),
    }


def _at(F: Float64[ndarray, "n d"], labels: Int64[ndarray, " n"], log_t: float) -> float:
    """The profile of the first class at one point."""
    return float(np.asarray(metrics.logme_profile(F, labels, np.array([log_t])))[0, 0])


def noise(share: float) -> float:
    """Log evidence per sample of a class with this share of the samples, features unused."""
    return -0.5 * (math.log(2 * math.pi * share) + 1)


@dataclass(frozen=True)
class Curvature:
    """What :func:`curvature` found.

    Attributes:
        claims: for :func:`hastelib.analysis.verify`.
        lowest: of all second differences of random problems.
        highest: of them.
        sharp: the lowest of :func:`sharp`.
    """

    claims: Claims
    lowest: float
    highest: float
    sharp: float


def curvature(seed: int = 0, problems: int = 40, h: float = 0.02) -> Curvature:
    """Second differences of profiles by log t, which are means of the second derivative."""
    log_t = np.arange(-END, END, h)
    coarse = np.linspace(-END, END, POINTS)
    shapes = [(60, 10), (40, 40), (30, 90)]
    sets = [problem(*shapes[i % 3], seed + i) for i in range(problems // 2)]
    sets += [two_scales(seed + i) for i in range(problems - problems // 2)]

    def second(F: ndarray, y: ndarray) -> ndarray:
        curve = np.asarray(metrics.logme_profile(F, y, log_t))
        return np.diff(curve, 2, axis=1) / h**2

    found = [second(*one) for one in sets]
    lost = [
        metrics.logme(*one) - np.asarray(metrics.logme_profile(*one, coarse)).max(1).mean()
        for one in sets
    ]
    lowest, highest = min(x.min() for x in found), max(x.max() for x in found)
    extreme = float(second(*sharp()).min())
    rounding = 1e-9
    claims: Claims = {
        "curvature below −1/4": (
            0,
            sum(int((x < -0.25 - rounding).sum()) for x in found) + int(extreme < -0.25 - rounding),
        ),
        "curvature above 1/8": (0, sum(int((x > 0.125 + rounding).sum()) for x in found)),
        "grids off by over h²/32": (0, sum(x > STEP**2 / 32 for x in lost)),
    }
    return Curvature(claims, float(lowest), float(highest), extreme)


# The fixed point


@dataclass(frozen=True)
class FixedPoint:
    """Where the common iteration ends, one entry a class.

    Attributes:
        alpha: precision of the weights.
        beta: precision of the noise.
        log_t: log(alpha / beta) in units of the largest eigenvalue of F'F.
        value: what is reported; :func:`hastelib.metrics.logme_fixed_point` is its mean.
        excess: what the forgotten terms add to it, (d - min(n, d)) / 2n log alpha.
        converged: whether t had settled to one part in 1000 in the rounds allowed.
    """

    alpha: Float64[ndarray, " c"]
    beta: Float64[ndarray, " c"]
    log_t: Float64[ndarray, " c"]
    value: Float64[ndarray, " c"]
    excess: Float64[ndarray, " c"]
    converged: ndarray


def fixed_point(embeddings: ArrayLike, labels: ArrayLike, rounds: int = 11) -> FixedPoint:
    """The iteration of :func:`hastelib.metrics.logme_fixed_point`, with all that it ends on."""
    return _iterate(Embedded(embeddings, labels), rounds)


def _iterate(given: Embedded, rounds: int = 11) -> FixedPoint:
    found = iterated(given, rounds)
    alpha, beta, value, converged = (x.cpu().numpy() for x in found[:4])
    n, d = given.F.shape
    excess = (d - min(n, d)) / (2 * n) * np.log(alpha)
    return FixedPoint(alpha, beta, np.log(alpha / beta / found.largest), value, excess, converged)


def versions(embeddings: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """The three versions of the score, from one factorisation."""
    given = Embedded(embeddings, labels)
    point = _iterate(given)
    return {
        "exact": maximum_evidence(given),
        "fixed": float(point.value.mean()),
        "mended": float((point.value - point.excess).mean()),
    }


def gradients(seed: int = 0, h: float = 1e-4) -> Claims:
    """What the iteration sets to 0, against differences of SciPy's density."""
    generator = np.random.default_rng(seed)
    claims: Claims = {}
    for n, d in ((30, 8), (12, 40)):
        F, index = problem(n, d, seed)
        y = (index == 0).astype(float)
        logs = generator.uniform(-1, 1, 2)
        alpha, beta = np.exp(logs)
        m = beta * np.linalg.solve(alpha * np.eye(d) + beta * F.T @ F, F.T @ y)
        values = np.linalg.eigvalsh(F.T @ F)
        gamma = float((values / (values + alpha / beta)).sum())
        told = gamma - alpha * m @ m, n - gamma - beta * np.sum((y - F @ m) ** 2)
        for i, name in enumerate("αβ"):
            step = h * np.eye(2)[i]
            up, down = (dense(F, y, *np.exp(logs + sign * step)) for sign in (1, -1))
            claims[f"{n} × {d}, slope by log {name}"] = (
                float(told[i]) / 2,
                (up - down) / (2 * h),
            )
    return claims


def missing(seed: int = 0, problems: int = 10) -> Claims:
    """The forgotten terms: what they are worth, and the evidence once they are put right."""
    claims: Claims = {}
    worst = 0.0
    for n, d in ((40, 20), (40, 120)):
        for i in range(problems):
            F, index = problem(n, d, seed + i)
            point = fixed_point(F, index, rounds=1000)
            for label in range(4):
                y = (index == label).astype(float)
                truth = dense(F, y, point.alpha[label], point.beta[label]) / n
                told, excess = point.value[label], point.excess[label]
                if i == label == 0:
                    claims[f"{n} × {d}, put right"] = truth, float(told - excess)
                    claims[f"{n} × {d}, excess"] = float(excess), float(told - truth)
                worst = max(worst, abs(told - excess - truth))
    name = f"worst of {2 * problems} problems"
    return claims | {name: (0, worst)}


def shifts(seed: int = 0, n: int = 40, d: int = 120) -> Claims:
    """How the reported value moves where the evidence does not: units, and columns of zeros."""
    F, y = problem(n, d, seed)
    columns = 50

    def value(F: ndarray) -> float:
        return float(fixed_point(F, y, rounds=1000).value.mean())

    mean_log_alpha = float(np.log(fixed_point(F, y, rounds=1000).alpha).mean())
    return {
        "ten times F": (
            (d - n) / n * math.log(10),
            value(F / 10) - value(F / 100),
        ),
        f"{columns} zero columns": (
            columns / (2 * n) * mean_log_alpha,
            value(_padded(F, columns)) - value(F),
        ),
    }


@dataclass(frozen=True)
class Landscape:
    """The evidence of one class, and where the fixed point ends on it.

    Attributes:
        log_t: (m,) in units of the largest eigenvalue of F'F.
        curve: (m,) log evidence per sample with the best alpha.
        ends: the columns unit (what F is multiplied by), log_t, value, converged.
    """

    log_t: Float64[ndarray, " m"]
    curve: Float64[ndarray, " m"]
    ends: pd.DataFrame

    def peaks(self) -> pd.DataFrame:
        """The maxima of the curve, the largest first: the columns log_t, value."""
        inner = self.curve[1:-1]
        there = np.flatnonzero((inner > self.curve[:-2]) & (inner > self.curve[2:])) + 1
        found = pd.DataFrame({"log_t": self.log_t[there], "value": self.curve[there]})
        return found.sort_values("value", ascending=False, ignore_index=True)


def landscape(seed: int = 0, units: Sequence[float] = (1e-2, 1.0, 1e4)) -> Landscape:
    """Of the first class of :func:`two_scales`."""
    F, y = two_scales(seed)
    log_t = np.linspace(-12.0, 6.0, 1801)
    curve = np.asarray(metrics.logme_profile(F, y, log_t))[0]
    points = [fixed_point(unit * F, y) for unit in units]
    ends = pd.DataFrame(
        {
            "unit": units,
            "log_t": [point.log_t[0] for point in points],
            "value": [point.value[0] for point in points],
            "converged": [bool(point.converged[0]) for point in points],
        }
    )
    return Landscape(log_t, curve, ends)


def gaps(
    d: int = 256,
    sizes: Sequence[int] = (32, 48, 64, 96, 128, 192, 248, 256, 320, 512, 1024),
    units: Sequence[float] = (0.1, 1.0, 10.0),
    seeds: Sequence[int] = (0, 1, 2),
) -> pd.DataFrame:
    """Fixed point less exact on synthetic problems of one width and more and more samples.

    Returns:
        The columns n, d, unit (what F is multiplied by), gap (the mean over the seeds).
    """
    lines = []
    for n in sizes:
        sets = [problem(n, d, seed, classes=8, latent=20) for seed in seeds]
        for unit in units:
            both = [versions(unit * F, y) for F, y in sets]
            gap = float(np.mean([one["fixed"] - one["exact"] for one in both]))
            lines.append((n, d, unit, gap))
    return pd.DataFrame(lines, columns=["n", "d", "unit", "gap"])


# A zoo of models whose quality is known


def zoo(
    n: int, seed: int, widths: Sequence[int], noises: Sequence[float], classes: int = 10
) -> tuple[list[Float64[ndarray, "n d"]], Int64[ndarray, " n"]]:
    """Embeddings of the same n samples by models that differ in noise, and in width.

    All see the classes in the same 20 latent dimensions, under noise of their own level, which
    is their quality. A model of width d spreads what it sees over d dimensions by a random
    isometry, at unit variance, and adds noise of a tenth of that. A width above 20 is padding.
    """
    latent = 20
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(classes, latent))
    y = generator.permutation(np.arange(n) % classes)
    made = []
    for d, noise in zip(widths, noises, strict=True):
        z = centres[y] + noise * generator.normal(size=(n, latent))
        isometry = np.linalg.qr(generator.normal(size=(d, latent)))[0].T
        F = z @ isometry * math.sqrt(d / latent / (1 + noise**2))
        made.append(F + 0.1 * generator.normal(size=(n, d)))
    return made, y


def zoo_rankings(
    sizes: Sequence[int] = (32, 64, 128, 256, 512),
    widths: Sequence[int] = (32, 64, 128, 256, 512),
    zoos: int = 8,
    seed: int = 0,
) -> pd.DataFrame:
    """How well each version ranks zoos of twice as many models as there are widths.

    Noise levels from 0.5 to 2 are dealt to the widths at random, so quality and width have
    nothing to do with each other.

    Returns:
        The columns n, zoo, version, quality and width: Kendall's tau of the scores with the
        (negative) noise and with the width.
    """
    widths = [d for d in widths for _ in range(2)]
    lines = []
    for which in range(zoos):
        generator = np.random.default_rng(seed + which)
        noises = generator.permutation(np.geomspace(0.5, 2, len(widths)))
        for n in sizes:
            made, y = zoo(n, seed + which, widths, list(noises))
            scores = pd.DataFrame([versions(F, y) for F in made])
            for version in VERSIONS:
                taus = (
                    float(scipy.stats.kendalltau(scores[version], other).statistic)
                    for other in (-noises, widths)
                )
                lines.append((n, which, version, *taus))
    return pd.DataFrame(lines, columns=["n", "zoo", "version", "quality", "width"])


def halves(
    zoos: int = 8,
    seed: int = 0,
    n: int = 392,
    widths: Sequence[int] = (512, 512, 512, 256, 416, 480, 320),
) -> pd.DataFrame:
    """How much a correlation changes from one half of the samples to the other.

    Args:
        zoos: how many.
        seed: of the first.
        n: samples, of which each half has half.
        widths: of the models; the paper's seven, divided by four, where they are not given.

    Returns:
        The columns zoo, version, change: of Pearson's r between score and log noise.
    """
    lines = []
    for which in range(zoos):
        generator = np.random.default_rng(seed + which)
        noises = generator.permutation(np.geomspace(0.5, 2, len(widths)))
        made, y = zoo(n, seed + which, widths, list(noises))
        found = [pd.DataFrame([versions(F[k::2], y[k::2]) for F in made]) for k in (0, 1)]
        for version in VERSIONS:
            first, second = (np.corrcoef(x[version], np.log(noises))[0, 1] for x in found)
            lines.append((which, version, abs(first - second)))
    return pd.DataFrame(lines, columns=["zoo", "version", "change"])
