"""The report as a whole, as it stands on a terminal of 80 columns: golden texts of several guests.

A run is a real one (plan, apply, verify, inventory) over a folder. To write the golden texts anew:
``UNCLONE_WRITE_GOLDEN=1 pytest tests/unclone/test_summaries.py``, and read the difference.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.families import FAMILIES, OLD
from tests.support.identified import IdentifiedVolumes, identified_guest, olds
from tests.support.tree import plant
from unclone.cli.render.inspection import show_inspection
from unclone.cli.render.page import Page, columns, wrapped
from unclone.cli.render.report import show_line, show_report, show_total
from unclone.images.volumes import FileSystem
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.facts import Facts
from unclone.sanitize.inventory.taking import take_inventory
from unclone.sanitize.options import Options, Profile
from unclone.sanitize.planning import make_plan
from unclone.sanitize.report import GuestSummary, Inspection, Report
from unclone.sanitize.ssh.key import KeyFormat, encode, generate
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unclone.images.guest import Guest

GOLDEN = Path(__file__).parent / "golden"

#: What a machine gets when it has been in use for a while.
USED: Mapping[str, str | bytes | None] = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/bash\n"
    "deploy:x:1001:1001::/home/deploy:/bin/sh\n",
    "/etc/shadow": "root:$y$j9T$hash:1::\nadmin:$y$j9T$hash:1::\ndeploy:!:1::\n",
    "/home/admin/.bash_history": "ls\n",
    "/home/admin/.ssh/authorized_keys": "ssh-ed25519 AAAA\n",
    "/etc/hosts": "127.0.0.1 localhost\n127.0.1.1 template.example.org template\n",
    "/etc/mailname": "template.example.org\n",
    "/etc/netplan/01.yaml": "network:\n  version: 2\n  ethernets:\n    ens3:\n"
    "      match: {macaddress: '52:54:00:12:34:56'}\n      addresses: [192.0.2.10/24]\n",
    "/var/lib/systemd/random-seed": b"x" * 512,
    "/var/lib/dhcp/dhclient.ens3.leases": "lease {}\n",
    "/var/lib/systemd/credential.secret": b"x" * 64,
    "/etc/ssh/ssh_host_ed25519_key": encode(generate("ed25519", 256), KeyFormat.OPENSSH),
    "/var/lib/tor/keys/secret_id_key": "-----BEGIN RSA PRIVATE KEY-----\n",
    "/var/log/syslog": "x\n",
}


def guest(folder: Path, files: Mapping[str, str | bytes | None], *, identifiers: bool) -> Guest:
    plant(folder, files)
    return identified_guest(IdentifiedVolumes(folder, olds() if identifiers else ()))


def report_of(guest: Guest, options: Options, *, dry_run: bool = False) -> Report:
    """What a run says of *guest*, timings aside."""
    facts = Facts(guest)
    summary = GuestSummary(facts.name, "", "", facts.init, "", guest.layout)
    plan = make_plan(guest, options)
    report = Report("web-01.qcow2", "web-01.qcow2", dry_run, "tree", summary, plan)
    outcomes = tuple(apply_plan(guest, plan))
    seen = verify(guest, plan, outcomes)
    found = take_inventory(guest, options)
    if dry_run:
        return report.proven((), seen, (), found.without_new_values(plan.changes))
    done = report.proven(outcomes, seen, tuple(guest.identifiers()), found)
    return done.finished({"plan": 0.25, "apply": 0.25})


def text_of(
    capsys: pytest.CaptureFixture[str], report: Report, width: int = 0, *, verbose: bool = False
) -> str:
    show_report(Page(width), report, verbose=verbose)
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


CASES = {
    **{name: (tree, Options()) for name, tree in FAMILIES.items()},
    "arch-damaged-initrd": (
        {**FAMILIES["arch"], f"/boot/{OLD}/6.12.1-arch1/initrd": b"070701"},
        Options(),
    ),
    "debian-12-used": ({**FAMILIES["debian-12"], **USED}, Options()),
    "debian-12-golden": ({**FAMILIES["debian-12"], **USED}, Options(profile=Profile.GOLDEN)),
    "debian-12-kept": (
        {**FAMILIES["debian-12"], **USED},
        Options(uuids="keep", ssh_host_keys="keep", disable=frozenset({"machine-id"})),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_summary_is_the_golden_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    files, options = CASES[name]
    text = text_of(capsys, report_of(guest(tmp_path, files, identifiers=True), options))
    text = re.sub(r"SHA256:[A-Za-z0-9+/]{43}", "SHA256:" + "x" * 43, text)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("UNCLONE_WRITE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()
    check_fit(text, 80)


def check_fit(text: str, width: int) -> None:
    assert [line for line in text.splitlines() if columns(line) > width] == []
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


#: Names of 200 columns and more: without blanks, with control characters, and wide ones.
LONG = ("a" * 200, "\x1b[31m" * 40, "漢" * 60, "e\u0301" * 60, "a b " * 30 + "\udcff" * 20)


def hostile(folder: Path) -> Guest:
    files: dict[str, str | bytes | None] = dict(FAMILIES["debian-12"])
    for number, name in enumerate(LONG):
        files[f"/var/log/journal/{name}"] = None
        files[f"/etc/nebula/{name}.key"] = "x"
        files[f"/etc/netplan/{name}.yaml"] = (
            f"network: {{ethernets: {{e{number}: {{addresses: [192.0.2.{number}/24], "
            f"match: {{macaddress: '52:54:00:00:00:0{number}'}}}}}}}}\n"
        )
        files[f"/var/lib/dhcp/{name}"] = "x"
    files["/etc/hostname"] = "漢" * 60 + "\n"
    files["/etc/passwd"] = "".join(f"{n[:60]}:x:{2000}:1::/:/bin/sh\n" for n in LONG)
    files["/usr/lib/os-release"] = f'PRETTY_NAME="{LONG[2]}\x1b[2J"\n'
    return guest(folder, files, identifiers=True)


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("width", [40, 80, 100, 120])
def test_nothing_is_wider_than_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], width: int, dry_run: bool, verbose: bool
) -> None:
    report = report_of(hostile(tmp_path), Options(), dry_run=dry_run)
    text = text_of(capsys, replace(report, image=LONG[2]), width, verbose=verbose)
    check_fit(text, width)
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [40, 80, 100, 120, 300])
def test_an_inspection_is_no_wider_than_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    looked_at = hostile(tmp_path)
    report = report_of(looked_at, Options(), dry_run=True)
    found = Inspection(
        image=LONG[0],
        format="qcow2",
        virtual_size=2**31,
        engine="tree",
        guest=report.guest,
        file_systems=tuple(FileSystem("/dev/sda1", "ext4", LONG[3], label=x) for x in LONG),
        identifiers=tuple(looked_at.identifiers()),
        plan=report.plan,
        inventory=report.inventory,
    )
    for plan in (False, True):
        show_inspection(Page(width), found, verbose=plan, plan=plan)
        check_fit(capsys.readouterr().out, width)


def test_every_change_note_and_reason_is_in_the_verbose_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**FAMILIES["debian-12"], **USED}
    report = report_of(guest(tmp_path, files, identifiers=True), Options())
    text = " ".join(text_of(capsys, report, 300, verbose=True).split())
    for change in report.plan.changes:
        assert f"{change.action} {change.target}" in text
        assert change.old in text
        assert " ".join(change.why.split()) in text
    for note in report.notes:
        words = note.text.removeprefix("/etc/machine-id is ").removeprefix("new host keys are ")
        assert words in text
    found = report.inventory
    assert "address 192.0.2.10/24 (/etc/netplan/01.yaml)" in text
    assert "(/etc/hostname, /etc/hosts, /etc/mailname)" in text
    for step in found.optional_steps:
        assert f"--enable {step.step}" in text
        assert " ".join(step.off_because.split()) in text
    assert [each.step for each in report.inventory.told] == ["tor-keys"]
    for told in report.inventory.told:
        assert f"{told.step}: {told.title} ({told.paths[0]})" in text
        assert f"{told.why} {told.remedy}" in text


def test_columns_says_how_wide_piped_output_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_of(hostile(tmp_path), Options())
    widths = {}
    for given in ("", "120", "abc", "0", "10"):
        monkeypatch.setenv("COLUMNS", given)
        widths[given] = max(map(columns, text_of(capsys, report).splitlines()))
    assert widths == {"": 80, "120": 120, "abc": 80, "0": 80, "10": 40}


@pytest.mark.slow
def test_a_second_run_says_that_nothing_was_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {**FAMILIES["debian-12"], **USED}
    first = report_of(guest(tmp_path, files, identifiers=True), Options())
    assert not first.only_renews
    assert "looks sanitised already" not in text_of(capsys, first)
    second = report_of(guest(tmp_path, {}, identifiers=True), Options())
    assert second.only_renews
    assert "this image looks sanitised already" in text_of(capsys, second)


def test_a_uuid_in_a_file_is_renewed_by_every_run(tmp_path: Path) -> None:
    files = {**FAMILIES["debian-12"], "/etc/nvme/discovery.conf": f"--hostid={'1' * 8}-{'1' * 27}"}
    assert not report_of(guest(tmp_path, files, identifiers=True), Options()).only_renews
    second = report_of(guest(tmp_path, {}, identifiers=True), Options())
    assert [c.target for c in second.plan.changes if "drawn" in c.details] == [
        "/etc/nvme/discovery.conf"
    ]
    assert second.only_renews


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["/etc/machine-id", "/var/lib/systemd/random-seed", "/var/lib/dhcp/dhclient.e.leases"]
)
def test_after_a_boot_it_does_not_say_so(tmp_path: Path, file: str) -> None:
    files = {**FAMILIES["debian-12"], **USED}
    report_of(guest(tmp_path, files, identifiers=True), Options())
    (tmp_path / file[1:]).unlink(missing_ok=True)
    again = guest(tmp_path, {file: "fedcba9876543210fedcba9876543210\n"}, identifiers=True)
    assert not report_of(again, Options(), dry_run=True).only_renews


def test_quiet_is_a_line_for_each_and_a_total(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_of(guest(tmp_path, FAMILIES["debian-12"], identifiers=False), Options())
    page = Page(80)
    show_line(page, "web-01.qcow2", report.status, report)
    show_line(page, "web-02.qcow2", "in-use", None)
    show_total(page, ["done", "in-use"])
    assert capsys.readouterr().out == (
        "web-01.qcow2: done, 3 changes, 1 file system clean\n"
        "web-02.qcow2: in-use\n2 images: 1 done, 1 in-use\n"
    )


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 10, [""]),
        ("one two three", 8, ["one two", "  three"]),
        ("abcdefghij", 4, ["abcd", "  ef", "  gh", "  ij"]),
        ("a abcdefghij", 6, ["a", "  abcd", "  efgh", "  ij"]),
        ("x /usr/lib/systemd", 12, ["x", "  /usr/lib/", "  systemd"]),
        ("漢漢漢", 5, ["漢漢", "  漢"]),
        ("e\u0301e\u0301", 10, ["e\u0301e\u0301"]),
        ("a\nb", 10, ["a\\nb"]),
    ],
)
def test_text_is_broken_at_blanks_or_anywhere(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width, hanging=2) == lines


def test_a_table_is_stacked_where_it_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("/dev/sda1", "vfat", ""), ("/dev/sda2", "ext4", "/")]
    Page(100).table(("device", "type", "mounted at"), rows)
    table = capsys.readouterr().out
    assert table == ("  device     type  mounted at\n  /dev/sda1  vfat\n  /dev/sda2  ext4  /\n")
    Page(99).table(("device", "type", "mounted at"), rows)
    assert capsys.readouterr().out == (
        "  /dev/sda1\n    type: vfat\n  /dev/sda2\n    type: ext4\n    mounted at: /\n"
    )
