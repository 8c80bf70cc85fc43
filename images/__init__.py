"""Disk images: formats, locks, the transaction around an edit, engines that open a guest.

This room imports no other room.
"""
