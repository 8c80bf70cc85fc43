"""Where the command begins, before anything is loaded."""

from __future__ import annotations

import gc

# A short life makes many objects and hardly a cycle: to look for one as often as Python does by
# itself cost a tenth of a run, its loading included.
gc.set_threshold(50_000, 20, 100)

from unclone.cli.main import main  # noqa: E402 (loading is most of what this is for)

if __name__ == "__main__":
    main()
