"""The parts of the libvirt format: its rows, networks, virtio."""
