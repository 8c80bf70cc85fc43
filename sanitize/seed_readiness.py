"""Will this guest take a NoCloud seed? What in it makes cloud-init ignore one, or half of one.

Each obstacle names the file, what it means, and what takes it away: a step of ``unclone sanitize``,
something the seed itself can say, or a person. It is asked of an image, before anything boots.

References: cloud-init ``cloudinit/sources/DataSourceNoCloud.py``, ``cloudinit/stages.py`` (where
network configuration may come from), ``tools/ds-identify``,
``doc/rtd/explanation/first_boot.rst`` (``manual_cache_clean``); canonical/subiquity
``subiquity/models/subiquity.py`` (what the Ubuntu installer leaves behind).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from unclone.images.text import printable
from unclone.sanitize.catalogue import load as load_catalogue
from unclone.sanitize.catalogue.paths import inside
from unclone.sanitize.change import Level, Note
from unclone.sanitize.cloud_init import (
    CONFIG,
    CONFIG_LIMIT,
    DISABLED,
    DS_IDENTIFY_CONFIG,
    STATE,
    STATE_STEP,
    Runs,
    broken_files,
    cloud_init,
    ds_identify_settings,
    is_true,
    module_names,
)
from unclone.sanitize.hostname import hosts
from unclone.sanitize.obstacle import Obstacle, Wanted
from unclone.sanitize.options import Profile
from unclone.sanitize.seed_command_line import command_line_obstacles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts
    from unclone.sanitize.step import StepInfo

#: Which module carries out what a key of user-data asks for. (runcmd is run by scripts-user.)
MODULE_OF = {
    "users": "users-groups",
    "ssh_authorized_keys": "ssh",
    "ssh_deletekeys": "ssh",
    "password": "set-passwords",
    "chpasswd": "set-passwords",
    "packages": "package-update-upgrade-install",
    "runcmd": "runcmd",
    "bootcmd": "bootcmd",
    "write_files": "write-files",
    "timezone": "timezone",
    "growpart": "growpart",
    "resize_rootfs": "resizefs",
    "mounts": "mounts",
    "ntp": "ntp",
    "locale": "locale",
    "apt": "apt-configure",
    "hostname": "set-hostname",
    "fqdn": "set-hostname",
    "manage_etc_hosts": "update-etc-hosts",
}
_MODULE_LISTS = ("cloud_init_modules", "cloud_config_modules", "cloud_final_modules")

#: The first release that has something a seed may use.
NEEDS = {
    "vfat": ((19, 1), "finds a label in capitals (CIDATA), as vfat has it"),
    "network-version-2": ((17, 1), "reads network configuration of version 2"),
    "network-wrapper": ((22, 2), "takes network-config with the key network: around it"),
}

_VERSION_FILES = (
    "/usr/lib/python3/dist-packages/cloudinit/version.py",
    "/usr/lib/python3*/site-packages/cloudinit/version.py",
    "/usr/lib/python3/dist-packages/cloudinit/meson_versions.py",  # since 26.1
    "/usr/lib/python3*/site-packages/cloudinit/meson_versions.py",
)
_VERSION = re.compile(
    r'^(?:__VERSION__|UPSTREAM_VERSION) = "(\d{1,4}(?:\.\d{1,4}){1,3})', re.MULTILINE
)


def obstacles(guest: Guest, facts: Facts, wanted: Wanted | None = None) -> tuple[Obstacle, ...]:
    """Everything in *guest* that stands between a seed and its effect, the worst first."""
    found = _Looking(guest, facts, wanted or Wanted())
    return tuple(sorted(found.all(), key=lambda o: not o.whole))


def notes(guest: Guest, facts: Facts, selected: frozenset[str]) -> tuple[Note, ...]:
    """What a report about *guest* should say. *selected* are the steps that run.

    Nothing for a guest without cloud-init, and nothing about what those steps remove.
    """
    if not cloud_init(guest, facts).installed:
        return ()
    return tuple(
        Note(
            "seed-readiness",
            Level.WARNING if o.whole else Level.INFO,
            f"a seed would {'be ignored' if o.whole else 'not do all it says'}: {o.meaning}"
            f"{f' ({printable(o.path)})' if o.path else ''}. {o.remedy}",
        )
        for o in obstacles(guest, facts)
        if not o.step or o.step not in selected
    )


@dataclass(slots=True)
class _Looking:
    guest: Guest
    facts: Facts
    wanted: Wanted
    config: Mapping[str, Any] = field(default_factory=dict)

    def all(self) -> Iterator[Obstacle]:
        found = cloud_init(self.guest, self.facts)
        if not found.installed:
            hint = "Install it in the image, or set the machine up some other way."
            yield Obstacle("not-installed", "", "cloud-init is not installed", hint, whole=True)
            return
        self.config = found.config or {}
        if found.runs is Runs.NO:
            path = DISABLED if self.guest.exists(DISABLED) else ""
            if not path and DS_IDENTIFY_CONFIG in found.because:
                path = DS_IDENTIFY_CONFIG
            yield self._obstacle("disabled", path, f"cloud-init {found.because}", whole=True)
        for path in broken_files(self.guest):
            meaning = "this configuration cannot be read, so nothing here is certain"
            remedy = "Correct the file in the image, or remove it."
            yield Obstacle("unreadable", path, meaning, remedy)
        yield from command_line_obstacles(self.facts.kernel_command_lines)
        yield from self._datasource()
        yield from self._other_seeds()
        yield from self._memory()
        if self.wanted.network:
            yield from self._network()
        yield from self._settings()
        yield from self._hosts()
        yield from self._modules()
        yield from self._version()

    def _datasource(self) -> Iterator[Obstacle]:
        names = self.config.get("datasource_list")
        if isinstance(names, list) and "NoCloud" not in names:
            shown = ", ".join(printable(str(name), 40) for name in names[:8])
            meaning = f"datasource_list is [{shown}]: NoCloud is not looked for"
            path = self._file_with("datasource_list")
            yield self._obstacle("datasource-list", path, meaning, whole=True)
        settings = ds_identify_settings(self.guest)
        named = settings.get("datasource", "")
        if named and named.lower() != "nocloud":
            meaning = f"ds-identify uses {printable(named, 40)} without looking for a seed"
            yield self._obstacle("ds-identify", DS_IDENTIFY_CONFIG, meaning, whole=True)
        label = self._nocloud().get("fs_label", "cidata")
        if str(label).lower() != "cidata":
            meaning = "fs_label is changed: a disk labelled cidata is not looked at"
            yield self._obstacle("fs-label", self._file_with("datasource"), meaning, whole=True)

    def _other_seeds(self) -> Iterator[Obstacle]:
        for name in ("nocloud", "nocloud-net"):
            folder = f"{STATE}/seed/{name}"
            if self.guest.is_file(f"{folder}/meta-data"):
                meaning = (
                    "a seed folder was left in the image; its instance-id and host name win over "
                    "the seed's"
                )
                yield self._obstacle("seed-folder", f"{folder}/meta-data", meaning, whole=True)
        given = {"user-data", "meta-data", "seedfrom"} & self._nocloud().keys()
        if given:
            meaning = f"{', '.join(sorted(given))} of a seed is in the configuration itself"
            yield self._obstacle("seed-in-config", self._file_with("datasource"), meaning)

    def _memory(self) -> Iterator[Obstacle]:
        marker = f"{STATE}/instance/manual-clean"
        if self.guest.exists(marker):
            meaning = "the marker manual-clean: the copy is never taken for a new instance"
            yield self._obstacle("manual-clean", marker, meaning, whole=True)
        if is_true(self.config.get("manual_cache_clean")):
            meaning = (
                "manual_cache_clean: with the old state, a copy is never taken for a new instance"
            )
            yield Obstacle(
                "manual-cache-clean",
                self._file_with("manual_cache_clean"),
                meaning,
                "`unclone sanitize` removes the state by default; then the seed is used.",
                step=STATE_STEP,
                by_default=True,
            )

    def _network(self) -> Iterator[Obstacle]:
        network = self.config.get("network")
        if isinstance(network, dict):
            off = network.get("config") == "disabled"
            meaning = (
                "cloud-init is configured not to change the network"
                if off
                else "the network is configured here, which wins over the seed's network-config"
            )
            yield self._obstacle("network-claimed", self._file_with("network"), meaning)
        for line in self.facts.kernel_command_lines:
            for argument in line.arguments:
                if argument.startswith(("network-config=", "ip=")):
                    meaning = f"{argument.split('=')[0]}= on the kernel command line wins"
                    yield self._obstacle("network-on-command-line", line.path, meaning)
        for path in self._own_network_files():
            meaning = "it configures interfaces beside what the seed says"
            yield self._obstacle("network-file", path, meaning, or_else="unless it is wanted")

    def _own_network_files(self) -> Iterator[str]:
        """Network configuration that cloud-init did not write and does not replace."""
        for pattern in _NETWORK_FILES:
            for path in self.guest.glob(pattern):
                if "cloud-init" not in path:
                    yield path
        interfaces = "/etc/network/interfaces"
        text = self.guest.text_or_empty(interfaces, CONFIG_LIMIT)
        if re.search(r"(?m)^[ \t]*iface[ \t]+(?!lo\b)\S+", text):
            yield interfaces

    def _settings(self) -> Iterator[Obstacle]:
        keys = self.wanted.keys
        kept = is_true(self.config.get("preserve_hostname"))
        if kept and self.wanted.hostname and "preserve_hostname" not in keys:
            yield Obstacle(
                "preserve-hostname",
                self._file_with("preserve_hostname"),
                "preserve_hostname: the host name of the seed is not used",
                "The vendor-data that `unclone seed` writes turns it off.",
            )
        if "ssh_deletekeys" not in keys and not is_true(self.config.get("ssh_deletekeys", True)):
            yield Obstacle(
                "ssh-deletekeys",
                self._file_with("ssh_deletekeys"),
                "ssh_deletekeys is false: the copy keeps the SSH host keys of the original",
                "`unclone sanitize` gives it others; so does the vendor-data of `unclone seed`.",
                step="ssh-host-keys",
                by_default=True,
            )

    def _hosts(self) -> Iterator[Obstacle]:
        if self.config.get("manage_etc_hosts") in (True, "true", "template"):
            return  # written anew
        name = self.guest.text_or_empty("/etc/hostname", CONFIG_LIMIT).strip().lower()
        text = self.guest.text_or_empty(hosts.PATH, CONFIG_LIMIT)
        names = list(dict.fromkeys(hosts.own_names(text, name.partition(".")[0])))
        if names and self.wanted.hostname:
            yield Obstacle(
                "hosts-name",
                hosts.PATH,
                f"the original's name {printable(names[0], 80)} stays beside the seed's",
                "`unclone sanitize --hostname NAME` changes it; so does manage_etc_hosts: true in "
                "user-data.",
            )

    def _modules(self) -> Iterator[Obstacle]:
        if self.wanted.keys & set(_MODULE_LISTS):
            return  # the seed says itself which modules run
        lists = [self.config.get(name) for name in _MODULE_LISTS]
        if not any(isinstance(each, list) for each in lists):
            return
        present = {name for each in lists for name in module_names(each)}
        needed = [(key, MODULE_OF[key]) for key in sorted(self.wanted.keys & MODULE_OF.keys())]
        needed += [("runcmd", "scripts-user")] if "runcmd" in self.wanted.keys else []
        for key, module in needed:
            if module not in present:
                yield Obstacle(
                    "module-missing",
                    self._file_with(r"cloud_(init|config|final)_modules"),
                    f"the module {module} is not in its lists, so {key} does nothing",
                    "Add it to the image, or set the list in user-data.",
                )

    def _version(self) -> Iterator[Obstacle]:
        path, version = cloud_init_version(self.guest)
        for feature in sorted(self.wanted.features & NEEDS.keys()):
            least, what = NEEDS[feature]
            if version and version < least:
                shown = ".".join(map(str, version))
                yield Obstacle(
                    "too-old",
                    path,
                    f"cloud-init {shown}; only {least[0]}.{least[1]} {what}",
                    "Write the seed without it, or update cloud-init in the image.",
                    whole=feature == "vfat",
                )

    def _nocloud(self) -> Mapping[str, Any]:
        sources = self.config.get("datasource")
        found = sources.get("NoCloud") if isinstance(sources, dict) else None
        return found if isinstance(found, dict) else {}

    def _file_with(self, key: str) -> str:
        """The configuration file whose *key* (a regular expression) wins: the last that has it."""
        for path in reversed((CONFIG, *self.guest.glob(f"{CONFIG}.d/*.cfg"))):
            text = self.guest.text_or_empty(path, CONFIG_LIMIT)
            if re.search(rf"(?m)^[{{ \t\"']*{key}[\"']?[ \t]*:", text):
                return path
        return CONFIG

    def _obstacle(
        self, name: str, path: str, meaning: str, *, whole: bool = False, or_else: str = ""
    ) -> Obstacle:
        """An obstacle that a step of the catalogue may remove together with its file."""
        info = _removed_by(path)
        if info is None:
            remedy = "Change that in the image."
            if path:
                remedy = f"Remove it from {printable(path)}."
            if or_else:
                remedy = f"Remove it in the image, {or_else}."
            return Obstacle(name, path, meaning, remedy, whole=whole)
        on = info.profile is Profile.IDENTITY and not info.off_because
        if on:
            remedy = f"`unclone sanitize` removes it ({info.id})."
        elif info.off_because:
            remedy = f"`unclone sanitize --enable {info.id}` removes it."
        else:
            remedy = f"`unclone sanitize --profile golden` or `--enable {info.id}` removes it."
        return Obstacle(name, path, meaning, remedy, whole=whole, step=info.id, by_default=on)


_NETWORK_FILES = (
    "/etc/netplan/*.yaml",
    "/etc/NetworkManager/system-connections/*.nmconnection",
    "/etc/systemd/network/*.network",
    "/etc/sysconfig/network-scripts/ifcfg-[a-km-z]*",
)


def cloud_init_version(guest: Guest) -> tuple[str, tuple[int, ...]]:
    """The file that says it, and the version (``(22, 4, 2)``); empty when nothing says it."""
    for pattern in _VERSION_FILES:
        for path in guest.glob(pattern):
            text = guest.text_or_empty(path, CONFIG_LIMIT)
            match = _VERSION.search(text)
            if match:
                return path, tuple(map(int, match.group(1).split(".")))
    return "", ()


def _removed_by(path: str) -> StepInfo | None:
    """The catalogue row that removes *path* or a folder above it, the one that runs first."""
    for step in load_catalogue() if path else ():
        row = step.row
        spared = inside(path, row.excepts)
        if row.action == "remove" and not spared and _covers(row.paths, path):
            return step.info
    return None


def _covers(patterns: Sequence[str], path: str) -> bool:
    return any(fnmatchcase(path, pattern) or path.startswith(f"{pattern}/") for pattern in patterns)
