"""The direct engine: ext2/3/4, vfat, swap, GPT and MBR without a virtual machine or root."""
