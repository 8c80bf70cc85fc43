"""``python -m unclone``."""

from __future__ import annotations

from unclone.cli import main

if __name__ == "__main__":
    main()
