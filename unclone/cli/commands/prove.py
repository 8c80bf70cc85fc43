"""``unclone prove``: boot a machine on overlays that are thrown away."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unclone.cli import options
from unclone.cli.document import print_document
from unclone.cli.execute import execute
from unclone.cli.output_options import SectionedCommand, output_options
from unclone.cli.progress import progress_for
from unclone.cli.standard_streams import settle
from unclone.images.errors import ExitStatus

if TYPE_CHECKING:
    from unclone.cli.progress import Progress
    from unclone.runs.prove.result import Proof
    from unclone.runs.prove.run import Order

EPILOG = """\b
Examples:
  unclone prove web-01.qcow2
  unclone prove web-01.qcow2 --report report.json
  unclone prove web-01.qcow2 --against golden.qcow2 --reboots 2
  unclone prove vms/web-01.qcow2 --definition vms/web-01.xml --seed vms/web-01.iso
"""

SECTIONS = {
    "Options": (
        *("--report", "--against", "--definition", "--seed", "--reboots", "--timeout"),
        *("--json", "--verbose", "--quiet"),
    ),
    "When it does not boot": ("--screenshot", "--console"),
    "Opening images": (
        *("--engine", "--format", "--add-disk", "--allow-dir", "--key-file", "--ask-passphrase"),
    ),
}

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("prove", cls=SectionedCommand, sections=SECTIONS, epilog=EPILOG)
@options.image_argument(several=True)
@click.option(
    "--report",
    type=_FILE,
    metavar="FILE",
    help="What `unclone sanitize --json` printed: the machine must be who it says.",
)
@click.option(
    "--against",
    type=_FILE,
    metavar="ORIGINAL",
    help="Boot this image the same way, and tell what both machines have.",
)
@click.option(
    "--definition", type=_FILE, metavar="FILE", help="The machine's definition: its hardware."
)
@click.option("--seed", type=_FILE, metavar="ISO", help="The machine's NoCloud seed.")
@click.option(
    "--reboots",
    type=click.IntRange(min=1, max=9),
    default=1,
    show_default=True,
    metavar="N",
    help="How often the machine is booted, its disks keeping what happens.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="For each boot; default: 300 with KVM, 1800 without.",
)
@click.option(
    "--screenshot",
    type=_FILE,
    metavar="FILE",
    help="Write the screen of a machine that does not boot, as PNG.",
)
@click.option("--console", type=_FILE, metavar="FILE", help="Write what the serial console said.")
@options.opening_options
@output_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    images: tuple[Path, ...],
    screenshot: Path | None,
    console: Path | None,
    as_json: bool,  # noqa: FBT001 (click gives flags by name)
    verbose: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    **given: Any,  # noqa: ANN401 (the rest of the order)
) -> None:
    """Boot the machine on the disks IMAGE..., and show whether it is who it should be.

    The disks of one machine are given, its boot disk first. It boots in QEMU, on overlays that are
    thrown away, without a network; the images are only read. What it says of itself is compared
    with what is in the image. The exit status is 0 when it is proven, and 5 when it is different,
    or does not boot.
    """
    if not images:
        raise click.UsageError("Missing argument 'IMAGE...'.")
    from unclone.runs.prove.run import prove  # noqa: PLC0415 (the engines come with it: not for --help)

    with progress_for(quiet=quiet) as progress:

        def work(listener: Any) -> Proof:  # noqa: ANN401 (a Listener)
            return prove(_order(images, given, progress), listener)

        done = execute(ctx, images[0], progress, work)
    proof = done.result
    status = proof.exit_status if proof else done.status
    settle(ctx, status or ExitStatus.FAILED)
    if proof and screenshot is not None:
        _write(screenshot, proof.boots[-1].ending.screen, progress)
    if proof and console is not None:
        lines = [f"{line}\n" for boot in proof.boots for line in boot.ending.console.lines()]
        _write(console, "".join(lines).encode(), progress)
    if as_json:
        print_document("unclone.prove/1", [done.to_json()])
    elif proof:
        from unclone.cli.render.page import Page  # noqa: PLC0415 (of no use to --json)
        from unclone.cli.render.proof import show_proof  # noqa: PLC0415 (likewise)

        show_proof(Page(), proof, verbose=verbose)
    ctx.exit(status)


def _order(images: tuple[Path, ...], given: dict[str, Any], progress: Progress) -> Order:
    from unclone.runs.prove import expected  # noqa: PLC0415 (not for --help)
    from unclone.runs.prove.run import Order, require_sense  # noqa: PLC0415 (likewise)
    from unclone.runs.request import Request  # noqa: PLC0415 (likewise)

    request = Request(
        images[0],
        add_disks=(*images[1:], *given["add_disks"]),
        format=given["image_format"] or "",
        engine=given["engine"],
        allow=given["allow"],
        key_files=given["key_files"],
        passphrase=options.asking(progress) if given["ask_passphrase"] else None,
    )
    report: Path | None = given["report"]
    result = None
    if report is not None:
        result = expected.result_for(images[0], expected.read_report(report), report)
    order = Order(
        request,
        definition=given["definition"],
        seed=given["seed"],
        against=given["against"],
        report=result,
        report_name=str(report),
        boots=given["reboots"],
        limit=given["timeout"] or 0,
    )
    require_sense(order)
    return order


def _write(file: Path, content: bytes, progress: Progress) -> None:
    from unclone.images.text import shown  # noqa: PLC0415 (not for --help)

    if not content:
        progress.say(f"{shown(file)} is not written: there is nothing to write")
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        progress.fail(f"{shown(file)} cannot be written: {error.strerror}")
