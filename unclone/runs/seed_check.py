"""``unclone seed --check IMAGE``: whether this image takes this seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unclone.images.errors import ExitStatus
from unclone.runs.opening import read_only
from unclone.sanitize.facts import Facts
from unclone.sanitize.seed_readiness import Obstacle, Wanted, obstacles
from unclone.seeds.contents import contents
from unclone.seeds.output import Format
from unclone.seeds.yaml_text import ParsedYaml

if TYPE_CHECKING:
    from unclone.runs.listener import Listener
    from unclone.runs.request import Request
    from unclone.seeds.seed import Seed


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


def look(request: Request, listener: Listener, wanted: Wanted | None) -> Readiness:
    """Open the image, change nothing, and say what is in the way of a seed."""
    with read_only(request, listener) as guest:
        facts = Facts(guest)
        return Readiness(str(request.image), facts.name, obstacles(guest, facts, wanted))


def wanted_by(seed: Seed, kind: Format) -> Wanted:
    """What *seed*, written as *kind*, needs of a guest."""
    keys = contents(seed.user_data).keys
    if seed.vendor_data is not None:
        keys |= contents(seed.vendor_data).keys
    features = {"vfat"} if kind is Format.VFAT else set()
    network = ParsedYaml("network-config", (seed.network_config or b"").decode("utf-8", "replace"))
    data = network.data if isinstance(network.data, dict) else {}
    if "network" in data:
        features.add("network-wrapper")
    if 2 in (data.get("version"), (data.get("network") or {}).get("version")):
        features.add("network-version-2")
    return Wanted(keys, hostname=True, network=bool(data), features=frozenset(features))
