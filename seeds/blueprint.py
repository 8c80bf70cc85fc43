"""What machines have in common, and how one of them becomes a seed.

A :class:`Blueprint` is what the options of ``unclone seed`` say; a :class:`Row` is one machine of
``--machines``, or the one that ``--hostname`` names. Row and blueprint together make a
:class:`unclone.seeds.machine.Machine` and its :class:`unclone.seeds.seed.Seed`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unclone.seeds.errors import SeedError
from unclone.seeds.machine import Machine
from unclone.seeds.merging import merged
from unclone.seeds.mime import Part
from unclone.seeds.network import Network
from unclone.seeds.nic_option import interfaces
from unclone.seeds.seed import Seed
from unclone.seeds.template import filled
from unclone.seeds.yaml_text import ParsedYaml, dump_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from unclone.seeds.guest_file import GuestFile
    from unclone.seeds.nic_option import Description


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One machine. ``where`` begins every message about it (``machines.yaml:7``; may be empty).

    Lists are added to the blueprint's; other fields replace it. ``values`` are for templates.
    """

    where: str = ""
    hostname: str = ""
    fqdn: str = ""
    instance_id: str = ""
    generation: int = 1
    users: tuple[str, ...] = ()
    ssh_keys: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    timezone: str = ""
    nics: tuple[Description, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """What all machines of one order have in common.

    ``templates`` are user-data in which ``${name}`` stands for a value of the machine; the other
    files are taken as they are. ``meta_data`` is completed with the machine's id and name.
    """

    users: tuple[str, ...] = ()
    ssh_keys: tuple[str, ...] = ()
    user_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    password: str = field(default="", repr=False)
    packages: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    timezone: str = ""
    disk_grow: bool = False
    write_files: tuple[GuestFile, ...] = ()
    dsmode: str = ""
    nics: tuple[Description, ...] = ()
    network_version: int = 1
    user_data: tuple[Part, ...] = ()
    templates: tuple[Part, ...] = ()
    vendor_data: tuple[Part, ...] = ()
    network_config: bytes | None = None
    meta_data: bytes | None = None
    values: Mapping[str, str] = field(default_factory=dict)

    def seed(self, row: Row) -> tuple[Machine, Seed]:
        """The machine that *row* names, and its seed. :class:`SeedError` says what is wrong."""
        try:
            return self._seed(row)
        except SeedError as error:
            if row.where:
                error.message = f"{row.where}: {error.message}"
            raise

    def _seed(self, row: Row) -> tuple[Machine, Seed]:
        given = self._given_meta_data()
        machine = self._machine(row, given)
        network = self.network_config
        if network is not None and machine.network:
            raise SeedError(
                "the network is described twice: as a file and as interfaces",
                hint="Give --network-config, or --nic, --bond and --vlan.",
            )
        seed = Seed.for_machine(
            machine,
            user_data=(*self.user_data, *self._filled(machine, row)),
            vendor_data=self.vendor_data,
            network_config=network,
        )
        if self.meta_data is None:
            return machine, seed
        complete = merged(given, machine.meta_data(), "meta-data: ")
        # As it is, byte for byte, when there is nothing to add.
        text = self.meta_data if complete == given else dump_yaml(complete).encode()
        return machine, Seed(seed.user_data, text, seed.network_config, seed.vendor_data)

    def _machine(self, row: Row, given: Mapping[str, object]) -> Machine:
        nics = row.nics or self.nics
        hostname, fqdn = row.hostname, row.fqdn
        name = given.get("local-hostname")
        if not hostname and not fqdn and isinstance(name, str):
            hostname, fqdn = ("", name) if "." in name else (name, "")
        known = given.get("instance-id")
        return Machine(
            hostname=hostname,
            fqdn=fqdn,
            instance_id=row.instance_id or (known if isinstance(known, str) else ""),
            generation=row.generation,
            users=_together(self.users, row.users),
            ssh_keys=_together(self.ssh_keys, row.ssh_keys),
            user_keys=self.user_keys,
            password=row.password or self.password,
            packages=_together(self.packages, row.packages),
            run=(*self.run, *row.run),
            timezone=row.timezone or self.timezone,
            disk_grow=self.disk_grow,
            write_files=self.write_files,
            dsmode=self.dsmode,
            network=Network(interfaces(nics), self.network_version) if nics else None,
        )

    def _given_meta_data(self) -> dict[str, object]:
        if self.meta_data is None:
            return {}
        parsed = ParsedYaml("meta-data", self.meta_data.decode("utf-8", "replace"))
        if parsed.problems:
            problem = parsed.problems[0]
            raise SeedError(f"{problem.place}: {problem.message}", hint=problem.hint)
        if parsed.data is not None and not isinstance(parsed.data, dict):
            raise SeedError("meta-data is no mapping", hint="It is key: value, line by line.")
        return dict(parsed.data or {})

    def _filled(self, machine: Machine, row: Row) -> Sequence[Part]:
        short = machine.hostname or machine.fqdn.split(".")[0]
        own = {"hostname": short, "fqdn": machine.fqdn, "instance_id": machine.identity}
        values = {**self.values, **row.values, **{k: v for k, v in own.items() if v}}
        parts = []
        for template in self.templates:
            try:
                text = template.content.decode()
            except UnicodeDecodeError as error:
                raise SeedError(f"{template.name} is not UTF-8") from error
            content = filled(text, values, template.name).encode()
            parts.append(Part(template.name, content, template.type))
        return parts


def _together(common: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """Both, each once, the common ones first."""
    return tuple(dict.fromkeys((*common, *own)))
