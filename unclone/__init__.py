"""unclone: turn a copied VM disk image into a machine of its own, offline."""

__version__ = "0.1.0"
