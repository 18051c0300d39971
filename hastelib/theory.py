r"""The claims about LEEP and its bounds, and random problems to try them on.

A claim is an inequality between two numbers of a problem. :data:`CLAIMS` says which are proved
(the book's page on Section 4.2 has the proofs) and which the HASTE paper states without being
true; :func:`trials` counts how often each fails.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from numpy import ndarray

from hastelib import bounds, hardness, metrics
from hastelib.bounds import Optimum

ROUNDING = 1e-9
"""An inequality fails where it is off by more than this, plus the gaps of what was optimised."""
TOLERANCE = 1e-5  # of the linear heads, in nats
EM_STEPS = 20  # a lower bound of the best mixture head is enough: it must be no less than LEEP


@dataclass(frozen=True)
class Problem:
    """A small transfer: embeddings, a source's probabilities and target labels, and hard rows.

    Attributes:
        embeddings: (n, d).
        probs: (n, z), of a linear source head on the embeddings.
        labels: (n,).
        hard: (k,) the hardest rows.
    """

    embeddings: Float64[ndarray, "n d"]
    probs: Float64[ndarray, "n z"]
    labels: Int64[ndarray, " n"]
    hard: Int64[ndarray, " k"]

    @functools.cached_property
    def subset(self) -> Problem:
        """The hard rows as a problem of their own."""
        rows = self.hard
        return Problem(self.embeddings[rows], self.probs[rows], self.labels[rows], rows)

    @functools.cached_property
    def leep(self) -> float:
        """LEEP."""
        return metrics.leep(self.probs, self.labels)

    @functools.cached_property
    def linear(self) -> Optimum:
        """The best linear head."""
        return bounds.linear_head(self.embeddings, self.labels, tolerance=TOLERANCE)

    @functools.cached_property
    def mixture(self) -> Optimum:
        """A mixture head that a few steps of expectation maximisation lead to."""
        return bounds.mixture_head(self.probs, self.labels, steps=EM_STEPS)

    @functools.cached_property
    def slack(self) -> float:
        """How far LEEP lies above its lower bound."""
        return self.leep - bounds.leep_lower_bound(self.probs, self.labels)


def random_problem(random: np.random.Generator) -> Problem:
    """Gaussian classes, a linear source head of random sharpness, the hardest half or quarter.

    Hardness is class-specific (distance to the own class) or class-agnostic (against a random
    source direction), at even odds.
    """
    n, d = int(random.integers(8, 25)), int(random.integers(1, 4))
    classes, z = int(random.integers(2, 4)), int(random.integers(2, 6))
    labels = random.permutation(np.arange(n) % classes)
    centres = random.uniform(0, 2) * random.normal(size=(classes, d))
    x = centres[labels] + random.normal(size=(n, d))
    sharpness = 10 ** random.uniform(-1, 1)
    logits = sharpness * (x @ random.normal(size=(d, z)) + random.normal(size=z))
    probs = np.exp(logits - logits.max(1, keepdims=True))
    if random.random() < 0.5:
        scores = hardness.class_specific(x, labels)
    else:
        signature = hardness.source_signature([random.normal(size=(1, d))])
        scores = hardness.class_agnostic([x], signature)
    hard = hardness.hardest(scores, 0.5 if random.random() < 0.5 else 0.25)
    return Problem(x, probs / probs.sum(1, keepdims=True), labels, hard)


@dataclass(frozen=True)
class Claim:
    """An inequality, low <= high, between numbers of a problem.

    Attributes:
        name: in words.
        proved: whether the book proves it; it must then never fail.
        sides: from a problem to the low side, the high side, and how far both may be off together.
    """

    name: str
    proved: bool
    sides: Callable[[Problem], tuple[float, float, float]]


def _entropy(labels: ndarray) -> float:
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(shares * np.log(shares)).sum())


def _soft(p: Problem) -> tuple[float, float, float]:
    return bounds.leep_lower_bound(p.probs, p.labels), p.leep, 0.0


def _hard_counts(p: Problem) -> tuple[float, float, float]:
    return bounds.leep_lower_bound(p.probs, p.labels, joint="hard"), p.leep, 0.0


def _nces(p: Problem) -> tuple[float, float, float]:
    return bounds.soft_nce(p.probs, p.labels), metrics.nce(p.probs.argmax(1), p.labels), 0.0


def _constant(p: Problem) -> tuple[float, float, float]:
    return -_entropy(p.labels), p.leep, 0.0


def _mixture(p: Problem) -> tuple[float, float, float]:
    return p.leep, p.mixture.log_likelihood, 0.0


def _linear(p: Problem) -> tuple[float, float, float]:
    return p.leep, p.linear.log_likelihood, p.linear.gap


def _on_hard(
    sides: Callable[[Problem], tuple[float, float, float]],
) -> Callable[[Problem], tuple[float, float, float]]:
    return lambda problem: sides(problem.subset)


CLAIMS = (
    Claim("Lemma 2, soft joint: bound ≤ LEEP", True, _soft),
    Claim("Lemma 2, soft joint, on the hard subset", True, _on_hard(_soft)),
    Claim("soft NCE ≤ NCE", True, _nces),
    Claim("−H(Y) ≤ LEEP", True, _constant),
    Claim("Lemma 1, mixture heads: LEEP ≤ l", True, _mixture),
    Claim("Lemma 1, mixture heads, on the hard subset", True, _on_hard(_mixture)),
    Claim("Lemma 2 as printed, hard counts: bound ≤ LEEP", False, _hard_counts),
    Claim("Lemma 2 as printed, on the hard subset", False, _on_hard(_hard_counts)),
    Claim("Lemma 1, linear heads: LEEP ≤ l", False, _linear),
    Claim("Lemma 1, linear heads, on the hard subset", False, _on_hard(_linear)),
    Claim(
        "Lemma 1, second part, linear heads: l(hard) ≤ l(all)",
        False,
        lambda p: (
            p.subset.linear.log_likelihood,
            p.linear.log_likelihood,
            p.linear.gap + p.subset.linear.gap,
        ),
    ),
    Claim("LEEP(hard) ≤ LEEP(all)", False, lambda p: (p.subset.leep, p.leep, 0.0)),
    Claim("tighter: LEEP − bound, hard ≤ all", False, lambda p: (p.subset.slack, p.slack, 0.0)),
)
"""What the paper claims in Section 4.2, and what is true of it."""


def trials(count: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Every claim tried on ``count`` random problems.

    Returns:
        A line a claim, with the columns claim, proved, tried, failed and worst (by how much the
        low side exceeded the high side at most, in nats; 0 where it never did).
    """
    random = np.random.default_rng(seed)
    failed, worst = np.zeros(len(CLAIMS), dtype=int), np.zeros(len(CLAIMS))
    for _ in range(count):
        problem = random_problem(random)
        for i, claim in enumerate(CLAIMS):
            low, high, gap = claim.sides(problem)
            excess = low - high - gap
            if excess > ROUNDING:
                failed[i] += 1
                worst[i] = max(worst[i], excess)
    return pd.DataFrame(
        {
            "claim": [claim.name for claim in CLAIMS],
            "proved": [claim.proved for claim in CLAIMS],
            "tried": count,
            "failed": failed,
            "worst": worst,
        }
    )


def hard_count_counterexample(classes: int, largest: float | None = None) -> Problem:
    r"""A problem on which Lemma 2 with hard counts is wrong, for any number of classes K.

    K samples of K classes; sample i has the label i, and the source gives its class i the
    probability a, all others :math:`(1 - a)/(K - 1)`. NCE is 0 and the printed bound
    :math:`\log a`, but LEEP is :math:`\log (a^2 + (1 - a)^2 / (K - 1))`. At :math:`a = 1/\sqrt K`
    the excess is largest, :math:`\log \frac{\sqrt K + 1}{2}`.

    Args:
        classes: K, at least 2.
        largest: a, above 1/K and at most 1; :math:`1/\sqrt K` where it is not given.
    """
    if classes < 2:
        raise ValueError(f"classes: expected at least 2, got {classes}")
    a = 1 / math.sqrt(classes) if largest is None else largest
    probs = np.full((classes, classes), (1 - a) / (classes - 1))
    np.fill_diagonal(probs, a)
    labels = np.arange(classes)
    return Problem(probs, probs, labels, labels)


def linear_head_counterexample(sharpness: float = 30.0) -> Problem:
    r"""Three points on which LEEP exceeds the best linear head.

    Embeddings -1, 0, 1 with the label 1 at 0 only. A linear source head with three classes, of
    logits :math:`s (-x - \tfrac12),\ 0,\ s (x - \tfrac12)`, tells the three points apart, so LEEP
    nears 0; a linear head for two classes cannot single out the middle and does no better than
    the labels' shares.

    Args:
        sharpness: s.
    """
    x = np.array([-1.0, 0.0, 1.0])
    logits = sharpness * np.stack([-x - 0.5, np.zeros(3), x - 0.5], axis=1)
    probs = np.exp(logits - logits.max(1, keepdims=True))
    labels = np.array([0, 1, 0])
    return Problem(x[:, None], probs / probs.sum(1, keepdims=True), labels, np.arange(3))


def search(
    claim: Claim, count: int = 2000, samples: int = 4, classes: int = 2, seed: int = 0
) -> tuple[Problem, float]:
    """The worst of many tiny problems with free probabilities, and by how much it breaks a claim.

    Args:
        claim: one that takes probabilities and labels alone.
        count: problems.
        samples: n.
        classes: of the target and of the source.
        seed: of the problems.
    """
    random = np.random.default_rng(seed)
    worst: tuple[Problem, float] | None = None
    for _ in range(count):
        probs = random.dirichlet(np.ones(classes), size=samples)
        labels = random.integers(classes, size=samples)
        problem = Problem(probs, probs, labels, np.arange(samples))
        low, high, _ = claim.sides(problem)
        if worst is None or low - high > worst[1]:
            worst = problem, low - high
    assert worst is not None
    return worst
