"""Gathers the pages of the site, and lets MkDocs build it.

The source of the site has the layout of the repository, so that links between documents lead to
the same places: ``README.md``, ``docs/``, ``examples/``. What is made from the code is beside them.
``mkdocs.yml`` has the settings and the order of the pages.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from release.deb import ROOT
from release.site.recordings import record
from release.site.reference import reference_pages, schema_page

#: Documents outside of ``docs/``; their pages have the same names.
_DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
_TUTORIAL = "docs/tutorial.md"
_LINK = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")
_LANGUAGES = {".hcl": "hcl", ".yml": "yaml", ".yaml": "yaml", ".py": "python", ".xml": "xml"}


def build_site(folder: Path) -> None:
    """Build the site into *folder*, which is made anew.

    Raises ``RuntimeError`` with what MkDocs or a command of the tutorial says: a warning, such as
    a link that leads nowhere, is a failure.
    """
    with tempfile.TemporaryDirectory(prefix="unclone-site.") as scratch:
        source = Path(scratch) / "source"
        _gather(source, Path(scratch))
        settings = Path(scratch) / "mkdocs.json"
        pages = {"INHERIT": str(ROOT / "mkdocs.yml"), "docs_dir": str(source)}
        settings.write_text(json.dumps({**pages, "site_dir": str(folder.absolute())}))
        done = subprocess.run(
            [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "-f", settings],
            env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"mkdocs: {done.stdout}")


def _gather(source: Path, scratch: Path) -> None:
    """Write all pages, pictures and files of the site into the new folder *source*."""
    shutil.copytree(ROOT / "docs", source / "docs")
    for name in _DOCUMENTS:
        shutil.copy(ROOT / name, source / name)
    examples = []
    for path in sorted(ROOT.glob("examples/*/README.md")):
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        target.write_text(_with_files(path))
        examples.append(path)
    (source / "examples" / "index.md").write_text(_list_of(examples))
    for name, text in reference_pages().items():
        (source / "reference").mkdir(exist_ok=True)
        (source / "reference" / name).write_text(text)
    (source / "assets").mkdir()
    shutil.copy(Path(__file__).with_name("iframe-worker.js"), source / "assets")
    schemas = source / "unclone" / "schemas"
    shutil.copytree(ROOT / "unclone" / "schemas", schemas, ignore=shutil.ignore_patterns("*.py*"))
    (schemas / "index.md").write_text(schema_page(schemas))
    pictures = source / "pictures"
    text = record(
        (source / _TUTORIAL).read_text(), ROOT / "examples/first-steps", pictures, scratch
    )
    (source / _TUTORIAL).write_text(text)
    for page in source.rglob("*.md"):
        page.write_text(_with_links_to_pages(page))


def _with_links_to_pages(page: Path) -> str:
    """The text of *page*, whose links to folders lead to the pages of these."""

    def to_page(link: re.Match[str]) -> str:
        for name in ("index.md", "README.md"):
            if (page.parent / link[1] / name).is_file():
                return f"]({link[1].rstrip('/')}/{name}{link[2] or ''})"
        return link[0]

    return _LINK.sub(to_page, page.read_text())


def _with_files(readme: Path) -> str:
    """The page of an example: what it says, and its files."""
    parts = [readme.read_text()]
    for path in sorted(readme.parent.iterdir()):
        if path != readme and path.is_file():
            text = path.read_text()
            language = _LANGUAGES.get(path.suffix, "sh" if text.startswith("#!") else "text")
            parts.append(f"## `{path.name}`\n\n````{language}\n{text.rstrip()}\n````\n")
    return "\n".join(parts)


def _list_of(examples: list[Path]) -> str:
    """The page that lists all *examples*, each with its heading."""
    lines = ["# Examples", ""]
    for path in examples:
        heading = path.read_text().partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{heading}]({path.parent.name}/README.md)")
    return "\n".join([*lines, ""])
