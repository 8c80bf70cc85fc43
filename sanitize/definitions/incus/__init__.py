"""The parts of the Incus and LXD format: its rows."""
