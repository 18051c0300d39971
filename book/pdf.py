"""Print the built book as one PDF: its pages in one document, set by the browser.

Formulas are set by the book's own MathJax, links between pages lead within the document, and what
is folded is open (``_static/haste.js`` opens it before printing).
"""

from __future__ import annotations

import posixpath
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
HTML = ROOT / "_build" / "html"
WHOLE, PDF = HTML / "whole.html", ROOT / "_build" / "book.pdf"
MINUTES = 10


def pages() -> list[str]:
    """Every page of the book, as the table of contents lists them."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    sections = [[chapter, *chapter.get("sections", ())] for chapter in chapters]
    return [toc["root"], *(one["file"] for several in sections for one in several)]


def place(page: str, part: str = "") -> str:
    """The anchor of a page, or of a place in it, in the one document."""
    return "--".join((page.replace("/", "-"), unquote(part))) if part else page.replace("/", "-")


def article(page: str, known: list[str]) -> Tag:
    """A page's text, with anchors and addresses as they are in the one document."""
    soup = BeautifulSoup((HTML / f"{page}.html").read_text(encoding="utf-8"), "html.parser")
    found = soup.select_one("article.bd-article")
    if found is None:
        raise ValueError(f"{page}.html has no text; build the book first")
    for tag in found.select("[id]"):
        tag["id"] = place(page, str(tag["id"]))
    for tag in found.select("[href], [src]"):
        name = "href" if tag.has_attr("href") else "src"
        address, _, part = str(tag[name]).partition("#")
        if ":" in address:  # outside, or the picture itself
            continue
        file = posixpath.normpath(posixpath.join(posixpath.dirname(page), address))
        target = file.removesuffix(".html") if address else page
        tag[name] = f"#{place(target, part)}" if target in known else file
    found["id"] = place(page)
    found["style"] = "break-before: page"
    return found


def whole() -> str:
    """The book as one page of HTML."""
    known = pages()
    shell = BeautifulSoup((HTML / f"{known[0]}.html").read_text(encoding="utf-8"), "html.parser")
    up = "../" * known[0].count("/")
    for tag in shell.select("head [href], head [src], body > script[src]"):
        name = "href" if tag.has_attr("href") else "src"
        tag[name] = str(tag[name]).removeprefix(up)
    if (own := shell.select_one("article.bd-article")) is None or own.parent is None:
        raise ValueError("the first page has no text; build the book first")
    own.parent.extend(article(page, known) for page in known)
    own.decompose()
    for tag in shell.select(
        ".bd-header, .bd-header-article, .bd-sidebar, .prev-next-footer, #jb-print-docs-body"
    ):
        tag.decompose()
    return str(shell)


def main() -> int:
    """Command line entry; the exit status."""
    chromium = shutil.which("chromium")
    if not chromium or not (ROOT / "_build" / "rendered").exists():
        print("make pdf needs a built book (make book) and Chromium", file=sys.stderr)
        return 1
    WHOLE.write_text(whole(), encoding="utf-8")
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page()
            page.set_default_timeout(MINUTES * 60_000)
            page.goto(WHOLE.as_uri(), wait_until="load")
            page.evaluate("MathJax.startup.promise")
            look = "font-size: 8px; width: 100%; text-align: center"
            page.pdf(
                path=PDF,
                prefer_css_page_size=True,
                display_header_footer=True,
                header_template="<div></div>",
                footer_template=f'<div class="pageNumber" style="{look}"></div>',
                outline=True,
                tagged=True,
            )
            browser.close()
    finally:
        WHOLE.unlink()
    print(f"The book is in {PDF.relative_to(ROOT)}, {PDF.stat().st_size / 1e6:.1f} MB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
