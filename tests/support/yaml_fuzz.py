"""Random YAML texts, and how unclone and PyYAML's two loaders read them."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import yaml

from unclone.seeds.yaml_loader import documents, is_plain_form
from unclone.seeds.yaml_text import CONSTRUCTION_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from yaml.nodes import Node

TEXTS = (
    "#cloud-config\nhostname: web-01\npackages:\n- vim\n- git\nusers:\n- name: me\n  groups: [a]",
    '"a": "b"\nruncmd:\n- [sh, -c, "echo ${x} > /y?z"]\n- echo hi # now\n',
    "write_files:\n- path: /etc/x\n  content: |\n    #!/bin/sh\n    a: b\n  permissions: '0644'\n",
    "instance-id: i-1\nlocal-hostname: web-01\npublic-keys:\n- ssh-ed25519 AAAA a@b\n",
    'version: 2\nethernets:\n  eth0:\n    match: {macaddress: "52:54:00:12:34:56"}\n    dhcp4: yes',
    "version: 1\nconfig:\n- type: physical\n  name: eth0\n  subnets:\n  - type: dhcp\n",
    "a: &x {b: 1, c: [2, 3]}\nd: *x\ne: !!str 4\nf: >-\n  folded\n  text\n...\n",
    '#cloud-config\nusers:\n- name: "admin"\n  lock_passwd: false\npackages:\n- "vim"\n',
    'instance-id: "iid-1"\nlocal-hostname: "web-01"\n',
    'version: 1\nconfig:\n- type: "physical"\n  subnets:\n  - type: "static"\n    mtu: 9000\n',
    "plain:\n  many\n  words\n- x\n-  y: z\n - - 1\n",
)
MEANINGFUL = "\t ?:-[]{},#|>&*!%@`\"'\\\n\r\x00\x07\x85\xa0\u2028\u2029\ufeff\U0001f600~<=/.0a"
PLAIN = ' \n-:"abz019_./'
PIECES = (
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\n- ",
    " #",
    "\t#",
    ":\t",
    "? ",
    "|#",
    "---\n",
    "...\n",
    '""',
    "''",
)
PLAIN_PIECES = ("\n", " ", "\n  ", "\n- ", "- ", "a: b\n", "  ", '"', "a:\n", "\n    ")


def mutations(texts: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """*count* texts, the same for the same *seed*."""
    chance = random.Random(seed)
    for _ in range(count):
        text = chance.choice(texts)
        alphabet = chance.choice((MEANINGFUL, PLAIN))
        pieces = PLAIN_PIECES if alphabet == PLAIN else PIECES
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(text) + 1)
            cut = chance.choice((0, 0, 0, 1, 1, 3, 12))
            new = chance.choice(
                ("", chance.choice(alphabet), chance.choice(pieces), text[at : at + 9])
            )
            text = text[:at] + new + text[at + cut :]
        yield text


def compare(texts: Iterable[str]) -> tuple[Counter[str], list[str]]:
    """How often each outcome came, and the texts that unclone reads otherwise than it should."""
    seen: Counter[str] = Counter()
    wrong = []
    fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for text in texts:
        pure = _read(text, lambda t: list(yaml.compose_all(t, Loader=yaml.SafeLoader)))
        seen["texts"] += 1
        seen["read by both"] += pure is not None
        seen["plain form"] += is_plain_form(text)
        raw = _read(text, lambda t: list(yaml.compose_all(t, Loader=fast)))
        seen["libyaml alone differs"] += raw is not None and raw != pure
        ours = _read(text, documents)
        if ours is not None and ours != pure:
            wrong.append(text)
        seen["refused, and read by the pure loader"] += ours is None and pure is not None
    return seen, wrong


def _read(text: str, read: Callable[[str], Iterable[Node]]) -> list[object] | None:
    try:
        return [_plain(node) for node in read(text)]
    except CONSTRUCTION_ERRORS:
        return None


def _plain(node: Node | None) -> object:
    if isinstance(node, yaml.ScalarNode):
        return (node.tag, node.value, node.start_mark.line, node.start_mark.column)
    if isinstance(node, yaml.SequenceNode):
        return (node.tag, [_plain(each) for each in node.value])
    if isinstance(node, yaml.MappingNode):
        return (node.tag, [(_plain(key), _plain(value)) for key, value in node.value])
    return None
