"""The reference engine: libguestfs, which opens what the Linux in its appliance can open."""
