"""Definitions that are broken, hostile or in use: words, a status, and nothing written."""

from __future__ import annotations

import contextlib
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import Golden, goldens
from unclone.images.errors import InUseError, RefusedError, UncloneError, UsageError
from unclone.runs.define import Request, define, pool, read
from unclone.sanitize.definitions.formats.libvirt import reader as libvirt
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.rule import Treatment
from unclone.sanitize.definitions.text.source import LIMIT, Source
from unclone.sanitize.definitions.text.splicing import splice
from unclone.sanitize.definitions.text.xml_tree import ELEMENT_LIMIT
from unclone.sanitize.identities.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

LIBVIRT = goldens("libvirt")
HEAD = "<domain type='kvm'><name>golden</name>"
UUID = "<uuid>6695eb01-f6a4-4304-b9aa-97f2502e193f</uuid>"


def domain(devices: str = "", *, uuid: str = UUID, head: str = HEAD) -> str:
    return f"{head}{uuid}<devices>{devices}</devices></domain>"


def card(mac: str) -> str:
    return f"<interface type='user'><mac address='{mac}'/></interface>"


def run(folder: Path, text: str | bytes, **options: Any) -> UncloneError:
    """The failure of the definition *text*; nothing but it is in the folder afterwards."""
    source = folder / "golden.xml"
    source.write_bytes(text.encode() if isinstance(text, str) else text)
    before = sorted(folder.rglob("*"))
    ledger = folder / "fleet.ledger"
    request = Request(source, "web-01", output=folder / "web-01.xml", **options)
    with pytest.raises(UncloneError) as raised:
        attempt(request, ledger)
    if ledger.exists():
        with Ledger.open(ledger) as book:
            assert book.machine("web-01") is None
        ledger.unlink()
    assert sorted(folder.rglob("*")) == before
    assert raised.value.hint
    return raised.value


def attempt(request: Request, ledger: Path) -> None:
    definition = read(request)
    with pool(request, ledger=ledger) as identities:
        define(request, definition, identities)


BOMB = (
    '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {new} "{f"&{old};" * 10}">'
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]><domain><name>&i;</name></domain>"
)
REFUSED = {
    "empty": ("", "is not the definition of a VM"),
    "no-definition": ("hello", "is not the definition of a VM"),
    "truncated": (domain()[:-12], "golden.xml:1:"),
    "mismatched": ("<domain><name>a</nam></domain>", "mismatched tag"),
    "unbound-prefix": (f"{HEAD}<qemu:x/></domain>", "unbound prefix"),
    "no-name": ("<domain type='kvm'/>", "has no name"),
    "snapshot-without-domain": ("<domainsnapshot><name>a</name></domainsnapshot>", "no <domain>"),
    "entity-bomb": (BOMB, "document type"),
    "external-entity": (
        "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><name>&x;</name></domain>",
        "document type",
    ),
    "parameter-entity": (
        "<!DOCTYPE d [<!ENTITY % p SYSTEM 'http://192.0.2.1/x.dtd'> %p;]><domain/>",
        "document type",
    ),
    "external-dtd": (
        "<!DOCTYPE domain SYSTEM 'http://192.0.2.1/x.dtd'>" + domain(),
        "document type",
    ),
    "undefined-entity": ("<domain><name>&x;</name></domain>", "undefined entity"),
    "deep": (f"{HEAD}{'<a>' * 5000}{'</a>' * 5000}</domain>", "within each other"),
    "many": (f"{HEAD}{'<a/>' * ELEMENT_LIMIT}</domain>", "elements"),
    "huge": (HEAD + " " * LIMIT + "</domain>", "MiB"),
    "not-utf-8": (domain().encode() + b"<!-- \xff -->", "not valid utf-8"),
    "null-bytes": (domain() + "<!-- \0 -->", "null characters"),
    "odd-encoding": ("<?xml version='1.0' encoding='utf-7'?>" + domain(), "encoding"),
    "unknown-encoding": ("<?xml version='1.0' encoding='klingon'?>" + domain(), "encoding"),
    "mac-malformed": (domain(card("52:54:00:12:34")), "is not a MAC address"),
    "mac-letters": (domain(card("52:54:00:12:34:zz")), "is not a MAC address"),
    "mac-multicast": (domain(card("53:54:00:12:34:56")), "multicast"),
    "uuid-malformed": (domain(uuid="<uuid>6695eb01-f6a4</uuid>"), "is not a UUID"),
    "cid-malformed": (domain("<vsock><cid auto='no' address='x'/></vsock>"), "is not a number"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_is_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    error = run(tmp_path, text)
    assert isinstance(error, RefusedError)
    assert words in error.message
    assert "golden.xml" in error.message


@pytest.mark.parametrize("golden", LIBVIRT, ids=str)
def test_a_truncated_definition_is_refused_wherever_it_ends(golden: Golden) -> None:
    content = golden.before.read_bytes()
    body = content[: content.rindex(b"</domain")]
    for end in range(0, len(body), 97):
        with pytest.raises(RefusedError):
            libvirt.read(Source(golden.before, body[:end]))


def test_a_file_of_100_mb_is_refused_unread(tmp_path: Path) -> None:
    source = tmp_path / "golden.xml"
    source.write_text(HEAD)
    os.truncate(source, 100_000_000)
    with pytest.raises(RefusedError, match="MiB"):
        read_definition(source)


@pytest.mark.parametrize(
    ("path", "words"),
    [("absent.xml", "does not exist"), (".", "is not a file")],
    ids=["absent", "folder"],
)
def test_what_cannot_be_read_is_a_mistake_of_the_command_line(
    tmp_path: Path, path: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        read_definition(tmp_path / path)


def test_an_unknown_format_is_a_mistake_of_the_command_line(tmp_path: Path) -> None:
    error = run(tmp_path, domain(), format="vmware")
    assert isinstance(error, UsageError)
    assert "libvirt" in error.hint


@pytest.mark.parametrize(
    "text",
    [
        domain(head="<domain type='kvm' id='7'><name>golden</name>"),
        f"<domstatus state='running' pid='4711'>{domain()}</domstatus>",
        f"<domstatus state='paused' pid='4711'>{domain()}</domstatus>",
    ],
    ids=["dump-of-a-running-machine", "status-running", "status-paused"],
)
def test_a_running_machine_is_in_use(tmp_path: Path, text: str) -> None:
    error = run(tmp_path, text)
    assert isinstance(error, InUseError)


@pytest.mark.parametrize("place", ["golden.save", "save/golden.save"])
def test_a_suspended_machine_is_refused(tmp_path: Path, place: str) -> None:
    state = tmp_path / place
    state.parent.mkdir(exist_ok=True)
    state.write_bytes(b"LibvirtQemudSave")
    error = run(tmp_path, domain())
    assert isinstance(error, RefusedError)
    assert str(state) in error.message


def test_a_name_does_not_lead_anywhere(tmp_path: Path) -> None:
    (tmp_path / "x.save").write_bytes(b"")
    (tmp_path / "a").mkdir()
    source = tmp_path / "a" / "golden.xml"
    source.write_text(domain(head="<domain type='kvm'><name>../x</name>"))
    assert read_definition(source).active is None


def test_messages_cannot_forge_lines(tmp_path: Path) -> None:
    error = run(tmp_path, domain(card("x&#10;unclone: all is well&#x9b;")))
    assert error.message.isprintable()


#: What damage is made of.
PIECES = [b"<", b">", b"/", b'"', b"'", b"&amp;", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<x/>"]
PIECES += [b" ", b"\r\n", b"&#x3c;", b"\xc3\xa9", b"\xff", b"golden", b"<name>a</name>", b"<?p ?>"]


@pytest.mark.slow
@pytest.mark.parametrize("golden", LIBVIRT, ids=str)
def test_damage_is_understood_or_refused(golden: Golden) -> None:
    chance = random.Random(str(golden))
    for _ in range(150):
        content = bytearray(golden.before.read_bytes())
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(content))
            end = at + chance.choice([0, 0, 1, 20])
            content[at:end] = chance.choice(PIECES)
        with contextlib.suppress(RefusedError):
            require_understood(Source(golden.before, bytes(content)))


def require_understood(source: Source) -> None:
    plan = plan_definition(libvirt.read(source), IdentityMap(Counting(), "web-01"))
    text = splice(source.text, plan.edits)
    again = libvirt.read(Source(source.path, source.encoded(text)))
    found = [(field.rule.id, field.value) for field in again.fields]
    for each in plan.fields:
        if each.changed and each.new is not None and each.field.rule.treatment is not Treatment.SET:
            assert (each.field.rule.id, each.new) in found


@pytest.mark.parametrize(
    "text",
    [
        domain(head=f"<domain type='kvm'><name>{'a' * 2000}</name>"),
        domain(f"<disk><serial>{'a' * 2000}é</serial></disk>"),
        domain(f"<vsock><cid auto='no' address='{'1' * 2000}'/></vsock>"),
    ],
    ids=["name", "serial", "number"],
)
def test_what_is_longer_than_anything_like_it_is_refused(tmp_path: Path, text: str) -> None:
    error = run(tmp_path, text)
    assert isinstance(error, RefusedError)
    assert "longer than anything like it" in error.message
    assert len(error.message) < 1000
