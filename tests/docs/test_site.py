"""The site: built strictly, complete, every link followed, and looked at in a real browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import click
import pytest

from release.man_pages import EXIT_STATUS, commands
from release.site.build import build_site
from release.site.recordings import record
from release.site.reference import reference_pages, schema_page
from tests.packaging.conftest import ROOT
from tests.support.chromium import browser
from unclone.cli.main import COMMANDS
from unclone.images.errors import ExitStatus
from unclone.sanitize.definitions.formats.table import FORMATS
from unclone.sanitize.options import Options
from unclone.sanitize.step_selection import all_steps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.chromium import Browser

SIZES = {"phone": (390, 800), "desktop": (1280, 800)}
PAGES = ("index.html", "docs/tutorial.html", "reference/unclone-sanitize.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    build_site(folder)
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


class Html(HTMLParser):
    """What a page loads and links to, and the places in it that a link can name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        self.places.add(said.get("id", ""))
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        elif tag == "link" and said.get("rel") not in {"canonical", "next", "prev"}:
            self.loaded.append(said.get("href", ""))
        elif "src" in said:
            self.loaded.append(said["src"])


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    return {path: Html(path.read_text()) for path in site.rglob("*.html")}


@pytest.mark.slow
def test_no_link_is_dead(site: Path, pages: dict[Path, Html]) -> None:
    dead = []
    for path, html in pages.items():
        for link in [*html.links, *html.loaded]:
            parts = urlsplit(link)
            if parts.scheme or path.name == "404.html":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            known = pages[target].places if anchor and target in pages else {anchor}
            if not target.is_file() or anchor not in known or not target.is_relative_to(site):
                dead.append((path.name, link))
    assert dead == []
    assert len(pages) > 40


@pytest.mark.slow
def test_every_page_of_the_navigation_is_linked(site: Path, pages: dict[Path, Html]) -> None:
    listed = re.findall(
        r"^ *- (?:.*: )?(\S+)\.md$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE
    )
    assert len(listed) > 40
    wanted = {re.sub(r"README$", "index", name) + ".html" for name in listed}
    linked = {link.removeprefix("./") for link in pages[site / "index.html"].links}
    assert wanted - {"index.html"} - linked == set()


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Html]) -> None:
    foreign = {link for html in pages.values() for link in html.loaded if urlsplit(link).netloc}
    assert foreign == set()
    for picture in (site / "pictures").glob("*.svg"):
        assert re.findall(r"url\((?!#)", picture.read_text()) == []


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_the_window(
    site: Path, page: Browser, tmp_path: Path, name: str, size: str
) -> None:
    page.open((site / name).as_uri(), *SIZES[size])
    assert page.ask("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert page.ask("document.querySelector('h1').getBoundingClientRect().width") > 200
    requested = [e for e in page.events if e["method"] == "Network.requestWillBeSent"]
    schemes = {urlsplit(each["params"]["request"]["url"]).scheme for each in requested}
    assert schemes <= {"file", "data", "blob"}
    assert [e for e in page.events if e["method"] == "Runtime.exceptionThrown"] == []
    page.picture(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000  # something is drawn


@pytest.mark.slow
def test_the_search_works_from_files(site: Path, page: Browser) -> None:
    page.open((site / "index.html").as_uri(), *SIZES["desktop"])
    page.ask(
        "(() => { const field = document.querySelector('input[name=query]'); field.focus();"
        " field.value = 'tinyssh'; field.dispatchEvent(new Event('input', {bubbles: true}));"
        " field.dispatchEvent(new KeyboardEvent('keyup', {bubbles: true})); })()"
    )
    found = "document.querySelectorAll('.md-search-result__item a').length"
    for _ in range(100):
        if page.ask(found):
            break
        page.call(
            "Runtime.evaluate", expression="new Promise(r => setTimeout(r, 100))", awaitPromise=True
        )
    assert page.ask(found) > 0


@pytest.mark.slow
def test_pictures_show_what_the_tutorial_prints(site: Path) -> None:
    """The commands were run for them; the last two copies have no identity in common."""
    pictures = [path.read_text() for path in sorted((site / "pictures").glob("*.svg"))]
    assert len(pictures) == 6
    shared, *_, apart, fleet = [each.replace("&#160;", " ") for each in pictures]
    assert "2 machines compared: 2 share" in shared
    assert "status 5" in shared
    for audit in (apart, fleet):
        assert "2 machines compared: no identity is shared" in audit


def test_a_command_that_fails_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    document = "```console\necho one\nls nothing-of-this-name\n```\n"
    with pytest.raises(RuntimeError, match="nothing-of-this-name"):
        record(document, tmp_path / "files", tmp_path / "pictures", tmp_path)


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    return reference_pages()


@pytest.mark.slow
def test_every_command_has_a_page_with_its_options_and_statuses(reference: dict[str, str]) -> None:
    assert len(commands()) == len(COMMANDS) + 1
    for name, (command, _) in commands().items():
        text = reference[f"{name.replace(' ', '-')}.md"]
        for each in command.params:
            if isinstance(each, click.Option) and not each.hidden:
                assert max(each.opts, key=len) in text
        assert re.findall(r"^`(\d)`$", text, re.MULTILINE) == [status for status, _ in EXIT_STATUS]
        assert f"({name.replace(' ', '-')}.md)" in reference["index.md"]


@pytest.mark.slow
def test_the_reference_has_every_identity_and_field(reference: dict[str, str]) -> None:
    listed = re.findall(r"^### `(.+?)`", reference["identities.md"], re.MULTILINE)
    assert sorted(listed) == sorted(step.info.id for step in all_steps(Options()))
    rows = re.findall(r"^\| `(.+?)` ", reference["definition-fields.md"], re.MULTILINE)
    assert rows == [rule.id for each in FORMATS for rule in each.rules]


def test_the_reference_has_every_schema() -> None:
    folder = ROOT / "unclone" / "schemas"
    text = schema_page(folder)
    assert text.count("\n## ") == len(list(folder.glob("*.json")))
    assert "`result.status`" in text
    assert "planned: a dry run; unchanged: left alone by --if-needed" in text


def test_statuses_are_the_same_everywhere() -> None:
    """In the code, on man pages and in the document."""
    table = (ROOT / "docs" / "exit-status.md").read_text().partition("\n\n")[2].partition("\n\n")[0]
    documented = re.findall(r"\d+", " ".join(row.split("|")[1] for row in table.splitlines()[2:]))
    assert [int(each) for each in documented] == [status.value for status in ExitStatus]
    assert [int(status) for status, _ in EXIT_STATUS] == [s for s in ExitStatus if s < 128]
