"""Definitions of virtual machines: what in them identifies the machine, and how it is renewed."""
