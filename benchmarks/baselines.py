"""The slow sides: formulas as they are written, and as they are usually coded. In float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor


def leep(probs: np.ndarray, labels: np.ndarray) -> float:
    """The joint a class at a time, then each sample's own row of it."""
    joint = np.stack([probs[labels == label].sum(0) for label in range(labels.max() + 1)])
    conditional = joint / joint.sum(0)
    return float(np.log((conditional[labels] * probs).sum(1)).mean())


def nce(source: np.ndarray, labels: np.ndarray) -> float:
    joint = np.zeros((labels.max() + 1, source.max() + 1))
    np.add.at(joint, (labels, source), 1 / len(labels))
    kept = joint > 0
    conditional = joint / np.maximum(joint.sum(0), 1e-300)
    return float((joint[kept] * np.log(conditional[kept])).sum())


def similarity_matrix(source: Tensor, target: Tensor) -> Tensor:
    """Class-agnostic hardness, Eqs. 1-2: the cosine of every pair, then the mean."""
    unit = torch.nn.functional.normalize
    return 1 - (unit(source, dim=1) @ unit(target, dim=1).T).mean(0)


def spherical(own: Tensor) -> Tensor:
    """The mean variance of centred samples, on the diagonal of a d x d matrix."""
    return torch.eye(own.shape[1], dtype=own.dtype) * (own**2).mean()


def ledoit_wolf(own: Tensor) -> Tensor:
    """The d x d covariance of centred samples, shrunk, so that it has an inverse."""
    shrinkage = ledoit_wolf_shrinkage(own.numpy(), assume_centered=True)
    return (1 - shrinkage) * own.T @ own / len(own) + shrinkage * spherical(own)


def class_inverses(
    embeddings: Tensor, labels: Tensor, covariance: Callable[[Tensor], Tensor]
) -> Tensor:
    """Class-specific hardness, Eqs. 3-4: for each class the inverse of a d x d matrix."""
    distances = torch.empty(len(labels), dtype=embeddings.dtype)
    for label in labels.unique():
        rows = labels == label
        own = embeddings[rows] - embeddings[rows].mean(0)
        inverse = torch.linalg.inv(covariance(own))
        distances[rows] = ((own @ inverse) * own).sum(1).sqrt()
    return distances


def transrate(embeddings: Tensor, labels: Tensor, eps: float = 1e-4) -> float:
    """TransRate with a d x d determinant for each class."""

    def rate(Z: Tensor) -> Tensor:
        inner = torch.eye(Z.shape[1], dtype=Z.dtype) + Z.T @ Z / (len(Z) * eps)
        return torch.logdet(inner) / 2

    Z = embeddings - embeddings.mean(0)
    within = [rate(Z[labels == label]) for label in labels.unique()]
    return float(rate(Z) - torch.stack(within).mean())


def h_score(embeddings: Tensor, labels: Tensor) -> float:
    """The trace of the inverse covariance times that of the class means, each d x d."""
    means = torch.stack([embeddings[labels == label].mean(0) for label in labels.unique()])
    between = torch.cov(means[labels].T)
    return float((torch.linalg.pinv(torch.cov(embeddings.T), hermitian=True) @ between).trace())


def gbc(embeddings: Tensor, labels: Tensor) -> float:
    """GBC with spherical covariances: a loop over all ordered pairs of classes."""
    stats = {}
    for label in labels.unique().tolist():
        own = embeddings[labels == label]
        mean = own.mean(0)
        stats[label] = mean, ((own - mean) ** 2).mean()
    d = embeddings.shape[1]
    total = torch.zeros((), dtype=embeddings.dtype)
    for a, b in itertools.permutations(stats, 2):
        (mean_a, s_a), (mean_b, s_b) = stats[a], stats[b]
        s = (s_a + s_b) / 2
        distance = ((mean_a - mean_b) ** 2).sum() / (8 * s)
        total += torch.exp(-distance - d / 2 * torch.log(s / torch.sqrt(s_a * s_b)))
    return -float(total)


def logme_fixed_point(embeddings: Tensor, labels: Tensor) -> float:
    """The fixed point of LogME, n > d: a full decomposition, then a loop over the classes.

    The weights and the residual are formed for each class in each round.
    """
    F, (n, d) = embeddings, embeddings.shape
    _, singular, Vt = torch.linalg.svd(F, full_matrices=False)
    values = singular**2
    evidence = []
    for label in labels.unique():
        y = (labels == label).to(F.dtype)
        projected = Vt @ (F.T @ y)
        alpha = beta = 1.0
        for _ in range(11):
            t = alpha / beta
            gamma = float((values / (values + t)).sum())
            weights = Vt.T @ (projected / (values + t))
            norm = float((weights**2).sum())
            residual = float(((y - F @ weights) ** 2).sum())
            alpha, beta = gamma / (norm + 1e-5), (n - gamma) / (residual + 1e-5)
            log_det = float(torch.log(alpha + beta * values).sum())
            log_evidence = (
                d * math.log(alpha) + n * math.log(beta) - log_det - beta * residual - alpha * norm
            )
            if abs(alpha / beta - t) <= 1e-3 * t:
                break
        evidence.append(log_evidence / (2 * n) - math.log(2 * math.pi) / 2)
    return sum(evidence) / len(evidence)
