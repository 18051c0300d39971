"""Small tables that show themselves: HTML in a notebook, Markdown where there is none.

A table is made of blocks, one per metric, each narrow enough for a phone. Blocks stand side by
side where there is room and one below the other where there is not. Every text is escaped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

import pandas as pd

MINUS = "−"
NONE = "–"
"""Stands where there is no number."""


def number(value: float, digits: int = 3, sign: bool = False) -> str:
    """A number with a real minus, without a sign on a rounded zero; a dash for ``nan``."""
    if math.isnan(value):
        return NONE
    rounded = round(value, digits) + 0.0  # -0.0 + 0.0 is 0.0
    text = f"{rounded:{'+' if sign and rounded else ''}.{digits}f}"
    return text.replace("-", MINUS)


def interval(low: float, high: float, digits: int = 2) -> str:
    """``[low, high]``, empty where there is none."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def narrow(text: str) -> str:
    """A text without the zeros before its decimal points, so that a table fits a phone."""
    return re.sub(r"(?<!\d)0\.(?=\d)", ".", text)


@dataclass(frozen=True)
class Cell:
    """One value: its text, small type beneath it, whether it is bold, a mark after it."""

    text: str
    small: str = ""
    bold: bool = False
    mark: str = ""

    def html(self) -> str:
        """The cell as ``<td>``."""
        text = escape(self.text)
        text = f"<strong>{text}</strong>" if self.bold else text
        # The mark hangs beside the number and takes no room, so that the numbers stay aligned.
        hang = '<sup style="position:absolute;top:auto;line-height:1">'
        mark = f"{hang}{escape(self.mark)}</sup>" if self.mark else ""
        small = f"<small>{escape(self.small)}</small>" if self.small else ""
        return f"<td>{text}{mark}{small}</td>"

    def markdown(self) -> str:
        """The cell between the bars of a Markdown table."""
        text = f"**{self.text}**" if self.bold else self.text
        text += self.mark + (f" {self.small}" if self.small else "")
        return text.replace("|", "\\|")


@dataclass(frozen=True)
class Block:
    """One small table: a title, the heads of its columns, rows of a head and cells each.

    The last ``summary`` rows sum up the others and stand apart from them.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    summary: int = 0

    def html(self, about: str = "") -> str:
        """The block in a box of its own that scrolls sideways where it is too wide."""
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in self.head)
        lines = [
            f'<tr><th scope="row">{escape(name)}</th>{"".join(cell.html() for cell in cells)}</tr>'
            for name, cells in self.rows
        ]
        cut = len(lines) - self.summary
        style = "caption-side:top;color:inherit;font-weight:bold;text-align:left"
        title = f'<caption style="{style}">{escape(self.title)}</caption>'
        foot = f"<tfoot>{''.join(lines[cut:])}</tfoot>" if self.summary else ""
        label = escape(", ".join(text for text in (self.title, about) if text))
        return (
            f'<div class="haste-table" role="region" tabindex="0" aria-label="{label}" '
            f'style="overflow-x:auto"><table>{title if self.title else ""}'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(lines[:cut])}</tbody>{foot}"
            "</table></div>"
        )

    def markdown(self) -> str:
        """The block as a Markdown table."""
        lines = [self.head, ("---", *["---:"] * (len(self.head) - 1))]
        lines += [(name, *(cell.markdown() for cell in cells)) for name, cells in self.rows]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"**{self.title}**\n\n{text}" if self.title else text


def _side_by_side(parts: Iterable[str]) -> str:
    boxes = "".join(f'<div style="flex:0 1 auto;min-width:0">{part}</div>' for part in parts)
    style = "display:flex;flex-wrap:wrap;gap:0.5rem 1rem;align-items:flex-start"
    return f'<div style="{style}">{boxes}</div>'


def _paragraphs(texts: Sequence[str]) -> str:
    return "".join(f'<p class="haste-caption">{escape(text)}</p>' for text in texts if text)


@dataclass(frozen=True, repr=False)
class Table:
    """A captioned table of blocks.

    Attributes:
        caption: what the table shows and how to read it.
        blocks: the small tables, one per metric.
        notes: footnotes, a paragraph each.
        frame: the numbers behind it, tidy and unrounded.
    """

    caption: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    frame: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False)

    def _repr_html_(self) -> str:
        blocks = _side_by_side(block.html(self.caption) for block in self.blocks)
        return f"{_paragraphs([self.caption])}{blocks}{_paragraphs(self.notes)}"

    def _repr_markdown_(self) -> str:
        return f"{self.caption}\n\n{self.body()}" if self.caption else self.body()

    def body(self) -> str:
        """Blocks and notes in Markdown, without the caption."""
        return "\n\n".join([*(block.markdown() for block in self.blocks), *self.notes])

    def __repr__(self) -> str:
        return self._repr_markdown_()


@dataclass(frozen=True, repr=False)
class Beside:
    """Tables next to each other, block by block of the same title; they wrap on a phone.

    Attributes:
        names: what to call each table.
        tables: the tables; blocks are shown in the order in which their titles first come.
    """

    names: tuple[str, ...]
    tables: tuple[Table, ...]

    def _repr_html_(self) -> str:
        titles = dict.fromkeys(block.title for table in self.tables for block in table.blocks)
        parts = [_paragraphs([" ".join(self._named(*pair) for pair in self._pairs())])]
        for title in titles:
            same = [
                Block(f"{title}, {name}" if title else name, block.head, block.rows, block.summary)
                for name, table in self._pairs()
                for block in table.blocks
                if block.title == title
            ]
            parts.append(_side_by_side(block.html() for block in same))
        notes = dict.fromkeys(note for table in self.tables for note in table.notes)
        return "".join([*parts, _paragraphs(list(notes))])

    def _repr_markdown_(self) -> str:
        return "\n\n".join(
            f"{self._named(name, table)}\n\n{table.body()}" for name, table in self._pairs()
        )

    def __repr__(self) -> str:
        return self._repr_markdown_()

    def _pairs(self) -> list[tuple[str, Table]]:
        return list(zip(self.names, self.tables, strict=True))

    @staticmethod
    def _named(name: str, table: Table) -> str:
        caption = table.caption
        return caption if name in caption else f"{name[:1].upper()}{name[1:]}: {caption}"
