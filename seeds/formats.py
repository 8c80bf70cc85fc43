"""What kind of user-data something is, told as cloud-init tells it: by how it begins.

References: cloud-init ``cloudinit/handlers/__init__.py`` (``INCLUSION_TYPES_MAP``: the text is
lower-cased, its leading white space dropped, the longest match wins) and ``cloudinit/user_data.py``
(gzip by its magic bytes, MIME when ``mime-version:`` is among the first 4,096 bytes).
"""

from __future__ import annotations

import gzip
import zlib

from unclone.seeds.errors import SeedError

MIME_WINDOW = 4096
GZIP_MAGIC = b"\x1f\x8b"

#: More than this, unpacked, is not configuration.
UNPACKED_LIMIT = 64 * 1024 * 1024

CLOUD_CONFIG = "text/cloud-config"
SHELL_SCRIPT = "text/x-shellscript"
BOOTHOOK = "text/cloud-boothook"
JINJA = "text/jinja2"
JSON_PATCH = "text/cloud-config-jsonp"
ARCHIVE = "text/cloud-config-archive"
INCLUDE = "text/x-include-url"
INCLUDE_ONCE = "text/x-include-once-url"

#: How each kind begins, and its MIME type.
HEADERS = {
    "#include": INCLUDE,
    "#include-once": INCLUDE_ONCE,
    "#!": SHELL_SCRIPT,
    "#cloud-config": CLOUD_CONFIG,
    "#part-handler": "text/part-handler",
    "#cloud-boothook": BOOTHOOK,
    "#cloud-config-archive": ARCHIVE,
    "#cloud-config-jsonp": JSON_PATCH,
    "## template: jinja": JINJA,
}

#: Types that only a MIME part can have.
PART_TYPES = frozenset(
    {
        *HEADERS.values(),
        "text/x-shellscript-per-boot",
        "text/x-shellscript-per-instance",
        "text/x-shellscript-per-once",
    }
)
#: Types for which cloud-init looks at the beginning after all.
GUESSED_TYPES = frozenset({"text/plain", "text/x-not-multipart"})

_LONGEST_FIRST = sorted(HEADERS, key=len, reverse=True)


def kind_of(text: str) -> str:
    """The MIME type of user-data that is *text*; empty when cloud-init knows none."""
    start = text[:200].lstrip() or text.lstrip()[:200]
    lowered = start.lower()
    return next((HEADERS[h] for h in _LONGEST_FIRST if lowered.startswith(h)), "")


def is_mime(content: bytes) -> bool:
    """Whether cloud-init takes *content* for a MIME message."""
    return b"mime-version:" in content[:MIME_WINDOW].lower()


def unpacked(content: bytes) -> bytes:
    """*content* without gzip, if it is gzip. :class:`SeedError` when it cannot be unpacked."""
    if not content.startswith(GZIP_MAGIC):
        return content
    decompressor = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = decompressor.decompress(content, UNPACKED_LIMIT)
    except (zlib.error, gzip.BadGzipFile) as error:
        raise SeedError(f"begins like gzip and cannot be unpacked: {error}") from None
    if decompressor.unconsumed_tail:
        raise SeedError(f"unpacks to more than {UNPACKED_LIMIT >> 20} MiB")
    if not decompressor.eof:
        raise SeedError("begins like gzip and ends too early")
    return plain
