"""Places of a bhyve command line that are called as identities are, and stay without a word.

References: bhyve(8) of FreeBSD 14.3.
"""

from __future__ import annotations

from unclone.sanitize.definitions.classification import Kept

KEPT = (Kept("firmware of the host, for every machine", ("-l bootrom", "-s passthru rom")),)
