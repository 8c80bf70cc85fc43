"""The parts of the cloud-hypervisor format: its rows."""
