"""``unclone clone``: machines from a golden image; each has one identity in all its files.

``order`` is what is asked for. ``deciding`` looks at the golden image and gives every machine its
record, all in one transaction of the ledger. ``making`` makes one machine from its record.
``batch`` sees that a machine's folder is complete or absent, whatever happens. ``run`` ties them.
"""
