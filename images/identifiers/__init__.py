"""Identifiers that live on devices: one module per kind, for every engine.

File systems have theirs in ``images/file_systems/``; here are those of containers (LUKS, LVM, MD).
:mod:`.devices` answers for all devices of a guest together.
"""
