"""A text is read as cloud-init's pure-Python loader reads it, or not at all."""

from __future__ import annotations

import pytest
import yaml

from tests.support.yaml_fuzz import TEXTS, compare, mutations
from unclone.seeds import Seed
from unclone.seeds.yaml_loader import documents, is_plain_form
from unclone.seeds.yaml_text import ParsedYaml

META = b"instance-id: i-1\n"
#: libyaml takes these, the pure loader refuses them.
ONLY_LIBYAML = {
    "a tab before a comment": "hostname: web-01\t# the name\npackages: [nginx]\n",
    "a tab as a separator": "runcmd:\n- echo hi\npackages:\t[nginx]\n",
    "a tab after a dash": "runcmd:\n-\techo hi\n",
    "a question mark in a flow list": "runcmd:\n- [curl, https://example.org/a?b=c]\n",
    "a question mark in a flow mapping": "ntp: {servers: [a?b, c]}\n",
    "a comment glued to a block": "a: |# text\n  b\n",
    "a comment glued to a folded block": "a: ># text\n  b\n",
}


@pytest.mark.parametrize("text", ONLY_LIBYAML.values(), ids=ONLY_LIBYAML)
def test_what_cloud_init_cannot_read_is_an_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(text)
    (finding,) = Seed(f"#cloud-config\n{text}".encode(), META).check()
    assert (finding.file, finding.code) == ("user-data", "yaml")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("meta-data", b"instance-id: i-1\t# note\nlocal-hostname: web-01\n"),
        ("network-config", b"version: 2\nethernets:\n  eth0:\t# lan\n    dhcp4: true\n"),
    ],
)
def test_meta_data_and_network_are_read_the_same_way(file: str, text: bytes) -> None:
    files = {"meta-data": META, "network-config": b""} | {file: text}
    (finding,) = Seed(b"", files["meta-data"], files["network-config"]).check()
    assert (finding.file, finding.code) == (file, "yaml")
    assert finding.hint == "There is a tab here: YAML indents and separates with spaces."


@pytest.mark.slow
def test_random_texts_are_read_as_the_pure_loader_reads_them() -> None:
    """``benchmarks/fuzz_yaml.py`` does it with 100,000."""
    seen, wrong = compare(mutations(TEXTS, 250, 7))
    assert wrong == []
    assert seen["plain form"] > 20
    assert seen["refused, and read by the pure loader"] == 0


def test_what_options_make_is_left_to_the_quick_loader() -> None:
    assert is_plain_form('#cloud-config\nusers:\n- name: "admin"\n  groups:\n  - "wheel"\n')
    assert not is_plain_form("a: b\t# c\n")
    assert len(documents("a: b\n")) == 1


def test_a_key_that_overrides_a_merged_one_is_not_there_twice() -> None:
    text = "a: &a {x: 1, z: 3}\nb: {<<: *a, x: 2}\n"
    for _ in range(2):  # the second time from memory
        parsed = ParsedYaml("user-data", text)
        assert parsed.problems == []
        assert parsed.data["b"] == {"x": 2, "z": 3}
