"""The page that ``unclone audit --html`` writes, in a real browser; the numbers for Prometheus."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.audit_pages import PICTURES, copies, fleet, hostile, take_pictures
from tests.support.chromium import browser
from unclone.images.errors import UncloneError, UsageError
from unclone.runs.audit.exports import write_metrics, write_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.chromium import Browser
    from unclone.runs.audit.run import Audit

DESKTOP, PHONE = (1000, 700), (390, 800)
ROWS = "[...document.querySelectorAll('tbody th')].map(each => each.textContent)"
COLUMNS = "[...document.querySelectorAll('thead button')].map(each => each.textContent)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser") / "profile") as opened:
        yield opened


def show(page: Browser, folder: Path, found: Audit, size: tuple[int, int], state: str = "") -> None:
    path = folder / "audit.html"
    write_page(found, path)
    page.open(f"{path.as_uri()}{state}", *size)


@pytest.mark.slow
def test_the_matrix_is_there_and_nothing_is_loaded_besides(page: Browser, tmp_path: Path) -> None:
    show(page, tmp_path, copies(), DESKTOP)
    assert (
        page.ask("document.querySelector('h1').textContent") == "6 machines of 6 share identities"
    )
    assert len(page.ask(ROWS)) == 6
    assert page.ask(COLUMNS)[:3] == ["machine", "disk-guid", "file-system-uuid"]
    assert page.ask("document.querySelectorAll('td button').length") == 6 + 5 * 4 + 3 * 2
    requests = [e for e in page.events if e["method"] == "Network.requestWillBeSent"]
    assert [each["params"]["request"]["url"].rpartition("/")[2] for each in requests] == [
        "audit.html"
    ]
    wrong = {"Runtime.exceptionThrown", "Log.entryAdded"}
    assert [each for each in page.events if each["method"] in wrong] == []


@pytest.mark.slow
def test_it_is_used_by_keyboard_alone(page: Browser, tmp_path: Path) -> None:
    """Filter, sort, open the details of a cell, and come back to it."""
    show(page, tmp_path, copies(), DESKTOP)
    page.press("Tab", *"machine-id")
    assert page.ask(COLUMNS) == ["machine", "machine-id"]
    assert page.ask(ROWS) == ["copy-1.qcow2", "copy-2.qcow2"]
    page.press(*["Tab"] * 4, "Tab", "Enter")  # to the heading of the second column
    assert page.ask("document.activeElement.dataset.sort") == "machine-id"
    sorted_by = "document.querySelector('th[aria-sort]')"
    assert page.ask(f"{sorted_by}.textContent + {sorted_by}.getAttribute('aria-sort')") == (
        "machine-iddescending"
    )
    page.press("Tab", "Enter")
    label = "document.activeElement.getAttribute('aria-label')"
    details = page.ask("document.querySelector('#details').textContent")
    assert "value of machine-id" in details
    assert "copy-2.qcow2: /etc/machine-id" in details
    page.press("Escape")
    assert page.ask(label) == "1 value of machine-id in copy-1.qcow2"
    assert page.ask("document.querySelector('#details').hidden") is True


@pytest.mark.slow
def test_it_fits_a_phone(page: Browser, tmp_path: Path) -> None:
    show(page, tmp_path, fleet(), PHONE)
    assert page.ask("document.documentElement.scrollWidth") <= PHONE[0]
    sizes = page.ask(
        "[...document.querySelectorAll('td button')].map(b => b.getBoundingClientRect())"
        ".map(r => Math.min(r.width, r.height))"
    )
    assert min(sizes) >= 36
    assert page.ask("document.querySelector('#problems').textContent").startswith(
        "Could not be read"
    )


@pytest.mark.slow
def test_state_is_in_the_address_and_rows_can_be_left_out(page: Browser, tmp_path: Path) -> None:
    show(page, tmp_path, fleet(), DESKTOP, "#only=true&sort=mac-address&down=true")
    assert page.ask(ROWS) == ["web-12", "web-37"]
    show(page, tmp_path, fleet(), DESKTOP, "#show=harmless&filter=web-1")
    assert page.ask(ROWS) == ["web-1" + str(n) for n in range(10)]
    assert page.ask(COLUMNS) == ["machine", "backing-file"]


@pytest.mark.slow
def test_hostile_names_are_text(page: Browser, tmp_path: Path) -> None:
    show(page, tmp_path, hostile(), DESKTOP)
    names = [machine.name for machine in hostile().machines]
    assert sorted(page.ask(ROWS)) == sorted(names)
    page.ask("document.querySelector('td button').click()")
    assert "/etc/<i>machine-id</i>" in page.ask("document.querySelector('#details').textContent")
    assert page.ask("window.taken === undefined") is True
    assert "<script>window" not in (tmp_path / "audit.html").read_text()


@pytest.mark.slow
def test_the_pictures_of_the_documentation_can_be_made(page: Browser, tmp_path: Path) -> None:
    take_pictures(page, tmp_path, tmp_path)
    for name, (_, width, height, _) in PICTURES.items():
        content = (tmp_path / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert content[16:24] == width.to_bytes(4) + height.to_bytes(4)
        assert len(content) > 5_000  # something is drawn


def test_numbers_for_prometheus(tmp_path: Path) -> None:
    path = tmp_path / "unclone.prom"
    for _ in range(2):  # the second replaces the first
        write_metrics(fleet(), path)
    lines = path.read_text().splitlines()
    assert 'unclone_shared_identities{kind="mac-address"} 1' in lines
    assert "unclone_machines_sharing 2" in lines
    assert "unclone_machines_audited 50" in lines
    assert "unclone_audit_failures 1" in lines
    sample = re.compile(r'# (HELP|TYPE) unclone_\w+ .+|unclone_\w+(\{kind="[\w-]+"\})? \d+')
    assert [line for line in lines if not sample.fullmatch(line)] == []


@pytest.mark.parametrize("write", [write_page, write_metrics])
def test_no_other_file_is_replaced(tmp_path: Path, write: object) -> None:
    assert callable(write)
    path = tmp_path / "web-01.qcow2"
    path.write_bytes(b"QFI\xfb")
    with pytest.raises(UsageError, match="exists already"):
        write(copies(), path)
    assert path.read_bytes() == b"QFI\xfb"
    with pytest.raises(UncloneError, match="cannot be written"):
        write(copies(), tmp_path / "none" / "file")
    assert [each.name for each in tmp_path.iterdir()] == ["web-01.qcow2"]
