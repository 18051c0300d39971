"""Tables of the book: pandas Styler in one style, which fits a phone and the dark theme."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

MINUS = "−"
NONE = "–"
"""Stands where there is no number."""

NAMES = {
    "leep": "LEEP",
    "nce": "NCE",
    "gbc": "GBC",
    "logme": "LogME",
    "logme_fixed_point": "LogME, fixed point",
    "h_score": "H-score",
    "transrate": "TransRate",
    "n_leep": "N-LEEP",
    "ms_leep": "MS-LEEP",
    "e_leep": "E-LEEP",
    "all": "All",
    "random": "Random",
    "averaged": "Random, averaged",
    "ca": "CA",
    "dot": "CA, dot",
    "cs": "CS",
    "haste": "HASTE",
    "static": "Static",
    "pearson": "Pearson’s r",
    "spearman": "Spearman’s ρ",
    "kendall": "Kendall’s τ",
    "weighted_kendall": "Weighted τ",
    "regret": "Regret",
    "value": "Value",
    "target": "Target",
    "source": "Source",
    "metric": "Metric",
    "variant": "Samples",
}
"""What names in the frames are called in tables and figures."""

FAMILIES = {
    "resnet": "ResNet",
    "densenet": "DenseNet",
    "mobilenet": "MobileNet",
    "squeezenet": "SqueezeNet",
    "vgg": "VGG",
    "bert": "BERT",
    "fcn": "FCN",
}


def label(name: object) -> str:
    """``h_score`` is called H-score; ``pacs_sketch``, pacs sketch."""
    return NAMES.get(str(name), str(name).replace("_", " "))


def source(name: str) -> str:
    """The architecture: ``resnet20@cifar10`` without its weights; resnet14+greek keeps greek."""
    base, *taught = name.split("+")
    return "+".join([base.split("@")[0], *taught])


def family(name: str) -> str:
    """The family of an architecture: ``resnet20@cifar10`` is a ResNet."""
    word = re.match(r"[A-Za-z]*", source(name))
    letters = word.group() if word else ""
    return FAMILIES.get(letters.lower(), letters or name)


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number with a real minus, without a sign on a rounded zero; a dash for NaN."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return NONE
    rounded = round(float(value), digits) + 0.0  # -0.0 + 0.0 is 0.0
    text = f"{rounded:{'+' if sign and rounded else ''},.{digits}f}"
    return text.replace("-", MINUS)


def interval(low: float, high: float, digits: int = 2, sign: bool = False) -> str:
    """``[low, high]``, empty where there is none.

    A bound that rounds to zero without being zero keeps its sign, so that an interval that ends
    just above zero does not look as if it ended below.
    """
    if pd.isna(low) or pd.isna(high):
        return ""
    ends = []
    for end in (low, high):
        text = number(end, digits, sign)
        small = float(text.replace(MINUS, "-").replace(",", "")) == 0 and abs(end) > 1e-12
        ends.append((MINUS if end < 0 else "+") + text if small else text)
    return f"[{', '.join(ends)}]"


def short(text: str) -> str:
    """A text without the zeros before its decimal points, so that a table fits a phone."""
    return re.sub(r"(?<!\d)0\.(?=\d)", ".", text)


def plain(
    frame: pd.DataFrame | pd.Series,
    caption: str = "",
    digits: int | Mapping[str, int] = 3,
    signed: Sequence[str] | bool = (),
    small: bool = True,
) -> Styler:
    """A frame as a table: its index left, labelled as in :data:`NAMES`, numbers rounded.

    The columns ``value``, ``low``, ``high`` of :func:`hastelib.analysis.summary` become one, the
    value with its interval; so does every group of columns whose last level holds these three.

    Args:
        frame: what to show, in the order to be shown.
        caption: says what is shown and how to read it.
        digits: decimals of the numbers; or of each column by its name, 3 for the others.
        signed: columns whose numbers show a plus sign; True for all.
        small: whether the interval stands beneath the value, in small type; else behind it.

    Returns:
        A Styler, to which more styles can be added.
    """
    frame = frame.to_frame() if isinstance(frame, pd.Series) else frame
    frame = frame.copy()
    if not frame.index.is_unique:
        raise ValueError("frame: expected each row's name once; set an index that tells them apart")

    def of(name: object) -> tuple[int, bool]:
        key = str(name[-1] if isinstance(name, tuple) else name)
        places = digits if isinstance(digits, int) else digits.get(key, 3)
        return places, signed if isinstance(signed, bool) else key in signed

    frame = _joined(frame, of, small)
    words = []  # columns of words alone, which stand left
    for i, name in enumerate(frame.columns):
        column = frame.iloc[:, i]
        if pd.api.types.is_float_dtype(column):
            cells = [number(value, *of(name)) for value in column]
        elif pd.api.types.is_integer_dtype(column):
            cells = [number(value, 0, of(name)[1]) for value in column]
        else:
            cells = [NONE if _missing(value) else str(value) for value in column]
            told = [cell.split("<")[0] for cell in cells if cell != NONE]
            if max(map(len, told), default=0) > 24 or not re.search(r"\d", "".join(told)):
                words.append(i)
        frame.isetitem(i, np.array(cells, dtype=object))
    frame.index = _labelled(frame.index)
    frame.columns = _labelled(frame.columns)
    style = Styler(
        frame,
        caption=escape(caption) or None,
        table_attributes='class="haste"',
        uuid_len=0,
        cell_ids=False,
    )
    classes = pd.DataFrame("", index=frame.index, columns=frame.columns)
    for i in words:
        classes.isetitem(i, ["text"] * len(classes))
    return style.set_td_classes(classes).hide(names=True)


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _labelled(index: pd.Index) -> pd.Index:
    names = [label(name) if name is not None else None for name in index.names]
    if isinstance(index, pd.MultiIndex):
        tuples = [tuple(label(part) for part in key) for key in index]
        return pd.MultiIndex.from_tuples(tuples, names=names)
    return pd.Index([label(part) for part in index], name=names[0])


def _joined(
    frame: pd.DataFrame, of: Callable[[object], tuple[int, bool]], small: bool
) -> pd.DataFrame:
    """Every value, low and high as one column of texts."""
    last = frame.columns.get_level_values(-1)
    if not {"value", "low", "high"} <= set(last):
        return frame
    found: dict[object, list[object] | pd.Series] = {}
    for name in frame.columns:
        part = name[-1] if isinstance(name, tuple) else name
        if part in ("low", "high"):
            continue
        if part != "value":
            found[name] = frame[name]
            continue
        head = name[:-1] if isinstance(name, tuple) else ()
        low, high = (frame[(*head, end) if head else end] for end in ("low", "high"))
        key = (head[0] if len(head) == 1 else head) if head else name
        places, sign = of(key)
        cells = []
        for v, a, b in zip(frame[name], low, high, strict=True):
            text, ends = number(v, places, sign), short(interval(a, b, min(places, 3), sign))
            between = "<br><small>" if small else " <small>"
            cells.append(f"{text}{between}{ends}</small>" if ends else text)
        found[key] = pd.Series(cells, frame.index, dtype=object)
    joined = pd.DataFrame(found, index=frame.index)
    rest = list(frame.columns.names[:-1])
    if isinstance(joined.columns, pd.MultiIndex) and len(rest) == joined.columns.nlevels:
        joined.columns.names = rest
    return joined


def wide(
    values: pd.DataFrame,
    caption: str = "",
    rows: str = "target",
    panels: str = "metric",
    columns: str = "variant",
    digits: int = 3,
    base: str = "all",
    bold: Sequence[str] = ("ca", "dot", "cs", "haste"),
    mean: pd.DataFrame | bool = True,
    intervals: bool = False,
    across: bool = False,
) -> Styler:
    """Correlations in the paper's form: a group of rows a metric, variants across, means below.

    Args:
        values: by metric, target and variant: what :func:`hastelib.analysis.summary` gives (values
            with intervals), or a column ``value`` alone.
        caption: says what is shown and how to read it.
        rows: level or column that goes down.
        panels: level or column that makes groups of rows.
        columns: level or column that goes across.
        digits: of the values; intervals have two.
        base: the variant that those in ``bold`` are compared with, at the printed precision.
        bold: variants that are set in bold where they beat it.
        mean: the last row of each group: the summary of :func:`hastelib.analysis.mean` over the
            rows, for its intervals; True for the means of the values; False for none.
        intervals: show those of single rows too, beneath the values. A figure
            (:func:`hastelib.analysis.plots.forest`) shows so many better.
        across: put the panels beside each other, with a head of their own: for three variants.
    """
    table = values.reset_index()
    order: dict[str, list[Any]] = {
        n: list(dict.fromkeys(table[n])) for n in (panels, rows, columns)
    }
    both = {(p, r, c): (v, *ends) for p, r, c, v, *ends in _lines(table, panels, rows, columns)}
    means: dict[tuple, tuple] = {}
    if isinstance(mean, pd.DataFrame) or (mean and len(order[rows]) > 1):
        own = (
            mean
            if isinstance(mean, pd.DataFrame)
            else table.groupby([panels, columns])[["value"]].mean()
        )
        told = _lines(own.reset_index(), panels, "", columns)
        means = {(p, c): (v, *ends) for p, _, c, v, *ends in told}
    lines: dict[tuple[str, str], list[str]] = {}
    for panel in order[panels]:
        names = [
            name for name in order[rows] if any((panel, name, c) in both for c in order[columns])
        ]
        for name in names:
            got = {c: both[panel, name, c] for c in order[columns] if (panel, name, c) in both}
            if not intervals:
                got = {c: (value, math.nan, math.nan) for c, (value, *_) in got.items()}
            lines[label(panel), label(name)] = _cells(got, order[columns], digits, base, bold)
        if means and len(names) > 1:
            got = {c: means[panel, c] for c in order[columns] if (panel, c) in means}
            lines[label(panel), "Mean"] = _cells(got, order[columns], digits, base, bold)
    frame = pd.DataFrame.from_dict(
        lines, orient="index", columns=[label(c) for c in order[columns]]
    )
    frame.index = pd.MultiIndex.from_tuples(lines)
    if across:
        parts = {panel: frame.loc[panel] for panel in dict.fromkeys(head for head, _ in lines)}
        frame = pd.concat(parts, axis=1, sort=False)
        last = [name for name in frame.index if name == "Mean"]
        frame = frame.loc[[*frame.index.difference(last, sort=False), *last]]
    return plain(frame, caption)


def _lines(
    table: pd.DataFrame, panels: str, rows: str, columns: str
) -> Iterator[tuple[Any, Any, Any, float, float, float]]:
    for one in table.to_dict("records"):
        low, high = one.get("low", math.nan), one.get("high", math.nan)
        yield one.get(panels), one.get(rows), one[columns], one["value"], low, high


def _cells(
    got: Mapping[str, tuple], variants: Sequence[str], digits: int, base: str, bold: Sequence[str]
) -> list[str]:
    against = round(got[base][0], digits) if base in got else math.nan
    cells = []
    for name in variants:
        value, low, high = got.get(name, (math.nan,) * 3)
        text = number(value, digits)
        if name in bold and round(value, digits) > against:
            text = f"<b>{text}</b>"
        ends = short(interval(low, high))
        cells.append(f"{text}<br><small>{ends}</small>" if ends else text)
    return cells


@dataclass(frozen=True, repr=False)
class Beside:
    """Tables next to each other, which wrap on a narrow screen."""

    tables: tuple[Styler, ...]

    def _repr_html_(self) -> str:
        parts = "".join(f'<div class="haste-part">{one.to_html()}</div>' for one in self.tables)
        return f'<div class="haste-beside">{parts}</div>'


def beside(*tables: Styler) -> Beside:
    """Tables next to each other, such as ours and the paper's."""
    return Beside(tables)
