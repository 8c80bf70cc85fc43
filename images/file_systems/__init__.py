"""File system types: one module for each, and :mod:`.table`, which lists them.

A module says how its type is recognised, where label and identifier are, how the identifier is set
and when it must not be, which program checks it, and its mount options. Engines and inspection use
the table. To add a type, copy a module (``f2fs`` has most of the fields) and add a line to the
table.

``ext_superblock`` and ``fat_boot_sector`` are on-disk structures that several modules read.
Containers (LUKS, LVM, MD) have their modules in ``images/identifiers/``.
"""
