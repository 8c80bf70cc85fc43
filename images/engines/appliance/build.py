"""What the virtual machine starts from: the host's kernel, its modules, its Python, and the agent.

Everything is read from the host's files: nothing is downloaded, and nothing of it is run as root.
The interpreter is the one that runs here, so that both sides of the channel have the same version
of ``marshal``.

References: kernel ``Documentation/driver-api/early-userspace/buffer-format.rst`` (cpio "newc"),
modules.dep(5), kernel-install(8) (places of a kernel); dl_iterate_phdr(3).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unclone.images import process
from unclone.images.errors import EngineError
from unclone.images.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What the machine needs, and what some file systems need; those that the kernel lacks are built in
#: or not there, which the agent finds out.
MODULES = (
    *("virtio_pci", "virtio_scsi", "sd_mod", "virtio_console"),
    *("crc32c_generic", "xxhash_generic", "sha256_generic", "blake2b_generic"),
    *("xfs", "btrfs"),
)

#: The agent's modules, and what starts it.
AGENT = tuple(
    Path(__file__).with_name(name) for name in ("agent.py", "agent_files.py", "agent_kernel.py")
)
_PACKAGE = "unclone/images/engines/appliance"
_START = b"""import sys
sys.path.insert(0, "/agent")
from unclone.images.engines.appliance.agent import main
main()
"""

#: Where the agent finds its modules, and their order.
MODULE_FOLDER = "modules"

#: Lists the files that the interpreter needs for the agent: Python modules and shared libraries.
_CLOSURE = """
import sys, ctypes, json, os, encodings.utf_8
sys.path.insert(0, sys.argv[1])
import unclone.images.engines.appliance.agent
names = []
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
def note(info, size, data):
    name = ctypes.c_char_p.from_address(info + ctypes.sizeof(ctypes.c_void_p)).value
    names.append(os.fsdecode(name or b""))
    return 0
ctypes.CDLL(None).dl_iterate_phdr(note, None)
files = [m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)]
print(json.dumps([n for n in [*names, *files] if n.startswith("/")]))
"""

_FILE, _DIRECTORY, _CONSOLE = 0o100755, 0o040755, 0o020600


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of the host: *image* and the folder of its modules."""

    version: str
    image: Path
    modules: Path


def find_kernel(root: Path = Path("/")) -> Kernel:
    """The newest kernel that can be read, with its modules. Raises EngineError."""
    unreadable = []
    for modules in sorted(_module_folders(root), key=_version_key, reverse=True):
        for image in (root / "boot" / f"vmlinuz-{modules.name}", modules / "vmlinuz"):
            if os.access(image, os.R_OK):
                return Kernel(modules.name, image, modules)
            if image.exists():
                unreadable.append(image)
    if unreadable:
        raise EngineError(
            f"the kernel {printable(str(unreadable[0]))} is not readable for this user",
            hint=f"sudo chmod 0644 {printable(str(unreadable[0]))}",
        )
    raise EngineError(
        "there is no kernel with modules in /boot and /lib/modules",
        hint="On Debian: apt-get install linux-image-cloud-amd64",
    )


def interpreter() -> Path:
    """The program that runs this: without a virtual environment, and no link."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def agent_digest() -> str:
    """Of the agent and of what builds the initrd around it."""
    content = b"".join(path.read_bytes() for path in (*AGENT, Path(__file__)))
    return hashlib.sha256(content).hexdigest()


def build_initrd(kernel: Kernel, target: Path) -> str:
    """Write the initrd to *target* and return the arguments of its first process.

    Raises EngineError.
    """
    if platform.system() != "Linux":
        raise EngineError("the appliance needs a Linux host")
    python = interpreter()
    packages = Path(__file__).parents[4]  # the folder that holds the package `unclone`
    found = process.run([python, "-I", "-S", "-c", _CLOSURE, str(packages)], timeout=60).stdout
    files = {str(python): python.read_bytes(), "/agent.py": _START}
    files |= {f"/agent/{_PACKAGE}/{path.name}": path.read_bytes() for path in AGENT}
    parts = _PACKAGE.split("/")
    files |= {f"/agent/{'/'.join(parts[:n])}/__init__.py": b"" for n in range(1, len(parts) + 1)}
    libraries = set()
    for name in json.loads(found):
        if Path(name).is_relative_to(packages):
            continue
        files[os.path.normpath(name)] = Path(name).read_bytes()
        if ".so" in Path(name).name:
            libraries.add(str(Path(os.path.normpath(name)).parent))
    files |= {f"/{MODULE_FOLDER}/{name}": data for name, data in _modules(kernel).items()}
    target.write_bytes(b"".join(_cpio(files)))
    # The interpreter starts before there are random numbers; what it hashes is no secret.
    environment = f"PYTHONHASHSEED=0 LD_LIBRARY_PATH={':'.join(sorted(libraries))}"
    return f"{environment} rdinit={python} -- -s -S -P -X utf8 /agent.py"


def _module_folders(root: Path) -> Iterator[Path]:
    for parent in (root / "lib/modules", root / "usr/lib/modules"):
        for folder in parent.glob("*/modules.dep"):
            yield folder.parent


def _version_key(folder: Path) -> list[tuple[int, str]]:
    parts = re.findall(r"\d+|\D+", folder.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _modules(kernel: Kernel) -> Mapping[str, bytes]:
    """The content of every module by its name, and of ``order``, the names in order."""
    needs: dict[str, list[str]] = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    by_name = {_module_name(path): path for path in needs}
    wanted: dict[str, None] = {}
    for name in MODULES:
        path = by_name.get(name, "")
        for each in [*reversed(needs.get(path, [])), path]:
            if each:
                wanted[each] = None
    found = {_module_name(path): _plain(kernel.modules / path) for path in wanted}
    return {"order": "\n".join(found).encode(), **found}


def _module_name(path: str) -> str:
    return Path(path).name.partition(".ko")[0].replace("-", "_")


def _plain(path: Path) -> bytes:
    """The module at *path*, uncompressed."""
    raw = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(raw)
    if path.suffix == ".gz":
        return gzip.decompress(raw)
    if path.suffix == ".zst":
        return process.run(["zstd", "-dc"], stdin=raw, timeout=60).stdout
    return raw


def _cpio(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """An archive of *files*, by absolute names, with their folders."""
    folders = {str(parent) for name in files for parent in Path(name).parents}
    for name in sorted({*folders, "/dev", "/proc", "/sys", "/guest"} - {"/"}):
        yield _entry(name[1:], b"", _DIRECTORY)
    yield _entry("dev/console", b"", _CONSOLE, device=(5, 1))  # the standard files of the agent
    for name, content in files.items():
        yield _entry(name[1:], content, _FILE)
    yield _entry("TRAILER!!!", b"", 0)


def _entry(name: str, content: bytes, mode: int, device: tuple[int, int] = (0, 0)) -> bytes:
    raw = os.fsencode(name) + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + raw
    return head + bytes(-len(head) % 4) + content + bytes(-len(content) % 4)
