"""The cloud-init NoCloud seed: user-data, meta-data, network-config, vendor-data -> ISO.

This room is kept for the seed builder; nothing lives here yet. It imports no other room.
"""
