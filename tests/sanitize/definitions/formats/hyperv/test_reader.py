"""Hyper-V's files: recognised by what is in them, and refused with the command that copies them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.formats.table import FORMATS, read_definition

if TYPE_CHECKING:
    from pathlib import Path

HEADER = bytes.fromhex("14202801") + bytes(42)
SETTINGS = (
    "<?xml version='1.0' encoding='UTF-16' standalone='yes'?>\r\n<configuration>\r\n<properties>"
    "<global_id type='string'>0A7BB1A5-1D3B-4F0C-8C7B-6A3C5E8F2B11</global_id>"
    "<name type='string'>golden</name></properties></configuration>"
)
INSTANCES = (
    '<?xml version="1.0" encoding="UTF-16"?><DECLARATIONS><DECLGROUP><VALUE.OBJECT>'
    '<INSTANCE CLASSNAME="Msvm_VirtualSystemGlobalSettingData"/></VALUE.OBJECT>'
    "</DECLGROUP></DECLARATIONS>"
)
FILES = {
    "vmcx": HEADER + bytes(4096),
    "xml": b"\xff\xfe" + SETTINGS.encode("utf-16-le"),
    "xml-big-endian": b"\xfe\xff" + SETTINGS.encode("utf-16-be"),
    "exp": b"\xff\xfe" + INSTANCES.encode("utf-16-le"),
    "exp-utf-8": INSTANCES.replace("UTF-16", "UTF-8").encode(),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_is_refused_with_what_to_run_instead(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "golden"
    file.write_bytes(content)
    assert [each.id for each in FORMATS if each.detects(content)] == ["hyperv"]
    with pytest.raises(RefusedError, match="only Hyper-V can change") as raised:
        read_definition(file)
    assert "Import-VM -Path FILE -Copy -GenerateNewId" in raised.value.hint
