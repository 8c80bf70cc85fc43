"""Files that hold a disk image instead of being one: how they are recognised, read and made."""
