"""``unclone seed --check IMAGE``: whether this image takes this seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unclone.images.errors import ExitStatus
from unclone.images.text import printable
from unclone.runs.opening import read_image
from unclone.sanitize.facts import Facts
from unclone.sanitize.obstacle import Obstacle, Wanted
from unclone.sanitize.seed_readiness import cloud_init_version, obstacles
from unclone.seeds.checks import check_files
from unclone.seeds.contents import contents
from unclone.seeds.output import Format
from unclone.seeds.yaml_text import ParsedYaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unclone.images.guest import Guest
    from unclone.runs.listener import Listener
    from unclone.runs.request import Request
    from unclone.seeds.seed import Seed

_SCHEMAS = (
    "/usr/lib/python3/dist-packages/cloudinit/config/schemas",
    "/usr/lib/python3*/site-packages/cloudinit/config/schemas",
)
_NETPLAN = ("/usr/sbin/netplan", "/usr/bin/netplan")
#: Of one file; more would say no more.
_MOST = 10


@dataclass(frozen=True)
class Readiness:
    """What stands in one image between a seed and its effect."""

    image: str
    guest: str
    obstacles: tuple[Obstacle, ...]

    @property
    def status(self) -> ExitStatus:
        """Refused when the whole seed would be ignored."""
        return ExitStatus.REFUSED if any(each.whole for each in self.obstacles) else ExitStatus.DONE

    def to_json(self) -> dict[str, Any]:
        """As documented in docs/json.md."""
        return {
            "image": self.image,
            "status": "not-ready" if self.status else "ready",
            "guest": self.guest,
            "obstacles": [each.to_json() for each in self.obstacles],
        }


def look(request: Request, listener: Listener, seed: Seed | None, kind: Format) -> Readiness:
    """Open the image, change nothing, and say what is in the way of *seed*, written as *kind*.

    Without a seed: of one with a host name and a network.
    """
    wanted = None if seed is None else wanted_by(seed, kind)

    def found(guest: Guest) -> Readiness:
        facts = Facts(guest)
        in_the_way = list(obstacles(guest, facts, wanted))
        if seed is not None:
            in_the_way += [*_own_schema(guest, seed), *_without_netplan(guest, seed)]
        return Readiness(str(request.image), facts.name, tuple(in_the_way))

    return read_image(request, found, listener)


def wanted_by(seed: Seed, kind: Format) -> Wanted:
    """What *seed*, written as *kind*, needs of a guest."""
    keys = contents(seed.user_data).keys
    if seed.vendor_data is not None:
        keys |= contents(seed.vendor_data).keys
    features = {"vfat"} if kind is Format.VFAT else set()
    data = _network(seed).data or {}
    if "network" in data:
        features.add("network-wrapper")
    if 2 in (data.get("version"), (data.get("network") or {}).get("version")):
        features.add("network-version-2")
    return Wanted(keys, hostname=True, network=bool(data), features=frozenset(features))


def _own_schema(guest: Guest, seed: Seed) -> Iterator[Obstacle]:
    """What the schema of the guest's own cloud-init refuses."""
    from unclone.seeds.guest_schema import LIMIT, guest_schema  # noqa: PLC0415 (jsonschema loads slowly)
    from unclone.seeds.schema import CLOUD_CONFIG  # noqa: PLC0415

    paths = [path for folder in _SCHEMAS for path in guest.glob(f"{folder}/{CLOUD_CONFIG}")]
    version = ".".join(map(str, cloud_init_version(guest)[1])) or "of unknown version"
    for path in paths[:1]:
        schema = guest_schema(guest.text_or_empty(path, LIMIT), version)
        if schema is None:
            continue
        found = [f for f in check_files(seed.files, schema) if f.code in {"schema", "check-failed"}]
        for finding in found[:_MOST]:
            yield Obstacle(
                "schema",
                path,
                f"cloud-init {version} here complains of {printable(finding.place)}: "
                f"{printable(finding.message)}",
                "Change it in the seed, or update cloud-init in the image.",
            )


def _without_netplan(guest: Guest, seed: Seed) -> Iterator[Obstacle]:
    """What cloud-init's own reader of version 2 does not know, where netplan does not read it."""
    parsed = _network(seed)
    data, root = parsed.data or {}, parsed.root
    if "network" in data and isinstance(data["network"], dict) and root is not None:
        data, root = data["network"], root.value[0][1]
    if data.get("version") != 2 or root is None or any(map(guest.glob, _NETPLAN)):
        return
    from unclone.seeds.schema import newest  # noqa: PLC0415 (jsonschema loads slowly)

    for finding in list(newest().check_network(parsed, root, data, 2))[:_MOST]:
        yield Obstacle(
            "network-without-netplan",
            "",
            f"there is no netplan, and cloud-init's own reader does not take {finding.place}: "
            f"{printable(finding.message)}",
            "Write it as version 1, or leave it out.",
        )


def _network(seed: Seed) -> ParsedYaml:
    """The network configuration; ``data`` is a mapping or nothing."""
    text = (seed.network_config or b"").decode("utf-8", "replace")
    parsed = ParsedYaml("network-config", text)
    if not isinstance(parsed.data, dict):
        parsed.root = parsed.data = None
    return parsed
