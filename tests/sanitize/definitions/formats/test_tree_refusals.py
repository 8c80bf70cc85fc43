"""Definitions in YAML and JSON that are broken, hostile or in use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.definitions import Golden, goldens
from tests.support.refusals import defined, refused, require_refused
from unclone.images.errors import InUseError, RefusedError
from unclone.runs.define import Request
from unclone.sanitize.definitions.formats.table import read_definition

if TYPE_CHECKING:
    from pathlib import Path


VM = """apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  name: golden
"""
SPEC = VM + "spec: {template: {spec: {domain: {devices: {interfaces: [%s]}}}}}\n"
INSTANCE = (
    "architecture: x86_64\nname: golden\nprofiles: [default]\ndevices: {root: {type: disk}}\n"
)
CLOUD = '{"cpus":{"boot_vcpus":1},"payload":{"kernel":"k"},"memory":{"size":1},"net":[%s]%s}'
FIRE = '{"boot-source":{"kernel_image_path":"k"},"drives":[],"network-interfaces":[%s]%s}'

BOMB = "a: &a [x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML = {
    "alias-bomb": (VM + BOMB, "golden.yaml:6:8: cannot read this YAML: aliases"),
    "merge-key": (VM + "x: &x {a: 1}\ny: {<<: *x}\n", "aliases"),
    "python-tag": (VM + "x: !!python/object/apply:os.system ['true']\n", "is not YAML's own"),
    "local-tag": (VM + "x: !secret password\n", "is not YAML's own"),
    "key-twice": (VM + "metadata: {name: x}\n", "golden.yaml:5:1: cannot read this YAML: the key"),
    "key-no-word": (VM + "? [a, b]\n: c\n", "a key that is no word"),
    "deep": (VM + "x: " + "[" * 5000 + "]" * 5000 + "\n", "levels"),
    "many": (VM + "x: [" + "1," * 50_001 + "]\n", "values"),
    "too-large": (VM + "x: '" + "x" * 2**21 + "'\n", "MiB of YAML"),
    "huge": (VM + "#" * 2**23, "MiB"),
    "null-bytes": (VM + "x: \0\n", "null characters"),
    "control-characters": (VM + "x: \x07\n", "a character that YAML forbids"),
    "tab": (VM + "\tx: 1\n", "cannot read this YAML"),
    "unclosed": (VM + "spec: {template: {\n", "cannot read this YAML"),
    "unclosed-quote": (VM + "spec: 'abc\n", "cannot read this YAML"),
    "undefined-alias": (VM + "x: *nothing\n", "aliases"),
    "bad-directive": ("%YAML 9.9\n---\n" + VM, "cannot read this YAML"),
    "two-machines": (VM + "---\n" + VM, "has 2 VirtualMachine objects"),
    "no-name": (VM.replace("name: golden", "namespace: x"), "has no metadata.name"),
    "mac-malformed": (SPEC % "{macAddress: 52:54:00:12:34}", "is not a MAC address"),
    "mac-multicast": (SPEC % "{macAddress: 53:54:00:12:34:56}", "multicast"),
    "mac-number": (SPEC % "{macAddress: 190000}", "is not a MAC address"),
    "uuid-malformed": (
        VM + "spec: {template: {spec: {domain: {firmware: {uuid: 5d307ca9}}}}}\n",
        "is not a UUID",
    ),
    "incus-alias": (INSTANCE + "config: &c {}\nexpanded_config: *c\n", "aliases"),
    "incus-key-twice": (INSTANCE + "config: {}\nconfig: {}\n", "is there twice"),
    "incus-two-documents": (INSTANCE + "config: {}\n---\na: 1\n", "is not one instance"),
    "incus-mac": (INSTANCE + "config: {volatile.eth0.hwaddr: 01:16:3e:00:00:01}\n", "multicast"),
    "incus-uuid": (INSTANCE + "config: {volatile.uuid: '1'}\n", "is not a UUID"),
    "incus-suspended": (INSTANCE + "config: {}\nstateful: true\n", "stopped with its state"),
}
JSON = {
    "truncated": (CLOUD % ("", "") + "x", "something follows"),
    "cut": ((CLOUD % ("", ""))[:-2], "golden.json:1:"),
    "key-twice": (CLOUD % ("", ',"net":[]'), "the key 'net' is there twice"),
    "deep": (CLOUD % ("", ',"x":' + "[" * 5000 + "]" * 5000), "levels"),
    "many": (CLOUD % ("", ',"x":[' + "1," * 50_001 + "1]"), "values"),
    "trailing-comma": (CLOUD % ("", ","), "a key in double quotes"),
    "comment": (CLOUD % ("", ' // ,"x":1'), "',' is missing"),
    "not-a-number": (CLOUD % ("", ',"x":NaN'), "a value is missing"),
    "string": (CLOUD % ("", ',"x":"abc'), "a string does not end"),
    "escape": (CLOUD % ("", ',"x":"\\q"'), "is not valid JSON"),
    "line-in-string": (CLOUD % ("", ',"x":"a\nb"'), "a string does not end"),
    "huge": (CLOUD % ("", " " * 2**23), "MiB"),
    "mac-malformed": (CLOUD % ('{"mac":"12:34"}', ""), "is not a MAC address"),
    "mac-multicast": (CLOUD % ('{"mac":"13:34:56:78:90:ab"}', ""), "multicast"),
    "mac-number": (CLOUD % ('{"mac":12}', ""), "is not a MAC address"),
    "cid": (CLOUD % ("", ',"vsock":{"cid":1e9,"socket":"s"}'), "is not a number"),
    "uuid": (CLOUD % ("", ',"platform":{"uuid":"x"}'), "is not a UUID"),
    "fire-mac": (FIRE % ('{"guest_mac":"ff:ff:ff:ff:ff:ff"}', ""), "multicast"),
    "fire-cid": (FIRE % ("", ',"vsock":{"guest_cid":"x"}'), "is not a number"),
    "fire-cut": ((FIRE % ("", ""))[:-1], "golden.json:1:"),
    "fire-no-boot": ('{"drives":[],"machine-config":{}}', "has no boot-source"),
}
CASES = {
    **{f"yaml-{name}": ("golden.yaml", *case) for name, case in YAML.items()},
    **{f"json-{name}": ("golden.json", *case) for name, case in JSON.items()},
}


def cases() -> list[Any]:
    """The cases; those with more values than may be read take a second."""
    slow = [pytest.mark.slow]
    return [
        pytest.param(*case, id=key, marks=slow if key.endswith("-many") else [])
        for key, case in CASES.items()
    ]


@pytest.mark.parametrize(("name", "text", "words"), cases())
def test_is_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    require_refused(tmp_path / name, text, words)


@pytest.mark.parametrize("golden", [*goldens("cloud-hypervisor"), *goldens("firecracker")], ids=str)
def test_truncated_json_is_refused_wherever_it_ends(golden: Golden, tmp_path: Path) -> None:
    content = golden.before.read_bytes().rstrip()[:-1]
    for end in range(0, len(content), max(1, len(content) // 12)):
        error = refused(tmp_path / "golden.json", content[:end].decode("utf-8", "ignore"))
        assert isinstance(error, RefusedError), end


@pytest.mark.parametrize("text", [VM, INSTANCE, CLOUD % ("", "")], ids=["vm", "instance", "json"])
def test_a_file_of_100_mb_is_refused_unread(tmp_path: Path, text: str) -> None:
    source = tmp_path / "golden"
    source.write_text(text)
    os.truncate(source, 100_000_000)
    with pytest.raises(RefusedError):
        read_definition(source)


@pytest.mark.parametrize(
    "text",
    [
        VM + "status: {printableStatus: Running}\n",
        VM + "status: {printableStatus: Paused}\n",
        VM.replace("Machine", "MachineInstance") + "status: {phase: Running}\n",
        INSTANCE + "config: {}\nstatus: Frozen\n",
        INSTANCE + "config: {volatile.last_state.power: RUNNING}\n",
    ],
    ids=["running", "paused", "instance", "frozen", "shown-while-running"],
)
def test_a_running_machine_is_in_use(tmp_path: Path, text: str) -> None:
    assert isinstance(refused(tmp_path / "golden.yaml", text), InUseError)


@pytest.mark.parametrize("state", ["state.json", "memory-ranges"])
def test_a_snapshot_with_memory_is_refused(tmp_path: Path, state: str) -> None:
    (tmp_path / state).write_bytes(b"{}")
    error = refused(tmp_path / "config.json", CLOUD % ("", ""))
    assert isinstance(error, RefusedError)
    assert state in error.message


def test_a_name_that_kubernetes_has_not_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "golden.yaml"
    source.write_text(VM)
    with pytest.raises(RefusedError, match="cannot be a name in Kubernetes") as raised:
        defined(Request(source, "Web_01", output=tmp_path / "x.yaml"))
    assert raised.value.hint
    assert not (tmp_path / "x.yaml").exists()
