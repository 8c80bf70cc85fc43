"""What real definitions hold besides name, UUID and cards: renewed, or in the report with why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import written
from unclone.sanitize.definitions.formats.table import definition_in
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.rule import FieldKind
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.verifying import verify
from unclone.sanitize.identities.mac import compared

if TYPE_CHECKING:
    from unclone.sanitize.definitions.definition import DefinitionPlan


class Case(NamedTuple):
    """A definition; what its result has, and what of the source it has not; what the report says.

    *result* and *report* are parts of it, *gone* is what the new definition does not say any more.
    """

    text: str
    result: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    report: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()


#: What most of the definitions below begin with.
VM = "apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata: {name: golden}\n"
INTERFACES = VM + "spec: {template: {spec: {domain: {devices: {interfaces: [%s]}}}}}\n"
INSTANCE = "architecture: x86_64\nname: golden\nprofiles: [default]\ndevices: {}\n"
QEMU = "#!/bin/sh\nqemu-system-x86_64 -name golden"
PROXMOX = "name: golden\nostype: l26\nscsihw: virtio-scsi-pci\n"
VMX = '.encoding = "UTF-8"\nvirtualHW.version = "14"\ndisplayName = "golden"\n'
XEN = 'name = "golden"\ntype = "hvm"\nmemory = 512\n'
VBOX = (
    '<VirtualBox xmlns="http://www.virtualbox.org/"><Machine name="golden" '
    'uuid="{7b2e1f9c-4c35-4a6e-9d10-a1b2c3d4e5f6}"><Hardware>%s</Hardware></Machine></VirtualBox>'
)
OVF = (
    '<Envelope xmlns:ovf="o" xmlns:rasd="r" xmlns:vmw="v"><VirtualSystem ovf:id="golden"><Name>'
    "golden</Name><VirtualHardwareSection>%s</VirtualHardwareSection></VirtualSystem></Envelope>"
)


def planned(text: str, file: str) -> DefinitionPlan:
    """The plan for *text*, proved as a run proves it."""
    source = Source(Path(f"/nowhere/{file}"), text.encode())
    plan = plan_definition(definition_in(source), IdentityMap(Counting(), "web-01"))
    verify(plan)
    return plan


def check(text: str, case: Case, file: str) -> None:
    plan = planned(text, file)
    result = written(plan).decode()
    report = "\n".join(note.text for note in plan.notes)
    for part in case.result:
        assert part in result
    for part in case.gone:
        assert part in text
        assert part not in result
    for part in case.report:
        assert part in report
    for part in case.silent:
        assert part not in report


HEAD = "<domain type='kvm'><name>golden</name>"
NVRAM = "<os><nvram type='{0}'><source {1}/></nvram></os>"


def domain(devices: str, above: str = "") -> str:
    return f"{HEAD}{above}<devices>{devices}</devices></domain>"


def card(mac: str, more: str = "") -> str:
    return f"<interface type='user'><mac address='{mac}'/>{more}</interface>"


LIBVIRT = {
    "teaming-shares-one-address": Case(
        domain(
            card("52:54:00:11:22:33", "<teaming type='persistent'/><alias name='ua-0'/>")
            + card("52:54:00:11:22:33", "<teaming type='transient' persistent='ua-0'/>")
        ),
        result=(
            "52:54:00:00:00:01'/><teaming type='persistent'",
            "52:54:00:00:00:01'/><teaming type='transient'",
        ),
        gone=("52:54:00:11:22:33",),
        silent=("one of its own",),
    ),
    "two-teams": Case(
        domain(
            card("00:11:22:33:44:55", "<teaming type='persistent'/><alias name='ua-0'/>")
            + card("66:44:33:22:11:00", "<teaming type='persistent'/><alias name='ua-1'/>")
            + card("00:11:22:33:44:55", "<teaming type='transient' persistent='ua-0'/>")
            + card("66:44:33:22:11:00", "<teaming type='transient' persistent='ua-1'/>")
        ),
        gone=("00:11:22:33:44:55", "66:44:33:22:11:00"),
        silent=("one of its own",),
    ),
    "one-address-of-two-teams": Case(
        domain(
            card("52:54:00:11:22:33", "<teaming type='persistent'/><alias name='ua-0'/>")
            + card("52:54:00:11:22:33", "<teaming type='persistent'/><alias name='ua-1'/>")
        ),
        result=("52:54:00:00:00:01'", "52:54:00:00:00:02'"),
        report=("net1 (52:54:00:11:22:33) is another card's too",),
    ),
    "null-address": Case(
        domain(card("00:00:00:00:00:00") + card("00:00:00:00:00:00")),
        result=("52:54:00:00:00:01'", "52:54:00:00:00:02'"),
        gone=("00:00:00:00:00:00",),
        report=("net0 is null: it gets one of its own", "net1 is null"),
    ),
    "two-cards-with-one-address": Case(
        domain(card("52:54:00:aa:bb:cc") + card("52:54:00:AA:BB:CC")),
        result=("'52:54:00:00:00:01'", "'52:54:00:00:00:02'"),
        report=("net1 (52:54:00:AA:BB:CC) is another card's too: it gets one of its own",),
    ),
    **{
        f"variables-on-{kind}": Case(
            domain("", NVRAM.format(kind, place)), report=(f"{shown} is still the source's",)
        )
        for kind, place, shown in (
            ("network", "protocol='nbd' name='golden-vars'", "golden-vars"),
            ("block", "dev='/dev/vg/vars7'", "/dev/vg/vars7"),
            ("volume", "pool='p' volume='vars7.fd'", "vars7.fd"),
        )
    },
    "data-file": Case(
        domain(
            "<disk type='file'><source file='/img/a.qcow2'><dataStore type='block'>"
            "<source dev='/dev/vg/data7'/></dataStore></source><target dev='vda'/></disk>"
        ),
        report=("/img/a.qcow2 is still the source's", "/dev/vg/data7 is still the source's"),
    ),
    "host-resources": Case(
        domain(
            "<lease><lockspace>ls</lockspace><key>key7</key><target path='/leases/l7'/></lease>"
            "<interface type='ethernet'><source><ip address='192.0.2.1'/></source>"
            "<ip address='2001:db8::12'/></interface>"
            "<serial type='dev'><source path='/dev/ttyS0'/></serial>"
            "<parallel type='dev'><source path='/dev/parport0'/></parallel>"
            "<input type='passthrough'><source evdev='/dev/input/event7'/></input>"
            "<rng><backend model='egd' type='unix'><source mode='bind' path='/r/e.sock'/></backend>"
            "</rng><rng><backend model='egd' type='tcp'><source mode='bind' service='1234'/>"
            "</backend></rng><rng><backend model='egd' type='udp'>"
            "<source mode='connect' service='1235'/></backend></rng>"
            "<pstore backend='acpi-erst'><path>/var/lib/pstore7</path></pstore>"
            "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>"
        ),
        result=("/r/e-web-01.sock", "/var/lib/pstore7-web-01"),
        gone=("service='1234'", "<path>/var/lib/pstore7<"),
        report=(
            "key7 stays",
            "/leases/l7 stays",
            "192.0.2.1 stays",
            "2001:db8::12 stays",
            "/dev/ttyS0 stays",
            "/dev/parport0 stays",
            "/dev/input/event7 stays",
            "1235 stays",
            "interface[2] stays: a device of the host",
        ),
    ),
    "storage-clients": Case(
        domain(
            "<disk type='network'><source protocol='iscsi' name='iqn.2013-07.com.example:t/1'>"
            "<initiator><iqn name='iqn.2024-01.com.example:client7'/></initiator></source></disk>"
            "<disk type='block' device='lun'><source dev='/dev/mapper/a'><reservations>"
            "<source type='unix' path='/run/pr.sock'/></reservations></source></disk>"
            "<graphics type='dbus' address='unix:path=/run/bus'/>"
        ),
        report=("client7 stays", "/run/pr.sock stays", "unix:path=/run/bus stays"),
    ),
    "devices-as-logs": Case(
        domain(
            "<serial type='file'><source path='/dev/fdset/3'/><log file='/dev/null'/></serial>"
            "<console type='file'><source path='/dev/shm/log'/></console>"
        ),
        result=("'/dev/fdset/3'", "'/dev/null'", "'/dev/shm/log-web-01'"),
        report=("/dev/fdset/3 stays: both machines would use it",),
        silent=("/dev/null",),
    ),
    "snapshot-files": Case(
        "<domainsnapshot><name>s1</name><memory snapshot='external' file='/img/golden.mem'/>"
        "<disks><disk name='vda'><source file='/img/golden.s1'/></disk></disks>"
        "<revertDisks><disk name='vda'><source dev='/dev/vg/s0'/></disk></revertDisks>"
        f"{domain('')}</domainsnapshot>",
        report=(
            "/img/golden.mem stays: it is the memory of the source",
            "/img/golden.s1 is still the source's",
            "/dev/vg/s0 is still the source's",
        ),
    ),
}


@pytest.mark.parametrize("case", LIBVIRT.values(), ids=LIBVIRT)
def test_libvirt(case: Case) -> None:
    check(case.text, case, "golden.xml")


SCRIPT = """#!/bin/sh
REPO_PATH="${{REPO_PATH:-.}}"
OVMF_DIR="."
args=(
 -name golden
 -drive if=pflash,format=raw,readonly=on,file="$REPO_PATH/$OVMF_DIR/OVMF_CODE.fd"
 -drive if=pflash,format=raw,file={0}
 -nic none
)
qemu-system-x86_64 "${{args[@]}}"
"""
OTHERS = {
    "qemu-label-of-an-address": Case(
        QEMU + " -device scsi-hd,drive=d0,device_id=drive-scsi0-0-0-0\n",
        result=("device_id=drive-scsi0-0-0-0",),
    ),
    "qemu-serial-in-device-id": Case(
        QEMU + " -device scsi-hd,drive=d0,device_id=WD-WMAP9A966149\n",
        gone=("WD-WMAP9A966149",),
    ),
    "qemu-descriptor-that-is-open": Case(
        QEMU + " -add-fd set=0,fd=9 -chardev pty,id=c0,logfile=/dev/fdset/0 9>>/var/log/vm.log\n",
        result=("logfile=/dev/fdset/0 9>>",),
        report=("/dev/fdset/0 stays: both machines would use it",),
    ),
    "qemu-privileged-port": Case(
        QEMU + " -nic user,hostfwd=tcp::22-:22\n", result=("hostfwd=tcp::10024-:22",)
    ),
    "qemu-last-privileged-port": Case(
        QEMU + " -nic user,hostfwd=tcp::1023-:80\n", result=("hostfwd=tcp::11025-:80",)
    ),
    "qemu-serial-made-of-the-name": Case(
        '#!/bin/sh\nVM=golden\nqemu-system-x86_64 -name "$VM" -nic none '
        '-device scsi-hd,drive=d,serial="$VM-0001"\n',
        result=("VM=web-01\n", 'serial="$VM-0001"'),
    ),
    "qemu-display": Case(QEMU + " -nic none -vnc :1\n", result=("-vnc :3",)),
    **{
        f"qemu-variables-in-a-path-{number}": Case(SCRIPT.format(old), result=(new,))
        for number, (old, new) in enumerate(
            (
                (
                    '"$REPO_PATH/$OVMF_DIR/OVMF_VARS.fd"',
                    '"$REPO_PATH/$OVMF_DIR/OVMF_VARS-web-01.fd"',
                ),
                ("$REPO_PATH/VARS", "file=$REPO_PATH/VARS-web-01\n"),
                ('"$REPO_PATH"/VARS.fd', '"$REPO_PATH"/VARS-web-01.fd'),
                ("$REPO_PATH/golden_VARS.fd", "file=$REPO_PATH/web-01_VARS.fd"),
                ("${REPO_PATH}/golden/VARS.fd", "file=${REPO_PATH}/web-01/VARS.fd"),
            )
        )
    },
    "proxmox-architecture": Case("arch: aarch64\n" + PROXMOX, result=("arch: aarch64\n",)),
    "proxmox-keys-with-hyphens": Case(
        "amd-sev: type=snp\nintel-tdx: type=tdx\n" + PROXMOX,
        result=("amd-sev: type=snp\nintel-tdx: type=tdx\n",),
    ),
    "proxmox-special-sections": Case(
        PROXMOX + "\n[special:fleecing]\nfleecing-images: zfs:vm-120-fleece-0\n"
        "\n[special:cloudinit]\nname: golden\n",
        gone=("zfs:vm-120-fleece-0", "name: golden"),
        silent=("snapshot ",),
    ),
    "incus-instance-id": Case(
        INSTANCE
        + "config: {volatile.cloud-init.instance-id: b421c790-0000-46d2-af22-9109d5bdb6c4}\n",
        gone=("b421c790-0000-46d2-af22-9109d5bdb6c4",),
    ),
    "ovf-uuid-of-vmware": Case(
        OVF % '<vmw:Config vmw:key="uuid" vmw:value="42343691-387c-c457-d170-0c64ffb48501"/>'
        '<vmw:ExtraConfig vmw:key="nvram" vmw:value="ovf:/file/file2"/>',
        gone=("42343691-387c-c457-d170-0c64ffb48501",),
        report=("ovf:/file/file2 stays",),
    ),
    "ovf-size-that-is-none": Case(
        '<Envelope><References><File id="f" href="a.vmdk" size="-1"/></References><VirtualSystem '
        'id="golden"/></Envelope>',
        result=('size="-1"', 'id="web-01"'),
    ),
    "ovf-address-of-ovirt": Case(
        OVF % "<Item><rasd:ResourceType>10</rasd:ResourceType>"
        "<rasd:MACAddress>00:1a:4a:11:22:33</rasd:MACAddress></Item>",
        gone=("00:1a:4a:11:22:33",),
    ),
    "ovf-address-in-an-element-of-its-own": Case(
        OVF % "<EthernetPortItem><PermanentAddress>00:1a:4a:11:22:33</PermanentAddress>"
        "</EthernetPortItem>",
        gone=("00:1a:4a:11:22:33",),
    ),
}


@pytest.mark.parametrize("case", OTHERS.values(), ids=OTHERS)
def test_other_formats(case: Case) -> None:
    check(case.text, case, "golden")


def vmx_card(number: int, mac: str) -> str:
    card = f"ethernet{number}"
    return f'{card}.addressType = "static"\n{card}.address = "{mac}"\n'


def items(*macs: str) -> str:
    return "".join(
        f"<Item><rasd:ResourceType>10</rasd:ResourceType><rasd:Address>{mac}</rasd:Address></Item>"
        for mac in macs
    )


#: A definition whose only card has the null address, and one whose two cards have one address.
NULL = {
    "vmx": VMX + vmx_card(0, "00:00:00:00:00:00"),
    "proxmox": PROXMOX + "net0: virtio=00:00:00:00:00:00,bridge=vmbr0\n",
    "vbox": VBOX % '<Network><Adapter slot="0" MACAddress="000000000000"/></Network>',
    "kubevirt": INTERFACES % "{name: a, macAddress: '00:00:00:00:00:00'}",
    "incus": INSTANCE + "config: {volatile.eth0.hwaddr: '00:00:00:00:00:00'}\n",
    "qemu": QEMU + " -device virtio-net-pci,mac=00:00:00:00:00:00\n",
    "xen": XEN + "vif = ['mac=00:00:00:00:00:00']\n",
    "ovf": OVF % items("00:00:00:00:00:00"),
}
TWICE = {
    "vmx": VMX + vmx_card(0, "00:50:56:00:00:0a") + vmx_card(1, "00:50:56:00:00:0A"),
    "proxmox": PROXMOX + "net0: virtio=BC:24:11:00:00:0A\nnet1: e1000=bc:24:11:00:00:0a\n",
    "proxmox-snapshot": PROXMOX
    + "[s1]\nnet0: virtio=BC:24:11:00:00:0A\nnet1: model=e1000,macaddr=bc:24:11:00:00:0a\n",
    "vbox": VBOX % '<Network><Adapter slot="0" MACAddress="080027D1F0A3"/><Adapter slot="1" '
    'MACAddress="080027d1f0a3"/></Network>',
    "kubevirt": INTERFACES
    % "{name: a, macAddress: '52:54:00:aa:bb:cc'}, {name: b, macAddress: 52-54-00-AA-BB-CC}",
    "incus": INSTANCE
    + "config: {volatile.a.hwaddr: 00:16:3e:00:00:0a, volatile.b.hwaddr: 00:16:3E:00:00:0A}\n",
    "cloud-hypervisor": '{"payload":{"kernel":"k"},"cpus":{"boot_vcpus":1},"net":['
    '{"mac":"12:34:56:78:90:ab"},{"mac":"12:34:56:78:90:AB"}]}',
    "firecracker": '{"boot-source":{"kernel_image_path":"k"},"drives":[],"network-interfaces":['
    '{"guest_mac":"06:00:AC:10:00:02"},{"guest_mac":"06:00:ac:10:00:02"}]}',
    "qemu": QEMU + " -nic user,mac=52:54:00:aa:bb:cc -nic user,mac=52:54:00:AA:BB:CC\n",
    "qemu-config": '[name]\n  guest = "golden"\n'
    '[device]\n mac="52:54:00:12:34:56"\n[nic]\n mac="52-54-00-12-34-56"\n',
    "xen": XEN + "vif = ['mac=00:16:3e:00:00:0a', 'bridge=b,mac=00:16:3E:00:00:0A']\n",
    "ovf": OVF % items("00505600000a", "00:50:56:00:00:0A"),
}


@pytest.mark.parametrize("text", NULL.values(), ids=NULL)
def test_a_null_address_becomes_one(text: str) -> None:
    plan = planned(text, "golden")
    (card,) = (each for each in plan.fields if each.field.rule.kind is FieldKind.MAC)
    assert compared(card.new or "").endswith("00:01")
    assert "is null: it gets one of its own" in "\n".join(note.text for note in plan.notes)


@pytest.mark.parametrize("text", TWICE.values(), ids=TWICE)
def test_cards_with_one_address_get_two(text: str) -> None:
    plan = planned(text, "golden")
    cards = [each for each in plan.fields if each.field.rule.kind is FieldKind.MAC]
    assert len({compared(card.field.value) for card in cards}) == 1
    assert len({compared(card.new or "") for card in cards}) == 2
    warned = "is another card's too: it gets" in "\n".join(note.text for note in plan.notes)
    assert warned is all(not card.field.scope for card in cards)
