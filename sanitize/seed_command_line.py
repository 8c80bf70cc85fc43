"""What a kernel command line in the image makes of a seed on a disk.

References: cloud-init 26.2 ``tools/ds-identify`` (``ds=``, ``ci.ds=``, ``ci.datasource=``,
``ci.di.policy=``), ``cloudinit/sources/DataSourceNoCloud.py`` (``ds=nocloud;s=;i=;h=``),
``cloudinit/util.py`` ``read_cc_from_cmdline`` (``cc:``), ``cloudinit/cmd/main.py``
(``cloud-config-url=``); systemd-debug-generator(8) (``systemd.mask=``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from unclone.images.text import printable
from unclone.sanitize.obstacle import Obstacle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.sanitize.boot.kernel_arguments import CommandLine

_REMEDY = "Take it off the kernel command line in the image."
_SOURCE = ("ds", "ci.ds", "ci.datasource")
_OURS = frozenset({"nocloud", "nocloud-net", "nocloudnet"})
#: What a later part of ``ds=nocloud;...`` sets, and whether all of the seed goes with it.
_PARTS = {
    "s": ("the files are taken from there, and not from the disk", True),
    "seedfrom": ("the files are taken from there, and not from the disk", True),
    "i": ("the instance-id is that one, for every copy", True),
    "instance-id": ("the instance-id is that one, for every copy", True),
    "h": ("the host name is that one, for every copy", False),
    "local-hostname": ("the host name is that one, for every copy", False),
}
_UNITS = re.compile(r"cloud-(init|config|final)([-.].*)?")


def command_line_obstacles(lines: Iterable[CommandLine]) -> Iterator[Obstacle]:
    """The obstacles on the kernel command lines of an image, each once."""
    seen = set()
    for line in lines:
        for argument in line.arguments:
            for obstacle in _of_argument(line.path, argument):
                if obstacle not in seen:
                    seen.add(obstacle)
                    yield obstacle


def _of_argument(path: str, argument: str) -> Iterator[Obstacle]:
    key, equals, value = argument.strip("\"'").partition("=")
    shown = printable(f"{key}{equals}{value}", 60)

    def found(name: str, meaning: str, *, whole: bool = True) -> Obstacle:
        return Obstacle(
            name, path, f"{shown} on the kernel command line: {meaning}", _REMEDY, whole
        )

    if key in _SOURCE and value:
        source, *parts = value.replace("\\;", ";").split(";")
        if source.lower() not in _OURS:
            yield found("datasource-on-command-line", "a seed is not looked for")
            return
        for part in parts if key == "ds" else ():
            meaning, whole = _PARTS.get(part.partition("=")[0], ("", False))
            if meaning and part.partition("=")[2]:
                yield found("seed-on-command-line", meaning, whole=whole)
    elif key == "ci.di.policy" and "disabled" in value.partition(",")[0].split(";"):
        yield found("disabled-on-command-line", "cloud-init is switched off")
    elif key == "systemd.mask" and _UNITS.fullmatch(value):
        yield found("disabled-on-command-line", "a part of cloud-init does not run")
    elif (key == "cloud-config-url" and value) or argument.startswith("cc:"):
        yield found("config-on-command-line", "it wins over the image's settings", whole=False)
