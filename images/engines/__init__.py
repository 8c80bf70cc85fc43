"""Engines open the disks of a guest. All of them have the same interface and give the same answers.

This module, and the ``__init__`` modules below it, import nothing: the helper programs of the
direct engine are modules of this package, and every import delays their start.
"""
