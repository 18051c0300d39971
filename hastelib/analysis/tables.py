"""Tables of the book: pandas Styler in one style, which fits a phone and the dark theme."""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

MINUS = "−"
NONE = "–"
"""Stands where there is no number."""
SUMMARY = ("value", "low", "high")

_UPPER = ("leep", "nce", "gbc", "ca", "cs", "haste")
_CAPITALISED = ("all", "random", "static", "regret", "value", "target", "source", "metric")
NAMES = {
    **{name: name.upper() for name in _UPPER},
    **{name: name.capitalize() for name in _CAPITALISED},
    "logme": "LogME",
    "logme_fixed_point": "LogME, fixed point",
    "h_score": "H-score",
    "transrate": "TransRate",
    "n_leep": "N-LEEP",
    "knn": "kNN",
    "linear_probe": "Linear probe",
    "ms_leep": "MS-LEEP",
    "e_leep": "E-LEEP",
    "averaged": "Random, averaged",
    "dot": "CA, dot",
    "pearson": "Pearson’s r",
    "spearman": "Spearman’s ρ",
    "kendall": "Kendall’s τ",
    "weighted_kendall": "Weighted τ",
    "variant": "Samples",
}
"""What names in the frames are called in tables and figures."""


def label(name: object) -> str:
    """``h_score`` is called H-score; ``pacs_sketch``, pacs sketch."""
    return NAMES.get(str(name), str(name).replace("_", " "))


def source(name: str) -> str:
    """The architecture: ``resnet20@glyphs`` without its weights; resnet14+greek keeps greek."""
    base, *taught = name.split("+")
    return "+".join([base.split("@")[0], *taught])


def family(name: str) -> str:
    """The family of an architecture: ``mobilenetv1_050@pocket`` is a mobilenet."""
    return re.split(r"v?[^a-z]", source(name).lower().rpartition("/")[2], maxsplit=1)[0]


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number with a real minus, without a sign on a rounded zero; a dash for NaN."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return NONE
    rounded = round(float(value), digits) + 0.0  # -0.0 + 0.0 is 0.0
    return f"{rounded:{'+' if sign and rounded else ''},.{digits}f}".replace("-", MINUS)


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
) -> Styler:
    """A frame as a table: its index left, labelled as in :data:`NAMES`, numbers rounded.

    The columns ``value``, ``low``, ``high`` of :func:`hastelib.analysis.summary` become one, the
    value with its interval beneath; so does every group of columns whose last level holds these.

    Args:
        frame: what to show, in the order to be shown.
        caption: says what is shown and how to read it.
        digits: decimals of the numbers; or of each column by its name, 3 for the others.
        signed: columns whose numbers show a plus sign; True for all.
    """
    frame = frame.to_frame() if isinstance(frame, pd.Series) else frame
    if not frame.index.is_unique:
        raise ValueError("frame: expected each row's name once; set an index that tells them apart")
    last = frame.columns.get_level_values(-1)
    joined = {*SUMMARY} <= {*last}
    shown = frame.loc[:, ~last.isin(SUMMARY[1:])] if joined else frame
    grouped = joined and frame.columns.nlevels > 1
    heads = shown.droplevel(-1, axis=1).columns if grouped else shown.columns
    columns, classes = [], []  # words alone stand left
    for i, title in enumerate(heads.get_level_values(-1).map(str)):
        column, name, wordy = shown.iloc[:, i], shown.columns[i], False
        *head, end = name if isinstance(name, tuple) else [name]
        spanned = joined and end == SUMMARY[0]
        decimals = digits if isinstance(digits, int) else digits.get(title, 3)
        sign = signed if isinstance(signed, bool) else title in signed
        kind = "f" if spanned else column.dtype.kind
        if kind in "fiu":
            cells = [number(value, decimals if kind == "f" else 0, sign) for value in column]
        else:
            cells = [*column.astype(str).where(column.notna(), NONE)]
            texts = [cell.removeprefix("<b>").split("<")[0] for cell in cells]
            wordy = any(len(x) > 24 for x in texts) or not any(re.match(r"\W*\d", x) for x in texts)
        if spanned:
            low, high = (frame[(*head, bound) if head else bound] for bound in SUMMARY[1:])
            ends = [interval(*pair, min(decimals, 3), sign) for pair in zip(low, high, strict=True)]
            cells = [*map(_with_interval, cells, ends)]
        classes.append("text" if wordy else "")
        columns.append(cells)
    table = pd.DataFrame(dict(enumerate(columns)), frame.index).set_axis(heads, axis=1)
    table = table.rename(index=label, columns=label)
    # Over the row labels stands their own name, not that of the columns.
    table.columns.names = [*[None] * (heads.nlevels - 1), NAMES.get(str(table.index.names[-1]))]
    style = Styler(table, caption=escape(caption) or None, uuid_len=0, cell_ids=False)
    style = style.set_table_attributes('class="haste"').hide(names=True)
    return style.set_td_classes(pd.DataFrame([classes] * len(table), table.index, table.columns))


def _with_interval(text: str, ends: str) -> str:
    return f"{text}<br><small>{short(ends)}</small>" if ends else text


def wide(
    values: pd.DataFrame,
    caption: str = "",
    rows: str = "target",
    bold: Sequence[str] = ("ca", "dot", "cs", "haste"),
    mean: pd.DataFrame | bool = True,
    intervals: bool = False,
    across: bool = False,
) -> Styler:
    """Correlations in the paper's form: a group of rows a metric, variants across, means below.

    Args:
        values: by metric, target and variant: a :func:`hastelib.analysis.summary`, or a column
            ``value`` alone.
        caption: says what is shown and how to read it.
        rows: level or column that goes down.
        bold: variants that are set in bold where, as printed, they beat ``all``.
        mean: the last row of each group: the summary of :func:`hastelib.analysis.mean` over the
            rows, for its intervals; True for the means of the values; False for none.
        intervals: show those of single rows too, beneath the values.
        across: put the metrics beside each other, with a head of their own: for three variants.
    """
    table, keys = values.reset_index(), ["metric", rows, "variant"]
    if not isinstance(mean, pd.DataFrame):
        mean = table.groupby(["metric", "variant"])[["value"]].mean() if mean else table.iloc[:0]
    several = table.drop_duplicates(["metric", rows])["metric"].value_counts() > 1
    foot = mean.reset_index().assign(**{rows: "Mean"})
    foot = foot[foot["metric"].isin(several.index[several])]
    table = table if intervals else table.assign(low=math.nan, high=math.nan)
    cells = pd.concat([table, foot]).reindex(columns=[*keys, *SUMMARY])
    cells = cells.sort_values("metric", key=lambda names: names.factorize()[0], kind="stable")
    base = cells[cells["variant"] == "all"].set_index(["metric", rows])["value"].rename("base")
    texts = []
    for *_, name, value, low, high, base_value in cells.join(base, ["metric", rows]).itertuples():
        text = number(value)
        if name in bold and round(value, 3) > round(base_value, 3):
            text = f"<b>{text}</b>"
        texts.append(_with_interval(text, interval(low, high)))
    frame = cells.assign(text=texts).set_index(keys)["text"].unstack(sort=False)
    frame = frame[table["variant"].unique()].rename_axis(columns=None)
    if across:
        parts = {panel: frame.loc[panel] for panel in frame.index.unique("metric")}
        frame = pd.concat(parts, axis=1, sort=False)
        frame = frame.loc[sorted(frame.index, key="Mean".__eq__)]
    return plain(frame, caption)


def beside(*tables: Styler) -> Any:
    """Tables next to each other, such as ours and the paper's, which wrap on a narrow screen."""
    from IPython.display import HTML  # belongs to the book's extra, not to the library

    parts = "".join(f'<div class="haste-part">{table.to_html()}</div>' for table in tables)
    return HTML(f'<div class="haste-beside">{parts}</div>')
