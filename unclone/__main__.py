"""Where the command begins, before anything is loaded."""

from __future__ import annotations

import gc
import sys

# A command makes many objects and hardly a cycle: to look for one as often as Python does by itself
# cost a tenth of a run, its loading included.
gc.set_threshold(200_000, 20, 100)

try:
    from unclone.cli.main import main  # (loading is most of what the threshold is for)
except Exception as error:  # noqa: BLE001 (a package that is missing or too old can raise anything)
    from unclone.runs.failures import describe, hint_of

    sys.exit(f"unclone: {describe(error)}\n  {hint_of(error)}")

if __name__ == "__main__":
    main()
