"""Definitions of virtual machines: what in them says who the machine is, and how it is renewed."""
