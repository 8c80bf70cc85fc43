"""Engines: what opens the disks of a guest. All of them answer the same questions the same way.

This module, and those of the packages below it, import nothing: the helper programs of the direct
engine are modules of this package, and every import would be part of their start.
"""
