"""The parts of the VMware format: its rows, its settings, the network cards."""
