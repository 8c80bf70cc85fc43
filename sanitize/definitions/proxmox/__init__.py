"""The parts of the Proxmox format: its rows and its lines."""
