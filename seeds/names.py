"""Host names: what may be one, and why not.

References: RFC 952, RFC 1123 2.1 (letters, digits, hyphens); RFC 1035 2.3.4 (63 per label, 253 in
all).
"""

from __future__ import annotations

import ipaddress
import re

_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def host_name_problem(name: str) -> str:
    """Why *name* (a host name or FQDN) cannot be a machine's name; empty when it can."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        return "it is an IP address, and cloud-init makes another name of it"
    if not name:
        return "it is empty"
    if len(name.removesuffix(".")) > 253:
        return "it is longer than 253 characters"
    for label in name.removesuffix(".").split("."):
        if not label:
            return "it has an empty label (two dots, or a dot at the start)"
        if len(label) > 63:
            return f"the label {label[:20]}... is longer than 63 characters"
        if not _LABEL.fullmatch(label):
            return _label_problem(label)
    return ""


def _label_problem(label: str) -> str:
    if "_" in label:
        return "an underscore is not allowed in a host name"
    if label.startswith("-") or label.endswith("-"):
        return "a label must not begin or end with a hyphen"
    return "only letters, digits and hyphens are allowed, in labels separated by dots"
