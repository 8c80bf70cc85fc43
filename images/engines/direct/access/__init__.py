"""The bytes of a disk: read from the image itself where nothing has been written, else from QEMU.

The engine and its helper programs use this, so nothing here imports more than it needs.
"""
