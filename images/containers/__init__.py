"""Containers opened on the host, without the kernel's device mapper: LVM, LUKS and MD.

:mod:`.assembling` opens all containers of a guest. What one holds is a device that reads from and
writes to the devices below it.
"""
