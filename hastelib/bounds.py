r"""What bounds LEEP: the two sides of the HASTE paper's Lemmas 1 and 2, and what is true of them.

From below (Lemma 2) that is the log-likelihood of the most probable source class alone; from above
(Lemma 1) the best one of a classifier out of a family on top of the frozen source. Arguments,
precision and errors are those of :mod:`hastelib.metrics`; a hard subset is its rows.
"""

import math
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from numpy import ndarray
from scipy.optimize import minimize

from hastelib import checks, linalg
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded
from hastelib.metrics import nce

STEPS = 10_000  # of L-BFGS at most
LOGITS = 100_000  # in absolute value, of the heads that the gap is to
ROUNDS = 200  # of projections at most, to a point of the dual problem


class SeparableDataWarning(RuntimeWarning):
    """A linear head separates the classes: the log-likelihood has the supremum 0, not attained."""


@dataclass(frozen=True)
class Optimum:
    """The best head of a family: its average log-likelihood, in nats, and how good that is.

    Attributes:
        log_likelihood: 0 where ``separable``.
        gap: at most how far ``log_likelihood`` lies below the supremum.
        separable: the supremum is 0, and no head attains it.
    """

    log_likelihood: float
    gap: float
    separable: bool = False


def leep_lower_bound(probs: ArrayLike, labels: ArrayLike, joint: str = "soft") -> float:
    r"""The lower bound of LEEP in Lemma 2 (the HASTE paper, Eqs. 9-10).

    .. math::

        \mathrm{LEEP} \ge \frac1n \sum_i \log \hat P(y_i \mid z_i) + \frac1n \sum_i \log p_{i z_i},
        \qquad z_i = \operatorname*{arg\,max}_z p_{iz}.

    With the ``soft`` joint distribution of :func:`hastelib.metrics.leep` it always holds. With
    :func:`hastelib.metrics.nce`, which counts (``joint="hard"``), as first mean, as the lemma is
    stated, it does not.

    >>> round(leep_lower_bound([[1, 0], [0.4, 0.6]], [0, 1]), 3)
    -0.424
    """
    checks.choice("joint", joint, ("soft", "hard"))
    checks.aligned("probs", probs, "labels", labels)
    p = checks.probabilities("probs", probs)
    index, counts, _ = checks.classes("labels", labels, p)
    z = p.argmax(1)
    if joint == "hard":
        conditional = nce(z, index)
    else:
        sums = linalg.class_sums(p, index, len(counts))
        conditional = float((sums[index, z] / sums.sum(0)[z]).log().mean())
    return conditional + float(p.amax(1).log().mean())


def optimal_log_likelihood(embeddings: ArrayLike, labels: ArrayLike) -> float:
    r"""The best average log-likelihood of a linear head on frozen embeddings, l(w, k*) of Lemma 1.

    .. math:: l(w, k^*) = \sup_{W, b} \frac1n \sum_i \log
        \frac{e^{W_{y_i} \cdot f_i + b_{y_i}}}{\sum_y e^{W_y \cdot f_i + b_y}}

    (the HASTE paper, Eqs. 7-8, with a bias, over the classes present); exactly 0, with a
    :class:`SeparableDataWarning`, where a head separates the classes.

    >>> round(optimal_log_likelihood([[-1], [0], [1]], [0, 1, 0]), 4)
    -0.6365
    """
    optimum = linear_head(embeddings, labels)
    if optimum.separable:
        warnings.warn(
            "a linear head separates the classes: the log-likelihood has the supremum 0, which no "
            "head attains (more dimensions than samples?)",
            SeparableDataWarning,
            stacklevel=2,
        )
    return optimum.log_likelihood


def linear_head(embeddings: ArrayLike, labels: ArrayLike, tolerance: float | int = 1e-8) -> Optimum:
    r"""The linear head of largest likelihood, by L-BFGS, with a certified gap, in nats.

    It stops at a gap of ``tolerance``, or where rounding ends its progress. The gap is to the best
    head whose logits are at most 100,000 in absolute value, by the dual problem: minus the
    log-likelihood is at least the mean entropy of any distributions q_i whose residuals
    :math:`q_i - e_{y_i}` are orthogonal to the embeddings and sum to 0. Predictions are projected
    on these and cut off at 0 in turns; what is cut off last is charged at twice those logits.
    Classes are separable where samples are affinely independent, the rule for d >= n - 1, or where
    a head on the way puts every sample's own class first.

    >>> linear_head([[0], [1], [2]], [0, 0, 1])
    Optimum(log_likelihood=0.0, gap=0.0, separable=True)
    """
    tolerance = checks.positive("tolerance", tolerance)
    data = Embedded(embeddings, labels, least=1)
    n, factors, index = len(data.F), data.centred, data.index[:, None]
    if len(data.counts) == 1:
        return Optimum(0.0, 0.0)
    separable = Optimum(0.0, 0.0, separable=True)
    if len(factors.values) == n - 1:
        return separable
    # Coordinates in which the embeddings are white, and one for the bias: A'A = n I.
    left = factors.left()
    white = torch.linalg.qr(left - left.mean(0))[0]  # also where columns are nearly collinear
    A = torch.nn.functional.pad(math.sqrt(n) * white, (0, 1), value=1.0)
    Y = torch.nn.functional.one_hot(data.index).double()
    last, dual, bound, steps, next_try = separable, Y, 0.0, 0, 0

    def loss(head: ndarray) -> tuple[float, ndarray]:
        nonlocal last, dual
        logits = A @ torch.from_numpy(head).to(A).view(A.shape[1], -1)
        target = logits.gather(1, index)
        value = float((logits.logsumexp(1) - target[:, 0]).mean())
        Q = logits.softmax(1)
        slope = A.T @ (Q - Y) / n
        dual = Q - A @ slope
        # Separable where every sample's own class is first, by more than rounding.
        margins = target - logits.scatter(1, index, -math.inf).amax(1, keepdim=True)
        separates = bool((margins > 1e-9 * (1 + logits.abs().amax())).all())
        last = separable if separates else Optimum(min(-value, 0.0), value)
        return value, slope.cpu().numpy().ravel()

    def stop(head: ndarray) -> None:
        nonlocal last, bound, steps, next_try
        if (steps := steps + 1) < next_try and not last.separable:
            return
        q, value = dual, -last.log_likelihood
        for _ in range(0 if last.separable else ROUNDS):
            cut = -float(q.clamp(max=0).sum()) / n
            q = q.clamp(min=0)
            entropy = -float(torch.xlogy(q, q).sum(1).mean())
            bound = max(bound, entropy - (2 * LOGITS + math.log(Y.shape[1])) * cut)
            if value - bound <= tolerance or value - entropy > tolerance:
                break
            q = q - (q.sum(1, keepdim=True) - 1) / Y.shape[1]
            q = q - A @ (A.T @ (q - Y) / n)
        else:
            next_try = 2 * steps  # in vain: not again at once
        last = replace(last, gap=0.0 if last.separable else max(value - bound, 0.0))
        if last.gap <= tolerance:
            raise StopIteration

    start = A.new_zeros(A.shape[1], Y.shape[1])
    start[-1] = Y.mean(0).log()  # the biases start at the classes' shares
    x = start.cpu().numpy().ravel()
    options = {"maxiter": STEPS, "maxfun": STEPS, "maxcor": 20, "ftol": 0, "gtol": 0}
    loss(minimize(loss, x, jac=True, method="L-BFGS-B", callback=stop, options=options).x)
    next_try = 0
    with suppress(StopIteration):
        stop(x)
    return last
