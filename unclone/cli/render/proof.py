"""What ``unclone prove`` found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unclone.cli.render.page import count
from unclone.cli.render.report import show_timings

if TYPE_CHECKING:
    from unclone.cli.render.page import Page
    from unclone.runs.prove.result import Boot, Proof

WORDS = {
    "proven": ("proven", "green"),
    "different": ("booted, but different", "red"),
    "not-booted": ("not booted", "red"),
}


def show_proof(page: Page, proof: Proof, *, verbose: bool) -> None:
    """One machine; *verbose* for all that the guest said."""
    words, colour = WORDS[proof.status]
    page.headline(proof.image, f": {words}")
    by = "KVM" if proof.kvm else "software emulation"
    page.line(f"{proof.guest} ({proof.init}), {proof.firmware.upper()}, {by}")
    for number, boot in enumerate(proof.boots, 1):
        _show_boot(page, boot, f"boot {number}" if len(proof.boots) > 1 else "boot")
    page.field(
        "different",
        [f"{d.what}: expected {d.expected}, found {d.found}" for d in proof.differences],
        fg=colour,
    )
    page.field("shared", [f"{kind}: {value}" for kind, value in proof.shared], fg="red")
    page.field("failed before", proof.failed_before)
    if proof.original is not None:
        _show_boot(page, proof.original, "original")
    last = proof.boots[-1]
    if last.said is not None:
        _show_identity(page, last)
    else:
        page.field(
            "console", last.ending.console.last_lines() or ["nothing was written to it"], dim=True
        )
    page.field("note", proof.notes)
    if verbose:
        for key, values in (last.said.values if last.said else {}).items():
            if key not in {"begin", "end"}:
                page.field(key, [value for value in values if value], dim=True)
        show_timings(page, proof.timings.items())


def _show_boot(page: Page, boot: Boot, label: str) -> None:
    ending = boot.ending
    if boot.said is None:
        came = f"came as far as: {ending.phase}"
        page.field(label, [f"{ending.reason}; {came}, after {ending.seconds:.0f} s"])
        return
    failed = len(boot.said.failed_units)
    units = f", {count(failed, 'unit')} failed" if failed else ""
    page.field(label, [f"reported after {ending.seconds:.0f} s{units}"])


def _show_identity(page: Page, boot: Boot) -> None:
    said = boot.said
    assert said is not None  # noqa: S101 (the caller looked)
    page.field("machine-id", [said.machine_id or "none"])
    page.field("host name", [said.first("hostname") or "none"])
    page.field("instance-id", filter(None, [said.first("instance-id")]))
    page.field("host keys", [f"{path} {print_}" for path, print_ in said.host_keys.items()])
    page.field("MAC addresses", said.macs)
