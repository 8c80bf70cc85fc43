"""How the appliance's shell mounts a file system."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unclone.images.file_systems.file_system_type import FileSystemType

#: Options for every file system, whatever the guest's own fstab says: nothing of it is trusted.
MOUNT_OPTIONS = ("nosuid", "nodev", "noexec")


def mount_command(kind: FileSystemType, node: str, mount_point: str) -> str:
    """The shell command that mounts *node* at *mount_point*, which it makes."""
    options = ",".join((*kind.mount_options, *MOUNT_OPTIONS))
    steps = [f"mkdir -p {mount_point}"]
    if kind.device_scan:
        steps.append(" ".join(kind.device_scan))
    steps.append(f"mount -t {kind.names[0]} -o {options} {node} {mount_point}")
    return " && ".join(steps)
