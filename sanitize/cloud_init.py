"""What cloud-init in the guest will do at the next boot, as far as its files say.

Whether it runs at all is decided at every boot: ``cloud-init-generator`` asks ``ds-identify``,
which switches cloud-init off when no datasource (a seed, a cloud) is in sight. From an image alone
that is certain only in a few configurations, and :class:`Runs` keeps the difference.

References: cloud-init 26.2 ``systemd/cloud-init-generator.tmpl``, ``tools/ds-identify``,
``cloudinit/config/cc_ssh.py``, ``cloudinit/util.py`` ``read_conf_with_confd``.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import yaml

from unclone.images.systemd_units import linked_from, load_unit
from unclone.images.volumes import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.images.guest import Guest
    from unclone.sanitize.facts import Facts

CONFIG = "/etc/cloud/cloud.cfg"
DISABLED = "/etc/cloud/cloud-init.disabled"
DS_IDENTIFY_CONFIG = "/etc/cloud/ds-identify.cfg"
STATE = "/var/lib/cloud"
#: The catalogue row that removes the state, and with it the memory of an earlier instance.
STATE_STEP = "cloud-init-state"

#: Bytes read of one configuration file; an installer's, with user-data inside, has some 10 000.
CONFIG_LIMIT = 256 * 1024

_PROGRAMS = ("/usr/bin/cloud-init", "/usr/local/bin/cloud-init")
_GENERATORS = tuple(
    f"{folder}/system-generators/cloud-init-generator"
    for folder in ("/etc/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd")
)
_DS_IDENTIFY = tuple(
    f"{folder}/cloud-init/ds-identify" for folder in ("/usr/lib", "/usr/libexec", "/lib")
)
#: The unit that runs ``cloud_init_modules``; the first name is the one since 24.3.
_NETWORK_STAGE = ("cloud-init-network.service", "cloud-init.service")
#: What cloud-init takes for true in a text (``cloudinit/util.py``).
_TRUE = {"true", "1", "on", "yes"}


class Runs(StrEnum):
    """Whether cloud-init runs at the next boot."""

    NO = "no"
    LIKELY = "likely"  # only when ds-identify finds a datasource
    CERTAIN = "certain"


class CloudInit(NamedTuple):
    """cloud-init in one guest. ``because`` completes "cloud-init ..."."""

    installed: bool
    runs: Runs
    because: str
    #: The merged /etc/cloud/cloud.cfg and cloud.cfg.d; None when it cannot be read.
    config: Mapping[str, Any] | None = None

    @property
    def makes_host_keys(self) -> bool:
        """Whether, run as a new instance, it deletes every host key and makes new ones."""
        return (
            self.config is not None
            and "ssh" in module_names(self.config.get("cloud_init_modules"))
            and is_true(self.config.get("ssh_deletekeys", True))
            and self.config.get("ssh_genkeytypes", True) not in (None, False, [], "")
        )


_known: WeakKeyDictionary[Facts, CloudInit] = WeakKeyDictionary()


def cloud_init(guest: Guest, facts: Facts) -> CloudInit:
    """What is known about cloud-init in *guest*; found out once for *facts*."""
    if facts not in _known:
        _known[facts] = _find_out(guest, facts)
    return _known[facts]


def _find_out(guest: Guest, facts: Facts) -> CloudInit:
    if not any(guest.glob(path) for path in _PROGRAMS):
        return CloudInit(installed=False, runs=Runs.NO, because="is not installed")
    config = read_config(guest)
    off = _switched_off(guest, facts)
    if off:
        return CloudInit(installed=True, runs=Runs.NO, because=off, config=config)
    runs, because = _foresee(guest, facts, config)
    return CloudInit(installed=True, runs=runs, because=because, config=config)


def has_state(guest: Guest) -> bool:
    """Whether cloud-init remembers an instance: then the next boot may not be a new one."""
    return bool(guest.glob(f"{STATE}/data/instance-id") or guest.glob(f"{STATE}/instance"))


def read_config(guest: Guest) -> Mapping[str, Any] | None:
    """The configuration as cloud-init merges it: later files win, mappings merge, lists do not.

    None when one of the files cannot be read: then nothing is certain.
    """
    merged: dict[str, Any] = {}
    for path in _config_files(guest):
        part, readable = _config_part(guest, path)
        if not readable:
            return None
        if isinstance(part, dict):
            merged = _merge(merged, part)
    return merged


def broken_files(guest: Guest) -> Sequence[str]:
    """The configuration files that cannot be read as YAML, or are too large to be."""
    return [path for path in _config_files(guest) if not _config_part(guest, path)[1]]


def _config_files(guest: Guest) -> Sequence[str]:
    return (CONFIG, *guest.glob(f"{CONFIG}.d/*.cfg"))


def _config_part(guest: Guest, path: str) -> tuple[object, bool]:
    """What is in the file at *path*, and whether it can be read."""
    text = guest.text_or_empty(path, CONFIG_LIMIT)
    if len(text) >= CONFIG_LIMIT:
        return None, False
    return _parsed(text)


@lru_cache(maxsize=16)  # asked for by several steps, and again when all was changed
def _parsed(text: str) -> tuple[object, bool]:
    """As :func:`_config_part`; nobody changes what is returned."""
    try:
        part = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader, and stricter
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return None, False
    return part, part is None or isinstance(part, dict)


def ds_identify_settings(guest: Guest) -> Mapping[str, str]:
    """The ``key: value`` lines of ds-identify.cfg (``policy``, ``datasource``), the last wins."""
    settings = {}
    for line in guest.text_or_empty(DS_IDENTIFY_CONFIG, CONFIG_LIMIT).split("\n"):
        key, colon, value = line.partition("#")[0].partition(":")
        if colon:
            settings[key.strip()] = value.strip().strip("\"'")
    return settings


def _switched_off(guest: Guest, facts: Facts) -> str:
    if guest.glob(DISABLED):
        return f"is switched off by {DISABLED}"
    for line in facts.kernel_command_lines:
        if "cloud-init=disabled" in line.arguments:
            return "is switched off on the kernel command line"
    if _policy_mode(guest) == "disabled":
        return f"is switched off by {DS_IDENTIFY_CONFIG}"
    masked = _masked_generator(guest) if facts.init == "systemd" else ""
    if masked and "cloud-init.target" not in linked_from(guest, ("multi-user.target",)):
        return f"is not started: {masked} switches its generator off"
    if facts.init == "systemd" and not _unit_enabled(guest):
        return "is not enabled"
    if facts.init != "systemd" and not guest.glob("/etc/runlevels/*/cloud-init"):
        return "is not enabled"
    return ""


def _masked_generator(guest: Guest) -> str:
    """The link to /dev/null, or empty file, that stands for the generator; else nothing.

    The first folder that has the name counts (systemd.generator(7)).
    """
    for path in _GENERATORS:
        found = guest.lstat(path)
        if found is None:
            continue
        if found.kind is Kind.SYMLINK:
            return path if guest.readlink(path) == "/dev/null" else ""
        return "" if found.size else path
    return ""


def _unit_enabled(guest: Guest) -> bool:
    enabled = linked_from(guest, ("multi-user.target", "cloud-init.target"))
    return any(name in enabled and load_unit(guest, name) for name in _NETWORK_STAGE)


def _foresee(guest: Guest, facts: Facts, config: Mapping[str, Any] | None) -> tuple[Runs, str]:
    if facts.init != "systemd":
        return Runs.LIKELY, "runs if it finds a datasource"
    if config is None:
        return Runs.LIKELY, "is enabled, but its configuration cannot be read"
    names = config.get("datasource_list")
    sources = [str(name) for name in names] if isinstance(names, list) else []
    asked = any(map(guest.glob, _GENERATORS)) and any(map(guest.glob, _DS_IDENTIFY))
    # Without a fallback, cloud-init stops before its modules when no datasource answers.
    falls_back = not sources or "None" in sources
    if not any(map(guest.glob, _GENERATORS)) and "cloud-init.target" not in linked_from(
        guest, ("multi-user.target",)
    ):
        return Runs.LIKELY, "is enabled, but nothing certainly starts it"
    if not asked:
        if falls_back:
            return Runs.CERTAIN, "runs at every boot: nothing asks for a datasource first"
        return Runs.LIKELY, "runs its modules only if it finds a datasource"
    settings = ds_identify_settings(guest)
    if settings.get("datasource"):
        return Runs.CERTAIN, f"runs at every boot: {DS_IDENTIFY_CONFIG} names its datasource"
    policy = settings.get("policy", "").split(",")
    if falls_back and (_policy_mode(guest) == "enabled" or "notfound=enabled" in policy):
        return Runs.CERTAIN, f"runs at every boot: {DS_IDENTIFY_CONFIG} says so"
    if len(set(sources) - {"None"}) <= 1 and "None" in sources and _on_one_line(guest):
        return Runs.CERTAIN, "runs at every boot: it has one datasource and does not search"
    labels = {fs.label for fs in guest.file_systems()}
    if labels & {"cidata", "CIDATA"} and (not sources or "NoCloud" in sources):
        return Runs.CERTAIN, "runs at every boot: the guest's own disks hold a seed"
    return Runs.LIKELY, "runs only if the machine is started with a seed or in a cloud"


def _policy_mode(guest: Guest) -> str:
    words = ds_identify_settings(guest).get("policy", "").split(",")
    modes = [word for word in words if word in {"enabled", "disabled", "search", "report"}]
    return modes[-1] if modes else "search"


def _on_one_line(guest: Guest) -> bool:
    """Whether ds-identify, which knows only a little YAML, reads the same list as cloud-init."""
    written = [
        match["value"]
        for path in (CONFIG, *guest.glob(f"{CONFIG}.d/*.cfg"))
        for line in guest.text_or_empty(path, CONFIG_LIMIT).split("\n")
        if (match := re.match(r"\s*datasource_list\s*:(?P<value>.*)", line))
    ]
    return bool(written) and all(re.match(r"\s*\[[^\]]*\]\s*(#|$)", value) for value in written)


def module_names(modules: object) -> Sequence[str]:
    """The modules in a list of the configuration, with dashes; none where it is no list."""
    if not isinstance(modules, list):
        return ()
    named = [entry[0] if isinstance(entry, list) and entry else entry for entry in modules]
    return [str(name).replace("_", "-") for name in named]


def is_true(value: object) -> bool:
    """Whether cloud-init takes *value* of a setting for true."""
    return str(value).strip().lower() in _TRUE


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[key] = _merge(before, value)
        else:
            merged[key] = value
    return merged


class _Loader(yaml.SafeLoader):
    """Aliases, as cloud-init's own 05_logging.cfg has them, but no aliases of aliases.

    A few lines of nested aliases can fill any memory; without nesting, what they stand for is no
    more than the square of the file.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._aliases = 0
        self._open: list[str | None] = []
        self._nested: set[int] = set()

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
        before = self._aliases
        if isinstance(event, yaml.events.AliasEvent):
            self._aliases += 1
            node = super().compose_node(parent, index)
            if event.anchor in self._open or id(node) in self._nested:
                raise yaml.composer.ComposerError(None, None, "nested aliases are not read", None)
            return node
        self._open.append(event.anchor)
        node = super().compose_node(parent, index)
        self._open.pop()
        if self._aliases != before:
            self._nested.add(id(node))
        return node
