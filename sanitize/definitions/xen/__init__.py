"""The parts of the Xen format: its reader, its rows."""
