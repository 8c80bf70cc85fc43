"""The SSH server of a guest: its configuration, its host keys, and the formats of keys."""
