"""The reference engine: libguestfs, which supports what the Linux in its appliance does."""
