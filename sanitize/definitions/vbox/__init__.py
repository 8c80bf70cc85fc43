"""The parts of the VirtualBox format: its rows, its fields, its disks."""
