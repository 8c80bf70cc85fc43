"""What the documents name is there: files, commands, options, and what links lead to."""

from __future__ import annotations

import re
from functools import cache

import click
import pytest

from tests.packaging.conftest import ROOT
from unclone.cli.main import cli

DOCUMENTS = [
    *("README.md", "CONTRIBUTING.md", "SECURITY.md"),
    *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
]
FOLDERS = "unclone|sanitize|images|seeds|tests|benchmarks|examples|docs"

#: Options of other programs.
FOREIGN = {
    *("--python", "--system-site-packages"),  # pipx
    *("--gib", "--images", "--made-of", "--mutations", "--rounds"),  # of benchmarks/
    *("--inactive", "--redefine"),  # virsh
    *("--config-file", "--id"),  # cloud-hypervisor, Firecracker
    *("--image-path", "--size"),  # virtctl
    *("--unique",),  # qmrestore
    *("--host", "--memory-limit", "--nthreads", "--nworkers"),  # dask
}

every_document = pytest.mark.parametrize("document", DOCUMENTS)


@cache
def options() -> set[str]:
    context = click.Context(cli)
    commands = [cli, *(cli.get_command(context, name) for name in cli.list_commands(context))]
    params = [param for command in commands if command for param in command.params]
    return {"--help", *(word for each in params for word in (*each.opts, *each.secondary_opts))}


def text(document: str) -> str:
    return (ROOT / document).read_text()


@every_document
def test_every_option_exists(document: str) -> None:
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text(document)))
    assert named - options() - FOREIGN == set()


@every_document
def test_every_command_exists(document: str) -> None:
    named = set(re.findall(r"`unclone ([a-z]+)", text(document)))
    assert named <= set(cli.list_commands(click.Context(cli)))


@every_document
def test_every_path_exists(document: str) -> None:
    named = re.findall(rf"(?<![\w/.~])(?:{FOLDERS})/[\w./*-]*[\w*/]", text(document))
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []


@every_document
def test_every_link_leads_somewhere(document: str) -> None:
    folder = (ROOT / document).parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text(document))
    assert [link for link in links if not (folder / link).exists()] == []


@every_document
def test_every_document_is_in_the_navigation_of_the_site(document: str) -> None:
    assert re.search(rf": {document}$|- {document}$", text("mkdocs.yml"), re.MULTILINE)


def test_readme_stays_short() -> None:
    assert len(text("README.md").splitlines()) <= 150
