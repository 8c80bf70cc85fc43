"""What a template says, as options of ``unclone sanitize``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from unclone.images.errors import RefusedError, UncloneError, UsageError
from unclone.packer.artifact import disks_of
from unclone.packer.settings import SETTINGS, arguments, check, configured

if TYPE_CHECKING:
    from pathlib import Path

OF_PACKER = {"packer_build_name": "web", "packer_user_variables": {"site": "ham"}}
PLACEHOLDERS = {"Password": "{{.Password}}", "ID": "an ID"}


def test_every_option_that_changes_something_is_a_setting() -> None:
    assert {"profile", "uuids", "hostname", "derive_from", "output", "ledger"} <= set(SETTINGS)
    assert not {"name", "dry_run", "json", "plan", "jobs", "ask_passphrase"} & set(SETTINGS)


def test_settings_are_options() -> None:
    said = {
        "profile": "golden",
        "strict": True,
        "overwrite": "false",
        "disable": ["tor-keys", "shell-history"],
        "machine_name": 17,
        "derive_from": __file__,
        "paths": ["a.qcow2", "b.qcow2"],
    }
    assert arguments(said) == (
        [
            *("--profile=golden", "--strict", "--disable=tor-keys", "--disable=shell-history"),
            *("--name=17", f"--derive-from={__file__}"),
        ],
        ["a.qcow2", "b.qcow2"],
    )


def test_a_json_template_is_rendered() -> None:
    said = {"type": "unclone", "output": ["{{user `site`}}-{{ build_name }}.qcow2"], "strict": True}
    assert configured([said, OF_PACKER, PLACEHOLDERS]) == {
        "output": ["ham-web.qcow2"],
        "strict": True,
    }


def test_hcl_values_come_as_json() -> None:
    values = {"profile": "golden", "disable": ["tor-keys"], "strict": None}
    content = json.dumps({"value": values, "type": ["object", {}]}).encode()
    assert configured([OF_PACKER, content]) == {"profile": "golden", "disable": ["tor-keys"]}


def test_what_only_the_build_will_know_is_checked_then() -> None:
    given, _ = arguments({"hostname": "<unknown>", "profile": "gold"})
    assert given == ["--hostname=<unknown>", "--profile=gold"]
    with pytest.raises(UsageError, match="the builder did not say what hostname=<unknown> needs"):
        check(given, [])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"profil": "golden"}, "unknown setting 'profil'"),
        ({"dry_run": True}, "unknown setting 'dry_run'"),
        ({"profile": "gold"}, "Invalid value for 'profile'"),
        ({"profile": ["golden"]}, "profile is one value, not a list"),
        ({"profile": ""}, 'profile must be text, and not ""'),
        ({"disable": [True]}, "disable must be text, and not true"),
        ({"strict": "yes"}, 'strict must be true or false, and not "yes"'),
        ({"enable": ["nothing"]}, "there is no step called 'nothing'"),
        ({"machine_id": "short"}, "machine_id"),
        ({"output_format": "raw"}, "output_format needs output"),
        ({"definition": "a.ovf"}, "definition needs machine_name"),
        ({"machine_name": "a"}, "machine_name needs derive_from or definition"),
        ({"paths": ["a", "b"], "output": ["c"]}, "output is given 1 times for 2 disks"),
        ({"derive_from": "/absent"}, "/absent"),
        ({"output": "{{timestamp}}.qcow2"}, "the template function {{timestamp}} is not known"),
        ({"output": "{{user `absent`}}.qcow2"}, "the template function {{user `absent`}}"),
    ],
)
def test_what_makes_no_sense_is_said_in_settings(said: dict[str, Any], why: str) -> None:
    with pytest.raises(UncloneError) as refused:
        arguments(configured([said, OF_PACKER, PLACEHOLDERS]))
    assert why in refused.value.message
    assert "--" not in refused.value.message


def files(folder: Path, **contents: bytes) -> list[str]:
    """Files in *folder*; a name's underscores are dots."""
    found = []
    for name, content in contents.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content)
        found.append(str(path))
    return found


def test_disks_are_told_from_what_lies_beside_them(tmp_path: Path) -> None:
    qcow2 = b"QFI\xfb" + bytes(508)
    found = files(
        *(tmp_path,),
        packer=qcow2,
        data_raw=bytes(512),
        vars_fd=qcow2,
        seed_iso=bytes(512),
        log=b"text",
    )
    assert disks_of(found, defined=False) == found[:2]


def test_the_only_file_is_a_disk(tmp_path: Path) -> None:
    found = files(tmp_path, packer=bytes(512))
    assert disks_of(found, defined=False) == found


def test_a_definition_would_keep_its_identity(tmp_path: Path) -> None:
    found = files(tmp_path, box_ovf=b"<Envelope/>", disk_vmdk=b"KDMV" + bytes(508))
    with pytest.raises(RefusedError, match=r"has a definition, .*box\.ovf, with an identity"):
        disks_of(found, defined=False)
    assert disks_of(found, defined=True) == found[1:]


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        ({}, "the artifact has no files"),
        ({"a": bytes(9), "b": bytes(9)}, "no file of the artifact is known to be a disk: "),
    ],
)
def test_what_cannot_be_told_is_refused(
    tmp_path: Path, contents: dict[str, bytes], why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        disks_of(files(tmp_path, **contents), defined=False)


def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UncloneError, match=r"cannot read .*absent: No such file"):
        disks_of([str(tmp_path / "absent"), str(tmp_path / "other")], defined=False)


def test_a_usage_error_of_the_command_is_one_here() -> None:
    with pytest.raises(UsageError, match="if_needed does not go with output"):
        arguments({"if_needed": True, "output": "a.qcow2"})
