"""The phases of a run, in order, and the words for them."""

from __future__ import annotations

#: A bar has one part for each.
PHASES = {
    "lock": "taking the lock",
    "launch": "opening the image",
    "plan": "reading the guest",
    "apply": "changing",
    "verify": "reading everything back",
    "commit": "committing",
}
