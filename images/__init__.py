"""Disk images: formats, locks, the transaction around an edit, engines that open a guest.

This package imports no other of unclone's.
"""
