"""Identifiers that live on devices: one module per kind, for every engine.

Where an identifier is a few bytes in a header, its module reads and writes those bytes; where it
is woven into all metadata of a file system (ext, XFS, btrfs), its module names the commands of the
tool that does it. Each also knows, from the headers alone, what must not be changed.
:mod:`.devices` chooses the module.
"""
