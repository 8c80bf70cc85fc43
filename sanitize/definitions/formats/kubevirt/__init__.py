"""KubeVirt VirtualMachine: how a file of this format is recognised."""

from __future__ import annotations

import re

from unclone.sanitize.definitions.definition import Format

_API = rb"(?m)^[ \t]*\"?(?:- )?\"?apiVersion\"?:\s*[\"']?kubevirt\.io/"
_KIND = rb"\"?kind\"?:\s*[\"']?VirtualMachine(?:Instance)?[\"'\s,]"


def detects(head: bytes) -> bool:
    """Whether an object of KubeVirt's API is a machine."""
    text = head.replace(b"{", b"\n").replace(b",", b"\n") if head.lstrip()[:1] == b"{" else head
    return bool(re.search(_API, text) and re.search(_KIND, text + b"\n"))


FORMAT = Format("kubevirt", "KubeVirt VirtualMachine", detects, __name__)
