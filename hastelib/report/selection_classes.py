"""Section 5.2: the number of classes, which drives the accuracies and the scores alike.

Everything here takes rows turned by :func:`hastelib.report.selection.over_targets`, which say how
many classes each subset has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from hastelib import metrics, stats
from hastelib.report import labels
from hastelib.report.comparison import CELL, DIGITS, FEWEST, HASTE, ordered
from hastelib.report.paper import paper_numbers
from hastelib.report.tables import NONE, Block, Cell, Table, interval, narrow, number
from hastelib.report.verify import verify

CLASSES = "classes_only"
"""The trivial predictor: minus the logarithm of the number of classes."""


def floors(sizes: Sequence[int] = (4, 8, 16), samples: int = 8) -> Table:
    r"""What a source that knows nothing scores, as a function of the number of classes c.

    With balanced classes: LEEP and NCE :math:`-\log c`, GBC :math:`-c(c-1)`, LogME
    :math:`\frac12 (\log c - \log 2\pi - 1)`.

    Args:
        sizes: numbers of classes.
        samples: per class, an even number.

    Raises:
        ValueError: a metric does not do so.
    """
    claims: dict[str, tuple[float, float]] = {}
    for c in sizes:
        y = np.repeat(np.arange(c), samples)
        same = np.full((len(y), 3), 1 / 3)
        x = np.tile([1.0, -1.0], len(y) // 2)[:, None]  # orthogonal to every class
        log = np.log(c)
        claims |= {
            f"LEEP, {c} classes": (-log, metrics.leep(same, y)),
            f"NCE, {c} classes": (-log, metrics.nce(np.zeros(len(y), int), y)),
            f"GBC, {c} classes": (-c * (c - 1), metrics.gbc(x, y, components=None)),
            f"LogME, {c} classes": ((log - np.log(2 * np.pi) - 1) / 2, metrics.logme(x, y)),
        }
    return verify(
        claims,
        1e-8,
        "What the metrics give to a source that knows nothing of the classes: expected and got.",
    )


def _partial(
    xy: Float[ndarray, " b"], xz: Float[ndarray, " b"], yz: Float[ndarray, " b"]
) -> Float[ndarray, " b"]:
    r"""The correlation of x and y given z, from the three between them.

    .. math::

        r_{xy \cdot z} = \frac{r_{xy} - r_{xz} r_{yz}}{\sqrt{(1 - r_{xz}^2) (1 - r_{yz}^2)}}

    NaN where z determines x or y.
    """
    rest = (1 - xz**2) * (1 - yz**2)
    known = rest > 1e-12
    found = np.full(len(xy), np.nan)
    found[known] = (xy - xz * yz)[known] / np.sqrt(rest[known])
    return np.clip(found, -1, 1)


def partial_correlations(
    part: pd.DataFrame, resamples: int = 2000, seed: int = 0
) -> dict[tuple[str, str, str], dict[str, ndarray]]:
    """Score and accuracy with, and given, the logarithm of the number of classes.

    Args:
        part: of one source, as :func:`over_targets` gives it.
        resamples: bootstrap samples of the class subsets.
        seed: of the bootstrap.

    Returns:
        By target, metric and variant, with the value first and then the resamples, all paired:
        ``r`` (score and accuracy), ``classes`` (minus log c and accuracy, on the same subsets),
        ``partial`` (score and accuracy given log c). Cells with fewer than three subsets that
        have a score and an accuracy are left out.
    """
    found: dict[tuple[str, str, str], dict[str, ndarray]] = {}
    for cell, units in part.groupby(["target", "metric", "variant"], sort=False):
        there = units.dropna(subset=["score", "accuracy"])
        if len(there) < FEWEST:
            continue
        x, y = there["score"].to_numpy(float), there["accuracy"].to_numpy(float)
        z = -np.log(there["size"].to_numpy(float))
        pairs = ((x, y), (x, z), (y, z))
        xy, xz, yz = (stats.replicates("pearson", a, b, resamples, seed) for a, b in pairs)
        three = {"r": xy, "classes": yz, "partial": _partial(xy, xz, yz)}
        found[cast("tuple[str, str, str]", cell)] = three
    return found


def given_classes(part: pd.DataFrame, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """The partial correlations in the form of :func:`hastelib.report.correlations`.

    Args:
        part: of one source, as :func:`hastelib.report.selection.over_targets` gives it.
        resamples: bootstrap samples of the class subsets.
        seed: of the bootstrap.
    """
    sizes = part.dropna(subset=["score", "accuracy"]).groupby(["target", "metric", "variant"])
    suite, n = part["suite"].iloc[0], sizes.size()
    found = [
        (suite, *cell, "partial", *stats.interval(one["partial"]), int(n[cell]))
        for cell, one in partial_correlations(part, resamples, seed).items()
    ]
    return pd.DataFrame(found, columns=[*CELL, "statistic", "value", "low", "high", "n"])


def beyond_classes(part: pd.DataFrame, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Do the scores say more than the number of classes does? Means over the targets.

    Args:
        part: of one source, as :func:`over_targets` gives it.
        resamples: bootstrap samples of the class subsets.
        seed: of the bootstrap.

    Returns:
        Per metric and variant: ``targets``, on how many of them it ``wins`` against minus log c
        as a predictor (at the printed precision), and five means over the targets, each with the
        ends ``_low`` and ``_high`` of its 95% interval: ``r``; ``ahead``, by how much r is above
        that of minus log c; ``partial``, r given log c; ``gain`` and ``control``, by how much the
        latter is above the baseline's and above the random control's. The first line is minus
        log c itself (metric :data:`CLASSES`).
    """
    cells = partial_correlations(part, resamples, seed)
    gathered: dict[tuple[str, str], dict[str, dict[str, ndarray]]] = {}
    for (target, metric, variant), one in cells.items():
        gathered.setdefault((metric, variant), {})[target] = one
    lines: list[dict[str, Any]] = []
    for (metric, variant), by_target in gathered.items():
        if not lines:
            alone = {"metric": CLASSES, "variant": "all", "targets": len(by_target)}
            lines.append(alone | _mean("r", [one["classes"] for one in by_target.values()]))
        pairs = [(one["r"], one["classes"]) for one in by_target.values()]
        line: dict[str, Any] = {"metric": metric, "variant": variant, "targets": len(by_target)}
        line["wins"] = sum(round(r[0], DIGITS) > round(c[0], DIGITS) for r, c in pairs)
        line |= _mean("r", [r for r, _ in pairs]) | _mean("ahead", [r - c for r, c in pairs])
        line |= _mean("partial", [one["partial"] for one in by_target.values()])
        for name, other in (("gain", "all"), ("control", "random")):
            base = gathered.get((metric, other), {})
            both = [
                by_target[target]["partial"] - base[target]["partial"]
                for target in by_target
                if target in base and variant != other
            ]
            line |= _mean(name, both)
        lines.append(line)
    return pd.DataFrame(lines)


def _mean(name: str, samples: Sequence[ndarray]) -> dict[str, float]:
    """The mean over targets, with its interval; targets without a value are left out."""
    there = [sample for sample in samples if not np.isnan(sample[0])]
    ends = stats.interval(np.mean(there, axis=0)) if there else (np.nan,) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))


def beyond_table(found: Mapping[str, pd.DataFrame]) -> Table:
    """The numbers of :func:`beyond_classes` by source: with, and given, the number of classes.

    Args:
        found: source -> what :func:`beyond_classes` gives.
    """
    blocks = []
    for source, lines in found.items():
        name = labels.source(source)
        variants = ordered(lines["variant"])
        head = ("Metric", *map(labels.variant, variants))
        plain, given = [], []
        for metric, part in lines.groupby("metric", sort=False):
            by_variant = {line["variant"]: line for line in part.to_dict("records")}
            title = labels.metric(str(metric))
            cells = [_plain(by_variant.get(variant)) for variant in variants]
            plain.append((title[:1].upper() + title[1:], tuple(cells)))
            if metric != CLASSES:
                cells = [_given(by_variant.get(variant)) for variant in variants]
                given.append((title, tuple(cells)))
        blocks.append(Block(f"{name}: r", head, tuple(plain)))
        blocks.append(Block(f"{name}: r given classes", head, tuple(given)))
    caption = (
        "Mean Pearson’s r over the targets. Left, r of the score with the accuracy, first that of "
        "the number of classes alone (minus its logarithm); in small type on how many targets the "
        "score is ahead of it; bold, the 95% interval of the mean difference is above zero. Right, "
        "the partial correlation given the logarithm of the number of classes, its 95% interval in "
        "small type; bold, above the baseline’s."
    )
    kept = pd.concat([lines.assign(source=source) for source, lines in found.items()])
    return Table(caption, tuple(blocks), (), kept.reset_index(drop=True))


def _plain(line: dict[Any, Any] | None) -> Cell:
    if line is None:
        return Cell(NONE)
    if line["metric"] == CLASSES:
        return Cell(number(line["r"]), narrow(interval(line["r_low"], line["r_high"])))
    often = f"{int(line['wins'])} of {line['targets']}"
    return Cell(number(line["r"]), often, bool(line["ahead_low"] > 0))


def _given(line: dict[Any, Any] | None) -> Cell:
    if line is None:
        return Cell(NONE)
    small = narrow(interval(line["partial_low"], line["partial_high"]))
    better = line["variant"] in HASTE and bool(round(line["gain"], DIGITS) > 0)
    return Cell(number(line["partial"]), small, better)


def beyond_words(found: Mapping[str, pd.DataFrame], parts: Mapping[str, pd.DataFrame]) -> str:
    """What is left of the scores beyond the number of classes, as Markdown.

    Args:
        found: source -> what :func:`beyond_classes` gives.
        parts: what :func:`over_targets` gives.
    """
    items = [_verdict(pd.concat([lines.iloc[1:] for lines in found.values()])), ""]
    for source, lines in found.items():
        alone, scores = lines.iloc[0], lines.iloc[1:]
        ahead, behind = scores[scores["ahead_low"] > 0], scores[scores["ahead_high"] < 0]
        higher = int((scores["ahead"] > 0).sum())
        base = scores[scores["variant"] == "all"].set_index("metric")["partial"]
        listed = ", ".join(f"{labels.metric(str(m))} {number(v, 2)}" for m, v in base.items())
        text = [
            f"- **{labels.source(source)}.** The number of classes alone has a mean r of "
            f"{number(alone['r'], 2)} {interval(alone['r_low'], alone['r_high'])} with the "
            f"accuracy. Of {len(scores)} scores (metric and subset) {higher} have a higher one; "
            f"the interval of the difference lies above zero for {_named(ahead)}, below zero for "
            f"{_named(behind)}.",
            f"Given the number of classes, the baselines keep a partial r of {listed}.",
        ]
        for column, called in (("gain", "the baseline"), ("control", "the random control")):
            hard = scores[scores["variant"].isin(HASTE) & scores[column].notna()]
            if hard.empty:
                continue
            up, down = hard[hard[f"{column}_low"] > 0], hard[hard[f"{column}_high"] < 0]
            text.append(
                f"The hard subsets have a higher partial r than {called} in "
                f"{int((hard[column] > 0).sum())} of {len(hard)} cases, mean difference "
                f"{number(hard[column].mean(), 3, sign=True)}; the interval is above zero for "
                f"{_named(up)}, below zero for {_named(down)}."
            )
        kept = parts[source].drop_duplicates(["source", "variant"]).set_index("variant")
        share = (kept["classes"] / kept["size"]).groupby("variant").mean()
        there = [v for v in ordered(share.index) if v != "all"]
        left = ", ".join(f"{labels.variant(v)} {number(100 * share[v], 0)}%" for v in there)
        text.append(f"Classes still present in the part that is scored: {left}.")
        items.append(" ".join(text))
    return "\n".join(items)


def _verdict(scores: pd.DataFrame) -> str:
    """In one paragraph, over all sources: do scores beat counting, do hard subsets add to them?"""
    ahead = int((scores["ahead"] > 0).sum())
    surely, behind = int((scores["ahead_low"] > 0).sum()), int((scores["ahead_high"] < 0).sum())
    most = 2 * surely > len(scores)
    head = "Most scores beat counting" if most else "Most scores do not clearly beat counting"
    text = [
        f"**{head}**: of {len(scores)} scores {ahead} have a higher mean r than the number of "
        f"classes alone, {surely} with an interval of the difference above zero and {behind} with "
        "one below."
    ]
    for column, called in (("gain", "the baseline"), ("control", "the random control")):
        hard = scores[scores["variant"].isin(HASTE) & scores[column].notna()]
        if hard.empty:
            continue
        up, down = (hard[f"{column}_low"] > 0).sum(), (hard[f"{column}_high"] < 0).sum()
        text.append(
            f"With that number held fixed the hard subsets are ahead of {called} in "
            f"{(hard[column] > 0).sum()} of {len(hard)} cases (an interval above zero in {up}, "
            f"below in {down}), on average by {number(hard[column].mean(), 3, sign=True)}."
        )
    return " ".join(text)


def _named(lines: pd.DataFrame) -> str:
    names = [
        f"{labels.metric(line['metric'])} {labels.variant(line['variant'])}"
        for line in lines.to_dict("records")
    ]
    return ", ".join(names) or "none"


def signs(correlations: Mapping[str, pd.DataFrame], metric: str = "logme") -> str:
    """On how many targets a metric correlates negatively, by subset; ours and the paper's.

    Args:
        correlations: source -> its correlations.
        metric: ``logme`` is compared with the paper's Table 13.
    """
    ours = pd.concat(correlations.values())
    ours = ours[(ours["metric"] == metric) & ours["value"].notna()]
    if ours.empty:
        return f"{labels.metric(metric)} was not computed here."

    def listed(table: pd.DataFrame) -> str:
        counts = []
        for variant in ordered(table["variant"]):
            negative = table.loc[table["variant"] == variant, "value"] < 0
            counts.append(f"{labels.variant(variant)} {negative.sum()} of {len(negative)}")
        return ", ".join(counts)

    text = (
        f"Negative correlations of {labels.metric(metric)}, here: {listed(ours)}; in the paper’s "
        f"Table 13: {listed(paper_numbers(13))}."
    )
    if (ours.loc[ours["variant"] == "all", "value"] < 0).mean() > 1 / 2:
        text += (
            " Where the baseline is negative, a subset that “beats” it above is only less wrong; "
            "with the sign of the score turned round it would be the worse one."
        )
    return text
