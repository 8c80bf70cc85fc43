"""The parts of the QEMU formats: shell words, options, rows, virtio."""
