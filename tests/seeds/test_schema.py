"""cloud-init's schemas travel with the package, and their findings say what is wrong where."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path

import pytest

from unclone.seeds.schema import CLOUD_CONFIG, NETWORK, RELEASE, newest
from unclone.seeds.yaml_text import ParsedYaml

FOLDER = files("unclone.seeds").joinpath("schemas")
#: The first 160 bits, of the files in cloud-init 26.2.
SHA256 = {
    "schema-cloud-config-v1.json": "a2923d8886201b5478683cf9c6118a00d5603f36",
    "schema-network-config-v1.json": "bdddeca535ca380c5a4e3c360a0b87c9dcd63377",
    "schema-network-config-v2.json": "0ad5a7b76e130909f4f6482c010c1765cc7bb899",
}


def messages(text: str) -> list[str]:
    return [f.message for f in newest().check(ParsedYaml("user-data", text))]


@pytest.mark.parametrize("name", [CLOUD_CONFIG, *(name for name, _ in NETWORK.values())])
def test_they_are_those_of_the_release(name: str) -> None:
    assert hashlib.sha256(FOLDER.joinpath(name).read_bytes()).hexdigest()[:40] == SHA256[name]


def test_their_licence_travels_with_them() -> None:
    notice = FOLDER.joinpath("NOTICE").read_text()
    assert f"cloud-init {RELEASE}, unchanged" in notice
    assert "Canonical Ltd." in notice
    licence = Path(__file__).parent.parent.parent / "LICENSE"
    assert "Apache License" in licence.read_text()[:200]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("package_update: 1", "package_update: must be true or false"),
        ("users: [{name: a, no_create_home: x}]", "users.0.no_create_home: must be true or false"),
        ("users: [{name: a, shel: x}]", "'shel': cloud-init knows no such key in users.0"),
        ("ntp: {servers: [], enabled: 3}", "ntp.enabled: must be true or false"),
        ("write_files: [{content: a}]", "write_files.0: has no path"),
        ("nonsense: 1", "'nonsense': cloud-init knows no such key in the document"),
    ],
)
def test_what_is_said(text: str, message: str) -> None:
    assert message in messages(text)


def test_what_is_right_for_one_machine_is_not_asked_again() -> None:
    schema = newest()
    for text in ("ntp: {enabled: true}", "ntp: {enabled: 3}", "ntp: {enabled: true}"):
        found = [f.message for f in schema.check(ParsedYaml("user-data", text))]
        assert found == ([] if "true" in text else ["ntp.enabled: must be true or false"])
