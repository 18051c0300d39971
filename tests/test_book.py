"""The built book, opened in a browser: formulas, requests, pictures, phones, search."""

import re
import shutil
from collections.abc import Iterator
from urllib.parse import unquote

import nbformat
import pytest
from official_copies import serving
from pdf import HTML, ROOT, pages
from playwright.sync_api import Browser, Page, Route, sync_playwright

import hastelib

FLAGS = (
    "no-sandbox disable-background-networking disable-component-update disable-sync no-first-run"
)
DESKTOP, PHONE = (1280, 900), (390, 844)

CLIPPED = """() => [...document.querySelectorAll("main table")]
    .filter(t => t.offsetParent && t.scrollWidth > t.parentElement.clientWidth + 2)
    .map(t => t.innerText.slice(0, 60))"""
WIDE = """() => {
    const width = document.documentElement.clientWidth;
    const inside = e => {  // what scrolls in its own box does not widen the page
        for (let p = e.parentElement; !p.matches(".bd-article"); p = p.parentElement)
            if (["auto", "scroll"].includes(getComputedStyle(p).overflowX)) return true;
        return false;
    };
    return [...document.querySelectorAll(".bd-article *")]
        .filter(e => e.getBoundingClientRect().right > width + 1 && !inside(e))
        .map(e => e.outerHTML.slice(0, 120));
}"""
# The least contrast of a table's text against what lies behind it, as WCAG 2 defines it.
CONTRAST = """() => {
    const rgb = text => (text.match(/[\\d.]+/g) || [0, 0, 0, 1]).map(Number);
    const light = c => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
        const v = c[i] / 255;
        return sum + weight * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    }, 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const c = rgb(getComputedStyle(e).backgroundColor);
            if (c.length < 4 || c[3] > 0.5) return c;
        }
        return [255, 255, 255];
    };
    return Math.min(21, ...[...document.querySelectorAll("main td, main th, main td *")].map(e => {
        const pair = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    }));
}"""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address under which the book is served."""
    assert (ROOT / "_build" / "rendered").exists(), "there is no complete book: run make book first"
    with serving(HTML) as server:
        yield f"{server.url}/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium, "the book is tested in Chromium: apt-get install chromium"
    flags = [f"--{flag}" for flag in FLAGS.split()]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


class Visit:
    """One page in a fresh window, with all that went wrong while it loaded."""

    def __init__(self, browser: Browser, site: str) -> None:
        self.site = site
        self.errors: list[str] = []
        self.page = browser.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
        self.page.set_default_timeout(180_000)  # ms: the machine may be busy
        self.page.route("**/*", self._route)
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _route(self, route: Route) -> None:
        if route.request.url.startswith((self.site, "data:", "blob:")):
            route.continue_()
        else:
            self.errors.append(f"{route.request.url} is not of the book")
            route.abort()

    def open(self, name: str) -> Page:
        self.page.goto(f"{self.site}{name}", wait_until="networkidle")
        self.page.evaluate("window.MathJax?.startup?.promise")
        return self.page


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    visit = Visit(browser, site)
    yield visit
    visit.page.close()


@pytest.mark.parametrize("name", pages())
def test_page_is_whole(visit: Visit, name: str) -> None:
    """Formulas are set, pictures there and described, a phone shows all, nothing fails."""
    page = visit.open(f"{name}.html")
    formulas = page.locator(".math")
    rendered = page.locator(".math mjx-container")
    assert rendered.count() >= formulas.count()
    assert rendered.count() > 0 or name != "notebooks/5_1_source"  # else there may be none at all
    # MathJax sets what it does not understand in a box, and a macro that nobody defined in red.
    broken = page.locator("mjx-merror, mjx-container [style*='color: red']")
    assert broken.all_text_contents() == []

    images = page.locator(".bd-article img")
    for image in images.all():
        image.scroll_into_view_if_needed()
        source = image.get_attribute("src")
        assert image.evaluate("i => i.decode().then(() => i.naturalWidth)") > 0, source
        alt = (image.get_attribute("alt") or "").strip()
        assert alt not in ("", source), f"{source} has no words for who cannot see it"
    # Words that nobody can read, and tables that are cut off.
    assert page.evaluate(CLIPPED) == []
    for theme in ("light", "dark"):
        page.evaluate(
            "t => { const e = document.documentElement.dataset; e.theme = e.mode = t }", theme
        )
        page.wait_for_timeout(150)
        assert page.evaluate(CONTRAST) >= 4.5, theme
    if not name.startswith("book/api/"):
        article = page.locator("article")
        # About 9,000 px and 3,000 words, formulas apart: say less.
        assert article.evaluate("e => e.scrollHeight") <= 9300
        assert len(article.inner_text().split()) <= 3300
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert page.evaluate(WIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert visit.errors == []


def test_no_link_is_dead(visit: Visit) -> None:
    """Every link of every page leads to a file of the book, and every #place to an element."""
    links: dict[str, set[str]] = {}
    places: dict[str, set[str]] = {}
    for name in pages():
        page = visit.page
        page.goto(f"{visit.site}{name}.html", wait_until="domcontentloaded")
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        places[f"{name}.html"] = {*ids}
        found = "[...document.querySelectorAll('main a[href], nav a[href]')].map(a => a.href)"
        for link in page.evaluate(found):
            if link.startswith(visit.site):
                links.setdefault(link.removeprefix(visit.site).partition("?")[0], set()).add(name)
    dead = {}
    for link, where in links.items():
        file, _, place = link.partition("#")
        there = (HTML / file).is_file() or (HTML / file / "index.html").is_file()
        known = not place or file not in places or unquote(place) in places[file]
        if not (there and known):
            dead[link] = where
    assert dead == {}


def test_search_finds(visit: Visit) -> None:
    page = visit.open("search.html?q=LEEP")
    results = page.locator("#search-results ul.search li")
    results.first.wait_for()
    summary = page.locator(".search-summary", has_text=re.compile(r"found \d+ page"))
    summary.wait_for()
    assert any("5_1_source" in (a.get_attribute("href") or "") for a in results.locator("a").all())
    assert visit.errors == []


def test_root_leads_to_the_introduction(visit: Visit) -> None:
    page = visit.open("index.html")
    page.wait_for_url("**/notebooks/1_introduction.html")
    assert visit.errors == []


def test_page_tells_version_and_date(visit: Visit) -> None:
    page = visit.open("book/api.html")
    footer = page.locator("footer.bd-footer-content").inner_text()
    assert f"Version {hastelib.__version__}" in footer
    assert re.search(r"Last updated on \d+ \w+ 20\d\d", footer)


def test_every_execution_is_listed_and_the_list_sorts(visit: Visit) -> None:
    page = visit.open("book/executions.html")
    rows = page.locator("article tbody tr")
    assert rows.count() == len(list((ROOT / "notebooks").glob("*.ipynb")))
    head = page.locator("article thead th", has_text="Run (UTC)")
    head.locator("button").press("Space")
    ran = rows.locator("td:nth-child(2)").all_inner_texts()
    assert ran == sorted(ran)
    head = page.locator("article thead th", has_text="Seconds")
    for wanted in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == wanted
        took = [int(text) for text in rows.locator("td:nth-child(3)").all_inner_texts()]
        assert took == sorted(took, reverse=wanted == "descending")
        assert took[0] != took[-1]


def test_long_table_of_groups_sorts_and_every_row_says_its_group(visit: Visit) -> None:
    page = visit.open("notebooks/5_1_source.html")
    table = page.locator("table:has(.haste-sort)").first
    groups, rows = table.locator("tbody th[rowspan]").all_inner_texts(), table.locator("tbody tr")
    table.locator("thead th", has_text="Random").locator("button").click()
    told = [[rows.nth(i).locator("> *").nth(k).inner_text() for k in (0, 3)] for i in range(20)]
    assert {group for group, _ in told} <= {*groups}
    assert len(groups) > 1
    scores = [float(text.split()[0].replace("\N{MINUS SIGN}", "-")) for _, text in told]
    assert scores == sorted(scores)
    assert scores[0] != scores[-1]


def test_downloaded_notebook_says_how_to_install() -> None:
    for path in (HTML / "_sources" / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        assert "pip install" in notebook.cells[0]["source"], path.name
        assert any(cell.get("outputs") for cell in notebook.cells), path.name


@pytest.mark.parametrize("name", ["notebooks/5_1_source", "notebooks/4_2_bounds"])
def test_paper_loses_no_code(visit: Visit, name: str) -> None:
    """In print what is folded is open, and no line of code is cut."""
    page = visit.open(f"{name}.html")
    assert page.locator("article details:not([open])").count() > 0
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("article details:not([open])").count() == 0
    page.set_viewport_size({"width": 690, "height": 1000})  # A4 between its margins
    cut = "[...document.querySelectorAll('article pre')].filter(e => e.scrollWidth > e.clientWidth)"
    assert page.evaluate(f"{cut}.map(e => e.innerText.slice(0, 60))") == []
    seen = "e.checkVisibility({ opacityProperty: true, visibilityProperty: true })"
    hidden = f"[...document.querySelectorAll('article pre')].filter(e => !{seen})"
    assert page.evaluate(f"{hidden}.map(e => e.innerText.slice(0, 60))") == []
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("article details:not([open])").count() > 0


def test_readme_quotes_the_answer() -> None:
    """The sentences of *Results*, which its run has computed from the rows.

    Print and pocket to the last digit; another processor rounds the training of glyphs otherwise.
    """
    results = nbformat.read(ROOT / "_build" / "executed" / "results.ipynb", as_version=4)
    outputs = [out.get("data", {}) for cell in results.cells for out in cell.get("outputs", [])]
    said = next(out["text/markdown"] for out in outputs if "text/markdown" in out)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    quoted = readme[readme.index("1. **In print") :][: len(said) + 20]
    number = re.compile(r"[\d.]+(?= and \d)")
    assert number.sub("#", quoted).startswith(number.sub("#", said))
    for ours, theirs in zip(number.findall(quoted), number.findall(said), strict=True):
        assert abs(float(ours) - float(theirs)) <= (0.05 if len(theirs) > 4 else 2)
