"""MAC addresses that the guest's configuration is pinned to.

A clone has other addresses. Given with its definition, it gets the same map as that: each pin is
rewritten, in its own spelling. Without, the new addresses are not known, and a pin would leave the
clone without a network: it is taken out where what remains still configures the same interface,
and kept (and reported) where it is not known which interface that is.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from unclone.images.guest import parent
from unclone.sanitize.actions.replace_identifiers import as_details
from unclone.sanitize.boot.kernel_arguments import ArgumentKind
from unclone.sanitize.change import Change, Note, Retired, StepPlan
from unclone.sanitize.dhcp.identities import fixed_identities
from unclone.sanitize.identities import mac
from unclone.sanitize.mac_pins import NETWORK_FILES
from unclone.sanitize.mac_pins.in_initrds import in_initrds
from unclone.sanitize.mac_pins.pins import Splice, Text, Unpinning, addresses, shown
from unclone.sanitize.mac_pins.replacements import replacements, spliced
from unclone.sanitize.step import StepInfo
from unclone.sanitize.steps import boot_entries
from unclone.sanitize.steps.dhcp_identities import DHCP, known_macs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.actions.replace_text import Replacement
    from unclone.sanitize.dhcp.identities import File
    from unclone.sanitize.mac_pins.pins import NetworkFiles
    from unclone.sanitize.step import PlanningContext

#: Bytes. What is larger is no network configuration.
TEXT_LIMIT = 1024 * 1024


class MacPins:
    """The step ``mac-pins``; :attr:`unclone.sanitize.options.Options.macs` is the map."""

    info = StepInfo(
        id="mac-pins",
        title="MAC addresses pinned in the network configuration",
        why="A clone's cards have other addresses: settings for the old ones match none of them, "
        "and an address that is given to an interface would be on the network twice.",
        sources=(
            "https://www.libguestfs.org/virt-sysprep.1.html",
            "https://netplan.readthedocs.io/en/stable/netplan-yaml/",
            "https://www.freedesktop.org/software/systemd/man/latest/systemd.link.html",
            "https://networkmanager.dev/docs/api/latest/nm-settings-keyfile.html",
            "https://github.com/canonical/cloud-init/issues/3611",
            "https://manpages.debian.org/bookworm/connman/connman-service.config.5.en.html",
            "https://manpages.debian.org/bookworm/dnsmasq-base/dnsmasq.8.en.html",
            "ethers(5)",
            "dhcpd.conf(5)",
            "libguestfs/guestfs-tools: sysprep/sysprep_operation_net_hwaddr.ml",
        ),
    )

    def plan(self, context: PlanningContext) -> StepPlan:
        """One change per file that has pins to lose, and one per file that has pins to renew."""
        guest, facts, options = context.guest, context.facts, context.options
        renewed = known_macs(context)
        unpinning = Unpinning(renewed)
        fixed = {} if DHCP in options.disable else fixed_identities(guest, renewed)
        files: dict[str, Text] = {}
        for kind in NETWORK_FILES:
            found = [file for file in _files(guest, kind, fixed) if file.path not in files]
            kind.unpin(guest, facts, found, unpinning)
            files.update({file.path: file for file in found})
        changes = [self._remove(path, macs) for path, macs in unpinning.removals.items()]
        for path, splices in sorted(unpinning.splices.items()):
            changes.append(self._unpin(files[path], splices))
        folders: dict[str, str] = {}
        for file in files.values():
            if file.path not in unpinning.removals:
                left = spliced(file.text, unpinning.splices.get(file.path, ()))
                changes += self._rename_folder(guest, file.path, renewed, folders)
                folder, _, name = file.path.rpartition("/")
                path = f"{folders.get(folder, folder)}/{name}"
                changes += self._renew(guest, path, left, renewed)
                _note_names(file.path, left, unpinning)
        changes += self._in_kernel_arguments(context, unpinning)
        changes += self._in_initrds(guest, unpinning)
        retired = [
            Retired(self.info.id, "mac-address", old)
            for old in renewed
            if old not in unpinning.kept
        ]
        notes = [Note(self.info.id, level, text) for level, text in unpinning.notes]
        return StepPlan(tuple(changes), tuple(notes), tuple(retired))

    def _remove(self, path: str, macs: Sequence[str]) -> Change:
        return Change(self.info.id, "remove", path, self.info.why, ", ".join(macs))

    def _unpin(self, file: Text, splices: Sequence[Splice]) -> Change:
        gone = [one for s in splices for one in addresses(file.text[s.start : s.end])]
        return Change(
            self.info.id,
            "replace-text",
            file.path,
            self.info.why,
            old=", ".join(dict.fromkeys(gone)),
            details={"replacements": replacements(file.text, splices)},
        )

    def _rename_folder(
        self, guest: Guest, path: str, renewed: Mapping[str, str], folders: dict[str, str]
    ) -> Iterator[Change]:
        """That of *path*, once, if it is called by an address: a service's, a unit's drop-ins."""
        folder = parent(path)
        above, _, name = folder.rpartition("/")
        to = f"{above}/{_renewed_name(name, renewed)}"
        if to != folder and folder not in folders and not guest.exists(to):
            folders[folder] = to
            details = {"to": to}
            yield Change(self.info.id, "rename", folder, self.info.why, folder, to, details)

    def _renew(
        self, guest: Guest, path: str, text: str, renewed: Mapping[str, str]
    ) -> Iterator[Change]:
        """The file's name first: a SUSE ifcfg file, or one of an interface enx..., has it there."""
        folder, _, name = path.rpartition("/")
        new_name = _renewed_name(name, renewed)
        if new_name != name and not guest.exists(f"{folder}/{new_name}"):
            to = f"{folder}/{new_name}"
            yield Change(self.info.id, "rename", path, self.info.why, name, new_name, {"to": to})
            path = to
        yield from self._rewrite(path, text, renewed)

    def _rewrite(
        self, path: str, text: str, renewed: Mapping[str, str], *, block: bool = False
    ) -> Iterator[Change]:
        found = list(_renewals(text, renewed))
        if not found:
            return
        details: dict[str, object] = {"replacements": _replacements(text, found)}
        if block:
            details["block"] = True
        olds = dict.fromkeys(old for _, old in found)
        yield Change(
            self.info.id,
            "replace-text",
            path,
            self.info.why,
            old=", ".join(olds),
            new=", ".join(renewed[old] for old in olds),
            details=details,
        )

    def _in_kernel_arguments(
        self, context: PlanningContext, unpinning: Unpinning
    ) -> Iterator[Change]:
        """``ifname=lan:52:54:...``, ``BOOTIF=01-52-54-...``, the last part of ``ip=``."""
        later = boot_entries.renamed_entries(context)
        for file, text in context.facts.kernel_argument_texts:
            named = [m for m in addresses(text) if m in unpinning.renewed or not unpinning.renewed]
            if named and (not unpinning.renewed or file.kind is ArgumentKind.UKI):
                what = f"has a kernel argument with the MAC address {named[0]}"
                unpinning.keep(file.path, what, named)
            elif named:
                yield from self._rewrite(
                    later.get(file.path, file.path),
                    text,
                    unpinning.renewed,
                    block=file.kind is ArgumentKind.GRUBENV,
                )

    def _in_initrds(self, guest: Guest, unpinning: Unpinning) -> Iterator[Change]:
        for path, renewals in in_initrds(guest, unpinning):
            old = ", ".join(one.old for one in renewals)
            new = ", ".join(one.new for one in renewals)
            details = as_details(renewals)
            yield Change(self.info.id, "correct-initrd", path, self.info.why, old, new, details)


def _files(guest: Guest, kind: NetworkFiles, fixed: Mapping[str, File]) -> Iterator[Text]:
    """The files of *kind*, each once, under their own names; without the *fixed* identities."""
    seen = set()
    paths = sorted({path for pattern in kind.globs for path in guest.glob(pattern)})
    guest.prefetch(files=paths)
    for path in paths:
        stat = guest.stat(path) if guest.is_file(path) else None
        if stat is None or stat.size > TEXT_LIMIT:
            continue
        physical = guest.resolve(path)
        if physical not in seen:
            seen.add(physical)
            known = fixed.get(physical)
            yield Text(physical, known.remaining if known else guest.text_or_empty(physical))


def _renewed_name(name: str, renewed: Mapping[str, str]) -> str:
    return spliced(name, (splice for splice, _ in _in_map(mac.find_in_name(name), renewed)))


def _renewals(text: str, renewed: Mapping[str, str]) -> Iterator[tuple[Splice, str]]:
    """What in *text* is in the map: the splice that renews it, and the old address."""
    return _in_map(mac.find(text), renewed)


def _in_map(found: Iterable[mac.Found], renewed: Mapping[str, str]) -> Iterator[tuple[Splice, str]]:
    for each in found:
        old = str(each.mac)
        if old in renewed:
            new = each.mac.spelled(mac.parse(renewed[old]).octets)
            yield Splice(each.start, each.end, new), old


def _replacements(text: str, found: Sequence[tuple[Splice, str]]) -> list[Replacement]:
    """By the addresses alone, unless one of them is also part of something longer."""
    pairs = Counter((text[s.start : s.end], s.new) for s, _ in found)
    if any(text.count(old) != count for (old, _), count in pairs.items()):
        return replacements(text, (splice for splice, _ in found))
    return [{"old": old, "new": new, "count": count} for (old, new), count in pairs.items()]


def _note_names(path: str, text: str, unpinning: Unpinning) -> None:
    """Without a map, what is named by an address keeps a name that fits no card."""
    if unpinning.renewed:
        return
    folder, _, name = path.rpartition("/")
    if any(mac.find_in_name(name)):
        unpinning.keep(path, "is named by a MAC address")
    if any(mac.find_in_name(folder.rpartition("/")[2])):
        unpinning.keep(folder, "is named by a MAC address")
    names = {
        f"enx{found.text}": None
        for found in mac.find(text)
        if text[max(0, found.start - 3) : found.start] == "enx"
    }
    if names:
        unpinning.keep(path, f"calls an interface by its MAC address ({shown(names)})")
