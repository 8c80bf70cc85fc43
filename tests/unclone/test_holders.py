"""165 places that hold an identity, all in one guest: what becomes of each.

``holders.tsv`` has a verdict, a path and a content for each: ``removed``; ``changed``; ``kept``
(it stays, and the report names it: by a host name or an address, by a step that is off by default,
or by a note); ``told`` (it stays, and the report says what gives a clone its own); ``none`` (there
is no identity in what the file holds).
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.command import unclone
from tests.support.disks import Part, make_disk
from tests.support.families import DEBIAN_12, OLD, UUID, Tree
from tests.support.selection import slow_but
from tests.support.tree import guest_at, plant
from unclone.sanitize.applying import apply_plan
from unclone.sanitize.inventory.taking import take_inventory
from unclone.sanitize.options import Options
from unclone.sanitize.planning import make_plan
from unclone.sanitize.verifying import verify

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOLDERS = [
    line.split("\t")
    for line in (Path(__file__).parent / "holders.tsv").read_text("utf-8").splitlines()
]
PASSWD = "root:x:0:0::/root:/bin/sh\nops:x:1000:1000::/home/ops:/bin/sh\n"


@dataclass(frozen=True)
class Sanitized:
    """A guest that was sanitised: its files before and after, and the report."""

    before: Tree
    folder: Path
    report: Mapping[str, Any]

    def left(self, path: str) -> bytes | None:
        """The content of *path* afterwards, None when it is gone."""
        file = self.folder / path[1:]
        return file.read_bytes() if file.is_file() else None

    @property
    def told(self) -> dict[str, Any]:
        """What is told, by step."""
        return {each["step"]: each for each in self.report["inventory"]["told"]}

    @property
    def off(self) -> dict[str, Any]:
        """The steps that were left out and find something."""
        return {each["step"]: each for each in self.report["inventory"]["optional_steps"]}

    def verdict(self, path: str) -> str:
        """As the module says; "silent" for what stays without a word."""
        left = self.left(path)
        if left is None:
            return "removed"
        if left != str(self.before[path]).encode():
            return "changed"
        if any(path in each["paths"] for each in self.told.values()):
            return "told"
        said = json.dumps([self.report["inventory"], self.report["notes"]])
        return "kept" if path in said else "silent"


def sanitized(folder: Path, files: Tree) -> Sanitized:
    """The guest *files*, sanitised as a run does it, in *folder*."""
    tree = {**files, "/etc/passwd": PASSWD}
    plant(folder, tree)
    guest = guest_at(folder)
    plan = make_plan(guest, Options())
    verify(guest, plan, apply_plan(guest, plan))
    notes = [asdict(note) for note in plan.notes]
    inventory = take_inventory(guest, Options()).to_json()
    return Sanitized(tree, folder, {"inventory": inventory, "notes": notes})


def sanitized_disk(folder: Path, files: Tree) -> Sanitized:
    """The same on a disk, by the command."""
    tree = {**files, "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n", "/etc/passwd": PASSWD}
    disk = make_disk(folder / "disk.raw", [Part("ext4", tree=tree, uuid=UUID)])
    done = unclone("sanitize", "--json", "--engine", "direct", disk)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["results"]
    after = folder / "after"
    after.mkdir()
    subprocess.run(
        ["debugfs", "-R", f"rdump / {after}", f"{disk}?offset={1024 * 1024}"],
        check=True,
        capture_output=True,
    )
    return Sanitized(tree, after, report)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(sanitized, id="folder"),
        pytest.param(sanitized_disk, id="disk", marks=pytest.mark.slow),
    ],
)
def holders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    files = {path: text.encode().decode("unicode_escape") + "\n" for _, path, text in HOLDERS}
    made: Sanitized = request.param(tmp_path_factory.mktemp("holders"), {**DEBIAN_12, **files})
    return made


def test_there_are_165_places_and_each_is_there_once() -> None:
    assert len({path for _, path, _ in HOLDERS}) == len(HOLDERS) == 165
    assert {verdict for verdict, _, _ in HOLDERS} == {"removed", "changed", "kept", "told", "none"}


@pytest.mark.slow
def test_each_place_has_its_verdict(holders: Sanitized) -> None:
    wrong = [
        f"{path} is {found} and not {verdict}"
        for verdict, path, _ in HOLDERS
        if (found := holders.verdict(path).replace("silent", "none")) != verdict
    ]
    assert wrong == []


@pytest.mark.slow
def test_what_is_told_says_what_gives_a_clone_its_own(holders: Sanitized) -> None:
    assert len(holders.told) > 80
    assert all(each["why"] and each["remedy"] for each in holders.told.values())


def test_an_old_value_is_in_no_file_that_was_changed(holders: Sanitized) -> None:
    old = b"22222222-3333-4444-8555-666666666666"
    left = [holders.left(f"/etc/nvme/{name}") for name in ("config.json", "discovery.conf")]
    assert all(text is not None and old not in text for text in left)
    assert b'"PrivateKey":""' in (holders.left("/etc/netbird/config.json") or b"")
    assert OLD.encode() not in (holders.left("/etc/apt/apt.conf.d/50machine-id") or b"")


SCC = "username=SCC_0011223344556677\npassword=secret\n"
SLES: Tree = {
    **DEBIAN_12,
    "/usr/lib/os-release": 'NAME="SLES"\nID="sles"\nID_LIKE="suse"\n',
    "/etc/zypp/credentials.d/SCCcredentials": SCC + "system_token=x\n",
    "/etc/zypp/credentials.d/Basesystem_Module_15_SP5_x86_64": SCC,
    "/etc/zypp/credentials.d/SMT-http_smt_example_net": "username = "
    + "0a" * 16
    + "\npassword=x\n",
    "/etc/zypp/credentials.d/own-repository": "username=web\npassword=x\n",
    "/etc/zypp/services.d/Basesystem.service": "[Basesystem]\nurl=https://scc.example.org/\n",
    "/etc/SUSEConnect": '{"url":"https://scc.example.org"}',
    "/var/cache/cloudregister/currentSMTInfo.obj": "x",
    "/var/lib/cloudregister/availableSMTInfo_1.obj": "x",
    "/var/lib/wicked/duid.xml": "x",
}


def test_a_registered_sles_keeps_its_sources_and_no_registration(tmp_path: Path) -> None:
    guest = sanitized(tmp_path, SLES)
    gone = {path for path in SLES if "credentials.d" in path or "cloudregister" in path}
    gone = gone - {"/etc/zypp/credentials.d/own-repository"} | {"/var/lib/wicked/duid.xml"}
    assert {path: guest.verdict(path) for path in gone} == dict.fromkeys(gone, "removed")
    for path in (
        "/etc/zypp/credentials.d/own-repository",
        "/etc/zypp/services.d/Basesystem.service",
        "/etc/SUSEConnect",
    ):
        assert guest.left(path) == str(SLES[path]).encode()


NQN = "nqn.2014-08.org.nvmexpress:uuid:22222222-3333-4444-8555-666666666666"
SMALL: Tree = {
    **DEBIAN_12,
    "/var/lib/netdata/registry/netdata.public.unique.id": "33",
    "/var/lib/netdata/status-netdata.json": "33",
    "/var/cache/netdata/status-netdata.json": "33",
    "/var/lib/netdata/cloud.d/claimed_id": "33",
    "/etc/nvme/hostnqn": NQN,
    "/etc/nvme/config.json": f'[{{"hostnqn": "{NQN}"}}]',
    "/etc/iscsi/initiatorname.iscsi": "InitiatorName=iqn.1994-05.com.redhat:aabbcc\n",
    "/etc/wireguard/wg0.conf": "x",
    "/var/lib/systemd/credential.secret": "01234",
    "/etc/multipath/wwids": "/3600/",
    "/opt/CrowdStrike/falconstore": "x",
    "/etc/netbird/config.json": '{"PrivateKey":"x", "ManagementURL":{"Host":"vpn.example.net"}}',
    "/opt/splunk/etc/instance.cfg": "[general]\nguid = 33333333\n",
    "/opt/splunk/etc/system/local/server.conf": "[general]\nserverName = web-01\n",
    "/etc/pki/tls/certs/localhost.crt": "x",
    "/etc/pki/tls/private/localhost.key": "x",
    "/usr/lib/systemd/system/httpd-init.service": "[Service]\nType=oneshot\n",
}


def test_what_comes_back_by_a_second_copy_is_gone(tmp_path: Path) -> None:
    guest = sanitized(tmp_path, SMALL)
    gone = [path for path in SMALL if "netdata" in path or "localhost" in path]
    gone += ["/etc/nvme/hostnqn", "/opt/splunk/etc/instance.cfg"]
    assert {path: guest.verdict(path) for path in gone} == dict.fromkeys(gone, "removed")
    assert guest.verdict("/etc/nvme/config.json") == "changed"
    assert guest.left("/etc/netbird/config.json") == (
        b'{"PrivateKey":"", "ManagementURL":{"Host":"vpn.example.net"}}'
    )
    assert guest.left("/opt/splunk/etc/system/local/server.conf") == b"[general]\n"


OFF = {
    "crowdstrike-falcon": "/opt/CrowdStrike/falconstore",
    "iscsi-initiator-name-other": "/etc/iscsi/initiatorname.iscsi",
    "multipath-bindings": "/etc/multipath/wwids",
    "systemd-credential-secret": "/var/lib/systemd/credential.secret",
    "wireguard-keys": "/etc/wireguard/wg0.conf",
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    disk = tmp_path_factory.mktemp("small") / "disk.raw"
    tree = {**SMALL, "/etc/fstab": f"UUID={UUID} / ext4 defaults 0 1\n", "/etc/passwd": PASSWD}
    return make_disk(disk, [Part("ext4", tree=tree, uuid=UUID)])


COMMANDS = ["sanitize --dry-run", "sanitize --dry-run -v", "inspect"]


@pytest.mark.slow
@pytest.mark.parametrize("command", slow_but({"inspect"}, COMMANDS))
def test_what_is_off_by_default_is_named_with_its_option(small: Path, command: str) -> None:
    done = unclone(*command.split(), "--engine", "direct", small)
    assert done.returncode == 0, done.stderr
    assert [step for step in OFF if f"--enable {step}" not in done.stdout] == []
    (report,) = json.loads(unclone(*command.split(), "--json", "--engine", "direct", small).stdout)[
        "results"
    ]
    found = {each["step"]: each for each in report["inventory"]["optional_steps"]}
    assert {step: found[step]["paths"] for step in OFF} == {s: [p] for s, p in OFF.items()}


@pytest.mark.slow
def test_a_quiet_run_counts_it(small: Path) -> None:
    done = unclone("sanitize", "--dry-run", "-q", "--engine", "direct", small)
    assert ", 5 off by default" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("dry_run", slow_but({True}, [True, False]))
def test_a_strict_run_refuses_it(small: Path, dry_run: bool) -> None:
    options: Sequence[str] = ["--dry-run"] if dry_run else []
    content = small.read_bytes()
    done = unclone("sanitize", "--strict", *options, "--engine", "direct", small)
    assert done.returncode == 4
    assert "5 identities would stay" in done.stderr
    for step, path in OFF.items():
        assert f"{step} ({path})" in " ".join(done.stderr.split())
    assert small.read_bytes() == content


@pytest.mark.slow
def test_a_strict_run_goes_on_when_each_was_decided(small: Path) -> None:
    decided = [word for step in OFF for word in ("--disable", step)]
    done = unclone("sanitize", "--strict", "--dry-run", *decided, "--engine", "direct", small)
    assert done.returncode == 0, done.stderr


def test_containers_with_host_keys_of_their_own_are_told(tmp_path: Path) -> None:
    keys = [
        f"/var/lib/{place}/etc/ssh/ssh_host_ed25519_key"
        for place in ("lxc/c1/rootfs", "machines/c2")
    ]
    guest = sanitized(tmp_path, {**DEBIAN_12, **dict.fromkeys(keys, "a key\n")})
    assert guest.told["nested-ssh-host-keys"]["paths"] == tuple(keys)
    assert [guest.verdict(key) for key in keys] == ["told", "told"]


MASKED: Tree = {
    "/etc/pki/tls/certs/localhost.crt": "x",
    "/etc/pki/tls/private/localhost.key": "x",
    "/etc/tinyssh/sshkeydir/.ed25519.sk": "x",
    "/usr/lib/systemd/system/httpd-init.service": "[Service]\n",
    "/usr/lib/systemd/system/tinysshgenkeys.service": "[Service]\n",
}


@pytest.mark.parametrize("masked", [False, True])
def test_a_key_goes_only_where_a_unit_that_runs_makes_it_again(
    tmp_path: Path, masked: bool
) -> None:
    mask: Tree = {
        f"/etc/systemd/system/{unit}.service": "-> /dev/null"
        for unit in ("httpd-init", "tinysshgenkeys")
    }
    guest = sanitized(tmp_path, {**DEBIAN_12, **MASKED, **(mask if masked else {})})
    verdicts = [guest.verdict(path) for path in list(MASKED)[:3]]
    assert verdicts == (["kept", "kept", "told"] if masked else ["removed"] * 3)
