"""File system types: one module for each, and :mod:`.table`, which lists them.

A module says how its type is recognised, where label and identifier are, how the identifier is set
and when it must stay, which program checks it, and with which options it is mounted. Engines and
inspection ask the table. A new type is a copy of one module (``f2fs`` has most of what there is)
and a line in the table.

``ext_superblock`` and ``fat_boot_sector`` are the on-disk structures of their types, for everything
that reads them. Containers (LUKS, LVM, MD) have their modules in ``images/identifiers/``.
"""
