"""What cloud-init's and netplan's own code says about files of seeds; see ``seed_corpus.py``.

Run by a Python that has cloud-init's requirements, with the arguments CLOUD_INIT_TREE (or an empty
one for the installed package) and NETPLAN_GENERATE (or an empty one). Reads lines of ``KIND PATH``,
writes a line of JSON for each: ``["lost" | "complaint" | "renderer" | "", reason]``. A file is lost
when cloud-init or netplan drops it, and gets a complaint when only a schema refuses it; "renderer"
is what netplan's parser takes and the chosen renderer cannot do.
"""

from __future__ import annotations

import email
import json
import logging
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

TREE, NETPLAN = sys.argv[1], sys.argv[2]
if TREE:
    sys.path.insert(0, TREE)
logging.disable(logging.CRITICAL)
jinja2: Any = import_module("jinja2")
handlers: Any = import_module("cloudinit.handlers")
network_state: Any = import_module("cloudinit.net.network_state")
schema: Any = import_module("cloudinit.config.schema")
templater: Any = import_module("cloudinit.templater")
util: Any = import_module("cloudinit.util")


class _NoDuplicates(yaml.SafeLoader):
    """A key that is there twice hides one of its values: no file is right with that."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        keys = [key.value for key, _ in node.value if key.tag.endswith(":str")]
        if len(keys) != len(set(keys)):
            raise yaml.YAMLError("a key is there twice")
        return super().construct_mapping(node, deep=deep)


def judge_user_data(content: bytes) -> tuple[str, str]:
    """A file of user-data."""

    text = util.decode_binary(content)
    if "mime-version:" in text[:4096].lower():
        return judge_message(content)
    kind = handlers.type_from_starts_with(text)
    if not text.strip():
        return "", ""
    if kind is None:
        return "lost", "no header"
    if kind == "text/cloud-config":
        return judge_cloud_config(text)
    if kind == "text/cloud-config-archive":
        return judge_archive(text)
    if kind == "text/jinja2":
        try:
            rendered = templater.render_string(text, {"v1": {}, "ds": {}})
        except jinja2.UndefinedError:
            rendered = text.partition("\n")[2]  # the guest knows more than the judge
            if rendered.lstrip().startswith("{"):
                return "", ""
        known = handlers.type_from_starts_with(rendered)
        return ("", "") if known else ("lost", "no header in the rendered template")
    if kind.startswith("text/x-include"):
        lines = [
            re.sub("^#include(-once)?", "", line.strip()).strip() for line in text.splitlines()
        ]
        wrong = [x for x in lines if x and not re.match(r"#|/|(https?|ftps?|file)://", x)]
        return ("lost", f"no URL: {wrong[0]}") if wrong else ("", "")
    return "", ""


def judge_message(content: bytes) -> tuple[str, str]:
    """The worst verdict on a part."""

    verdicts: list[tuple[str, str]] = [("", "")]
    for part in email.message_from_bytes(content).walk():
        body = part.get_payload(decode=True)
        kind: Any = part.get_content_type()
        if isinstance(body, bytes):
            if kind in {"text/plain", "text/x-not-multipart"}:
                kind = handlers.type_from_starts_with(body.decode("utf-8", "replace"))
            if kind == "text/cloud-config":
                verdicts.append(judge_cloud_config(body.decode("utf-8", "replace")))
            elif kind is None:
                verdicts.append(("lost", "a part without a header"))
    return max(verdicts)


def judge_archive(text: str) -> tuple[str, str]:
    """Entries without a type are guessed, and cloud-config where nothing is known."""
    verdicts = [("", "")]
    for entry in yaml.safe_load(text):
        content: Any = entry.get("content") if isinstance(entry, dict) else entry
        kind = entry.get("type") if isinstance(entry, dict) else None
        kind = kind or handlers.type_from_starts_with(content, "text/cloud-config")
        if kind == "text/cloud-config":
            verdicts.append(judge_cloud_config(content))
    return max(verdicts)


def judge_cloud_config(text: str) -> tuple[str, str]:
    """A document of cloud-config."""

    data = yaml.load(text, Loader=_NoDuplicates)
    if data is None:
        return "", ""
    if not isinstance(data, dict):
        return "lost", "no mapping"
    try:
        schema.validate_cloudconfig_schema(data, schema.get_schema(), strict=True)
    except schema.SchemaValidationError as error:
        if error.has_errors():
            return "complaint", str(error.schema_errors)[:300]
    return "", ""


def judge_network(content: bytes) -> tuple[str, str]:
    """A file network-config."""

    data = yaml.load(content.decode(), Loader=_NoDuplicates)
    if data is None:
        return "", ""
    if not isinstance(data, dict):
        return "lost", "no mapping"
    inner = data.get("network", data)
    if inner == {"config": "disabled"} or inner.get("config") == "disabled":
        return "", ""
    if re.search(rb'name: *"([^"\\]|\\.)*(\\[nt]|[\n\t])', content):
        return "lost", "a name that the kernel takes for no interface"
    if inner.get("version") == 2 and NETPLAN:
        return judge_by_netplan(inner)
    if inner.get("version") not in (1, 2):
        return "lost", "no version"
    if re.search(rb"mac_?address[\"']?: *[\"']?[{xX]", content):
        return "lost", "a MAC address that no card has"
    state = network_state.parse_net_config_data(inner, skip_broken=False)
    if state is None:
        return "lost", "nothing in it"
    kind = getattr(schema.SchemaType, f"NETWORK_CONFIG_V{inner['version']}")
    try:
        schema.validate_cloudconfig_schema(
            data, schema.get_schema(kind), schema_type=kind, strict=True
        )
    except schema.SchemaValidationError as error:
        if error.has_errors():
            return "complaint", str(error.schema_errors)[:300]
    return "", ""


def judge_by_netplan(inner: dict[str, Any]) -> tuple[str, str]:
    """As cloud-init hands it over: below ``network:``, in a file of its own."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, "etc/netplan")
        folder.mkdir(parents=True)
        file = folder / "50-cloud-init.yaml"
        file.touch(0o600)
        file.write_text(yaml.safe_dump({"network": inner}))
        done = subprocess.run(
            [NETPLAN, "--root-dir", root], capture_output=True, text=True, check=False, timeout=60
        )
        if "Error in network definition" in done.stderr and "tool is required" not in done.stderr:
            return "lost", done.stderr[-300:]
        # What the renderer that is chosen, or a tool that is not here, cannot do.
        return ("renderer", done.stderr[-300:]) if done.returncode else ("", "")


def judge_meta_data(content: bytes) -> tuple[str, str]:
    """A file meta-data."""
    data = yaml.load(content.decode(), Loader=_NoDuplicates)
    return ("", "") if data is None or isinstance(data, dict) else ("lost", "no mapping")


JUDGES = {
    "user-data": judge_user_data,
    "network-config": judge_network,
    "meta-data": judge_meta_data,
}


def main() -> None:
    """Judge each file that standard input names."""
    if TREE:
        schema.get_schema_dir = lambda: f"{TREE}/cloudinit/config/schemas"
        schema.netplan_validate_network_schema = lambda **_: False
    for line in sys.stdin:
        kind, _, path = line.rstrip("\n").partition(" ")
        try:
            verdict = JUDGES[kind](Path(path).read_bytes())
        except Exception as error:  # noqa: BLE001 - what makes it raise is lost
            verdict = ("lost", f"{type(error).__name__}: {error}"[:300])
        print(json.dumps(verdict), flush=True)


if __name__ == "__main__":
    main()
