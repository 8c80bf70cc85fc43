"""What a console says: phases, dead ends, questions, and its last lines made safe."""

from __future__ import annotations

import pytest

from unclone.images.boot.console import DEAD_ENDS, KEPT, LAST, Console, Phase


def console(*pieces: bytes) -> Console:
    made = Console()
    for piece in pieces:
        made.feed(piece)
    return made


@pytest.mark.parametrize(
    ("said", "phase"),
    [
        (b"", Phase.FIRMWARE),
        (b"SeaBIOS (version 1.16.2)", Phase.FIRMWARE),
        (b"GRUB loading.\r\nWelcome to GRUB!", Phase.BOOT_LOADER),
        (b"BdsDxe: starting Boot0001", Phase.BOOT_LOADER),
        (b"[    0.000000] Linux version 6.1.0", Phase.KERNEL),
        (b"[    1.0] Run /init as init process", Phase.INITRD),
        (b"Welcome to \x1b[31mDebian\x1b[0m!", Phase.SYSTEM),
        (b"INIT: version 3.06 booting", Phase.SYSTEM),
    ],
)
def test_phases(said: bytes, phase: Phase) -> None:
    assert console(said).phase is phase
    half = len(said) // 2
    assert console(said[:half], said[half:]).phase is phase
    assert console(b"Linux version 6", said).phase in {Phase.KERNEL, phase}


@pytest.mark.parametrize("sign", DEAD_ENDS)
def test_dead_ends(sign: bytes) -> None:
    why, last = DEAD_ENDS[sign]
    assert console(b"SeaBIOS\n", sign).dead_end == why
    assert console(b"SeaBIOS\n", sign[:3], sign[3:]).dead_end == why
    later = console(sign, b"\nLinux version 6.1\n").dead_end
    assert later == (why if last is Phase.SYSTEM else "")


@pytest.mark.parametrize(
    ("said", "asks"),
    [
        (b"Please unlock disk vda3_crypt: ", True),
        (b"Enter passphrase for /dev/sda3: \x1b[6n", True),
        (b"Please enter passphrase for disk root (luks):", True),
        (b"Please unlock disk vda3_crypt: \r\n", False),
        (b"cryptsetup: vda3_crypt: set up successfully", False),
    ],
)
def test_questions(said: bytes, asks: bool) -> None:
    assert console(b"[    3.2] random: crng init done\r\n", said).asks is asks


def test_the_last_lines_are_safe_to_print() -> None:
    said = b"\x1b[2J\x1b]0;title\x07one\r\ntwo \xff\x07\r\n\r\nthree \x1b(B\x9b31m"
    made = console(*[b"line\r\n"] * 50, said)
    lines = made.last_lines()[-3:]
    assert len(made.last_lines()) == LAST
    assert lines[0] == "one"
    assert all(line.isprintable() for line in lines)
    assert lines[1].startswith("two ")


def test_what_is_kept_has_a_limit() -> None:
    made = console(*[b"x" * 65536] * 8)
    assert len(made._kept) == KEPT
    assert len(made.last_lines()[0]) <= 400
