"""The bytes of a disk: read from the image itself where nothing has been written, else from QEMU.

Both ends of the direct engine use this, the engine and the process that works on ext file systems;
so nothing here loads more than it needs.
"""
