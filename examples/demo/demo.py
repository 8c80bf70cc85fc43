"""``make demo``: one golden guest, two copies, and what makes each of them a machine of its own.

The guest is built from Debian's packages (once; it is cached). What is in the images before and
after is read with guestfish, which knows nothing of unclone. The copies stay, to be looked at.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
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
    "SSH host key (ed25519)": "/etc/ssh/ssh_host_ed25519_key.pub",
    "SSH host key (ecdsa)": "/etc/ssh/ssh_host_ecdsa_key.pub",
    "SSH host key (rsa)": "/etc/ssh/ssh_host_rsa_key.pub",
    "entropy seed": "/var/lib/systemd/random-seed",
    "DHCP lease": "/var/lib/dhcp/dhclient.ens3.leases",
    "cloud-init instance": "/var/lib/cloud/data/instance-id",
}


def main() -> int:
    """Run the demo; 0 when the copies share nothing that is shown."""
    started = time.monotonic()
    folder = debian.cache_directory() / "demo"
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
        f"Of {len(SHOWN)} things that say who a machine is, the copies shared "
        f"[bold]{shared_before}[/] before and share [bold]{shared_after}[/] now.\n"
        "What is missing, each of them makes for itself the first time it starts.\n\n"
        f"The copies: {', '.join(escape(str(copy)) for copy in copies)}\n"
        f"The reports: beside them, as *.json\n"
        f"It took {minutes} min {seconds} s."
    )
    return 0 if shared_before == len(SHOWN) and shared_after == 0 else 1


def _two_copies(folder: Path) -> list[Path]:
    headline("A golden guest, and two copies of it")
    golden = debian.cached(lambda step: console.print(f"  {step} ..."))
    console.print(f"  golden image: {escape(str(golden))}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    copies = [folder / f"{name}.qcow2" for name in NAMES]
    for copy in copies:
        # cp knows about holes and reflinks.
        subprocess.run(["cp", "--reflink=auto", "--no-preserve=mode", golden, copy], check=True)
        console.print(f"  copy:         {escape(str(copy))}")
    return copies


def _sanitize(image: Path) -> Mapping[str, Any]:
    console.print(f"[bold]$ unclone sanitize --json {escape(image.name)}[/]")
    started = time.monotonic()
    done = subprocess.run(
        [UNCLONE, "sanitize", "--json", image], stdout=subprocess.PIPE, check=False
    )
    image.with_suffix(".json").write_bytes(done.stdout)
    if done.returncode != 0:
        sys.exit(done.returncode)
    report: Mapping[str, Any] = json.loads(done.stdout)["results"][0]
    console.print(
        f"  {len(report['changes'])} changes, verified, in {time.monotonic() - started:.0f} s\n"
    )
    return report


def _what_changed(report: Mapping[str, Any]) -> None:
    table = Table(title="The changes, as the report has them", title_justify="left")
    table.add_column("identity", overflow="fold")
    table.add_column("what was done", overflow="fold")
    table.add_column("why", overflow="fold")
    repeated: Counter[tuple[str, str]] = Counter()
    for change in report["changes"]:
        repeated[change["step"], change["why"]] += 1
        again = repeated[change["step"], change["why"]] > 1
        table.add_row(
            "" if again else escape(change["step"]),
            escape(f"{change['action']} {change['target']}"),
            "" if again else escape(change["why"]),
        )
    console.print(table)
    for note in report["notes"]:
        console.print(f"[dim]{escape(note['step'])}:[/] {escape(note['text'])}")


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
    if not _says_something(found):
        return f"[dim]{'empty' if found.kind == 'file' else escape(found.kind)}[/]"
    if found.content.startswith((b"ssh-", b"ecdsa-")):
        return readback.fingerprint(found.content)
    if len(found.content) <= 40 and found.text.isprintable():
        return escape(found.text)
    return f"[dim]sha256[/] {hashlib.sha256(found.content).hexdigest()[:16]}"


def headline(text: str) -> None:
    """Print a heading."""
    console.print()
    console.rule(f"[bold]{text}[/]", align="left")


if __name__ == "__main__":
    sys.exit(main())
