"""``make demo``: one golden guest, two copies, and what makes each of them a machine of its own.

The guest is built from Debian's packages (once; it is cached). What is in the images before and
after is read with guestfish, which knows nothing of unclone. The copies stay, to be looked at.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from tests.guests import debian
from tests.support import readback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.readback import Found

console = Console(highlight=False)

NAMES = ("web-01", "web-02")
UNCLONE = Path(sys.executable).with_name("unclone")

#: What the two copies are compared by: how people call it, and where it is kept.
SHOWN = {
    "machine-id": "/etc/machine-id",
    "D-Bus machine-id": "/var/lib/dbus/machine-id",
    "SSH key (ed25519)": "/etc/ssh/ssh_host_ed25519_key.pub",
    "SSH key (ecdsa)": "/etc/ssh/ssh_host_ecdsa_key.pub",
    "SSH key (rsa)": "/etc/ssh/ssh_host_rsa_key.pub",
    "entropy seed": "/var/lib/systemd/random-seed",
    "DHCP lease": "/var/lib/dhcp/dhclient.ens3.leases",
    "cloud-init instance": "/var/lib/cloud/data/instance-id",
}


def main(folder: Path) -> int:
    """Run the demo with copies in *folder*; 0 when they share nothing that is shown."""
    started = time.monotonic()
    copies = _two_copies(folder)

    headline("What is in the copies now (read by guestfish)")
    before = readback.read(copies, list(SHOWN.values()))
    shared_before = _compare(before)

    headline("unclone sanitize")
    reports = [_sanitize(copy) for copy in copies]
    _what_changed(reports[0])

    headline("What is in the copies afterwards (read by guestfish)")
    shared_after = _compare(readback.read(copies, list(SHOWN.values())))

    headline("Result")
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    console.print(
        f"Of {len(SHOWN)} identities of a machine, the copies shared "
        f"[bold]{shared_before}[/] before and share [bold]{shared_after}[/] now.\n"
        "Each copy makes what is missing at its first start.\n\n"
        f"The copies and their reports (web-01.json, web-02.json) are in {escape(str(folder))}.\n"
        f"This took {minutes} min {seconds} s.",
        soft_wrap=True,
    )
    return 0 if shared_before == len(SHOWN) and shared_after == 0 else 1


def _two_copies(folder: Path) -> list[Path]:
    headline("A golden guest, and two copies of it")
    golden = debian.cached(lambda step: console.print(f"  {step} ..."))
    console.print(f"  golden image: {escape(str(golden))}")
    folder.mkdir(parents=True, exist_ok=True)
    copies = [folder / f"{name}.qcow2" for name in NAMES]
    for copy in copies:
        # cp knows about holes and reflinks.
        copy.unlink(missing_ok=True)
        subprocess.run(["cp", "--reflink=auto", "--no-preserve=mode", golden, copy], check=True)
        console.print(f"  copy:         {escape(str(copy))}")
    return copies


def _sanitize(image: Path) -> Mapping[str, Any]:
    console.print(f"  [bold]$ unclone sanitize --json {escape(image.name)}[/]")
    started = time.monotonic()
    done = subprocess.run(
        [UNCLONE, "sanitize", "--quiet", "--json", image], stdout=subprocess.PIPE, check=False
    )
    image.with_suffix(".json").write_bytes(done.stdout)
    if done.returncode != 0:
        sys.exit(done.returncode)
    report: Mapping[str, Any] = json.loads(done.stdout)["results"][0]
    console.print(
        f"  {len(report['changes'])} changes, read back and verified, "
        f"in {time.monotonic() - started:.0f} s\n"
    )
    return report


def _what_changed(report: Mapping[str, Any]) -> None:
    """Print what was done, by identity, and why (web-02 differs only in its new values)."""
    for step, changes in groupby(report["changes"], key=lambda change: str(change["step"])):
        console.print(f"  [bold]{escape(step)}[/]")
        reasons = []
        for change in changes:
            console.print(f"    {change['action']:12} {escape(change['target'])}", soft_wrap=True)
            if change["why"] not in reasons:
                reasons.append(change["why"])
        for reason in reasons:
            console.print(Padding(f"[dim]{escape(reason)}[/]", (0, 0, 0, 6)))
    for note in report["notes"]:
        console.print(Padding(f"[bold]{escape(note['step'])}:[/] {escape(note['text'])}", (0, 2)))


def _compare(contents: list[Mapping[str, Found]]) -> int:
    """Print both copies side by side; return how many of the things shown are the same in both."""
    table = Table()
    table.add_column("")
    for name in NAMES:
        table.add_column(name, overflow="fold")
    table.add_column("shared")
    shared = 0
    for title, path in SHOWN.items():
        first, second = (content[path] for content in contents)
        same = _says_something(first) and first == second
        shared += same
        table.add_row(title, _shown(first), _shown(second), "[red]yes[/]" if same else "no")
    console.print(table)
    return shared


def _says_something(found: Found) -> bool:
    return found.kind == "file" and bool(found.content)


def _shown(found: Found) -> str:
    """A value short enough to stand beside another one: its beginning says whether they differ."""
    if not _says_something(found):
        return f"[dim]{'empty' if found.kind == 'file' else escape(found.kind)}[/]"
    if found.content.startswith((b"ssh-", b"ecdsa-")):
        value = readback.fingerprint(found.content)
    elif len(found.content) <= 40 and found.text.isprintable():
        value = found.text
    else:
        value = f"sha256 {hashlib.sha256(found.content).hexdigest()}"
    return escape(value if len(value) <= 20 else f"{value[:19]}…")


def headline(text: str) -> None:
    """Print a heading."""
    console.print()
    console.rule(f"[bold]{text}[/]", align="left")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else debian.cache_directory() / "demo"))
