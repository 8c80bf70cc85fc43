"""SSH host keys: removed where the guest certainly makes new ones at boot, else made here.

No user may be locked out. Whether cloud-init runs is decided at each boot by ds-identify, and a
copy started without a seed would have no host key and no sshd: so cloud-init alone is a reason to
remove keys only where nothing can keep it from running. Making keys offline costs nothing there,
since cloud-init deletes and renews them when it does run. A template (profile golden) is the
exception: keys made in it would be shared by all its copies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unclone.images.systemd_units import load_unit
from unclone.images.text import printable
from unclone.images.volumes import Kind
from unclone.sanitize import initrds
from unclone.sanitize.change import Change, Level, Note, Retired, StepPlan
from unclone.sanitize.cloud_init import STATE_STEP, Runs, cloud_init, has_state
from unclone.sanitize.options import Profile
from unclone.sanitize.ssh.host_keys import find_certificates, find_host_keys, orphans
from unclone.sanitize.ssh.key import KEY_LIMIT, RSA_MAXIMUM, RSA_MINIMUM, KeyFormat, NotAKeyError
from unclone.sanitize.ssh.key import read_public as read_public_key
from unclone.sanitize.ssh.sshd import key_maker, sshd_config
from unclone.sanitize.step import StepInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from unclone.images.guest import Guest
    from unclone.sanitize.ssh.host_keys import HostKey
    from unclone.sanitize.ssh.sshd import KeyMaker
    from unclone.sanitize.step import PlanningContext

INFO = StepInfo(
    id="ssh-host-keys",
    title="SSH host keys",
    why="With the same host key, one machine can impersonate another, and read or forge its "
    "sessions.",
    sources=(
        "https://man.openbsd.org/sshd.8#FILES",
        "https://cloudinit.readthedocs.io/en/latest/reference/modules.html#ssh",
        "https://libguestfs.org/virt-sysprep.1.html#ssh-hostkeys",
        "https://github.com/vagrant-libvirt/vagrant-libvirt/issues/1315",
    ),
)


class SshHostKeys:
    """The step ``ssh-host-keys``; :class:`unclone.sanitize.options.Options` has its modes."""

    info = INFO

    def plan(self, context: PlanningContext) -> StepPlan:
        """A removal or a new key for each host key; see the module for the rule."""
        guest, options = context.guest, context.options
        config = sshd_config(guest)
        found = find_host_keys(guest, config)
        keys = list(found.keys.values())
        remarks = [_note(level, text) for level, text in found.remarks]
        leftovers = orphans(guest, keys)
        if options.ssh_host_keys == "keep":
            if keys:
                remarks.append(_note(Level.WARNING, _KEPT_AS_ASKED))
            return StepPlan(notes=tuple(remarks))
        if not keys:
            return StepPlan(tuple(map(_remove_orphan, leftovers)), tuple(remarks))
        certificates = find_certificates(guest, config, keys)
        decision = _decide(context, keys)
        if not decision.leaves_keys and options.ssh_host_keys != "remove":
            return StepPlan(notes=(*remarks, _note(Level.KEPT, _NO_OTHER)))
        changes = [change for key in keys for change in _changes(guest, key, decision)]
        changes += map(_remove_orphan, leftovers)
        changes += [_change("remove", path, why=_CERTIFICATE_WHY) for path in certificates]
        notes = [*remarks, *decision.notes, *_about(keys, certificates)]
        retired = [Retired(INFO.id, "ssh-host-key", key.old.text) for key in keys if key.old]
        return StepPlan(tuple(changes), tuple(notes), tuple(retired))


class _Decision(NamedTuple):
    #: Paths of the keys that are removed; the others are made anew.
    removed: frozenset[str]
    #: Whether sshd will have a key to serve with at its next start.
    leaves_keys: bool
    notes: tuple[Note, ...]


def _decide(context: PlanningContext, keys: list[HostKey]) -> _Decision:
    guest, facts, options = context.guest, context.facts, context.options
    cloud = cloud_init(guest, facts)
    new_instance = not has_state(guest) or STATE_STEP not in options.disable
    cloud_makes = cloud.makes_host_keys and new_instance
    maker = key_maker(guest, facts)
    if maker and maker.yields_to_cloud_init and cloud.installed and not cloud_makes:
        maker = None
    golden = options.profile is Profile.GOLDEN
    cloud_counts = cloud_makes and (
        cloud.runs is Runs.CERTAIN or (golden and cloud.runs is Runs.LIKELY)
    )
    copied = _in_initrds(guest)
    renewed = {
        key.path: by
        for key in keys
        if key.path not in copied
        and (by := _renewed_by(guest, key, maker, "cloud-init" if cloud_counts else ""))
    }
    mode = options.ssh_host_keys
    made = [k for k in keys if k.can_be_made and mode != "remove"]
    made = [k for k in made if mode == "generate" or k.path not in renewed]
    removed = frozenset(k.path for k in keys if k not in made)
    notes = []
    makers = ", ".join(sorted({by for path, by in renewed.items() if path in removed}))
    if makers:
        extra = f" ({cloud.because})" if makers == "cloud-init" else ""
        notes.append(
            _note(Level.INFO, f"host keys are removed: {makers}{extra} makes new ones at boot")
        )
    if makers and cloud.runs is Runs.LIKELY and not maker:
        notes.append(_note(Level.WARNING, _NEEDS_SEED))
    if mode == "remove" and not makers:
        notes.append(_note(Level.WARNING, _NOTHING_MAKES))
    if made:
        reason = (
            "as asked"
            if mode == "generate"
            else "nothing in the guest is certain to make them at boot"
        )
        if mode == "auto" and cloud.installed:
            reason += f" (cloud-init {cloud.because})"
        notes.append(_note(Level.INFO, f"new host keys are made here: {reason}"))
        if golden:
            notes.append(_note(Level.WARNING, _SHARED_BY_COPIES))
    served = [key for key in keys if not key.is_for_initrds]
    leaves_keys = bool(makers) or any(key in (served or keys) for key in made)
    return _Decision(removed, leaves_keys, tuple(notes))


def _renewed_by(guest: Guest, key: HostKey, maker: KeyMaker | None, cloud: str) -> str:
    """What certainly makes *key* anew at boot, when it is gone; "" when nothing does."""
    if key.is_for_initrds:
        return ""
    if key.form is KeyFormat.DROPBEAR:
        unit = load_unit(guest, "dropbear.service")
        return "dropbear -R" if unit and "-R" in unit.words("Service", "ExecStart") else ""
    if not key.is_standard:
        return ""
    if maker and key.kind in maker.types:
        return maker.name
    return cloud


def _in_initrds(guest: Guest) -> frozenset[str]:
    """Host keys that an initrd has a copy of, for its own sshd, which makes none by itself."""
    return frozenset(
        f"/{member}"
        for path in initrds.find(guest)
        for member in initrds.look_into(guest.read(path, initrds.SIZE_LIMIT), ()).members
        if member.startswith(("etc/ssh/", "etc/dropbear/")) and member.endswith("_key")
    )


def _changes(guest: Guest, key: HostKey, decision: _Decision) -> Iterator[Change]:
    old = key.old.fingerprint if key.old else ""
    if key.path in decision.removed:
        yield _change("remove", key.path, old=old)
        if key.public and guest.glob(key.public):
            yield _change("remove", key.public, why="the public half of a removed key")
        return
    bits = min(max(key.bits, RSA_MINIMUM), RSA_MAXIMUM) if key.kind == "rsa" else key.bits
    yield _change(
        "generate-ssh-host-key",
        key.path,
        old=old,
        new=f"a new {key.kind} key of {bits} bits",
        details={
            "type": key.kind,
            "bits": bits,
            "format": key.form.value,
            "public": key.public,
            "comment": _comment(guest, key.public),
        },
    )


def _comment(guest: Guest, public: str) -> str:
    """The comment of the old public half (``root@template``), as long as it is a plain word."""
    stat = guest.lstat(public) if public else None
    if stat is None or stat.kind is not Kind.FILE:
        return ""
    line = guest.text_or_empty(public, KEY_LIMIT)
    try:
        read_public_key(line)
    except NotAKeyError:
        return ""
    words = line.split("\n", 1)[0].split(None, 2)[2:]
    comment = words[0].strip() if words else ""
    return comment if comment.isascii() and comment.isprintable() and len(comment) <= 200 else ""


def _about(keys: Iterable[HostKey], certificates: list[str]) -> Iterator[Note]:
    for key in keys:
        if key.kind in {"dsa", "rsa1"}:
            text = f"{printable(key.path)} is dropped: nothing uses {key.kind.upper()} keys now"
            yield _note(Level.INFO, text)
        if key.kind == "rsa" and key.bits > RSA_MAXIMUM:
            text = f"{printable(key.path)} had {key.bits} bits; a new one has {RSA_MAXIMUM}"
            yield _note(Level.INFO, text)
    for path in certificates:
        yield _note(
            Level.WARNING,
            f"the host certificate {printable(path)} was issued for the old key and is removed: "
            "have the new key signed by the CA, and check HostCertificate in sshd_config",
        )


def _remove_orphan(path: str) -> Change:
    return _change("remove", path, why="the public half of a key that is not there")


def _change(
    action: str,
    target: str,
    *,
    why: str = INFO.why,
    old: str = "",
    new: str = "",
    details: dict[str, str | int] | None = None,
) -> Change:
    return Change(INFO.id, action, target, why, old, new, details or {})


def _note(level: Level, text: str) -> Note:
    return Note(INFO.id, level, text)


_KEPT_AS_ASKED = "host keys are kept, as asked: this machine and its copies share them"
_NOTHING_MAKES = (
    "host keys are removed, as asked, but nothing in the guest is known to make new ones at boot: "
    "sshd will refuse every connection until ssh-keygen -A is run"
)
_NEEDS_SEED = (
    "a copy that is started without a seed and outside a cloud has no SSH host keys, and its sshd "
    "does not start"
)
_NO_OTHER = "the only host keys are of a type that cannot be made any more (DSA): they are kept"
_SHARED_BY_COPIES = (
    "machines copied from this template will share the host keys made here: sanitize each copy, "
    "or let the template make its own at boot"
)
_CERTIFICATE_WHY = "a certificate is valid for one key only, and that key is replaced"
