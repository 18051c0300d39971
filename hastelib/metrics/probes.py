"""What a user would run by hand on a frozen embedding: nearest neighbours, a linear probe."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from hastelib import checks, linalg
from hastelib.checks import ArrayLike
from hastelib.linalg import Embedded, Embeddings

NEIGHBOURS = 5
FOLDS = 5
PENALTIES = tuple(10.0**k for k in range(-3, 2))


def knn(embeddings: Embeddings, labels: ArrayLike) -> float:
    r"""Leave-one-out accuracy, in [0, 1], of the 5 nearest neighbours by the cosine.

    Each sample gets the class that most of its min(5, n - 1) most similar other samples have. Of
    equally similar samples the one of lower index counts, of classes with as many votes the one of
    lower label. An embedding of norm 0 has cosine 0. No n x n matrix is formed.
    """
    given = Embedded.of(embeddings, labels)
    found, index, n = given.raw, given.index, len(given.F)
    k = min(NEIGHBOURS, n - 1)
    norms = torch.cat([block.norm(dim=1) for _, block in found.blocks()])
    inverse = torch.where(norms > 0, 1 / norms, 0.0)
    right = 0
    for chosen in torch.arange(n, device=index.device).split(linalg.BLOCK):
        own = found.rows(chosen) * inverse[chosen, None]
        cosines = own.new_empty(len(chosen), n)
        for rows, block in found.blocks():
            cosines[:, rows] = own @ block.T
        cosines *= inverse
        cosines.scatter_(1, chosen[:, None], -torch.inf)
        least, nearest = cosines.topk(k)
        for row in ((cosines >= least[:, -1:]).sum(1) > k).nonzero()[:, 0]:
            nearest[row] = cosines[row].argsort(descending=True, stable=True)[:k]
        votes = torch.zeros(len(chosen), len(given.counts), dtype=torch.int8, device=index.device)
        votes.scatter_add_(1, index[nearest], torch.ones_like(nearest, dtype=torch.int8))
        right += int((votes.argmax(1) == index[chosen]).sum())
    return right / n


def linear_probe(embeddings: Embeddings, labels: ArrayLike, seed: int = 0) -> float:
    r"""Accuracy of a ridge classifier on the frozen embedding, cross-validated in 5 folds.

    The indicators of the classes are regressed on the embeddings, with a free intercept; the
    largest prediction is the class:

    .. math::

        W = (X^T X + \alpha I)^{-1} X^T Y,

    with X and Y centred over the training folds. One :math:`\alpha` serves all folds: of 0.001,
    0.01, ..., 10 times the mean eigenvalue of the whole centred :math:`X^T X`, the one of least
    squared error on the folds left out. Folds are stratified: the samples of each class, shuffled
    by the seed, are dealt out in turn; with fewer than 5 samples each is a fold. The score, in
    [0, 1], is the share of samples that are classified rightly when left out.
    """
    given = Embedded.of(embeddings, labels)
    found, index, counts, n = given.centred, given.index, given.counts, len(given.F)
    rows: Callable[[Tensor], Tensor] = found.rows
    gram = found.gram
    if found.wide:  # the ridge does not mind a rotation, and there are fewer than n components
        rows = found.components(len(found.values)).__getitem__
        gram = torch.diag(found.values.flip(0))
    shuffled = np.random.default_rng(checks.whole("seed", seed, 0)).permutation(n)
    order = torch.as_tensor(shuffled, device=index.device)
    fold = torch.empty_like(index)
    fold[order[index[order].argsort(stable=True)]] = torch.arange(n, device=index.device) % FOLDS
    folds = [(fold == i).nonzero()[:, 0] for i in range(min(FOLDS, n))]
    sums = [linalg.class_sums(rows(part), index[part], len(counts)) for part in folds]
    whole = torch.stack(sums).sum(0)
    mean = float(gram.trace()) / max(len(gram), 1)
    errors, right = [0.0] * len(PENALTIES), [0] * len(PENALTIES)
    for part, own in zip(folds, sums, strict=True):
        Z, trained = rows(part), n - len(part)
        sizes = counts - torch.bincount(index[part], minlength=len(counts))
        centre = (whole - own).sum(0) / trained
        inner = gram - Z.T @ Z - trained * torch.outer(centre, centre)
        cross = (whole - own - sizes[:, None] * centre).T
        Z -= centre
        for i, penalty in enumerate(PENALTIES):
            shifted = inner.clone()
            shifted.diagonal().add_(penalty * mean or 1.0)
            weights = torch.cholesky_solve(cross, torch.linalg.cholesky(shifted))
            predicted = Z @ weights + sizes / trained
            wanted = predicted.gather(1, index[part, None])
            errors[i] += float((predicted**2).sum() - 2 * wanted.sum()) + len(part)
            right[i] += int((predicted.argmax(1) == index[part]).sum())
    return right[int(np.argmin(errors))] / n
