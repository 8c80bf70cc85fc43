"""The parts of the Firecracker format: its rows."""
