"""The fields of a ``-readconfig`` file: those that a command line has, too."""

from unclone.sanitize.definitions.formats.qemu.rules import COMMON

RULES = COMMON
