"""The fields of an OVA: those of its descriptor; the disks in the archive keep their names."""

from unclone.sanitize.definitions.formats.ovf.rules import ARCHIVE_RULES

RULES = ARCHIVE_RULES
