"""Accounts, and whether they have a password; never what is in shadow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.tree import guest_at, plant
from unclone.sanitize.inventory.users import USERS_LIMIT, Password, User, users

if TYPE_CHECKING:
    from pathlib import Path

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1::/:/usr/sbin/nologin
admin:x:1000:1000:Admin,,,:/home/admin:/bin/bash
guest:x:1001:1001::/home/guest:/bin/sh
deploy:x:1002:1002::/home/deploy:/bin/sh
old:$1$abc$def:1003:1003::/:/bin/sh
lost:x:1004:1004::/:/bin/sh
domain:x:100000:1::/:/bin/sh
nobody:x:65534:65534::/:/usr/sbin/nologin
systemd-oom:x:61184:61184::/:/usr/sbin/nologin
"""
SHADOW = "root:*:1::\nadmin:$y$secret-hash:1::\nguest::1::\ndeploy:!$6$x:1::\ndomain:!:\n"


def test_root_and_people_are_listed_with_what_their_password_is(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/passwd": PASSWD, "/etc/shadow": SHADOW})
    found = users(guest_at(tmp_path))
    assert found == (
        User("root", 0, Password.LOCKED),
        User("admin", 1000, Password.SET),
        User("guest", 1001, Password.EMPTY),
        User("deploy", 1002, Password.LOCKED),
        User("old", 1003, Password.SET),
        User("lost", 1004, Password.UNKNOWN),
        User("domain", 100000, Password.LOCKED),
    )
    assert "secret-hash" not in repr(found)


def test_lines_that_are_no_accounts_are_passed_over(tmp_path: Path) -> None:
    text = "\n".join(["", "x", "a:x:-1:1::/:/", "b:x:9x9:1::/:/", "c:x:٣٣٣٣:1::/:/", "::::::"])
    plant(tmp_path, {"/etc/passwd": text.encode() + b"\n\xff\xfe:x:1000:1::/:/bin/sh\n"})
    assert [user.name for user in users(guest_at(tmp_path))] == ["\udcff\udcfe"]


def test_a_million_accounts_are_not_all_named(tmp_path: Path) -> None:
    lines = "".join(f"u{n}:x:{2000 + n}:1::/:/bin/sh\n" for n in range(5 * USERS_LIMIT))
    plant(tmp_path, {"/etc/passwd": lines})
    assert len(users(guest_at(tmp_path))) == USERS_LIMIT


def test_a_guest_without_accounts_has_none(tmp_path: Path) -> None:
    plant(tmp_path, {"/etc/passwd": None, "/etc/shadow": "-> /etc/shadow"})
    assert users(guest_at(tmp_path)) == ()
