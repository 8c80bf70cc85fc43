"""What a report never shows: passwords, keys and whatever may hold some."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.command import unclone
from tests.support.refusals import defined
from unclone.runs.define import Request

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse"
KUBEVIRT = """apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  name: golden
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"password": "%s"}'
spec:
  template:
    spec:
      volumes:
      - name: seed
        cloudInitNoCloud:
          userData: |
            #cloud-config
            hostname: golden
            password: %s
      - name: more
        cloudInitNoCloud: {userDataBase64: %s}
"""
INCUS = """architecture: x86_64
config:
  cloud-init.user-data: |
    password: %s
devices: {root: {type: disk}}
profiles: [default]
name: golden
"""
QEMU = (
    "qemu-system-x86_64 -name golden -spice port=5900,password=%s -object secret,id=a,data=%s "
    "-fw_cfg name=opt/io.systemd.credentials/x,string=%s -append 'ip=dhcp4 UUID=%s' "
    "-smbios type=11,value=io.systemd.credential:x=%s\n"
)
XEN = 'name = "golden"\nmemory = 1\nvncpasswd = "%s"\nextra = "ip=10.0.0.1 key=%s"\n'
CLOUD = (
    '{"cpus":{"boot_vcpus":1},"memory":{"size":1},'
    '"payload":{"kernel":"k","cmdline":"root=UUID=1 %s"},'
    '"platform":{"oem_strings":["io.systemd.credential:x=%s"]}}'
)
FIRE = '{"boot-source":{"kernel_image_path":"k","boot_args":"ip=10.0.0.1 key=%s"},"drives":[]}'
TEXTS = {
    "kubevirt": KUBEVIRT,
    "incus": INCUS,
    "qemu": QEMU,
    "xen": XEN,
    "cloud-hypervisor": CLOUD,
    "firecracker": FIRE,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_secrets_are_in_the_result_and_in_no_report(tmp_path: Path, text: str) -> None:
    source = tmp_path / "golden"
    source.write_text(text.replace("%s", SECRET))
    result = defined(Request(source, "web-01", output=tmp_path / "web-01"))
    report = json.dumps(result.to_json())
    assert SECRET not in report
    assert "stays" in report
    assert SECRET in (tmp_path / "web-01").read_text()


@pytest.mark.parametrize(
    "url",
    [
        "https://user:%s@store.example/golden.qcow2",
        "iscsi://user%%%s@10.0.0.1/iqn.2026-01.example/0",
        "iscsi://user%%25%s@10.0.0.1/iqn.2026-01.example/0",
        "ssh://:%s@host/golden.qcow2",
    ],
)
def test_nor_are_passwords_in_the_urls_of_disks(tmp_path: Path, url: str) -> None:
    source, result = tmp_path / "golden.sh", tmp_path / "web-01.sh"
    drive = url % SECRET
    source.write_text(f"#!/bin/sh\nqemu-system-x86_64 -name golden -drive file={drive}\n")
    done = unclone("define", source, "--name", "web-01", "-o", result)
    assert done.returncode == 0, done.stderr
    assert drive in result.read_text()
    for command in (["define", "--dry-run", "--name", "x"], ["audit", result]):
        for option in ("-v", "--json"):
            done = unclone(*command, option, source)
            assert done.returncode in (0, 5), done.stderr
            assert "@" in done.stdout
            assert SECRET not in done.stdout + done.stderr
