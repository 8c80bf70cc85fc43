"""Mounting a file system in a shell of the appliance."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unclone.images.file_systems.file_system_type import FileSystemType

#: Options for every file system: the guest is not trusted.
MOUNT_OPTIONS = ("nosuid", "nodev", "noexec")


def mount_command(kind: FileSystemType, node: str, mount_point: str) -> str:
    """The shell command that makes *mount_point* and mounts *node* there."""
    options = ",".join((*kind.mount_options, *MOUNT_OPTIONS))
    steps = [f"mkdir -p {mount_point}"]
    if kind.device_scan:
        steps.append(" ".join(kind.device_scan))
    steps.append(f"mount -t {kind.names[0]} -o {options} {node} {mount_point}")
    return " && ".join(steps)
