"""Every mistake gets its words, its line and its column; what is right gets none."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.seed_mistakes import Mistake, mistakes, table
from unclone.seeds import Machine, Part, RefusedSeedError, Seed, SeedError, Severity
from unclone.seeds.checks import check_files, meta_data, network_config, user_data
from unclone.seeds.checks.known_keys import KNOWN, probably_meant
from unclone.seeds.contents import contents
from unclone.seeds.mime import multipart

if TYPE_CHECKING:
    from types import ModuleType

ALL = mistakes()
DOCS = Path(__file__).parent.parent.parent / "docs" / "seeds.md"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f a@b"
META = b'instance-id: "i-1"\n'


@pytest.mark.parametrize("mistake", ALL, ids=lambda m: f"{m.file}-{m.title}")
def test_the_mistake_is_named_with_its_place(mistake: Mistake) -> None:
    (finding,) = mistake.seed.check()
    assert (str(finding), finding.hint) == (mistake.says, mistake.hint)


@pytest.mark.parametrize("mistake", ALL, ids=lambda m: f"{m.file}-{m.title}")
def test_it_keeps_the_seed_from_being_written(mistake: Mistake, tmp_path: Path) -> None:
    path = tmp_path / "seed.iso"
    with pytest.raises(RefusedSeedError) as refused:
        mistake.seed.write(path, strict=True)
    assert refused.value.message == mistake.says
    assert list(tmp_path.iterdir()) == []
    if ": warning: " in mistake.says:
        assert mistake.seed.write(path).size == path.stat().st_size
    else:
        with pytest.raises(RefusedSeedError):
            mistake.seed.write(path)


def test_the_manual_shows_the_table() -> None:
    """Made with: python -m tests.support.seed_mistakes."""
    assert table() in DOCS.read_text()


def test_no_check_is_without_a_mistake() -> None:
    """Every code in the sources of the checks is in the table."""
    sources = [p.read_text() for p in Path(user_data.__file__).parent.glob("*.py")]
    codes = {code for text in sources for code in CODE.findall(text)}
    assert len(codes) > 30
    assert codes - {mistake.says.rsplit("[", 1)[1].rstrip("]") for mistake in ALL} == {
        "missing-file",  # a Seed always has both
        "check-failed",  # no file is known that makes a check fail
    }


#: How the sources name the code of a finding: after the severity, the node, or the line.
CODE = re.compile(
    r"""(?:Severity\.[A-Z]+,|_at\(\s*[^"]{1,40}?,|_finding\([\w, ]+,)\s*"([a-z0-9-]+)",?"""
)

GOOD = {
    "nothing": b"",
    "a header alone": b"#cloud-config\n",
    "a comment and a document start": b"#cloud-config\n# hello\n---\nruncmd: [ls]\n",
    "windows line endings": b"#cloud-config\r\nruncmd: [ls]\r\n",
    "capitals": b"#CLOUD-CONFIG\nruncmd: [ls]\n",
    "a script": b"#!/bin/sh\nexit 0\n",
    "a boothook": b"#cloud-boothook\n#!/bin/sh\n",
    "an include": b"#include\nhttps://example.org/a\n# a comment\n\nhttps://example.org/b\n",
    "an include on its line": b"#include https://example.org/a\n",
    "a template": b"## template: jinja\n#cloud-config\nhostname: {{ v1.x }}\n",
    "an archive": b"#cloud-config-archive\n- {type: text/cloud-config, content: 'runcmd: [ls]'}\n"
    b"- |\n  #!/bin/sh\n  ls\n",
    "true as yes": b"#cloud-config\npackage_update: yes\n",
    "octal": b"#cloud-config\nwrite_files:\n- {path: /x, content: a, permissions: '0644'}\n",
    "numbers in mounts": b"#cloud-config\nmounts:\n- [sdb, /mnt, auto, defaults, '0', '2']\n",
    "an anchor": b"#cloud-config\nruncmd: &a [ls]\nbootcmd: *a\n",
    "a redirected user": b"#cloud-config\nusers:\n- default\n"
    b"- {name: nosuch, ssh_redirect_user: true}\n",
    "a script with Windows line endings": b"#!/bin/sh\r\necho hi\r\n",
    "a boothook with Windows line endings": b"#cloud-boothook\r\n#!/bin/sh\r\n",
    "an empty item": b"#cloud-config\nruncmd:\n-\n- echo hi\n",
    "Jinja before the header": b"## template: jinja\n{% set x = 1 %}\n#cloud-config\n",
    "a comment of Jinja before it": b"## template: jinja\n{# why #}\n#cloud-config\n",
    "an include of a file": b"#include\n/etc/cloud/more.cfg\nfile:///etc/x\n",
    "a random password": b"#cloud-config\nchpasswd:\n  users:\n  - {name: a, type: RANDOM}\n",
    "hashes": b"#cloud-config\nchpasswd:\n  users:\n  - {name: a, password: $6$abc$defgh}\n"
    b"users:\n- {name: b, passwd: '$y$j9T$abc$def'}\n- {name: c, passwd: '*'}\n",
    "binary content": b"#cloud-config\nwrite_files:\n- {path: /x, content: !!binary aGk=}\n",
}


@pytest.mark.parametrize("content", GOOD.values(), ids=GOOD)
def test_what_is_right_has_no_findings(content: bytes) -> None:
    assert Seed(content, META).check() == ()


@pytest.mark.slow
def test_what_options_alone_add_up_to_follows_every_rule() -> None:
    """So ``unclone seed`` need not apply cloud-init's schema to it."""
    for users in ((), ("admin", "ops")):
        machine = Machine(
            hostname="web",
            fqdn="web-01.example.org",
            users=users,
            ssh_keys=(KEY,),
            password="secret",
            packages=("vim",),
            run=("ls", "- no"),
            timezone="UTC",
            disk_grow=True,
        )
        assert Seed.for_machine(machine).check() == ()


@pytest.mark.parametrize(
    "tag",
    ["{% if x % }", "{{ x }", "{# x", "{% if x", "{{ ''.__class__ }}", "{% set y = x {{ y }}"],
)
def test_a_template_that_cannot_be_rendered(tag: str) -> None:
    text = f"## template: jinja\n#cloud-config\na: {tag}\n".encode()
    assert [(f.code, f.line) for f in Seed(text, META).check()] == [("jinja", 3)]


def test_a_key_only_others_know_is_a_warning_of_the_schema() -> None:
    seed = Seed(b"#cloud-config\nexample_part_handler: {a: 1}\n", META)
    assert seed.check(schema=False) == ()
    (finding,) = seed.check()
    assert (finding.code, finding.severity) == ("schema", Severity.WARNING)


def test_an_untyped_entry_of_an_archive_is_cloud_config() -> None:
    archive = b"#cloud-config-archive\n- {type: foo/wark, content: a}\n- this is also payload\n"
    assert [f.code for f in Seed(archive, META).check()] == ["not-a-mapping"]


@pytest.mark.parametrize(
    "text",
    [
        "password: hunter2",
        "chpasswd: {list: 'admin:hunter2'}",
        "chpasswd: {list: ['admin:hunter2', 'b:R']}",
        "chpasswd: {users: [{name: a, password: hunter2, type: text}]}",
        "users: [{name: a, plain_text_passwd: hunter2}]",
        "user: {name: a, plain_text_passwd: hunter2}",
        "system_info: {default_user: {name: a, plain_text_passwd: hunter2}}",
        "rh_subscription: {username: a, password: hunter2}",
    ],
)
def test_a_plain_password_is_named_wherever_it_is(text: str) -> None:
    found = Seed(f"#cloud-config\n{text}\n".encode(), META).check()
    assert "plain-password" in {f.code for f in found}
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("patch", "is_right"),
    [
        ('[{"op": "add", "path": "/a", "value": 1}]', True),
        ("[]", True),
        ('[{"op": "add"}]', False),
        ('{"op": "add", "path": "/a"}', False),
        ("packages: [nginx]", False),
    ],
)
def test_a_json_patch_is_a_list_of_operations(patch: str, is_right: bool) -> None:
    found = Seed(f"#cloud-config-jsonp\n{patch}\n".encode(), META).check()
    assert ("json-patch" not in {f.code for f in found}) == is_right


@pytest.mark.parametrize("header", ["#cloud-configs", "#cloud-config:", "#include-oncex"])
def test_more_is_glued_to_the_header(header: str) -> None:
    found = Seed(f"{header}\n".encode(), META).check()
    assert "header-glued" in {f.code for f in found}


def test_the_names_of_other_datasources_do_nothing() -> None:
    meta = b"instance_id: i-9\nlocal_hostname: web-01\n"
    assert [f.code for f in Seed(b"", meta).check()] == [
        "no-instance-id",
        "meta-data-unused",
        "meta-data-unused",
    ]


NETWORKS = {
    "disabled": b"config: disabled\n",
    "empty": b"",
    "version 1": b"""version: 1
config:
- {type: physical, name: eth0, mac_address: '52:54:00:12:34:56', subnets: [{type: dhcp}]}
- type: bond
  name: bond0
  bond_interfaces: [eth0]
  mac_address: '52:54:00:12:34:56'
  params: {bond-mode: active-backup}
- {type: nameserver, address: [192.0.2.53]}
- {type: route, destination: 198.51.100.0/24, gateway: 192.0.2.1}
""",
    "netmask": b"""version: 1
config:
- type: physical
  name: eth0
  subnets: [{type: static, address: 192.0.2.10, netmask: 255.255.255.0, gateway: 192.0.2.1}]
""",
    "version 2": b"""version: 2
ethernets:
  all: {match: {name: 'en*'}, dhcp4: true}
  eth1: {match: {macaddress: '52:54:00:12:34:56'}, set-name: eth1, addresses: ['2001:db8::1/64']}
vlans:
  v20: {id: 20, link: eth1, addresses: [192.0.2.10/24], nameservers: {addresses: ['2001:db8::53']}}
bridges:
  br0: {interfaces: [all], dhcp4: true}
""",
}


@pytest.mark.parametrize("content", NETWORKS.values(), ids=NETWORKS)
def test_a_correct_network_has_no_findings(content: bytes) -> None:
    assert Seed(b"", META, content).check() == ()


def test_a_secret_is_in_no_message() -> None:
    text = b"""#cloud-config
password: 123456789
chpasswd: {list: [hunter2]}
users:
- {name: a, passwd: 987654321, plain_text_passwd: hunter2, lock_passwd: hunter2}
"""
    findings = Seed(text, META).check()
    assert len(findings) > 3
    told = json.dumps([finding.to_json() for finding in findings])
    assert not [secret for secret in ("123456789", "987654321", "hunter2") if secret in told]


def test_both_files_must_be_there() -> None:
    missing = check_files({}, None)
    assert [(f.file, f.code, f.severity) for f in missing] == [
        ("meta-data", "missing-file", Severity.ERROR),
        ("user-data", "missing-file", Severity.ERROR),
    ]


def test_a_problem_in_a_part_says_which_part() -> None:
    archive = b"#cloud-config-archive\n- |\n  #cloud-config\n  a: b: c\n"
    (finding,) = Seed(archive, META).check()
    assert finding.place == "user-data (entry 1):2:5"


@pytest.mark.slow
def test_messages_without_end_are_refused() -> None:
    nested = "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(1100)
    )
    message = f"MIME-Version: 1.0\n{nested}\nx\n".encode()
    (finding,) = Seed(message, META).check()
    assert (finding.code, "nested too deeply" in finding.message) == ("mime", True)
    assert contents(message).keys == frozenset()
    with pytest.raises(SeedError, match="nested too deeply"):
        multipart([Part("a", message)])


def test_gzip_is_looked_into() -> None:
    (finding,) = Seed(gzip.compress(b"#cloud-config\na: b: c\n"), META).check()
    assert finding.place == "user-data:2:5"


@pytest.mark.parametrize(
    "content",
    [
        b"#cloud-config\n" + b"[" * 5000,
        b"#cloud-config\n" + b"a: &a [*a]\n",
        b"#cloud-config\n? [a, b]\n: c\n",
        b"#cloud-config\n? {a: b}\n: c\n",
        b"#cloud-config\na: !!python/object/apply:os.system [ls]\n",
        b"#cloud-config\na: !!timestamp nonsense\nb: 2026-99-99\n",
        b"#cloud-config\nusers: {a: b}\nwrite_files: text\nruncmd: {a: [1]}\n",
        b"#cloud-config\n1: 2\nnull: 3\n[]: 4\n",
        b"#cloud-config\nyum_repos: {a: {3.4: b, baseurl: c}}\n",
        b"version: 1\nconfig: [{type: {a: 1}}, {type: physical, subnets: [{type: [1]}]}]\n",
        b"version: 2\nethernets: {a: {link: [[]], routes: [[1]], match: {name: {}}}}\n",
        b"#cloud-config-archive\n3\n",
        b"#cloud-config-archive\n- 3\n- null\n- {content: 4}\n- {type: 3, content: x}\n",
        b"MIME-Version: 1.0\n",
        b"MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n\n",
        b"mime-version: 1.0\n\n\xff\xfe",
        b"\x1f\x8b",
        b"\xff" * 100,
        b"\0" * 100,
    ],
    ids=range(19),
)
def test_no_input_makes_the_checks_raise(content: bytes) -> None:
    for seed in (Seed(content, META), Seed(b"", content, content)):
        assert "check-failed" not in {finding.code for finding in seed.check()}


@pytest.mark.parametrize(("given", "meant"), [("runcmdd", "runcmd"), ("Hostname", "hostname")])
def test_misspelt_keys(given: str, meant: str) -> None:
    assert probably_meant(given) == meant


def test_known_keys_are_not_misspelt() -> None:
    assert [key for key in KNOWN if probably_meant(key)] == []


@pytest.mark.parametrize(
    "checker", [meta_data, network_config, user_data], ids=lambda m: m.__name__
)
def test_a_check_that_fails_is_a_finding(checker: ModuleType, monkeypatch: Any) -> None:
    """The failure itself may quote a password, so its words are not repeated."""

    def broken(*_: object) -> None:
        raise IndexError("hunter2")

    monkeypatch.setattr(checker, "ParsedYaml" if checker is not user_data else "is_mime", broken)
    # A text that no other test has: what is known about it would not be looked for again.
    seed = Seed(f"#cloud-config\nruncmd: [{checker.__name__}]\n".encode(), META, b"version: 2\n")
    findings = [f for f in seed.check() if f.code == "check-failed"]
    assert len(findings) == 1
    assert (findings[0].severity, "IndexError" in findings[0].message) == (Severity.WARNING, True)
    assert findings[0].hint.startswith("Please report")
    assert "hunter2" not in str(findings)


def test_a_finding_in_the_second_of_two_equal_keys() -> None:
    text = b"#cloud-config\nfs_setup:\n- {label: a}\nfs_setup:\n- {label: a}\n- {label: 7}\n"
    findings = Seed(text, META).check()
    assert "yaml-duplicate-key" in {f.code for f in findings}
    assert "check-failed" not in {f.code for f in findings}
