r"""What bounds LEEP: the two sides of the HASTE paper's Lemmas 1 and 2, and what is true of them.

From below (Lemma 2) LEEP is bounded by the log-likelihood of the most probable source class alone;
from above (Lemma 1) by the best average log-likelihood :math:`l(w, k^*)` of a classifier k out of
a family :math:`\mathcal K` on top of the frozen source. The family decides whether the lemma
holds: :func:`mixture_head` contains LEEP's own predictor, :func:`linear_head` need not.
All of them apply to a hard subset by handing over its rows. Arguments (``probs`` (n, z), whose rows
sum to 1; ``labels`` (n,) integers), precision and errors are those of :mod:`hastelib.metrics`.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from hastelib import checks
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded
from hastelib.metrics.predictions import empirical_conditional, nce

NEWTON_STEPS = 200
HALVINGS = 40  # of a Newton step, until it goes downhill
DENSE = 1000  # weights of a head up to which its Hessian is made


class SeparableDataWarning(RuntimeWarning):
    """A linear head separates the classes: the log-likelihood has the supremum 0, not attained."""


@dataclass(frozen=True)
class Optimum:
    """The best head of a family.

    Attributes:
        log_likelihood: average log-likelihood of the head found, in nats; 0 where ``separable``.
        gap: how far at most the objective (the log-likelihood, less the penalty where there is
            one) lies below its supremum.
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

    With the ``soft`` joint distribution of :func:`hastelib.metrics.leep` it always holds, for one
    term of LEEP's inner sum is no more than the sum. Lemma 2's proof (A.1) calls the first mean
    NCE, which it is not: NCE counts. With :func:`hastelib.metrics.nce` proper (``joint="hard"``),
    as the lemma is stated, it does not hold.
    """
    checks.choice("joint", joint, ("soft", "hard"))
    p = checks.probabilities("probs", probs)
    index, counts = checks.classes("labels", checks.labels("labels", labels, len(p), p.device))
    most = p.argmax(1)
    if joint == "hard":
        given = nce(most, index)
    else:
        given = float(empirical_conditional(p, index, len(counts))[index, most].log().mean())
    return given + float(p.amax(1).log().mean())


def mixture_head(
    probs: ArrayLike, labels: ArrayLike, tolerance: float | int = 1e-4, steps: int = 5000
) -> Optimum:
    r"""The best head that passes through the source's classes, LEEP's own family.

    .. math::

        \max_{A} \frac1n \sum_i \log \sum_z A_{y_i z}\, p_{iz}, \qquad
        A_{yz} \ge 0, \quad \sum_y A_{yz} = 1.

    LEEP is the value at :math:`A = \hat P(y \mid z)`, so over this family Lemma 1 holds. The
    problem is concave. Expectation maximisation climbs from LEEP, which is itself one step from
    any A that is the same for all z, until the gap is no more than ``tolerance``, in nats, or for
    so many steps. The gap is that of Frank and Wolfe, with the derivative :math:`g_{yz}`:
    :math:`\sum_z \max_y g_{yz} - \sum_{yz} A_{yz} g_{yz}`, the last sum being 1.
    """
    tolerance, steps = checks.positive("tolerance", tolerance), checks.whole("steps", steps, 1)
    p = checks.probabilities("probs", probs)
    index, counts = checks.classes("labels", checks.labels("labels", labels, len(p), p.device))
    p = p[:, p.sum(0) > 0]
    head = empirical_conditional(p, index, len(counts))
    for _ in range(steps):
        likelihood = (head[index] * p).sum(1)
        slope = p.new_zeros(head.shape).index_add_(0, index, p / (len(p) * likelihood[:, None]))
        gap = float(slope.amax(0).sum()) - 1
        if gap <= tolerance:
            break
        head = head * slope
        head = head / head.sum(0)
    return Optimum(min(float(likelihood.log().mean()), 0.0), max(gap, 0.0))


def optimal_log_likelihood(
    embeddings: ArrayLike, labels: ArrayLike, l2: float | int = 0.0
) -> float:
    r"""The best average log-likelihood of a linear head on frozen embeddings, l(w, k*) of Lemma 1.

    .. math::

        l(w, k^*) = \sup_{W, b} \frac1n \sum_i \log
        \frac{e^{W_{y_i} \cdot f_i + b_{y_i}}}{\sum_y e^{W_y \cdot f_i + b_y}}

    (the HASTE paper, Eqs. 7-8, with :math:`\mathcal K` the linear heads with a bias, over the
    classes present); exactly 0 where a linear head separates the classes. Arguments and errors
    are those of :func:`linear_head`, which also gives the gap.

    Warns:
        SeparableDataWarning: the supremum is 0 and not attained.
    """
    found = linear_head(embeddings, labels, l2)
    if found.separable:
        warnings.warn(
            "a linear head separates the classes: the log-likelihood has the supremum 0, which no "
            "head attains (more dimensions than samples?); l2 > 0 makes the best head finite",
            SeparableDataWarning,
            stacklevel=2,
        )
    return found.log_likelihood


def linear_head(
    embeddings: ArrayLike, labels: ArrayLike, l2: float | int = 0.0, tolerance: float | int = 1e-8
) -> Optimum:
    r"""The linear head of largest likelihood, to a certified gap.

    Damped Newton steps in coordinates in which the embeddings are white. The gap is that to the
    dual problem: minus the log-likelihood is at least the mean entropy of any distributions q_i
    whose residuals :math:`q_i - e_{y_i}` are orthogonal to the embeddings and sum to 0, and a
    Newton step turns the head's predictions into such.

    Classes are separable where a head puts every sample's own class first: found at once where
    the samples are affinely independent (the rule for d >= n - 1), else on the way, since every
    head with a mean loss below log(2) / n is one.

    With a penalty ``l2`` the head maximises the log-likelihood less :math:`\frac{l_2}{2} |W|^2`
    (the bias is free). The search stops at a gap of ``tolerance``, in nats.
    """
    if not (isinstance(l2, int | float) and 0 <= l2 < math.inf):
        raise checks.refuse("l2", "a number of at least 0", repr(l2))
    tolerance = checks.positive("tolerance", tolerance)
    given = Embedded(embeddings, labels, least=1)
    n, found = len(given.F), given.centred
    if len(given.counts) == 1:
        return Optimum(0.0, 0.0)
    if l2 == 0 and len(found.values) == n - 1:
        return Optimum(0.0, 0.0, separable=True)
    A = torch.nn.functional.pad(math.sqrt(n) * found.left(), (0, 1), value=1.0)
    ridge = torch.nn.functional.pad(l2 * n / (found.values * found.scale**2), (0, 1))
    return _newton(A, given.index[:, None], ridge[:, None], tolerance)


def _newton(
    A: Float64[Tensor, "n k"], index: Int64[Tensor, "n 1"], ridge: Tensor, tolerance: float
) -> Optimum:
    """The head on the white coordinates A."""
    n, Y = len(A), torch.nn.functional.one_hot(index[:, 0]).double()

    def loss(head: Float64[Tensor, "k c"]) -> tuple[float, Float64[Tensor, "n c"]]:
        logits = A @ head
        own = logits.gather(1, index)[:, 0]
        value = (logits.logsumexp(1) - own).mean() + (ridge * head**2).sum() / 2
        return float(value), logits

    head = A.new_zeros(A.shape[1], Y.shape[1])
    head[-1] = Y.mean(0).log()  # the free intercepts start at the classes' shares
    value, logits = loss(head)
    gap = expected = math.inf
    for _ in range(NEWTON_STEPS):
        # Separable where every sample's own class is first, by more than rounding.
        lead = logits.gather(1, index) - logits.scatter(1, index, -math.inf).amax(1, keepdim=True)
        if not ridge.any() and (lead > 1e-9 * (1 + logits.abs().amax())).all():
            return Optimum(0.0, 0.0, separable=True)
        Q = logits.softmax(1)
        slope = A.T @ (Q - Y) / n + ridge * head
        # Far from the maximum a rough step does; the dual problem wants an exact one.
        near = expected <= 100 * tolerance
        step, moved = _newton_step(A, Q, ridge, slope, 1e-10 if near else 1e-2)
        # The predictions after the step to first order have residuals as the dual problem wants
        # them, and are distributions where no entry is negative. Near infinity some are, by a
        # little: cut off, they put the residuals out, which is charged at the largest logit.
        dual = Q + moved
        short = -float(dual.clamp(max=0).sum()) / n
        if near and short <= tolerance:
            there = head + step
            off = A.T @ (dual - Y) / n + ridge * there  # what rounding left of the residuals
            dual = dual.clamp(min=0)
            entropy = -torch.xlogy(dual, dual).sum(1).mean()
            bound = float(entropy - (ridge * there**2).sum() / 2)
            charged = short * float(logits.abs().max()) + float((off * there).abs().sum())
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
    likelihood = min(float((ridge * head**2).sum() / 2) - value, 0.0)
    return Optimum(likelihood, max(gap, 0.0))


def _newton_step(
    A: Float64[Tensor, "n k"],
    Q: Float64[Tensor, "n c"],
    ridge: Float64[Tensor, "k 1"],
    slope: Float64[Tensor, "k c"],
    precision: float,
) -> tuple[Float64[Tensor, "k c"], Float64[Tensor, "n c"]]:
    """Minus the inverse Hessian times the slope, and what it does to the predictions.

    Solved outright where the head is small, which classes that only touch want, else by conjugate
    gradients to a relative precision, with the Hessian's diagonal as preconditioner. The Hessian
    is singular along heads that are the same for all classes, to which the slope is orthogonal.
    """

    def moved(step: Float64[Tensor, "k c"]) -> Float64[Tensor, "n c"]:
        change = A @ step
        return Q * (change - (Q * change).sum(1, keepdim=True))

    scale = (A**2).T @ (Q * (1 - Q)) / len(A) + ridge
    scale += 1e-12 * scale.max()
    if slope.numel() <= DENSE:
        blocks = torch.einsum("nk,nl,nc->ckl", A, A, Q) / len(A)
        joint = torch.einsum("nk,nc->nck", A, Q).reshape(len(A), -1)
        hessian = torch.block_diag(*blocks) - joint.T @ joint / len(A)
        hessian += torch.diag(ridge[:, 0].repeat(Q.shape[1]) + 1e-12 * scale.max())
        step = torch.linalg.solve(hessian, -slope.T.reshape(-1)).view(Q.shape[1], -1).T
        return step, moved(step)
    step, residual = torch.zeros_like(slope), -slope
    direction = residual / scale
    product = float((residual * direction).sum())
    enough = precision**2 * product
    for _ in range(slope.numel()):
        if product <= enough or product == 0:
            break
        image = A.T @ moved(direction) / len(A) + ridge * direction
        length = product / float((direction * image).sum())
        step = step + length * direction
        residual = residual - length * image
        scaled = residual / scale
        before, product = product, float((residual * scaled).sum())
        direction = scaled + product / before * direction
    return step, moved(step)
