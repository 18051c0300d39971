"""Tables in the paper's form, the paper's own numbers beside them, and what came out in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hastelib.records import frame
from hastelib.report import labels
from hastelib.report.comparison import DIGITS, Rows, ordered, several
from hastelib.report.comparison import improvements as _improvements
from hastelib.report.tables import NONE, Beside, Block, Cell, Table, interval, narrow, number

PAPER_TABLES = Path(__file__).parents[2] / "book" / "paper_tables"
MARK = "†"
FORM = (
    "Higher is better. Bold, as in the paper: a HASTE variant (CA, CS) that beats its baseline; "
    "bold here too, a baseline that beats them all."
)
CONTROL = (
    f"Random is the control, as many samples drawn at random: {MARK} marks where it is as good as "
    "the best HASTE variant. Its score is a mean over draws and so steadier than that of one "
    "subset, which makes it a strict control. In small type: 95% bootstrap intervals over the "
    "{units}."
)


def _row(line: pd.DataFrame, variants: Sequence[str], most: int) -> tuple[Cell, ...]:
    """The cells of one target (or of the mean) in one metric's block."""
    values = line["value"].round(DIGITS).reindex(list(variants))
    base = values.get("all", np.nan)
    haste = values[[name for name in variants if name not in ("all", "random")]]
    cells = []
    for name in variants:
        if name == "all":
            bold = bool(haste.notna().any() and (base > haste.dropna()).all())
        else:
            bold = name in haste.index and bool(values[name] > base)
        control = name == "random" and bool(values[name] >= haste.max())
        small = ""
        if {"low", "high", "n"} <= set(line) and name in line.index:
            low, high, n = (float(line[column][name]) for column in ("low", "high", "n"))
            fewer = f"n = {int(n)}" if n < most else ""
            small = ", ".join(part for part in (narrow(interval(low, high)), fewer) if part)
        cells.append(Cell(number(values[name], DIGITS), small, bold, MARK if control else ""))
    return tuple(cells)


def _block(table: pd.DataFrame, keys: list[str], head: str) -> Block:
    """One metric's block: targets down, variants across, their mean below."""
    variants = ordered(["all", *table["variant"]])
    most = int(table["n"].max()) if "n" in table else 0
    if table.duplicated([*keys, "variant"]).any():
        raise ValueError(f"expected one correlation for each of {[*keys, 'variant']}, got several")
    names = table[keys].agg(_label, axis=1)
    lines = {name: part.set_index("variant") for name, part in table.groupby(names, sort=False)}
    rows = [(str(name), _row(line, variants, most)) for name, line in lines.items()]
    shown = [name for name in variants if name in set(table["variant"])]
    wide = pd.DataFrame({name: line["value"] for name, line in lines.items()}).T
    complete = wide.reindex(columns=shown).dropna()
    summary = len(lines) > 1 and not complete.empty
    if summary:
        part = "" if len(complete) == len(lines) else f" of {len(complete)} of {len(lines)}"
        means = pd.DataFrame({"value": complete.mean()})
        rows.append((f"Mean{part}", _row(means, variants, most)))
    return Block(
        labels.metric(str(table["metric"].iloc[0])),
        (head, *map(labels.variant, variants)),
        tuple(rows),
        int(summary),
    )


def _label(values: pd.Series) -> str:
    """A target's name; with the source before it and the hardness source after, if told."""
    text = labels.plain(str(values["target"]))
    if values.get("source"):
        text = f"{values['source']} → {text}"
    if values.get("suite"):
        text = f"{values['suite']}: {text}"
    return f"{text}, {values['hardness_source']}" if values.get("hardness_source") else text


def table(
    correlations: pd.DataFrame,
    metrics: Sequence[str] | None = None,
    caption: str | None = None,
    units: str = "sources",
) -> Table:
    """Correlations in the form of the paper's Table 1, a block per metric.

    Args:
        correlations: what :func:`correlations` gives.
        metrics: which, in this order; all of them where it is not given.
        caption: replaces the caption that says what is shown.
        units: what is correlated over, in the plural: what the column ``source`` holds.

    Returns:
        Targets down, with their mean; baseline, random, CA and CS across; each value over its
        interval. The mean is taken over the targets that have all the values of the block.
    """
    chosen = list(metrics) if metrics is not None else list(correlations["metric"].unique())
    if missing := sorted(set(chosen) - set(correlations["metric"])):
        there = ", ".join(sorted(set(correlations["metric"])))
        raise ValueError(f"no correlations for the metrics {missing}; there are: {there}")
    keys = ["suite", "target"] if several(correlations["suite"]) else ["target"]
    statistic = str(correlations["statistic"].iloc[0])
    text = (
        caption
        if caption is not None
        else (
            f"{labels.STATISTICS[statistic]} between score and fine-tuned accuracy over "
            f"{'up to ' if several(correlations['n']) else ''}{int(correlations['n'].max())} "
            f"{units}."
        )
    )
    blocks = [
        _block(correlations[correlations["metric"] == name], keys, "Target") for name in chosen
    ]
    kept = correlations[correlations["metric"].isin(chosen)].reset_index(drop=True)
    return Table(text, tuple(blocks), (FORM, CONTROL.format(units=units)), kept)


def paper_numbers(which: int | str) -> pd.DataFrame:
    """One of the paper's tables as printed, tidy, with known errata in ``note``.

    Args:
        which: its number, 1 to 13, or its name, such as ``source_selection``.

    Returns:
        The columns table, section, task, source, target, metric, variant (``all``, ``ca``,
        ``cs``, ``haste`` where the paper does not say which, ``stochastic_1%`` ...),
        hardness_source, statistic, value and note.

    Raises:
        FileNotFoundError: the book's folder is not there.
        ValueError: no such table (lists the names).
    """
    if not PAPER_TABLES.is_dir():
        raise FileNotFoundError(
            f"the paper's numbers are not at {PAPER_TABLES}: they belong to the book, not to the "
            "installed package; install hastelib from a clone of its repository "
            "(pip install -e .) to have both"
        )
    files = {path.stem: path for path in sorted(PAPER_TABLES.glob("*.csv"))}
    for stem, path in files.items():
        place, _, name = stem.partition("_")
        if which in (int(place), name):
            return pd.read_csv(path, dtype={"section": str}, keep_default_na=False)
    names = ", ".join(stem.replace("_", ": ", 1) for stem in files)
    raise ValueError(f"the paper has no table {which!r}; choose one of: {names}")


def paper_table(which: int | str) -> Table:
    """One of the paper's tables in our form; the paper has no random control and no intervals.

    Args:
        which: as for :func:`paper_numbers`, which also says what is raised.
    """
    numbers = paper_numbers(which)
    first = numbers.iloc[0]
    keys = ["target"]
    if several(numbers["source"]):
        keys.insert(0, "source")
    shown = numbers
    if numbers["hardness_source"].any():  # a baseline has none and stands in each one's row
        keys.append("hardness_source")
        told = numbers[numbers["hardness_source"] != ""]
        base = numbers[numbers["hardness_source"] == ""].drop(columns="hardness_source")
        rows = told[["target", "hardness_source"]].drop_duplicates()
        shown = pd.concat([told, rows.merge(base, on="target")])
    blocks = [_block(part, keys, "Target") for _, part in shown.groupby("metric", sort=False)]
    named = first["source"] and not several(numbers["source"])
    source = f" of {first['source']} sources" if named else ""
    caption = (
        f"Table {first['table']} of the paper (Sec. {first['section']}), {first['task']}"
        f"{source}: {labels.STATISTICS[first['statistic']]}."
    )
    return Table(caption, tuple(blocks), (FORM, *_errata(numbers)), numbers)


def _errata(numbers: pd.DataFrame) -> tuple[str, ...]:
    found = []
    for note, part in numbers[numbers["note"] != ""].groupby("note", sort=False):
        names = [part["target"].map(labels.plain), part["variant"].map(labels.variant)]
        where = [", ".join(dict.fromkeys(column)) for column in names]
        found.append(f"{'; '.join(where)}: {note}.")
    return ("In print: " + " ".join(found),) if found else ()


def beside(ours: Table, *paper: Table) -> Beside:
    """Our table and the paper's next to each other, metric by metric; they wrap on a phone."""
    return Beside(("ours", *["paper"] * len(paper)), (ours, *paper))


def accuracies(rows: Rows) -> Table:
    """Fine-tuned accuracies: do the targets tell the sources apart?

    Returns:
        Sources down, targets across: the mean accuracy in percent over the seeds, its standard
        deviation in small type, the best source of a target in bold. Below them the range over
        the sources, the seeds' standard deviation pooled over them (the root of the mean
        variance), and how many times the one is the other. ``frame`` has these summaries, in
        [0, 1]: the columns suite, target, range, deviation, times.
    """
    one = frame(rows).drop_duplicates(["suite", "target", "source"])
    suites = several(one["suite"])
    columns = list(one.groupby(["suite", "target"], sort=False))
    sources = list(one["source"].unique())
    cells: dict[str, list[Cell]] = {name: [] for name in sources}
    summary = []
    for (suite, target), part in columns:
        by_source = part.set_index("source").reindex(sources)
        best = by_source["accuracy"].round(3).max()
        for name, line in by_source.iterrows():
            deviation = line["accuracy_std"]
            small = "" if np.isnan(deviation) else f"± {number(100 * deviation, 1)}"
            top = bool(round(line["accuracy"], 3) == best)
            cells[str(name)].append(Cell(number(100 * line["accuracy"], 1), small, top))
        spread = by_source["accuracy"].max() - by_source["accuracy"].min()
        pooled = float(np.sqrt((by_source["accuracy_std"].dropna() ** 2).mean()))
        times = spread / pooled if pooled > 0 else np.nan
        summary.append((suite, target, spread, pooled, times))
    found = pd.DataFrame(summary, columns=["suite", "target", "range", "deviation", "times"])
    lines = [(_source_label(name, sources), tuple(cells[name])) for name in sources]
    for title, values in (
        ("Range", 100 * found["range"]),
        ("Std over seeds", 100 * found["deviation"]),
        ("Range / std", found["times"]),
    ):
        lines.append((title, tuple(Cell(number(value, 1)) for value in values)))
    names = [
        _label(pd.Series({"target": t, "suite": s if suites else ""})) for (s, t), _ in columns
    ]
    seeds = sorted({int(n) for n in one["seeds"]})
    caption = (
        "Top-1 accuracy in percent on the target’s test split after fine-tuning, mean over "
        f"{' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seeds, in small type "
        "the standard deviation over them. Bold: the best source of the target. Where the range "
        "over the sources is only a few times that deviation there is little to predict."
    )
    block = Block("", ("Source", *names), tuple(lines), 3)
    return Table(caption, (block,), (), found)


def _source_label(name: str, sources: Sequence[str]) -> str:
    short = labels.source(name)
    return short if [labels.source(one) for one in sources].count(short) == 1 else name


def improvements(correlations: pd.DataFrame) -> Table:
    r"""What the hard subsets gain over the baseline, in several ways that may disagree.

    Args:
        correlations: ours, or the paper's numbers (:func:`paper_numbers`).

    Returns:
        A block per metric. ``frame`` has, per metric and variant (``haste``: CA and CS together,
        as the paper's headline numbers take them), the columns ``targets``, the number of pairs;
        ``relative``, the mean of (h - b)/\|b\| in percent, ``nan`` where a base is 0; ``base``
        and ``mean``, the mean correlations; ``difference`` and ``ratio`` of the two, the latter
        as a change in percent, ``nan`` unless the base is positive; ``wins``, ``ties`` and
        ``losses`` against the baseline, at the printed precision; and against the random control
        (``random_wins`` and so on).
    """
    found = _improvements(correlations)
    random = bool((correlations["variant"] == "random").any())
    blocks = []
    for name, part in found.groupby("metric", sort=False):
        lines = []
        for one in part.to_dict("records"):
            won = "–".join(str(one[key]) for key in ("wins", "ties", "losses"))
            control = "–".join(str(one[f"random_{key}"]) for key in ("wins", "ties", "losses"))
            compared = random and one["variant"] != "random"
            title = (
                "CA and CS"
                if one["variant"] == "haste" and len(part) > 1
                else (labels.variant(one["variant"]))
            )
            cells = (
                Cell(_percent(one["relative"]), _percent(one["ratio"])),
                Cell(number(one["difference"], DIGITS, sign=True)),
                Cell(won),
                Cell(control if compared else NONE),
            )
            lines.append((title, cells))
        head = ("Subset", "Relative", "Absolute", "Baseline", "Random")
        blocks.append(Block(labels.metric(str(name)), head, tuple(lines)))
    caption = (
        "What each subset gains over the baseline. Relative is the paper’s headline number, the "
        "mean of (h − b)/|b| over the targets, which a single b near 0 can carry alone; beneath "
        "it the change of the mean correlation. Absolute is the difference of the means. Baseline "
        "and Random: comparisons won–tied–lost against them."
    )
    return Table(caption, tuple(blocks), (), found)


def _percent(value: float) -> str:
    return NONE if np.isnan(value) else f"{number(value, 1, sign=True)}%"
