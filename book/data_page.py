"""Write the tables of `book/data.md`, of suites and official sets: run it after a change."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

from hastelib import suites
from hastelib.data.official import SETS, OfficialFile, OfficialSet
from hastelib.data.published import Parquet, Texts

PAGE = Path(__file__).with_name("data.md")


def kind(of: OfficialSet) -> str:
    """The section of the page that a set belongs to."""
    kinds = {"MaskLayout": "scenes", "Texts": "texts"}
    return kinds.get(type(of.read).__name__, "images")


def said(file: OfficialFile) -> str:
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


def short(names: Iterable[str]) -> str:
    """Names without their weights, which all of a suite share; a+b is a, trained on b."""
    return ", ".join(re.sub("@[^+]*", "", name) for name in names)


def runs(name: str) -> Iterator[str]:
    """What a suite compares on what in each section, and how it fine-tunes."""
    suite: Any = suites.load(name)
    scenes, texts, ranker = suite.segmentation, suite.language, short([suite.hardness.source])
    yield f"**{name}.** {suite.about.strip()} In 5.1 {ranker} ranks the samples for all."
    yield ""
    yield "| Section | Sources | Targets | Fine-tuning |"
    yield "|---|---|---|---|"
    for section, of, chosen in (
        ("5.1", suite, suite),
        ("5.2", suite, suite.selection),
        ("5.3", scenes, scenes.selection),
        ("5.4", suite, suite.ensembles),
        ("5.5", texts, texts.selection),
    ):
        targets = ", ".join(chosen.targets)
        if section in ("5.2", "5.5"):
            targets += f"; of each {chosen.subsets} random subsets"
        recipe = getattr(chosen, "recipe", None) or of.recipe
        how = [recipe.told, f"{of.size} {'px' if of.image_size else 'tokens'}"]
        sources = getattr(chosen, "pool", ()) or chosen.sources
        for rate in dict.fromkeys(of.rates.values()):
            own = {base for base, one in of.rates.items() if one == rate}
            own &= {source.partition("+")[0] for source in sources}
            how += [f"{rate:g} for {short(sorted(own))}"] if own else []
        how += [f"seeds {', '.join(map(str, of.seeds))}"]
        how += [f"before, on its own set: {of.pretraining.told}"] if of.pretraining else []
        yield f"| {section} | {short(sources)} | {targets} | {'; '.join(how)} |"
    yield ""


def page(text: str) -> str:
    """The page with its tables as they are now."""
    made = {section: lines(section) for section in ("images", "scenes", "texts")}
    made["suites"] = (line for name in ("glyphs", "pocket", "paper") for line in runs(name))
    for section, told in made.items():
        start, end = f"<!-- {section}: book/data_page.py -->", f"<!-- end of {section} -->"
        before, _, rest = text.partition(start)
        after = rest.partition(end)[2]
        text = before + "\n".join((start, "", *told, "", end)) + after
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
