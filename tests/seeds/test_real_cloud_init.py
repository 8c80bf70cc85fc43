"""The distribution's own cloud-init reads the seeds, and is of one opinion with the checks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.seed_mistakes import mistakes
from tests.support.selection import slow_but
from unclone.seeds import Bond, Format, Interface, Machine, Network, Part, Route, Seed, Vlan
from unclone.seeds.formats import kind_of
from unclone.seeds.password import hashed

if TYPE_CHECKING:
    from collections.abc import Sequence

READER = Path(__file__).parent.parent / "support" / "read_seed.py"
DS_IDENTIFY = Path("/usr/lib/cloud-init/ds-identify")
PYTHON = "/usr/bin/python3"  # whose packages the distribution's cloud-init is one of
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a@b"

NETWORK = Network(
    (
        Interface(
            name="eth0",
            mac="52:54:00:12:34:56",
            addresses=("192.0.2.10/24", "2001:db8::a/64"),
            gateways=("192.0.2.1", "2001:db8::1"),
            nameservers=("192.0.2.53", "2001:db8::53"),
            search=("example.org",),
            routes=(Route("198.51.100.0/24", "192.0.2.254"),),
            mtu=1400,
        ),
        Interface(name="eth1", mac="52:54:00:12:34:57"),
        Interface(name="eth2", mac="52:54:00:12:34:58"),
        Interface(name="bond0", bond=Bond(("eth1", "eth2"), "active-backup"), dhcp4=True),
        Interface(name="bond0.20", vlan=Vlan(20, "bond0"), addresses=("203.0.113.10/24",)),
    )
)


def read(seed: Path, work: Path) -> dict[str, Any]:
    """What cloud-init makes of the files in the folder *seed*."""
    work.mkdir()
    done = subprocess.run(
        [PYTHON, READER, seed, work], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def extracted(image: Path, kind: Format, folder: Path) -> Path:
    """The files of a seed, taken out by other programs."""
    if kind is Format.FOLDER:
        return image
    subprocess.run(["7z", "x", "-y", f"-o{folder}", image], check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", slow_but([Format.ISO], Format))
def test_cloud_init_reads_every_kind_of_seed(tmp_path: Path, kind: Format) -> None:
    machine = Machine(
        hostname="web-01",
        fqdn="web-01.example.org",
        users=("admin",),
        ssh_keys=(KEY,),
        password="correct horse",
        packages=("vim",),
        run=("echo 'ä: #no'",),
        timezone="Europe/Berlin",
        disk_grow=True,
        network=NETWORK,
    )
    seed = Seed.for_machine(machine)
    path = tmp_path / "seed"
    seed.write(path, kind, strict=True)
    told = read(extracted(path, kind, tmp_path / "out"), tmp_path / "work")
    assert told["warnings"] == []
    assert told["datasource"].startswith("DataSourceNoCloud")
    assert told["instance_id"] == machine.identity
    assert told["hostname"][0] == "web-01.example.org"
    assert seed.network_config is not None
    assert told["network"] == yaml.safe_load(seed.network_config)
    config = told["config"]
    assert config["users"] == [
        {
            "name": "admin",
            "shell": "/bin/bash",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "lock_passwd": False,
            "passwd": hashed("correct horse", f"{machine.identity}/admin"),
            "ssh_authorized_keys": [KEY],
        }
    ]
    assert (config["packages"], config["runcmd"]) == (["vim"], ["echo 'ä: #no'"])
    assert config["timezone"] == "Europe/Berlin"
    assert config["growpart"]["devices"] == ["/"]
    # The image says otherwise (tests/support/read_seed.py); vendor-data sets it right.
    assert (config["preserve_hostname"], config["ssh_deletekeys"]) == (False, True)


@pytest.mark.slow
def test_user_data_wins_over_what_the_seed_sets_right(tmp_path: Path) -> None:
    mine = Part("mine.yaml", b"#cloud-config\nssh_deletekeys: false\n")
    seed = Seed.for_machine(Machine(hostname="web-01"), user_data=[mine])
    assert seed.user_data == mine.content
    seed.write(tmp_path / "seed", Format.FOLDER)
    told = read(tmp_path / "seed", tmp_path / "work")
    assert told["config"]["ssh_deletekeys"] is False


PARTS = [
    Part("base.yaml", b"#cloud-config\npackages: [vim]\nruncmd: [first]\n"),
    Part("hello.sh", "#!/bin/sh\necho 'Grüße' \n".encode()),
    Part("long.sh", b"#!/bin/sh\necho " + b"x" * 2000 + b"\n"),
    Part("no newline.sh", b"#!/bin/sh\necho end"),
]


@pytest.mark.slow
def test_cloud_init_takes_the_parts_apart(tmp_path: Path) -> None:
    machine = Machine(hostname="web-01", run=("second",), ssh_keys=(KEY,))
    seed = Seed.for_machine(machine, user_data=PARTS)
    seed.write(tmp_path / "seed", Format.FOLDER, strict=True)
    told = read(tmp_path / "seed", tmp_path / "work")
    assert told["warnings"] == []
    assert told["config"]["runcmd"] == ["first", "second"]
    assert told["config"]["packages"] == ["vim"]
    assert told["config"]["ssh_authorized_keys"] == [KEY]
    assert told["scripts"] == {
        part.name.replace(" ", "_"): part.content.decode() for part in PARTS[1:]
    }


@pytest.mark.slow
def test_the_later_of_two_configs_replaces(tmp_path: Path) -> None:
    """What the check ``parts-overlap`` warns of is what happens."""
    parts = [Part("a", b"#cloud-config\nruncmd: [a]\n"), Part("b", b"#cloud-config\nruncmd: [b]\n")]
    seed = Seed.for_machine(Machine(hostname="web-01"), user_data=parts)
    assert [finding.code for finding in seed.check()] == ["parts-overlap"]
    seed.write(tmp_path / "seed", Format.FOLDER)
    assert read(tmp_path / "seed", tmp_path / "work")["config"]["runcmd"] == ["b"]


IGNORED = {"no-header", "header-spelling", "dashes-before-header", "byte-order-mark", "mime-header"}
#: Those that the fast tests take.
IGNORED_FAST = {"no header", "a byte order mark"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(m, id=m.title, marks=[pytest.mark.slow] if m.title not in IGNORED_FAST else [])
        for m in mistakes()
        if m.says.rsplit("[", 1)[1].rstrip("]") in IGNORED
    ],
)
def test_what_the_checks_call_ignored_is_ignored(tmp_path: Path, mistake: Any) -> None:
    folder = tmp_path / "seed"
    folder.mkdir()
    for name, content in mistake.seed.files.items():
        (folder / name).write_bytes(content)
    told = read(folder, tmp_path / "work")
    assert told["config"]["hostname"] is None
    assert told["scripts"] == {}


@pytest.mark.slow
def test_the_headers_are_those_of_cloud_init() -> None:
    script = (
        "import json, cloudinit.handlers as h\n"
        "print(json.dumps({k: h.type_from_starts_with(k) for k in h.INCLUSION_TYPES_MAP}))"
    )
    done = subprocess.run([PYTHON, "-c", script], capture_output=True, check=True, timeout=60)
    theirs = json.loads(done.stdout)
    only_in_messages = {name for name in theirs if name.startswith("text/")}
    assert {k: v for k, v in theirs.items() if k not in only_in_messages} == {
        k: kind_of(k) for k in theirs if k not in only_in_messages
    }


# -- its schema ------------------------------------------------------------------------------

CONFIGS = [
    b"#cloud-config\n{}\n",
    b"#cloud-config\nruncmd: [ls, [echo, hi]]\n",
    b"#cloud-config\nruncmd: ls\n",
    b"#cloud-config\nusers: [{name: a, lock_passwd: true}]\n",
    b"#cloud-config\nusers: [{name: a, lock_passwd: perhaps}]\n",
    b"#cloud-config\npackages: [vim, [git, '1']]\n",
    b"#cloud-config\npackages: [[[]]]\n",
    b"#cloud-config\nntp: {enabled: 3}\n",
    b"#cloud-config\ngrowpart: {mode: sideways}\n",
    b"#cloud-config\nmounts: [[sdb, /mnt]]\n",
    b"#cloud-config\nmounts: []\n",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", slow_but(CONFIGS[1:3], CONFIGS), ids=lambda c: c[14:].decode().strip()
)
def test_the_schema_command_agrees(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "user-data"
    path.write_bytes(content)
    theirs = subprocess.run(
        ["cloud-init", "schema", "-c", path], capture_output=True, check=False, timeout=120
    )
    ours = [f for f in Seed(content, b'instance-id: "i-1"\n').check() if f.code == "schema"]
    assert (theirs.returncode == 0) == (ours == [])


@pytest.mark.slow
def test_the_schema_command_accepts_everything_we_write(tmp_path: Path) -> None:
    machine = Machine(
        fqdn="web-01.example.org",
        hostname="other",
        users=("admin", "ops"),
        ssh_keys=(KEY,),
        password="correct horse",
        packages=("vim",),
        run=("ls",),
        timezone="UTC",
        disk_grow=True,
    )
    seeds = [Seed.for_machine(machine), Seed.for_machine(Machine(hostname="a", password="x"))]
    for number, seed in enumerate(seeds):
        for name in ("user-data", "vendor-data"):
            path = tmp_path / f"{number}-{name}"
            path.write_bytes(seed.files[name])
            done = subprocess.run(
                ["cloud-init", "schema", "-c", path], capture_output=True, check=False, timeout=120
            )
            assert done.returncode == 0, done.stderr.decode()


# -- its network renderers -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("version", slow_but([2], [1, 2]))
@pytest.mark.parametrize(
    ("renderer", "distro"),
    [
        pytest.param("eni", "debian", marks=pytest.mark.slow),
        ("netplan", "ubuntu"),
        pytest.param("networkd", "arch", marks=pytest.mark.slow),
        pytest.param("sysconfig", "rhel", marks=pytest.mark.slow),
    ],
)
def test_every_renderer_takes_the_network(
    tmp_path: Path, version: int, renderer: str, distro: str
) -> None:
    network = Network(NETWORK.interfaces, version)
    (tmp_path / "network-config").write_bytes(network.to_yaml())
    done = subprocess.run(
        [
            *("cloud-init", "devel", "net-convert", "--kind", "yaml", "--output-kind", renderer),
            *("--distro", distro, "--directory", tmp_path / "out"),
            *("--network-data", tmp_path / "network-config"),
            *("--mac", "eth0,52:54:00:12:34:56"),
        ],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    written = "\n".join(p.read_text() for p in (tmp_path / "out").rglob("*") if p.is_file())
    wanted = ["192.0.2.10", "2001:db8::a", "192.0.2.1", "192.0.2.53", "203.0.113.10", "bond0"]
    wanted += ["198.51.100.0", "192.0.2.254", "1400", "52:54:00:12:34:57"]
    assert [text for text in wanted if text not in written] == []


# -- ds-identify -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Format.ISO, Format.VFAT])
def test_ds_identify_finds_the_image(tmp_path: Path, kind: Format) -> None:
    path = tmp_path / "seed.img"
    Seed.for_machine(Machine(hostname="web-01")).write(path, kind)
    assert ds_identify(tmp_path, path) == "datasource_list: [ NoCloud, None ]"


def test_ds_identify_finds_nothing_in_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(bytes(70_000))
    assert "NoCloud" not in ds_identify(tmp_path, tmp_path / "empty")


def ds_identify(work: Path, image: Path) -> str:
    """What ds-identify writes for cloud-init when *image* is the machine's only disk."""
    tools, root = work / "tools", work / "root"
    tools.mkdir()
    (root / "etc" / "cloud").mkdir(parents=True)
    blkid = shutil.which("blkid", path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
    script(tools / "blkid", f'exec {blkid} -p -o export "{image}" || exit 0')
    script(tools / "systemd-detect-virt", "echo kvm")  # in a container it looks at no disk
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PATH_ROOT": str(root)}
    subprocess.run(
        [DS_IDENTIFY, "--force"], capture_output=True, env=environment, check=False, timeout=120
    )
    lines: Sequence[str] = (root / "run/cloud-init/cloud.cfg").read_text().splitlines()
    return next((line for line in lines if line.startswith("datasource_list")), "")


def script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
