r"""What bounds LEEP: the two sides of the HASTE paper's Lemmas 1 and 2, and what is true of them.

From below (Lemma 2) that is the log-likelihood of the most probable source class alone; from above
(Lemma 1) the best one of a classifier out of a family on top of the frozen source. Arguments,
precision and errors are those of :mod:`hastelib.metrics`; a hard subset is its rows.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from hastelib import checks, linalg
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded
from hastelib.metrics import nce

NEWTON_STEPS = 200
HALVINGS = 40  # of a Newton step, until it goes downhill
DENSE = 1000  # weights of a head up to which its Hessian is made


class SeparableDataWarning(RuntimeWarning):
    """A linear head separates the classes: the log-likelihood has the supremum 0, not attained."""


@dataclass(frozen=True)
class Optimum:
    """The best head of a family: its average log-likelihood, in nats, and how good that is.

    Attributes:
        log_likelihood: 0 where ``separable``.
        gap: how far at most what is maximised lies below its supremum.
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
    p = checks.probabilities("probs", probs)
    index, counts = checks.classes("labels", labels, p)
    most = p.argmax(1)
    if joint == "hard":
        given = nce(most, index)
    else:
        sums = linalg.class_sums(p, index, len(counts))
        given = float((sums[index, most] / sums.sum(0)[most]).log().mean())
    return given + float(p.amax(1).log().mean())


def optimal_log_likelihood(embeddings: ArrayLike, labels: ArrayLike) -> float:
    r"""The best average log-likelihood of a linear head on frozen embeddings, l(w, k*) of Lemma 1.

    .. math:: l(w, k^*) = \sup_{W, b} \frac1n \sum_i \log
        \frac{e^{W_{y_i} \cdot f_i + b_{y_i}}}{\sum_y e^{W_y \cdot f_i + b_y}}

    (the HASTE paper, Eqs. 7-8, with a bias, over the classes present); exactly 0 where a head
    separates the classes.

    Warns:
        SeparableDataWarning: the supremum is 0 and not attained.

    >>> round(optimal_log_likelihood([[-1], [0], [1]], [0, 1, 0]), 4)
    -0.6365
    """
    found = linear_head(embeddings, labels)
    if found.separable:
        warnings.warn(
            "a linear head separates the classes: the log-likelihood has the supremum 0, which no "
            "head attains (more dimensions than samples?)",
            SeparableDataWarning,
            stacklevel=2,
        )
    return found.log_likelihood


def linear_head(embeddings: ArrayLike, labels: ArrayLike, tolerance: float | int = 1e-8) -> Optimum:
    r"""The linear head of largest likelihood, to a certified gap of ``tolerance``, in nats.

    The gap of damped Newton steps is that to the dual problem: minus the log-likelihood is at least
    the mean entropy of any distributions q_i whose residuals :math:`q_i - e_{y_i}` are orthogonal
    to the embeddings and sum to 0, as a Newton step makes of the predictions. Classes are separable
    where samples are affinely independent, the rule for d >= n - 1, or where a head on the way puts
    every sample's own class first.

    >>> linear_head([[0], [1], [2]], [0, 0, 1])
    Optimum(log_likelihood=0.0, gap=0.0, separable=True)
    """
    tolerance = checks.positive("tolerance", tolerance)
    given = Embedded(embeddings, labels, least=1)
    n, found, index = len(given.F), given.centred, given.index[:, None]
    if len(given.counts) == 1:
        return Optimum(0.0, 0.0)
    if len(found.values) == n - 1:
        return Optimum(0.0, 0.0, separable=True)
    # Coordinates in which the embeddings are white, and one for the bias.
    A = torch.nn.functional.pad(math.sqrt(n) * found.left(), (0, 1), value=1.0)
    Y = torch.nn.functional.one_hot(given.index).double()

    def loss(head: Float64[Tensor, "k c"]) -> tuple[float, Float64[Tensor, "n c"]]:
        logits = A @ head
        return float((logits.logsumexp(1) - logits.gather(1, index)[:, 0]).mean()), logits

    head = A.new_zeros(A.shape[1], Y.shape[1])
    head[-1] = Y.mean(0).log()  # the biases start at the classes' shares
    value, logits = loss(head)
    gap = expected = math.inf
    for _ in range(NEWTON_STEPS):
        # Separable where every sample's own class is first, by more than rounding.
        lead = logits.gather(1, index) - logits.scatter(1, index, -math.inf).amax(1, keepdim=True)
        if (lead > 1e-9 * (1 + logits.abs().amax())).all():
            return Optimum(0.0, 0.0, separable=True)
        Q = logits.softmax(1)
        slope = A.T @ (Q - Y) / n
        # Far from the maximum a rough step does; the dual problem wants an exact one.
        near = expected <= 100 * tolerance
        step, moved = _newton_step(A, Q, slope, 1e-10 if near else 1e-2)
        # The predictions after the step to first order have residuals as the dual problem wants
        # them, and are distributions where no entry is negative. Near infinity some are, by a
        # little: cut off, they put the residuals out, which is charged at the largest logit.
        dual = Q + moved
        short = -float(dual.clamp(max=0).sum()) / n
        if near and short <= tolerance:
            off = A.T @ (dual - Y) / n  # what rounding left of the residuals
            dual = dual.clamp(min=0)
            bound = -float(torch.xlogy(dual, dual).sum(1).mean())
            charged = short * float(logits.abs().max()) + float((off * (head + step)).abs().sum())
            gap = min(gap, value - bound + charged)
            if gap <= tolerance:
                break
        downhill = float((slope * step).sum())
        expected = -downhill / 2
        for halved in range(HALVINGS):
            size = 0.5**halved
            trial, logits = loss(head + size * step)
            if trial <= value + 1e-4 * size * downhill:
                break
        else:
            break  # nothing but rounding is left
        head, value = head + size * step, trial
    return Optimum(min(-value, 0.0), max(gap, 0.0))


def _newton_step(
    A: Float64[Tensor, "n k"],
    Q: Float64[Tensor, "n c"],
    slope: Float64[Tensor, "k c"],
    precision: float,
) -> tuple[Float64[Tensor, "k c"], Float64[Tensor, "n c"]]:
    """Minus the inverse Hessian times the slope, and what it does to the predictions.

    Outright where the head is small, which classes that only touch want, else by conjugate
    gradients, with the diagonal as preconditioner. The Hessian is singular along heads that are the
    same for all classes, to which the slope is orthogonal.
    """

    def moved(step: Float64[Tensor, "k c"]) -> Float64[Tensor, "n c"]:
        change = A @ step
        return Q * (change - (Q * change).sum(1, keepdim=True))

    scale = (A**2).T @ (Q * (1 - Q)) / len(A)
    scale += 1e-12 * scale.max()
    if slope.numel() <= DENSE:
        blocks = torch.einsum("nk,nl,nc->ckl", A, A, Q) / len(A)
        joint = torch.einsum("nk,nc->nck", A, Q).reshape(len(A), -1)
        hessian = torch.block_diag(*blocks) - joint.T @ joint / len(A)
        hessian.diagonal().add_(1e-12 * scale.max())
        step = torch.linalg.solve(hessian, -slope.T.reshape(-1)).view(Q.shape[1], -1).T
        return step, moved(step)
    step, residual = torch.zeros_like(slope), -slope
    direction = residual / scale
    product = float((residual * direction).sum())
    enough = precision**2 * product
    for _ in range(slope.numel()):
        if product <= enough or product == 0:
            break
        image = A.T @ moved(direction) / len(A)
        length = product / float((direction * image).sum())
        step = step + length * direction
        residual = residual - length * image
        scaled = residual / scale
        before, product = product, float((residual * scaled).sum())
        direction = scaled + product / before * direction
    return step, moved(step)
