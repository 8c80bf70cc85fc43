"""A saved plan: carried out as it is, or refused with what has changed; and hostile files."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.identified import ROOT, SWAP, IdentifiedVolumes, identified_guest, olds
from tests.support.tree import plant
from unclone.images.errors import RefusedError, UsageError
from unclone.images.formats.header import Format
from unclone.images.image import Image
from unclone.sanitize import saved_plan
from unclone.sanitize.new_values import NewValues
from unclone.sanitize.options import Options, Profile
from unclone.sanitize.planning import make_plan
from unclone.sanitize.saved_plan import SavedPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from unclone.images.guest import Guest

OPTIONS = Options(machine_id="random", disable=frozenset({"journal-folders"}))
ID = "0123456789abcdef0123456789abcdef"


def guest_in(folder: Path, files: Mapping[str, str | bytes | None] | None = None) -> Guest:
    plant(
        folder,
        {
            "/etc/fstab": f"UUID={ROOT.old} / ext4\nUUID={SWAP.old} none swap\n",
            "/etc/machine-id": f"{ID}\n",
            "/etc/os-release": "ID=debian\n",
            **(files or {}),
        },
    )
    return identified_guest(IdentifiedVolumes(folder, olds()))


def image_in(folder: Path) -> Image:
    backing, own = folder / "base.raw", folder / "web-01.qcow2"
    for path in (backing, own):
        if not path.exists():
            path.write_bytes(b"x" * 1024)
    base = Image(backing, Format.RAW, 1024)
    return Image(own, Format.QCOW2, 2048, backing=base)


def saved_in(folder: Path, options: Options = OPTIONS) -> Path:
    """A plan for the guest and the image in *folder*, saved."""
    guest, new_values = guest_in(folder / "guest"), NewValues()
    plan = make_plan(guest, options, new_values)
    saving = SavedPlan.of([image_in(folder)], guest, options, new_values, plan)
    path = folder / "web-01.plan"
    saving.write(path)
    return path


def test_what_was_saved_is_planned_again_to_the_letter(tmp_path: Path) -> None:
    path = saved_in(tmp_path)
    saved = saved_plan.read(path)
    guest = guest_in(tmp_path / "guest")
    saved.require_disks([image_in(tmp_path)])
    saved.require_identifiers(guest)
    plan = make_plan(guest, saved.options_with(()), saved.new_values)
    saved.require_plan(plan)
    stored = json.loads(path.read_bytes())["plan"]
    assert json.loads(json.dumps(plan.to_json())) == stored
    assert {c.new for c in plan.changes if c.action == "set-identifier"} == set(
        saved.new_values.identifiers.values()
    )
    assert any(c.new == saved.new_values.machine_id for c in plan.changes)


def test_the_file_is_private_and_holds_no_key(tmp_path: Path) -> None:
    path = saved_in(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.glob("*.plan*")] == ["web-01.plan"]
    assert set(json.loads(path.read_bytes())["options"]) == {
        "profile", "enable", "disable", "machine_id", "ssh_host_keys", "uuids", "strict",
        "catalogues", "hostname",
    }  # fmt: skip


def test_every_option_comes_back(tmp_path: Path) -> None:
    options = Options(
        profile=Profile.GOLDEN,
        enable=frozenset({"machine-id"}),
        disable=frozenset({"fstab", "initrd"}),
        machine_id=ID[::-1],
        ssh_host_keys="generate",
        uuids="keep",
        strict=False,
    )
    assert saved_plan.read(saved_in(tmp_path, options)).options_with(()) == options


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = saved_in(tmp_path)
    saved, before = saved_plan.read(path), path.read_bytes()
    path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="already exists"):
        saved.write(path)
    assert path.read_bytes() == b"mine"
    saved.write(path, overwrite=True)
    assert path.read_bytes() == before
    link = tmp_path / "link.plan"
    link.symlink_to("nowhere")
    with pytest.raises(UsageError, match="already exists"):
        saved.write(link)
    with pytest.raises(UsageError, match="does not exist"):
        saved.write(tmp_path / "none" / "a.plan")


def _touch(folder: Path) -> None:
    path = folder / "web-01.qcow2"
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def _touch_backing(folder: Path) -> None:
    path = folder / "base.raw"
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def _grow(folder: Path) -> None:
    path = folder / "web-01.qcow2"
    before = path.stat().st_mtime_ns
    path.write_bytes(b"x" * 2000)
    os.utime(path, ns=(before, before))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_touch, r"time of last change of .*web-01\.qcow2"),
        (_touch_backing, r"time of last change of .*base\.raw"),
        (_grow, r"size of .*web-01\.qcow2"),
    ],
)
def test_an_image_that_was_written_to_is_refused(
    tmp_path: Path, change: Callable[[Path], None], field: str
) -> None:
    saved = saved_plan.read(saved_in(tmp_path))
    change(tmp_path)
    with pytest.raises(RefusedError, match=f"has changed since it was planned for: {field}"):
        saved.require_disks([image_in(tmp_path)])


def test_another_image_is_refused(tmp_path: Path) -> None:
    saved = saved_plan.read(saved_in(tmp_path))
    image = image_in(tmp_path)
    with pytest.raises(RefusedError, match="virtual size of disk 1"):
        saved.require_disks([Image(image.path, image.format, 4096, backing=image.backing)])
    with pytest.raises(RefusedError, match="format of disk 1"):
        saved.require_disks([Image(image.path, Format.RAW, 2048, backing=image.backing)])
    with pytest.raises(RefusedError, match="number of files of disk 1"):
        saved.require_disks([Image(image.path, image.format, 2048)])
    with pytest.raises(RefusedError, match="it had 1 disks, and 2 are given"):
        saved.require_disks([image, image])


def test_a_moved_image_is_the_same(tmp_path: Path) -> None:
    saved = saved_plan.read(saved_in(tmp_path))
    moved = (tmp_path / "web-01.qcow2").rename(tmp_path / "web-02.qcow2")
    image = image_in(tmp_path)
    saved.require_disks([Image(moved, image.format, image.virtual_size, backing=image.backing)])


def test_other_identifiers_are_refused(tmp_path: Path) -> None:
    saved = saved_plan.read(saved_in(tmp_path))
    with pytest.raises(RefusedError, match="identifiers of its devices"):
        saved.require_identifiers(
            identified_guest(IdentifiedVolumes(tmp_path / "guest", olds([ROOT])))
        )


@pytest.mark.parametrize(
    ("files", "field"),
    [
        ({"/etc/crypttab": f"luks UUID={ROOT.old}\n"}, r"the plan for /etc/\S+ \(\S+\)"),
        ({"/etc/machine-id": ""}, r"the plan for /etc/\S+ \(\S+\)|the plan has"),
        ({"/sbin/init": "", "/etc/inittab": "", "/etc/fstab": ""}, "the plan"),
    ],
)
def test_a_guest_that_changed_is_refused(
    tmp_path: Path, files: Mapping[str, str], field: str
) -> None:
    saved = saved_plan.read(saved_in(tmp_path))
    guest = guest_in(tmp_path / "guest", files)
    plan = make_plan(guest, saved.options_with(()), saved.new_values)
    with pytest.raises(RefusedError, match=f"has changed since it was planned for: {field}"):
        saved.require_plan(plan)


def test_catalogue_files_are_given_again_and_compared(tmp_path: Path) -> None:
    own, other = tmp_path / "own.yaml", tmp_path / "other.yaml"
    row = "- id: own-row\n  title: t\n  why: w\n  action: remove\n  sources: [https://a.example/]\n"
    own.write_text(f"{row}  paths: [/etc/own]\n")
    other.write_text(f"{row}  paths: [/etc/other]\n")
    saved = saved_plan.read(saved_in(tmp_path, Options(catalogues=(str(own),))))
    assert saved.options_with((str(own),)).catalogues == (str(own),)
    for given in ((), (str(other),), (str(own), str(other))):
        with pytest.raises(RefusedError, match="not those that the plan was made with"):
            saved.options_with(given)


def test_a_new_value_that_the_guest_has_is_refused(tmp_path: Path) -> None:
    given = {f"{ROOT.kind} {ROOT.device}": SWAP.old}
    with pytest.raises(RefusedError, match="in use already"):
        make_plan(guest_in(tmp_path), Options(), NewValues(identifiers=given))


# -- hostile files -------------------------------------------------------------------------
def _set(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        inner: Any = document
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = to

    return change


UUID_FIELD = f"{ROOT.kind} {ROOT.device}"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("schema", to="unclone.plan/2"), "its schema is unclone.plan/2"),
        (_set("schema", to=["unclone.plan/1"]), "schema is not a text"),
        (_set("disks", to={}), "disks is not a list"),
        (_set("disks", 0, to="x"), "disks is not an object"),
        (_set("disks", 0, "virtual_size", to=True), "virtual_size is not a whole number"),
        (_set("disks", 0, "files", 0, "mtime_ns", to="1"), "mtime_ns is not a whole number"),
        (_set("identifiers", 0, "value", to=None), "identifiers is not a text"),
        (_set("options", to=None), "options is not an object"),
        (_set("options", "profile", to="root\x1b[1m"), r"profile is root\\x1b\[1m"),
        (_set("options", "ssh_host_keys", to="burn"), "ssh_host_keys is burn"),
        (_set("options", "uuids", to=""), "uuids is"),
        (_set("options", "strict", to=1), "strict is not true or false"),
        (_set("options", "enable", to="ssh"), "enable is not a list"),
        (_set("options", "disable", to=[1]), "disable is not a text"),
        (_set("options", "catalogues", to=["/etc/shadow"]), "catalogues is not a text of its form"),
        (_set("new_values", "machine_id", to="-rf"), "machine_id is not a text of its form"),
        (_set("new_values", "identifiers", to=[]), "new_values is not an object"),
        (_set("new_values", "identifiers", UUID_FIELD, to="--help"), "is no such identifier"),
        (_set("new_values", "identifiers", UUID_FIELD, to=str(ROOT.new) + "\n"), "is no such"),
        (_set("new_values", "identifiers", UUID_FIELD, to=f"{0:032x}"), "is no such identifier"),
        (_set("new_values", "identifiers", "spell /dev/x", to=ROOT.new), "is no such identifier"),
        (_set("plan", to=[]), "plan is not an object"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    path = saved_in(tmp_path)
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=rf"web-01\.plan is not a plan of unclone: .*{words}"):
        saved_plan.read(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[" * 100_000, b"[]", b"null", b"NaN", b'{"schema": 1}', b"{}", b"1e999"],
    ids=lambda content: str(content[:12]),
)
def test_what_is_no_document_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.plan"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a plan of unclone"):
        saved_plan.read(path)


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("none", "pipe", "."):
        with pytest.raises(UsageError, match="is not a file"):
            saved_plan.read(tmp_path / name)


def test_changes_that_were_written_into_the_file_are_not_carried_out(tmp_path: Path) -> None:
    path = saved_in(tmp_path)
    document = json.loads(path.read_bytes())
    document["plan"]["changes"].append(
        {"step": "x", "action": "remove", "target": "/etc/passwd", "why": "", "old": "", "new": ""}
    )
    path.write_text(json.dumps(document))
    saved = saved_plan.read(path)
    plan = make_plan(guest_in(tmp_path / "guest"), saved.options_with(()), saved.new_values)
    with pytest.raises(RefusedError, match="changes, and had"):
        saved.require_plan(plan)
    assert "/etc/passwd" not in {change.target for change in plan.changes}
