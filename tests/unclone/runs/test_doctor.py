"""``unclone doctor``: what is seen, what is missing, and how to get it on each distribution."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.tree import plant
from unclone.cli.main import cli
from unclone.images.engines.guestfs.acceleration import Acceleration
from unclone.runs import doctor as host
from unclone.runs import host_packages

RELEASES = {
    "debian": "ID=debian\nVERSION_ID=12\n",
    "fedora": 'ID="rocky"\nID_LIKE="rhel centos fedora"\n',
    "suse": 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n',
    "arch": "ID=arch\n",
    "": "ID=plan9\n",
}
IDS = ["python", "qemu-img", "setpriv", "e2fsck", "libext2fs", "qemu-nbd", "qemu-system", "guestfs",
       "appliance", "kernel", "xfs", "frozen", "kvm", "firmware", "space"]  # fmt: skip


def by_id(root: Path) -> dict[str, host.Check]:
    found = host.checks(root)
    assert [check.id for check in found] == IDS
    return {check.id: check for check in found}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host without any program or file of use."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(host, "_SYSTEM_FOLDERS", str(tmp_path / "nothing"))
    for name in ("LIBGUESTFS_PATH", "SUPERMIN_KERNEL", "LIBGUESTFS_CACHEDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.mark.parametrize("family", RELEASES)
def test_a_bare_host_is_told_what_to_install(bare: Path, family: str) -> None:
    plant(bare, {"/etc/os-release": RELEASES[family]})
    assert host_packages.distribution_family(bare) == family
    found = by_id(bare)
    needed = {"qemu-img", "setpriv", "e2fsck"}
    assert {name for name, check in found.items() if check.state == "missing"} == needed
    optional = {"qemu-nbd", "qemu-system", "guestfs", "appliance", "kernel", "frozen"}
    assert {found[name].state for name in optional} == {"optional"}
    for name in needed | optional:
        words = {"debian": "apt-get", "fedora": "dnf", "suse": "zypper", "arch": "pacman"}
        assert words.get(family, "install ") in found[name].fix
    assert found["kvm"].state == "optional"
    assert host.verdict([*found.values()]) == (
        "not ready: the direct engine needs: qemu-img, setpriv, e2fsck"
    )
    assert not host.is_ready([*found.values()])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("absent", "ready", "line"),
    [
        ((), True, "ready: direct engine (ext2/3/4, FAT) and guestfs engine (XFS, btrfs, "),
        (("kvm", "xfs"), True, "ready: direct engine (ext2/3/4, FAT) and guestfs engine ("),
        (
            ("guestfs", "kernel"),
            True,
            "direct and appliance engine ready (ext2/3/4, FAT, XFS, btrfs, LVM, LUKS, RAID1); the ",
        ),
        (
            ("guestfs", "kernel", "frozen"),
            True,
            "direct engine ready (ext2/3/4, FAT); XFS, btrfs, LVM, LUKS and MD need: libguestfs b",
        ),
        (
            ("libext2fs", "e2fsck"),
            True,
            "guestfs engine ready; the direct engine, which is faster, needs: e2fsck, libext2fs",
        ),
        (("qemu-img",), False, "not ready: the direct engine needs: qemu-img"),
        (("libext2fs", "guestfs"), False, "not ready: the direct engine needs: libext2fs"),
    ],
)
def test_the_first_line_says_what_works(absent: tuple[str, ...], ready: bool, line: str) -> None:
    """What is in *absent* has the state that it has on a bare host."""
    optional = {"kvm", "xfs", "guestfs", "kernel", "frozen"}
    found = [
        dataclasses.replace(
            check,
            state="ok"
            if check.id not in absent
            else "optional"
            if check.id in optional
            else "missing",
        )
        for check in host.checks()
    ]
    assert host.is_ready(found) is ready
    assert host.verdict(found).startswith(line)


def test_qemu_nbd_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that is there and serves no disk is not reported as working; the engines stay ready."""
    broken = tmp_path / "bin" / "qemu-nbd"
    plant(tmp_path, {"/bin/qemu-nbd": "#!/bin/sh\nexit 1\n"})
    broken.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    works = host._nbd("debian", tmp_path)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=os.pathsep)
    fails = host._nbd("debian", tmp_path)
    assert (works.state, fails.state) == ("ok", "optional")
    assert fails.found == "qemu-nbd cannot open the image"
    assert fails.fix == "sudo apt-get install qemu-utils"
    assert host.is_ready([works, fails])
    assert not list(tmp_path.glob("unclone-*"))


@pytest.mark.slow
def test_quiet_is_the_first_line_alone() -> None:
    long, short = (CliRunner().invoke(cli, ["doctor", *extra]) for extra in ([], ["-q"]))
    assert short.stdout == long.stdout.splitlines(keepends=True)[0]
    assert "direct engine" in short.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "exists", "fix"),
    [
        ("there is no /dev/kvm", False, "sudo modprobe kvm_intel"),
        ("no permission to use /dev/kvm; ...", True, "sudo usermod -aG kvm"),
        ("qemu-system-x86_64 failed (killed by signal 6)", True, "nested virtualisation"),
        ("qemu-system-x86_64 did not end within 10 s", True, "software emulation"),
    ],
)
def test_kvm_that_does_not_work_has_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reason: str, exists: bool, fix: str
) -> None:
    monkeypatch.setattr(host, "probe", lambda _: Acceleration(kvm=False, reason=reason))
    monkeypatch.setattr(host, "KVM", tmp_path if exists else tmp_path / "kvm")
    (check,) = [each for each in host.checks(tmp_path) if each.id == "kvm"]
    assert (check.state, check.found) == ("optional", reason)
    assert fix in check.fix


def test_every_package_is_named_for_every_family() -> None:
    families = set(RELEASES) - {""}
    named = {name: set(table) for name, table in host_packages.PACKAGES.items()}
    assert named == dict.fromkeys(host_packages.PACKAGES, families)


@pytest.mark.parametrize(
    ("files", "name", "state", "words"),
    [
        ({"/boot/vmlinuz-6.1.0": "elf"}, "kernel", "ok", "vmlinuz-6.1.0"),
        ({"/usr/lib/modules/6.9/vmlinuz": "elf"}, "kernel", "ok", "6.9/vmlinuz"),
        ({}, "kernel", "optional", "no kernel in /boot"),
        ({}, "frozen", "optional", "there is no kernel with modules"),
        (
            {"/boot/vmlinuz-9": "elf", "/lib/modules/9/modules.dep": ""},
            "frozen",
            "optional",
            "no qemu-system-x86_64 in PATH",
        ),
        ({"/usr/lib/x86_64-linux-gnu/guestfs/supermin.d/base": ""}, "appliance", "ok", "guestfs"),
        ({"/usr/lib64/guestfs/root": ""}, "appliance", "ok", "lib64"),
        ({"/usr/lib64/guestfs/supermin.d/packages-xfs": ""}, "xfs", "ok", "packages-xfs"),
        ({"/usr/lib64/guestfs/supermin.d/base": ""}, "xfs", "optional", "has none"),
        ({"/etc/os-release": RELEASES["arch"]}, "xfs", "ok", "part of the appliance"),
    ],
)
def test_what_files_show(
    bare: Path, files: dict[str, str | bytes | None], name: str, state: str, words: str
) -> None:
    plant(bare, files)
    check = by_id(bare)[name]
    assert check.state == state
    assert words in check.found


@pytest.mark.slow
def test_a_kernel_for_root_alone_is_no_kernel_for_others() -> None:
    program = (
        "import os, sys; from pathlib import Path; from unclone.runs import doctor as host\n"
        "if os.geteuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "[c] = [c for c in host.checks(Path(sys.argv[1])) if c.id == 'kernel']\n"
        "print(c.state, c.fix)"
    )
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        Path(folder).chmod(0o755)
        plant(Path(folder), {"/boot/vmlinuz-6.8-generic": "elf"})
        Path(folder, "boot/vmlinuz-6.8-generic").chmod(0)
        argv = [sys.executable, "-c", program, folder]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.startswith("optional sudo chmod 0644")


def test_space_is_judged_where_the_appliance_goes(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBGUESTFS_CACHEDIR", "/nonexistent/cache")
    check = by_id(bare)["space"]
    assert (check.state, "No such file" in check.found) == ("optional", True)


def test_a_fixed_appliance_and_an_own_kernel_count(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(bare, {"/fixed/root": "", "/own/kernel": "elf"})
    monkeypatch.setenv("LIBGUESTFS_PATH", str(bare / "fixed"))
    monkeypatch.setenv("SUPERMIN_KERNEL", str(bare / "own/kernel"))
    found = by_id(bare)
    assert (found["appliance"].state, found["kernel"].state) == ("ok", "ok")


@pytest.mark.slow
def test_the_command_says_the_same_in_json() -> None:
    text, document = (
        CliRunner(env={"COLUMNS": "300"}).invoke(cli, ["doctor", *extra])
        for extra in ([], ["--json"])
    )
    results = json.loads(document.stdout)["results"]
    assert [entry["id"] for entry in results] == IDS
    assert set(results[0]) == {"id", "title", "state", "found", "needed_for", "fix", "engine"}
    ready = host.is_ready([host.Check(**entry) for entry in results])
    assert text.exit_code == document.exit_code == int(not ready)
    for entry in results:
        assert re.search(
            rf"^{entry['state']} +{re.escape(entry['title'])}: ", text.stdout, re.MULTILINE
        )


@pytest.mark.slow
def test_this_host_can_run_the_tests() -> None:
    argv = [sys.executable, "-m", "unclone", "doctor", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    states = {entry["id"]: entry["state"] for entry in json.loads(done.stdout)["results"]}
    assert {name for name, state in states.items() if state != "ok"} <= {"kvm"}
    assert done.returncode == 0
