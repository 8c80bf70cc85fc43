"""Identifiers on devices: one module for each kind, for all engines.

Those of file systems are in ``images/file_systems/``; here are those of containers (LUKS, LVM, MD)
and of btrfs devices. :mod:`.devices` is about all devices of a guest together.
"""
