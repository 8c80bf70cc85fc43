"""The parts of which the disk of a small Debian 13 guest is made, without root or loop devices."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.guests.sparse import MIB, copy_sparse, sized
from tests.guests.trixie.base import ARGUMENTS, Base, Identifiers
from unclone.images.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT_MIB, VAR_MIB, ESP_MIB, SWAP_MIB, SMALL_MIB = 900, 64, 128, 32, 16

#: Partition types, as sfdisk takes them.
ESP, LINUX, SWAP, RAID = "U", "L", "S", "R"


@dataclass(frozen=True)
class Part:
    """One partition with the content of the file *image*."""

    image: Path | None
    mib: int
    type: str
    uuid: str = ""

    @property
    def line(self) -> str:
        """It, for sfdisk."""
        uuid = f", uuid={self.uuid}" if self.uuid else ""
        return f"size={self.mib}MiB, type={self.type}{uuid}"


@dataclass
class Builder:
    """Makes the parts of one guest in *folder*, from what *prepared* holds."""

    prepared: Path
    base: Base
    ids: Identifiers
    folder: Path
    count: int = field(default=0)

    def root(self, files: Mapping[str, str], *, image: str = "root.img") -> Path:
        """The root file system with *files* (``-> target`` is a symlink) and the machine-id."""
        own = {"/etc/machine-id": f"{self.ids.machine_id}\n"} | dict(files)
        root = self.copy(image)
        run(["tune2fs", "-U", self.ids.root, root])
        commands = []
        # debugfs makes what is there a second time.
        made = {"/", "/etc", "/etc/mdadm", "/srv", "/boot", "/boot/grub", "/boot/grub2"}
        made |= {"/boot/loader", "/boot/loader/entries"}
        for number, (path, text) in enumerate(own.items()):
            parents = [str(each) for each in reversed(Path(path).parents)]
            commands += [f"mkdir {each}" for each in parents if each not in made]
            made.update(parents)
            commands.append(f"rm {path}")
            if text.startswith("-> "):
                commands.append(f"symlink {path} {text[3:]}")
                continue
            source = self.folder / f"file{number}"
            source.write_text(text)
            source.chmod(0o644)
            commands += [f"write {source} {path}", f"sif {path} uid 0", f"sif {path} gid 0"]
        run(["debugfs", "-w", "-f", "-", root], stdin="\n".join([*commands, ""]).encode())
        run(["e2fsck", "-f", "-p", root])
        return root

    def esp(self, files: Mapping[str, str | Path]) -> Path:
        """An EFI system partition with *files*."""
        esp = sized(self.new(), ESP_MIB)
        run(["mkfs.vfat", "-F", "32", "-i", self.ids.esp.replace("-", ""), esp])
        made: set[str] = set()
        for name, content in files.items():
            for above in reversed(Path(name).parents[:-1]):
                if str(above) not in made:
                    run(["mmd", "-i", esp, f"::{above}"])
                    made.add(str(above))
            source = content
            if isinstance(content, str):
                source = self.folder / "text"
                source.write_text(content)
            run(["mcopy", "-i", esp, source, f"::{name}"])
        return esp

    def systemd_boot(self, files: Mapping[str, str | Path]) -> Path:
        """An ESP that systemd-boot starts from."""
        loader = self.prepared / "systemd-bootx64.efi"
        return self.esp(
            {"EFI/BOOT/BOOTX64.EFI": loader, "loader/loader.conf": "timeout 0\n", **files}
        )

    def entry(self, options: str) -> Mapping[str, str | Path]:
        """A boot entry, and kernel and initrd where no pattern looks for them."""
        return {
            "loader/entries/debian.conf": (
                "title Debian\nlinux /debian/linux\ninitrd /debian/initrd\n"
                f"options {options} {ARGUMENTS}\n"
            ),
            "debian/linux": self.prepared / "linux",
            "debian/initrd": self.prepared / "plain",
        }

    def ext4(self, mark: str, uuid: str = "") -> Path:
        """A small file system that says which one it is."""
        tree = self.folder / mark
        tree.mkdir()
        (tree / "MARK").write_text(mark)
        image = sized(self.new(), SMALL_MIB)
        run(
            ["mke2fs", "-q", "-F", "-t", "ext4", *(("-U", uuid) if uuid else ()), "-d", tree, image]
        )
        return image

    def swap(self) -> Part:
        """The swap area."""
        image = sized(self.new(), SWAP_MIB)
        run(["mkswap", "-q", "-U", self.ids.swap, image])
        return Part(image, SWAP_MIB, SWAP)

    def fstab(self, esp: str, *more: str) -> str:
        """A table with the root, the ESP mounted at *esp*, and *more*."""
        lines = [f"UUID={self.ids.root} / ext4 errors=remount-ro 0 1"]
        lines.append(f"UUID={self.ids.esp} {esp} vfat umask=0077 0 1")
        return "\n".join([*lines, *more, ""])

    def swap_line(self) -> str:
        """The line of fstab for the swap area."""
        return f"UUID={self.ids.swap} none swap sw 0 0"

    def grub_entry(self, arguments: str) -> str:
        """What a GRUB configuration says to start the kernel that is on the root."""
        return (
            f"search --no-floppy --fs-uuid --set=root {self.ids.root}\nset timeout=0\n"
            "menuentry 'Debian' {\n"
            f"\tlinux /boot/linux {arguments}\n\tinitrd /boot/initrd\n}}\n"
        )

    def disk(self, *parts: Part) -> Path:
        """A qcow2 image of a GPT disk."""
        raw = sized(self.new(), sum(part.mib for part in parts) + 2)
        script = "\n".join(["label: gpt", *(part.line for part in parts), ""])
        run(["sfdisk", "--quiet", raw], stdin=script.encode())
        at = 1
        for part in parts:
            if part.image:
                copy_sparse(part.image, raw, at * MIB)
                part.image.unlink()
            at += part.mib
        disk = raw.with_suffix(".qcow2")
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk])
        raw.unlink()
        return disk

    def new(self) -> Path:
        """The place of another image."""
        self.count += 1
        return self.folder / f"part{self.count}.img"

    def copy(self, name: str) -> Path:
        """A copy of the file system *name* that was prepared."""
        source = self.prepared / name
        image = sized(self.new(), source.stat().st_size // MIB)
        copy_sparse(source, image, 0)
        return image
