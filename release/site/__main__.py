"""``python -m release.site [FOLDER]``: build the site, into ``dist/site`` by itself."""

from __future__ import annotations

import sys
from pathlib import Path

from release.site.build import build_site

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "dist/site")
    build_site(folder)
    sys.stdout.write(f"{folder / 'index.html'}\n")
