"""The shell itself beside our reading of it: the same words, before and after."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.allocator import Counting
from tests.support.definitions import FOLDER, NAME, written
from unclone.sanitize.definitions.formats.qemu.shell import commands
from unclone.sanitize.definitions.formats.table import read_definition
from unclone.sanitize.definitions.identity_map import IdentityMap
from unclone.sanitize.definitions.planning import plan_definition
from unclone.sanitize.definitions.text.source import Source

#: Stands in for QEMU: writes its arguments down, each behind a null byte.
STUB = '#!/bin/sh\nfor word in "$0" "$@"; do printf "%s\\0" "$word"; done > "$WORDS"\n'
PROGRAM = "qemu-system-x86_64"
MAC = "52:54:00:12:34:56"
#: Q is QEMU.
SHORT = {
    "plain": f"Q -name golden -nic user,mac={MAC}\n",
    "quotes": 'Q -name \'gol\'"de"n -m \'1G\' -append \'a "b" $c\' "d\\"\\$e\\f"\n',
    "escapes": "Q -name golden a\\ b c\\'d e\\\\f \\#g h#i '' \"\"\n",
    "continued": 'Q \\\n  -name gol\\\nden "a\\\nb" # no -word\n',
    "variables": f'N=golden M="{MAC}"\nexport N\nQ -name $N-x -nic user,mac=${{M}}\n',
    "nested": 'D=/srv/vms\nF=$D/golden.img\nQ -name golden -hda "$F" -hdb ${D}2/b\n',
    "split": f'O="-name golden  -nic user,mac={MAC}"\nO="$O -m 1G"\nQ $O -append "$O"\n',
    "empty": 'E=\nQ -name golden $E "$E" -m 1G\n',
    "defaults": f"Q -name golden -nic user,mac=${{UNSET_MAC:-{MAC}}} ${{N-a}}\n",
    "set-default": "N=golden\nQ -name ${N:-other}\n",
    "wrapped": "#!/bin/sh\nif true; then exec env A=1 Q -name golden; fi\n",
    "redirected": "Q -name golden >/dev/null 2>&1 </dev/null -m 1G\n",
    "here-document": "cat >/dev/null <<'END'\nit's $not \"quoted\nEND\nQ -name golden\n",
    "sequence": "#!/bin/sh\ntrue; true && Q -name golden -m 1G || true\n",
    "array": f"A=(-name golden # first\n -nic \"user,mac={MAC}\" )\nA+=('-m' 1G)\n"
    'Q "${A[@]}" -S\n',
    "json": f"""Q -name golden -device '{{"driver":"e1000","mac":"{MAC}"}}'\n""",
    "dollar": "Q -name golden -append 'x$y' \"a$ b\" c$\n",
    "crlf-free": "\n\n\tQ\t-name\tgolden\n",
}
SCRIPTS = {
    **{name: re.sub(r"\bQ\b(?=\s)", PROGRAM, text) for name, text in SHORT.items()},
    "golden": (FOLDER / "qemu" / "by-hand.before.sh").read_text(),
}


def told(folder: Path, script: str) -> list[str]:
    """What the shell hands to QEMU."""
    folder.mkdir()
    stub = folder / "qemu-system-x86_64"
    stub.write_text(STUB)
    stub.chmod(0o755)
    words = folder / "words"
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "WORDS": str(words)}
    subprocess.run(["bash", "-c", script], env=environment, cwd=folder, check=True, timeout=60)
    return words.read_bytes().decode().split("\0")[1:-1]


def understood(script: str) -> list[str]:
    """The same, as it is read without a shell."""
    found = commands(Source(Path("golden.sh"), script.encode()))
    starting = [
        [word.value for word in each.words]
        for each in found
        if any(word.value == "qemu-system-x86_64" for word in each.words)
    ]
    (words,) = starting
    return words[words.index("qemu-system-x86_64") + 1 :]


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_the_words_are_the_shell_s_before_and_after(tmp_path: Path, script: str) -> None:
    before = told(tmp_path / "before", script)
    assert understood(script) == before
    source = tmp_path / "golden.sh"
    source.write_text(script)
    plan = plan_definition(read_definition(source), IdentityMap(Counting(), NAME))
    after = told(tmp_path / "after", written(plan).decode())
    assert understood(written(plan).decode()) == after
    assert len(after) == len(before)
    assert [word for word in after if MAC in word] == []
    assert [word for word in after if NAME in word]


@pytest.mark.parametrize(
    "value",
    ["/srv/a b.img", "/srv/it's.img", '/srv/"q".img', "/srv/$x`y`\\z.img", "/srv/a,b;c&d|e.img"],
)
@pytest.mark.parametrize(
    "written_as", ["{}", "'{}'", '"{}"', "$D", '"$D"', '"$F/golden.img"', "$F/golden.img"]
)
def test_any_path_is_written_so_that_the_shell_reads_it(
    tmp_path: Path, value: str, written_as: str
) -> None:
    old = "/srv/golden.img"
    source = tmp_path / "golden.sh"
    source.write_text(
        f"D={old}\nF=/srv\n{PROGRAM} -name golden -drive file={written_as.format(old)}\n"
    )
    plan = plan_definition(
        read_definition(source), IdentityMap(Counting(), NAME), disks={old: value}
    )
    words = told(tmp_path / "after", written(plan).decode())
    if written_as == "$D" and " " in value:
        assert words[-2:] != [f"file={value}"]  # the shell splits what is not quoted
    else:
        assert words[-1] == "file=" + value.replace(",", ",,")
