"""ext2, ext3 and ext4 through libext2fs, in a process of its own, without a kernel.

This package is what ``worker`` loads for every guest: it imports next to nothing
(not even ``typing`` or ``contextlib``), because each millisecond of that is paid once per image.
"""
