"""The runs of ``unclone audit``: which machines are there, what is in each, what do they share."""
