r"""LogME, exactly: the largest evidence that Bayesian linear regression gives the labels."""

import functools
import math
import warnings

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from hastelib import checks
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded, Embeddings

Points = Float64[Tensor, " m"]
Curves = Float64[Tensor, "*c m"]
Spectrum = tuple[Float64[Tensor, " r"], Float64[Tensor, "c r"], Float64[Tensor, " c"], int]
"""Of F the eigenvalues of F F' that are not 0, the squared components of each class's indicator
along their eigenvectors, its squared norm outside the column space, and n."""
DECADES = 10
POINTS = 200
PRECISION = 1e-7  # of the maximum's place in log t, of which its value has the square
STEPS = 40  # more than halvings alone need for a bracket two grid steps wide
FLAT = 1e-12  # differences of log evidence per sample that are rounding


class UnboundedEvidenceWarning(RuntimeWarning):
    """The evidence still rises where the search ends: the embedding fits the labels exactly."""


def _spectrum(data: Embedded) -> Spectrum:
    """The spectrum of the embeddings divided by their scale."""
    factors = data.raw
    energies = factors.energies(data.index, data.counts)
    rest = factors.rest(data.index, data.counts, energies)
    return factors.values, energies, rest, len(data.F)


def _evidence(spectrum: Spectrum, t: Points, misfit: Curves) -> Curves:
    """Log evidence per sample at t for the best alpha; ``misfit`` is y'(tI + FF')^-1 y."""
    values, _, _, n = spectrum
    log_det = (t[:, None] + values).log().sum(1) + (n - len(values)) * t.log()
    return -0.5 * (math.log(2 * math.pi) + (misfit / n).log() + log_det / n + 1)


def _refined(
    spectrum: Spectrum, classes: Int64[Tensor, " m"], low: Points, high: Points, log_t: Points
) -> Points:
    """The log evidence of ``classes`` at its maximum for log t between low and high.

    Newton's method from ``log_t`` on the slope, or a halving of the bracket where that leads out of
    it. With s_k = t / (t + lambda_k), and s = 1 outside the column space, twice the slope is the
    mean of s weighted with the terms of the misfit, less its plain mean.
    """
    values, energy, rest, n = spectrum
    energy, rest = energy[classes], rest[classes]
    null, dots = n - len(values), functools.partial(torch.einsum, "mr,mr->m")  # without a buffer
    for _ in range(STEPS):
        t = log_t.exp()
        inverse = 1 / (t[:, None] + values)
        terms, squares, outside = energy * inverse, inverse**2, rest / t
        misfit = terms.sum(1) + outside
        first = (t * dots(terms, inverse) + outside) / misfit
        second = (t**2 * dots(terms, squares) + outside) / misfit
        plain = (t * inverse.sum(1) + null) / n
        plain_square = (t**2 * squares.sum(1) + null) / n
        slope, curvature = first - plain, first - 2 * second + first**2 - plain + plain_square
        low, high = torch.where(slope > 0, log_t, low), torch.where(slope > 0, high, log_t)
        newton = log_t - slope / curvature
        inside = (curvature < 0) & (newton >= low) & (newton <= high)  # at an end it stands still
        before, log_t = log_t, torch.where(inside, newton, (low + high) / 2)
        gain = slope.abs() * (high - low)  # little where the end of the range is the maximum
        if (((log_t - before).abs() <= PRECISION) | (gain <= FLAT)).all():
            break
    t = log_t.exp()
    return _evidence(spectrum, t, (energy / (t[:, None] + values)).sum(1) + rest / t)


def logme(embeddings: Embeddings, labels: ArrayLike) -> float:
    r"""Maximum log evidence, in nats per sample, of a linear model (You et al. 2021), exactly.

    Each class present is regressed against the rest, :math:`y \in \{0, 1\}^n`, with weights of
    precision :math:`\alpha` and noise of precision :math:`\beta`. With :math:`t = \alpha / \beta`

    .. math:: y \sim \mathcal N\left(0, \tfrac1\alpha (t I + F F^T)\right), \qquad
        \mathrm{LogME} = \frac1c \sum_y \max_{\alpha, t} \frac1n \log p(y \mid F).

    The best :math:`\alpha` is :math:`n / Q` with :math:`Q(t) = y^T (t I + F F^T)^{-1} y`, so

    .. math:: \frac1n \log p = -\frac12 \log 2\pi - \frac12 \log \frac{Q(t)}{n} - \frac12
        - \frac{1}{2n} \log \det (t I + F F^T)

    is maximised over :math:`\log t`, with t between 1e-10 and 1e10 times the largest eigenvalue of
    :math:`F^T F`: on a grid of 200 points, then in every bracket that can hold the maximum (there
    may be several). Eigenvalues count above max(n, d) eps times the largest. The scale of F does
    not matter; embeddings that are all zero get the evidence of pure noise.

    Warns:
        UnboundedEvidenceWarning: F has a rank below n and the labels of a class lie in its column
            space, as where samples are repeated: the evidence rises to the end of the range.

    >>> round(logme([[0], [1], [2], [3]], [0, 0, 1, 1]), 3)
    -0.787
    """
    return maximum(_spectrum(Embedded.of(embeddings, labels)))


def maximum(spectrum: Spectrum) -> float:
    """The mean over the classes of the largest evidence."""
    values, energy, rest, n = spectrum
    values = values / values[-1:]
    spectrum = values, energy, rest, n
    limit = DECADES * math.log(10)
    log_t = torch.linspace(-limit, limit, POINTS, dtype=values.dtype, device=values.device)
    t = log_t.exp()
    grid = _evidence(spectrum, t, energy @ (1 / (t + values[:, None])) + rest[:, None] / t)
    best = grid.max(1).values

    # The second derivative by log t is at least -1/4 whatever the data, so no maximum is more
    # than step^2 / 32 above the nearest point: a lower bracket cannot hold the largest. (Where the
    # profile turns twice between two points a maximum is missed, by no more than that.)
    step = 2 * limit / (POINTS - 1)
    padded = torch.nn.functional.pad(grid, (1, 1), value=-math.inf)
    before, after = padded[:, :-2], padded[:, 2:]
    peak = (grid >= before) & (grid >= after) & (grid >= best[:, None] - step**2 / 32)
    peak &= (grid > before + FLAT) | (grid > after + FLAT)
    classes, point = peak.nonzero(as_tuple=True)
    low, high = log_t[(point - 1).clamp(min=0)], log_t[(point + 1).clamp(max=POINTS - 1)]
    # The vertex of the parabola through the three points; the middle where one is missing.
    left, right = (grid - before)[classes, point], (grid - after)[classes, point]
    start = log_t[point] + step / 2 * (left - right) / (left + right)
    start = torch.where((start > low) & (start < high), start, (low + high) / 2)
    maxima = _refined(spectrum, classes, low, high, start)
    refined = best.scatter_reduce(0, classes, maxima, "amax")

    rising = (grid[:, 0] >= refined) & (grid[:, 0] > grid[:, 1] + FLAT)
    unbounded = int((rising & (rest < 1e-6 * (energy.sum(1) + rest))).sum())
    if unbounded and len(values) < n:
        warnings.warn(
            f"embeddings of rank {len(values)} fit the labels of {unbounded} of {len(best)} "
            f"classes exactly on {n} samples (are some repeated?): the evidence grows without "
            f"bound, and its value at the end of the range, t = 1e-{DECADES}, counts",
            UnboundedEvidenceWarning,
            stacklevel=3,
        )
    return float(refined.mean())


def logme_fixed_point(embeddings: Embeddings, labels: ArrayLike) -> float:
    r"""LogME as widespread code computes it, for comparison with :func:`logme`; do not rank by it.

    From :math:`\alpha = \beta = 1`, at most 11 rounds of

    .. math:: \gamma = \sum_k \frac{\lambda_k}{\lambda_k + t}, \quad
        \alpha = \frac{\gamma}{|m|^2 + 10^{-5}}, \quad
        \beta = \frac{n - \gamma}{|y - F m|^2 + 10^{-5}}, \quad t = \frac\alpha\beta,

    with the posterior mean m, until t changes by no more than one part in 1000; then

    .. math:: \frac1n \left(\frac d2 \log \alpha + \frac n2 \log \beta
        - \frac12 \sum_{k=1}^{\min(n, d)} \log (\alpha + \beta \lambda_k)
        - \frac\beta2 |y - F m|^2 - \frac\alpha2 |m|^2 - \frac n2 \log 2\pi\right).

    Where n < d the log determinant lacks d - n terms :math:`\log \alpha`, and this is no evidence
    at all; the iteration finds one stationary point of several, or none; and the constants make it
    depend on the scale of F. Embeddings that are all zero are refused.

    >>> round(logme_fixed_point([[0], [1], [2], [3]], [0, 0, 1, 1]), 3)
    -0.788
    """
    data = Embedded.of(embeddings, labels)
    values, energy, rest, n = _spectrum(data)
    if not len(values):
        raise checks.refuse("embeddings", "a number that is not 0", "only zeros")
    values, d = values * data.raw.scale**2, data.F.shape[1]
    alpha, beta = torch.ones_like(rest), torch.ones_like(rest)
    evidence = torch.full_like(rest, -math.inf)
    active = torch.ones_like(rest, dtype=torch.bool)
    for _ in range(11):
        t = alpha / beta
        weights = 1 / (t[:, None] + values)
        gamma = (values * weights).sum(1)
        mean_norm = (values * energy * weights**2).sum(1)
        residual = (energy * (t[:, None] * weights) ** 2).sum(1) + rest
        alpha = torch.where(active, gamma / (mean_norm + 1e-5), alpha)
        beta = torch.where(active, (n - gamma) / (residual + 1e-5), beta)
        log_det = (alpha[:, None] + beta[:, None] * values).log().sum(1)
        log_det += (min(n, d) - len(values)) * alpha.log()
        terms = d * alpha.log() + n * beta.log() - log_det - beta * residual - alpha * mean_norm
        evidence = torch.where(active, terms / (2 * n) - math.log(2 * math.pi) / 2, evidence)
        active = active & ((alpha / beta - t).abs() > 1e-3 * t)
        if not active.any():
            break
    return float(evidence.mean())
