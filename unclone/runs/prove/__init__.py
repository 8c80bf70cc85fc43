"""``unclone prove``: boot a throw-away overlay, and compare what the guest says of itself."""
