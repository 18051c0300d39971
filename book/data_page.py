"""Write the tables of `book/data.md` from the one table of official sets: run it after a change."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from hastelib.data.official import SETS, File, Set
from hastelib.data.published import Parquet, Texts

PAGE = Path(__file__).with_name("data.md")


def kind(of: Set) -> str:
    """The section of the page that a set belongs to."""
    kinds = {"Scenes": "scenes", "Texts": "texts"}
    return kinds.get(type(of.read).__name__, "images")


def said(file: File) -> str:
    """A file: its name and address, size and checksum."""
    name = f"`{file.name}`" if file.url is None else f"[`{file.name}`]({file.url})"
    if "&" in name:  # which MyST would escape twice
        name = f'<a href="{escape(file.url or "")}"><code>{file.name}</code></a>'
    size = [f"{file.size:,} bytes"] if file.size else []
    sums = "{} {:.8}…".format(*file.checksum.split(":")) if file.checksum else "no checksum found"
    return ", ".join((name, *size, sums))


def lines(section: str) -> Iterator[str]:
    """The table of a section, and below it what else is known of each set."""
    sets = {name: of for name, of in SETS.items() if kind(of) == section}
    yield "| Name | Data set | Classes | Train | Test | Split |"
    yield "|---|---|--:|--:|--:|---|"
    for name, of in sets.items():
        counts = (f"{count:,}" if count else "–" for count in (of.train, of.test))
        title = f"[{of.title}]({of.page}) {{cite}}`{of.cite}`"
        cells = name, title, str(of.classes), *counts, of.split
        yield f"| {' | '.join(cells)} |"
    yield ""
    for name, of in sets.items():
        told = "; ".join(map(said, of.files))
        if isinstance(of.read, Parquet | Texts) and of.read.hub:
            told = f"`{of.read.hub}` on the hub, revision `{str(of.read.revision)[:8]}…`"
        parts = [x.rstrip(".") for x in (told, f"Licence: {of.licence}", of.note) if x]
        yield f"- `{name}`: {'. '.join(parts)}."


def page(text: str) -> str:
    """The page with its tables as they are now."""
    for section in ("images", "scenes", "texts"):
        start, end = f"<!-- {section}: book/data_page.py -->", f"<!-- end of {section} -->"
        before, _, rest = text.partition(start)
        after = rest.partition(end)[2]
        text = before + "\n".join((start, "", *lines(section), "", end)) + after
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
