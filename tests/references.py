"""The formulas written down naively: loops, dense matrices, inverses, in float64 NumPy.

Nothing here is shared with the library, and nothing is fast.
"""

import math

import numpy as np
import scipy.optimize
from numpy import ndarray
from sklearn.covariance import ledoit_wolf
from sklearn.decomposition import PCA


def eep(probs: ndarray, labels: ndarray) -> ndarray:
    n, z = probs.shape
    found = np.zeros(n)
    for i in range(n):
        for k in range(z):
            mass = sum(probs[j, k] for j in range(n))
            if mass > 0:
                joint = sum(probs[j, k] for j in range(n) if labels[j] == labels[i])
                found[i] += joint / mass * probs[i, k]
    return found


def leep(probs: ndarray, labels: ndarray) -> float:
    return math.fsum(math.log(p) for p in eep(probs, labels)) / len(labels)


def e_leep(several: list[ndarray], labels: ndarray) -> float:
    return float(np.mean(np.log(sum(eep(p, labels) for p in several) / len(several))))


def nce(source: ndarray, labels: ndarray) -> float:
    total = 0.0
    for z in set(source.tolist()):
        for y in set(labels.tolist()):
            both = int(((source == z) & (labels == y)).sum())
            if both:
                total += both / len(labels) * math.log(both / int((source == z).sum()))
    return total


def groups(x: ndarray, labels: ndarray) -> list[ndarray]:
    return [x[labels == y] for y in sorted(set(labels.tolist()))]


def gbc(x: ndarray, labels: ndarray, covariance: str, components: int | None) -> float:
    if components is not None:
        x = PCA(min(components, x.shape[1], len(x) - 1), svd_solver="full").fit_transform(x)
    d = x.shape[1]
    total = 0.0
    for i, a in enumerate(groups(x, labels)):
        for j, b in enumerate(groups(x, labels)):
            if i == j:
                continue
            va, vb = a.var(0), b.var(0)
            if covariance == "spherical":
                va, vb = np.full(d, va.mean()), np.full(d, vb.mean())
            va, vb = np.maximum(va, 1e-4), np.maximum(vb, 1e-4)
            s = np.diag((va + vb) / 2)
            delta = a.mean(0) - b.mean(0)
            distance = delta @ np.linalg.inv(s) @ delta / 8
            distance += 0.5 * np.linalg.slogdet(s)[1]
            distance -= 0.25 * (np.log(va).sum() + np.log(vb).sum())
            total -= math.exp(-distance)
    return total


def log_evidence(F: ndarray, y: ndarray, log_t: float) -> float:
    """Of y ~ N(0, (tI + FF') / alpha) per sample, with the best alpha, on dense n x n."""
    n, y = len(y), y.astype(float)
    K = math.exp(log_t) * np.eye(n) + F @ F.T
    alpha = n / (y @ np.linalg.solve(K, y))
    sign, log_det = np.linalg.slogdet(K / alpha)
    assert sign == 1
    quadratic = alpha * (y @ np.linalg.solve(K, y))
    return float(-0.5 * (n * math.log(2 * math.pi) + log_det + quadratic) / n)


def best_log_t(F: ndarray, y: ndarray, decades: float = 10) -> float:
    """Where the evidence is largest, by a search finer and duller than the library's."""
    middle = math.log(np.linalg.norm(F, 2) ** 2)
    reach = decades * math.log(10)
    grid = np.linspace(middle - reach, middle + reach, 401)
    values = [log_evidence(F, y, log_t) for log_t in grid]
    best = int(np.argmax(values))
    found = scipy.optimize.minimize_scalar(
        lambda log_t: -log_evidence(F, y, log_t),
        bounds=(grid[max(best - 1, 0)], grid[min(best + 1, 400)]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(found.x if -found.fun > values[best] else grid[best])


def logme(F: ndarray, labels: ndarray) -> float:
    each = [labels == c for c in sorted(set(labels.tolist()))]
    return float(np.mean([log_evidence(F, y, best_log_t(F, y)) for y in each]))


def logme_fixed_point(F: ndarray, labels: ndarray) -> float:
    """The widespread iteration for one class at a time, with explicit posterior means."""
    n, d = F.shape
    singular = np.linalg.svd(F, compute_uv=False)
    found = []
    for c in sorted(set(labels.tolist())):
        y = (labels == c).astype(float)
        alpha = beta = 1.0
        for _ in range(11):
            t = alpha / beta
            m = np.linalg.solve(t * np.eye(d) + F.T @ F, F.T @ y)
            gamma = float((singular**2 / (singular**2 + t)).sum())
            misfit = float(((y - F @ m) ** 2).sum())
            alpha = gamma / (float(m @ m) + 1e-5)
            beta = (n - gamma) / (misfit + 1e-5)
            evidence = d / 2 * math.log(alpha) + n / 2 * math.log(beta)
            evidence -= 0.5 * float(np.log(alpha + beta * singular**2).sum())
            evidence -= beta / 2 * misfit + alpha / 2 * float(m @ m) + n / 2 * math.log(2 * math.pi)
            if abs(alpha / beta - t) / t <= 1e-3:
                break
        found.append(evidence / n)
    return float(np.mean(found))


def class_means(x: ndarray, labels: ndarray) -> ndarray:
    return np.stack([x[labels == y].mean(0) for y in labels])


def h_score(x: ndarray, labels: ndarray) -> float:
    of_classes = np.atleast_2d(np.cov(class_means(x, labels).T))
    return float(np.trace(np.linalg.pinv(np.atleast_2d(np.cov(x.T)), rcond=1e-12) @ of_classes))


def regularised_h_score(x: ndarray, labels: ndarray) -> float:
    covariance, shrinkage = ledoit_wolf(x)
    of_classes = np.atleast_2d(np.cov(class_means(x, labels).T))
    return float((1 - shrinkage) * np.trace(np.linalg.inv(covariance) @ of_classes))


def transrate(x: ndarray, labels: ndarray, eps: float, weighted: bool) -> float:
    def rate(z: ndarray) -> float:
        n, d = z.shape
        return float(np.linalg.slogdet(np.eye(d) + z.T @ z / (n * eps))[1]) / 2

    parts = groups(x - x.mean(0), labels)
    weights = [len(part) / len(x) if weighted else 1 / len(parts) for part in parts]
    within = sum(w * rate(part) for w, part in zip(weights, parts, strict=True))
    return rate(x - x.mean(0)) - within


def cosine(a: ndarray, b: ndarray) -> float:
    norms = math.sqrt(a @ a) * math.sqrt(b @ b)
    return float(a @ b) / norms if norms else 0.0


def cosines(x: ndarray) -> ndarray:
    """Of all pairs; to 12 digits, so that equal ones are."""
    return np.array([[round(cosine(a, b), 12) for a in x] for b in x])


def class_agnostic(source: list[ndarray], target: list[ndarray]) -> ndarray:
    """Eqs. 1-2 with the whole M x N matrix."""
    m, n = len(source[0]), len(target[0])
    similarity = np.zeros((m, n))
    for i in range(m):
        for j in range(n):
            cosines = [cosine(s[i], t[j]) for s, t in zip(source, target, strict=True)]
            similarity[i, j] = sum(cosines) / len(cosines)
    return 1 - similarity.mean(0)


def class_specific(x: ndarray, labels: ndarray, covariance: str) -> ndarray:
    """Eqs. 3-4 with d x d matrices and inverses."""
    d = x.shape[1]
    residuals = x - class_means(x, labels)
    found = np.zeros(len(x))
    for y in set(labels.tolist()):
        own = residuals[labels == y]
        if len(own) == 1:
            continue
        S = own.T @ own / len(own)
        if covariance == "spherical":
            S = max(np.trace(S) / d, 1e-4) * np.eye(d)
        elif covariance == "diagonal":
            S = np.diag(np.maximum(np.diag(S), 1e-4))
        elif covariance == "ledoit_wolf":
            S = ledoit_wolf(x[labels == y])[0]
        elif covariance == "tied":
            S = ledoit_wolf(residuals, assume_centered=True)[0]
        found[labels == y] = [math.sqrt(r @ np.linalg.inv(S) @ r) for r in own]
    return found
