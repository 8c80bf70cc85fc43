"""What has to be known of an ext file system before it is opened."""

from __future__ import annotations


class Geometry:
    """What has to be known of a file system to open it; sizes are bytes."""

    def __init__(
        self,
        *,
        blocks: int,
        block_size: int,
        inodes: int,
        inode_size: int,
        first_inode: int,
        special_inodes: tuple[int, ...],
        extents: bool,
    ) -> None:
        self.blocks = blocks
        self.block_size = block_size
        self.inodes = inodes
        self.inode_size = inode_size
        self.first_inode = first_inode
        self.special_inodes = special_inodes
        self.extents = extents
