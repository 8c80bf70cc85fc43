"""FAT12, FAT16 and FAT32 with long names, as Linux mounts them ("vfat"), in plain Python."""
