"""A guest's report is hostile: its form is strict, and it has limits."""

from __future__ import annotations

import re

import pytest

from unclone.runs.prove import guest_report
from unclone.runs.prove.guest_report import KEYS, LINE_LIMIT, MalformedReportError, Mounted, read
from unclone.runs.prove.injecting import script

BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIKlD8w0szd4ugIUNALnc3F9Vutz4UJj9d51xPC4SbAIm"


def report(*lines: str | bytes) -> bytes:
    said = [line.encode() if isinstance(line, str) else line for line in lines]
    return b"\r\n".join([b"begin 1", *said, b"end 1", b""])


def test_a_report() -> None:
    found = read(
        report(
            "machine-id 1234",
            'mount TARGET="/a\\x20b" UUID="1" SOURCE="/dev/sda1" FSTYPE="ext4" OPTIONS="rw,x"',
            "mount /dev/sda2 /srv xfs ro 0 0",
            "mount /dev/sda3 /srv/a\\040b xfs rw 0 0",
            'device /dev/vda1: LABEL="a\\"b" UUID="1" TYPE="ext4"',
            f"host-key /etc/ssh/ssh_host_ed25519_key.pub ssh-ed25519 {BLOB} root@golden",
            "host-key /etc/ssh/ssh_host_rsa_key.pub nonsense",
            "card eth0 52:54:00:AA:00:01",
            "failed b.service loaded failed",
            "failed a.service loaded failed",
        )
    )
    assert found.machine_id == "1234"
    assert found.mounts == {
        "/a b": Mounted("/a b", "1", "/dev/sda1", "ext4", ("rw", "x")),
        "/srv": Mounted("/srv", "", "/dev/sda2", "xfs", ("ro",)),
        "/srv/a b": Mounted("/srv/a b", "", "/dev/sda3", "xfs", ("rw",)),
    }
    assert found.devices[0].tags["UUID"] == "1"
    good, bad = found.host_keys.values()
    assert good.startswith("SHA256:")
    assert bad == "none"
    assert found.macs == ["52:54:00:aa:00:01"]
    assert found.failed_units == ["a.service", "b.service"]
    assert "begin" not in found.to_json()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["shell rm -rf /"], "unknown line"),
        (["\x1b[2J"], "unknown line"),
        (["machine-id 1", "machine-id 2"], "too much of 'machine-id'"),
        (["mount x"] * 1001, "too much of 'mount'"),
        (["cmdline " + "x" * (LINE_LIMIT + 1)], "too much of 'cmdline'"),
    ],
)
def test_another_form_is_refused(lines: list[str], words: str) -> None:
    with pytest.raises(MalformedReportError, match=words) as caught:
        read(report(*lines))
    assert caught.value.message.isprintable()


def test_what_is_shown_is_printable() -> None:
    found = read(report(b"hostname \xff\x1b[31m\xe2\x80\xae", "cmdline a\tb"))
    assert all(text.isprintable() for lines in found.to_json().values() for text in lines)


@pytest.mark.parametrize(
    ("data", "begun", "complete"),
    [
        (b"", False, False),
        (b"begin 1\n", True, False),
        (report(), True, True),
        (b"begin 1\nhostname a\nend 1", True, False),
        (b"hostname a\nend 1\n", False, False),
    ],
)
def test_how_far_a_report_is(data: bytes, *, begun: bool, complete: bool) -> None:
    assert (guest_report.begun(data), guest_report.complete(data)) == (begun, complete)


def test_the_reporter_says_what_is_read() -> None:
    text = script().decode()
    said = {
        *re.findall(r"\bsay ([a-z-]+) ", text),
        *re.findall(r"\| (?:each|words) ([a-z-]+)", text),
    }
    assert said == set(KEYS)
