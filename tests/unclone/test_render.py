"""What people read: complete, folded to the terminal or not at all, without a guest's markup."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.support.tree import guest_at, plant
from unclone.cli.main import cli
from unclone.cli.render.inspection import show_inspection
from unclone.cli.render.page import Page, columns
from unclone.cli.render.report import show_report
from unclone.images.layout import Layout, Mount
from unclone.images.volumes import CheckResult, CheckState, FileSystem, Identifier, IdentifierKind
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.change import Change, Level, Note, Plan, Retired
from unclone.sanitize.inventory.host_names import HostName
from unclone.sanitize.inventory.inventory import Inventory
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.report import GuestSummary, Inspection, Outcome, Report, Verification
from unclone.sanitize.residue import REMOVED_FILE, Residue
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "/etc/[red]a[/red]\x1b[31m\nunclone: done\udcff:smile:"
SHOWN = r"/etc/[red]a[/red]\x1b[31m\nunclone: done\xff:smile:"
LAYOUT = Layout((Mount("/dev/sda2", "/", "ext4"), Mount("/dev/sda1", "/boot/efi", "vfat")))
GUEST = GuestSummary("Debian [b]12[/b]", "debian", "12", "systemd", "web\x07", LAYOUT)


def change(step: str, target: str, **more: str) -> Change:
    return Change(step, "remove", target, more.pop("why", "because"), **more)  # type: ignore[arg-type]  # all text


PLAN = Plan(
    profile="identity",
    changes=(
        change("ssh-host-keys", HOSTILE, old="SHA256:old"),
        *(change("logs", f"/var/log/{n}") for n in range(9)),
    ),
    notes=(
        Note("ssh-host-keys", Level.INFO, "made [here]"),
        Note("ssh-host-keys", Level.WARNING, "shared\nby all"),
        Note("lvm", Level.KEPT, "stays"),
    ),
    retired=(Retired("machine-id", "machine-id", "0123" * 8),),
)
REPORT = Report(
    image="a[i].qcow2",
    result="a[i].qcow2",
    dry_run=False,
    engine="guestfs",
    guest=GUEST,
    plan=PLAN,
    outcomes=tuple(Outcome(c, "SHA256:new" if c.old else "") for c in PLAN.changes),
    verification=Verification(residue=(Residue("machine-id", "0123" * 8, HOSTILE, 7, False),)),
    warnings=("low [space]",),
    timings={"launch": 8.25, "apply": 0.5},
)


def shown(capsys: pytest.CaptureFixture[str], report: Report, *, verbose: bool = False) -> str:
    show_report(Page(), report, verbose=verbose)
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def _no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


def test_a_report_has_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, REPORT)
    for words in (
        "a[i].qcow2: done (guestfs engine, 8.8 s)",
        "Debian [b]12[/b], systemd; profile identity",
        "SSH host keys  made [here]",
        "removed        logs (9)",
        r"warning        ssh-host-keys: shared\nby all",
        "kept           stays",
        "warning        low [space]",
        "10 changes read back",
    ):
        assert words in text
    assert f"the old machine-id is mentioned in {SHOWN}:7" in unwrapped(text)
    assert "\x1b" not in text
    assert "/var/log/8" not in text


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ("/etc/k", "/srv/k", "what /etc/k held is still in /srv/k"),
        ("/etc/k", "", "/etc/k was removed, and has another hard link that was not found"),
        ("/etc/k/", "", "/etc/k/ was removed, and had too much in it to look for all"),
    ],
)
def test_what_a_removed_file_leaves_is_told(
    capsys: pytest.CaptureFixture[str], value: str, path: str, words: str
) -> None:
    left = Residue(REMOVED_FILE, value, path, 0, read_at_boot=False)
    text = shown(capsys, replace(REPORT, verification=Verification(residue=(left,))))
    assert words in unwrapped(text)


def test_verbose_shows_every_change_its_reason_and_the_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = shown(capsys, REPORT, verbose=True)
    assert "/var/log/8" in text
    assert text.count("because") == 2  # once for each step: the changes of a step have one reason
    assert SHOWN in unwrapped(text)
    assert "SHA256:old -> SHA256:new" in text
    assert "launch 8.2 s, apply 0.5 s" in text
    assert "-v:" not in text


def unwrapped(text: str) -> str:
    """*text* without the line ends and blanks that make it fit."""
    return " ".join(text.split())


def test_a_dry_run_says_that_nothing_was_changed(capsys: pytest.CaptureFixture[str]) -> None:
    plan_only = Report("a", "a", True, "guestfs", GUEST, PLAN)
    text = shown(capsys, plan_only)
    assert "a: planned, nothing was changed (guestfs engine)" in text
    assert "rehearsed" in text
    assert "proven" not in text


def test_another_file_is_named_as_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert "a -> b.qcow2: done (" in shown(capsys, Report("a", "b.qcow2", False, "x", GUEST, PLAN))


def test_nothing_to_change_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    empty = Plan("golden", (), (), ())
    assert "nothing to change" in shown(capsys, Report("a", "a", False, "x", GUEST, empty))


def test_an_inspection_shows_system_layout_identities_and_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = Inspection(
        image="a.qcow2",
        format="qcow2",
        virtual_size=5 * 2**29,
        engine="guestfs",
        guest=GUEST,
        file_systems=(
            FileSystem("/dev/sda1", "vfat", "AB12-CD34", label="[b]EFI[/b]\x1b"),
            FileSystem("/dev/sda2", "ext4", "6f0c-uuid", partition_uuid="part-uuid"),
            FileSystem("/dev/sda3", "swap", "swap-uuid"),
        ),
        identifiers=(Identifier(IdentifierKind.DISK_GUID, "/dev/sda", "disk-guid"),),
        plan=PLAN,
        inventory=Inventory(host_names=(HostName("web", ("/etc/hostname",)),)),
        warnings=("fstab names a [gone] disk",),
    )
    show_inspection(Page(), found, verbose=False, plan=False)
    brief = capsys.readouterr().out
    for words in (
        "a.qcow2: qcow2, 2.5 GiB",
        r"[b]EFI[/b]\x1b",
        "/boot/efi",
        "AB12-CD34",
        "part-uuid",
        "swap-uuid",
        "host name      web",
        "0123" * 8,
        "warning        fstab names a [gone] disk",
        "would make 10 changes in 2 steps",
    ):
        assert words in brief
    assert brief.index("0123" * 8) < brief.index("AB12-CD34")
    assert "/var/log" not in brief
    show_inspection(Page(), found, verbose=True, plan=True)
    full = capsys.readouterr().out
    assert "disk-guid" in full
    assert "/var/log/8" in full


@pytest.mark.slow
@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_its_width_and_colour_if_it_wants(
    env: dict[str, str], coloured: bool
) -> None:
    """The real command on a real (pseudo) terminal, 60 columns wide."""
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "unclone", "steps"],
        stdout=secondary,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "60", **env},
    )
    os.close(secondary)
    out = b""
    while True:
        try:
            chunk = os.read(primary, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        out += chunk
    os.close(primary)
    assert process.wait() == 0
    text = out.decode()
    assert ("\x1b[32m" in text) is coloured
    plain = text.replace("\x1b[0m", "").replace("\x1b[32m", "").replace("\x1b[2m", "")
    assert max(len(line) for line in plain.replace("\x1b[1m", "").splitlines()) <= 60


def test_a_file_system_without_a_checker_does_not_count_as_clean(
    capsys: pytest.CaptureFixture[str],
) -> None:
    checks = (
        CheckResult("/dev/sda1", "vfat", CheckState.CLEAN, ""),
        CheckResult("/dev/sda2", "f2fs", CheckState.NOT_CHECKED, "no checker"),
        CheckResult("/dev/sda3", "f2fs", CheckState.NOT_CHECKED, "no checker"),
        CheckResult("/dev/sda4", "jfs", CheckState.NOT_CHECKED, "no checker"),
    )
    text = shown(capsys, replace(REPORT, verification=Verification(checks)), verbose=False)
    expected = "1 file system clean, 3 not checked (f2fs: no checker; jfs: no checker)"
    assert expected in " ".join(text.split())


def test_a_real_run_over_a_tree_is_rendered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(
        tmp_path,
        {
            "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
            "/var/lib/systemd/random-seed": b"\x01" * 32,
            "/etc/os-release": 'ID=debian\nPRETTY_NAME="Debian 12"\n',
        },
    )
    guest = guest_at(tmp_path)
    plan = make_plan(guest, Options())
    outcomes = tuple(apply_plan(guest, plan))
    seen = verify(guest, plan, outcomes)
    done = Report("a", "a", False, "tree", GUEST, plan, outcomes=outcomes, verification=seen)
    text = shown(capsys, done, verbose=True)
    for made in plan.changes:
        assert made.target in text
    assert f"{len(plan.changes)} changes read back, 1 file system clean" in text


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["steps"], ["steps", "random-seed"], ["doctor"]])
def test_lists_in_a_pipe_are_80_columns_wide_and_end_in_no_blanks(arguments: list[str]) -> None:
    text = CliRunner(env={"COLUMNS": ""}).invoke(cli, arguments).stdout
    listed = text.splitlines()[1:]  # the first line says what it all comes to
    assert listed
    assert [line for line in listed if columns(line) > 80] == []
    assert [line for line in text.splitlines() if line != line.rstrip()] == []
