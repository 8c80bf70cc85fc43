"""The project's rules that a linter or a look at the imports can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("unclone", "sanitize", "seeds", "images")

#: Which rooms a room may import. Arrows run one way.
ARROWS = {
    "unclone": {"sanitize", "seeds", "images"},
    "sanitize": {"images"},
    "seeds": set(),
    "images": set(),
}

MODULE_LINES = 400
README_LINES = 150

#: Words that promise work instead of doing it, and phrases that belong in no program.
FORBIDDEN = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")

TEXT = {".md", ".py", ".sh", ".toml", ".yaml", ".yml", ".json", ".txt", ".cfg", ".hcl", ""}


def tracked() -> list[Path]:
    """Every text file of the project that is not ignored, committed already or not."""
    listed = subprocess.run(
        [
            *("git", "-c", "safe.directory=*", "ls-files", "-z"),  # CI may have another owner
            *("--cached", "--others", "--exclude-standard"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix in TEXT]


def modules(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", "--no-cache", "."], id="ruff-check"),
        pytest.param(["ruff", "format", "--no-cache", "--check", "."], id="ruff-format"),
        pytest.param(["mypy"], id="mypy-strict", marks=pytest.mark.slow),
    ],
)
def test_linter_is_content(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, check=False, timeout=1700
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


# One test for all files, here and below: a test for each was a sixth of all tests.
def test_imports_follow_the_arrows() -> None:
    wrong = []
    for path in modules(*ROOMS):
        room = path.relative_to(ROOT).parts[0]
        others = imported_rooms(parsed(path)) - {room} - ARROWS[room]
        wrong += [f"{name(path)}: {room} must not import {other}" for other in sorted(others)]
    assert wrong == []


#: Inside ``sanitize``: what each of its three parts may import. The guest's part is everything
#: outside of the other two. ``sanitize.change`` says what a change and a note are.
SANITIZE_ARROWS = {
    "identities": set(),
    "definitions": {"identities", "change"},
    "guest": {"identities", "change"},
    "change": set(),
}


def sanitize_part(dotted: str) -> str:
    """The part of ``sanitize`` that the module *dotted* is in; "" for a module elsewhere."""
    _, is_sanitize, rest = dotted.partition("unclone.sanitize.")
    first = rest.split(".")[0]
    return (first if first in SANITIZE_ARROWS else "guest") if is_sanitize else ""


def test_the_parts_of_sanitize_meet_only_in_identities() -> None:
    """Guest and definitions share sanitize/identities and sanitize/change.py, and nothing else."""
    wrong = []
    for path in modules("sanitize"):
        own = sanitize_part(dotted(path))
        for imported in imported_names(parsed(path)):
            part = sanitize_part(imported)
            if part not in {"", own} | SANITIZE_ARROWS[own]:
                wrong.append(f"{name(path)} ({own}) must not import {imported} ({part})")
    assert wrong == []


@pytest.mark.parametrize(
    ("dotted", "part"),
    [
        ("unclone.sanitize.identities.mac", "identities"),
        ("unclone.sanitize.definitions", "definitions"),
        ("unclone.sanitize.change.Note", "change"),
        ("unclone.sanitize.steps.mac_pins", "guest"),
        ("unclone.images.errors", ""),
    ],
)
def test_parts_of_sanitize_are_told_by_name(dotted: str, part: str) -> None:
    assert sanitize_part(dotted) == part


def imported_names(tree: ast.AST) -> set[str]:
    """Every module or name that *tree* imports, with the module it comes from."""
    return {each for node in import_statements(tree) for each in named_by(node)}


@cache
def import_statements(tree: ast.AST) -> Sequence[ast.Import | ast.ImportFrom]:
    """Every import in *tree*, wherever it is."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def named_by(node: ast.Import | ast.ImportFrom) -> set[str]:
    """What *node* imports: modules, or names with the module they come from."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if node.module and node.level == 0:
        return {f"{node.module}.{alias.name}" for alias in node.names}
    return set()


def imported_rooms(tree: ast.AST) -> set[str]:
    """Return the rooms of this project that *tree* imports from, wherever it does."""
    return {room_of(imported) for imported in imported_names(tree)} & {
        *ROOMS,
        "tests",
        "examples",
        "benchmarks",
    }


def room_of(dotted: str) -> str:
    """The room in which the module *dotted* is: ``unclone.images.errors`` is in ``images``."""
    first, *rest = dotted.split(".")
    return rest[0] if first == "unclone" and rest and rest[0] in ROOMS else first


@pytest.mark.parametrize(
    ("source", "rooms"),
    [
        ("import unclone.images.errors", {"images"}),
        ("from unclone import images, run", {"images", "unclone"}),
        ("def f():\n    from unclone.sanitize.step import Step", {"sanitize"}),
        ("if TYPE_CHECKING:\n    import unclone.seeds.errors as e", {"seeds"}),
        ("import json, unclone.cli.main as cli", {"unclone"}),
        ("from tests.support import tree", {"tests"}),
    ],
)
def test_the_import_reader_sees_every_form(source: str, rooms: set[str]) -> None:
    assert imported_rooms(ast.parse(source)) == rooms


#: What each part of `sanitize` imports from `images`: the guest's part reaches a disk through
#: `Guest` only. A saved plan records which disks it is for, and is a file of the host.
FROM_IMAGES = {
    # An OVA is a definition in a tar archive.
    "sanitize/definitions": {"errors", "text", "image", "files", "formats", "lock", "archives"},
    "sanitize/identities": {"errors", "text"},
    # A stamp is made of the bytes of disks at rest, with the checksums of their file systems.
    "sanitize/stamps": {"crc32c", "file_systems"},
    "sanitize/saved_plan.py": {"errors", "text", "guest", "image", "files", "fingerprint"},
    "sanitize": {
        *("errors", "text", "guest", "volumes", "layout", "fstab", "needles"),
        *("discoverable", "subvolumes", "systemd_units", "mount_units"),
    },
}


def test_sanitize_takes_little_from_images() -> None:
    known = {dotted(module) for module in modules("images")} - {"unclone.images"}
    wrong = []
    for path in modules("sanitize"):
        part = next(part for part in FROM_IMAGES if path.is_relative_to(ROOT / part))
        taken = {module.split(".")[2] for module in imports(parsed(path), known)}
        wrong += [f"{name(path)} must not import images.{x}" for x in taken - FROM_IMAGES[part]]
    assert wrong == []


def test_no_import_circle() -> None:
    graph = {dotted(path): parsed(path) for path in modules(*ROOMS)}
    known = set(graph)
    circles = circles_in({module: imports(tree, known) for module, tree in graph.items()})
    assert [" <-> ".join(sorted(circle)) for circle in circles] == []


def dotted(path: Path) -> str:
    """The name under which the module at *path* is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "unclone" else ("unclone", *parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, known: set[str]) -> set[str]:
    """The modules of *known* that *tree* imports: at run time, for types, or in a function."""
    found: set[str] = set()
    for node in import_statements(tree):
        names = named_by(node)
        found |= names
        if isinstance(node, ast.ImportFrom) and node.module and not names <= known:
            found.add(node.module)
    return found & known


def circles_in(graph: Mapping[str, set[str]]) -> list[frozenset[str]]:
    """The largest sets of modules in *graph* that all import each other, directly or not."""
    reached = {module: reachable(graph, module) for module in graph}
    return sorted(
        {
            frozenset({module, *(other for other in reached[module] if module in reached[other])})
            for module in graph
            if module in reached[module]
        },
        key=sorted,
    )


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Every module that *start* imports, directly or through others."""
    found: set[str] = set()
    pending = [*graph[start]]
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            pending.extend(graph[module])
    return found


@pytest.mark.parametrize(
    ("graph", "circles"),
    [
        ({"a": {"b"}, "b": set()}, []),
        ({"a": {"b"}, "b": {"a"}}, [{"a", "b"}]),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, [{"b", "c"}]),
        ({"a": {"a"}}, [{"a"}]),
    ],
)
def test_the_circle_finder_finds_circles(
    graph: dict[str, set[str]], circles: list[set[str]]
) -> None:
    assert circles_in(graph) == circles


def test_runs_import_neither_click_nor_rich_nor_the_command_line() -> None:
    foreign = re.compile(r"(click|rich|unclone\.cli)(\.|$)")
    wrong = [
        f"{name(path)} must not import {each}"
        for path in modules("unclone/runs")
        for each in imported_names(parsed(path))
        if foreign.match(each)
    ]
    assert wrong == []


def test_only_the_engine_imports_the_guestfs_binding() -> None:
    imports = re.compile(r"^\s*(import|from) guestfs\b", re.MULTILINE)
    importers = {name(path) for path in modules(*ROOMS) if imports.search(path.read_text())}
    assert importers <= {"images/engines/guestfs/appliance.py"}


def test_modules_are_small() -> None:
    lines = {
        name(path): len(path.read_text().splitlines())
        for path in modules(*ROOMS, "tests", "examples", "benchmarks")
    }
    assert {path: count for path, count in lines.items() if count > MODULE_LINES} == {}


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_nothing_is_promised_instead_of_done() -> None:
    promises = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in tracked()
        if path != Path(__file__).resolve()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert promises == []


def test_expressions_do_not_look_over_line_ends() -> None:
    r"""``(?m)^\s*`` looks from each line at all blank ones that follow: minutes in a large file."""
    slow = re.compile(r"\(\?\w*m\w*\)\^\\s\*|\^\\s\*.*MULTILINE|\(\?\w*m\w*\).*\|\^\\s\*")
    assert slow.search(r're.compile(r"(?m)^\s*#")')
    paths = [path for path in tracked() if path.is_relative_to(ROOT / "sanitize")]
    assert [name(path) for path in paths if slow.search(path.read_text())] == []


def test_nothing_binary_is_kept() -> None:
    binaries = [name(path) for path in tracked() if b"\0" in path.read_bytes()]
    assert binaries == []


def test_every_make_target_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    told = set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
    assert set(phony[1].split()) == told


@pytest.mark.parametrize("target", ["demo", "test"])
def test_readme_commands_are_make_targets(target: str) -> None:
    assert f"make {target}" in (ROOT / "README.md").read_text()
    dry = subprocess.run(
        ["make", "--dry-run", "SYSTEM_PACKAGES=no", target],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert dry.returncode == 0, dry.stderr.decode()


def test_ci_runs_the_readme_test_command() -> None:
    assert re.search(r"\bmake\b.*\btest\b", (ROOT / ".ci/run").read_text())


@pytest.mark.parametrize("script", [".ci/run", ".ci/install-system-packages"])
def test_ci_scripts_can_be_executed_and_parsed(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111
    done = subprocess.run(["bash", "-n", ROOT / script], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
