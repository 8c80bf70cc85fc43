"""Disk images: formats, locks, the transaction around a change, engines that open a guest.

This package imports no other package of unclone.
"""
