"""Identifiers in the headers of virtual disks, which have to agree with a definition."""
