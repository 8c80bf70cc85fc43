"""Options and files in one user-data, MIME messages, templates, and the YAML that is written."""

from __future__ import annotations

import datetime as dt
import email
import gzip
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from unclone.seeds import Machine, Part, Seed, SeedError
from unclone.seeds.contents import contents, no_login
from unclone.seeds.merging import NOTHING, combined, merged
from unclone.seeds.mime import multipart, parts_of
from unclone.seeds.template import filled
from unclone.seeds.yaml_text import ParsedYaml, dump_yaml

FLAGS = {"runcmd": ["flag"], "timezone": "UTC"}


def config(*lines: str) -> bytes:
    return "\n".join(["#cloud-config", *lines, ""]).encode()


# -- merging ---------------------------------------------------------------------------------


def test_nothing_says_nothing() -> None:
    assert combined({}, []) == NOTHING


def test_a_file_alone_stays_as_it_is() -> None:
    content = b"#cloud-config\r\n# mine\r\nruncmd:   [ ls ]\r\n"
    assert combined({}, [Part("a", content)]) == content
    assert combined({}, [Part("a", gzip.compress(content, mtime=0))]) == gzip.compress(
        content, mtime=0
    )


def test_flags_are_merged_into_the_one_config() -> None:
    said = yaml.safe_load(combined(FLAGS, [Part("a", config("runcmd: [file]", "packages: [x]"))]))
    assert said == {"runcmd": ["file", "flag"], "packages": ["x"], "timezone": "UTC"}


def test_an_empty_config_takes_the_flags() -> None:
    assert yaml.safe_load(combined(FLAGS, [Part("a", b"#cloud-config\n")])) == FLAGS


def test_a_packed_config_takes_the_flags() -> None:
    packed = gzip.compress(config("packages: [x]"), mtime=0)
    assert yaml.safe_load(combined(FLAGS, [Part("a", packed)]))["packages"] == ["x"]


@pytest.mark.parametrize(
    "content",
    [
        b"#!/bin/sh\nls\n",
        b"## template: jinja\n#cloud-config\nruncmd: [ls]\n",
        config("merge_how: 'dict(recurse_array)+list(append)'", "runcmd: [ls]"),
        b"#cloud-config-archive\n- content: x\n",
    ],
)
def test_what_cannot_be_merged_into_becomes_a_part(content: bytes) -> None:
    first, second = parts_of(combined(FLAGS, [Part("a", content)]))
    assert yaml.safe_load(first.content) == FLAGS
    assert second.content == content


def test_of_two_configs_neither_is_changed() -> None:
    files = [Part("a", config("packages: [a]")), Part("b", config("bootcmd: [b]"))]
    flags, *rest = parts_of(combined(FLAGS, files))
    assert [part.content for part in rest] == [file.content for file in files]
    assert yaml.safe_load(flags.content) == FLAGS


@pytest.mark.parametrize(
    ("base", "added", "expected"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": None}, {"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1}, {"a": 1}),
        ({"a": [1]}, {"a": [1, 2]}, {"a": [1, 1, 2]}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"u": [{"name": "x"}]}, {"u": [{"name": "y"}]}, {"u": [{"name": "x"}, {"name": "y"}]}),
        ({"u": [{"name": "x"}]}, {"u": [{"name": "x"}]}, {"u": [{"name": "x"}]}),
        ({"u": ["default"]}, {"u": [{"name": "x"}]}, {"u": ["default", {"name": "x"}]}),
    ],
)
def test_merging(base: dict[str, Any], added: dict[str, Any], expected: dict[str, Any]) -> None:
    assert merged(base, added, "") == expected


@pytest.mark.parametrize(
    ("base", "added", "words"),
    [
        ({"a": 1}, {"a": 2}, "a has one value"),
        ({"a": {"b": "secret"}}, {"a": {"b": "x"}}, r"a\.b has one value"),
        ({"a": [1]}, {"a": {"b": 1}}, "a has one value"),
        ({"u": [{"name": "x"}]}, {"u": [{"name": "x", "shell": "y"}]}, "u has 'x' in the file"),
    ],
)
def test_what_contradicts_is_refused(
    base: dict[str, Any], added: dict[str, Any], words: str
) -> None:
    with pytest.raises(SeedError, match=words) as refused:
        merged(base, added, "")
    assert "secret" not in refused.value.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (config("a: b: c"), r"base.yaml:2:5: not valid YAML"),
        (config("- a"), "is no mapping"),
        (config("a: &x [*x]"), "refers to itself|nested too deeply"),
    ],
)
def test_a_file_that_cannot_take_flags_says_why(content: bytes, words: str) -> None:
    with pytest.raises(SeedError, match=words):
        combined(FLAGS, [Part("base.yaml", content)])


def test_aliases_of_aliases_fill_no_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(SeedError, match="more than 200,000 values"):
        combined(FLAGS, [Part("bomb.yaml", config(*lines))])


def test_vendor_data_of_ones_own_replaces_the_defaults() -> None:
    mine = Part("v", config("bootcmd: [x]"))
    seed = Seed.for_machine(Machine(hostname="a"), vendor_data=[mine])
    assert seed.vendor_data == mine.content


# -- MIME ------------------------------------------------------------------------------------

PARTS = [
    Part("a b.yaml", config("packages: [x]"), "text/cloud-config"),
    Part("u.sh", "#!/bin/sh\necho é\n".encode(), "text/x-shellscript"),
    Part("crlf.sh", b"#!/bin/sh\r\nls\r\n", "text/x-shellscript"),
    Part("packed", gzip.compress(b"#!/bin/sh\n", mtime=0), "text/x-shellscript"),
    Part("end.sh", b"#!/bin/sh\nls", "text/x-shellscript"),
    Part("empty", b"", "text/x-shellscript"),
]


def test_parts_survive_byte_for_byte() -> None:
    found = list(parts_of(multipart(PARTS)))
    assert [part.content for part in found] == [part.content for part in PARTS]
    assert [part.type for part in found] == [part.type for part in PARTS]
    assert found[0].name == "a_b.yaml"


def test_a_message_is_the_same_every_time_and_for_others() -> None:
    assert multipart(PARTS) == multipart(PARTS)
    assert multipart(PARTS) != multipart(PARTS[:-1])
    message = email.message_from_bytes(multipart(PARTS))
    assert message.is_multipart()
    assert message["MIME-Version"] == "1.0"
    assert len(message.get_payload()) == len(PARTS)


def test_a_message_among_the_parts_gives_its_parts() -> None:
    inner = multipart(PARTS[:2])
    flat = multipart([Part("inner", inner), Part("last.sh", b"#!/bin/sh\n")])
    assert [part.content for part in parts_of(flat)] == [
        *(part.content for part in PARTS[:2]),
        b"#!/bin/sh\n",
    ]


def test_a_part_that_cloud_init_would_not_know_is_refused() -> None:
    with pytest.raises(SeedError, match=r"notes\.txt begins with nothing that cloud-init knows"):
        multipart([Part("a.sh", b"#!/bin/sh\n"), Part("notes.txt", b"hello\n")])


@pytest.mark.slow
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
@settings(max_examples=100)
def test_any_content_survives(contents: list[bytes]) -> None:
    parts = [Part("p", content, "text/x-shellscript") for content in contents]
    assert [part.content for part in parts_of(multipart(parts))] == contents


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (config("a: 1", "b: 2"), {"a", "b"}),
        (multipart(PARTS), {"packages"}),
        (gzip.compress(config("a: 1"), mtime=0), {"a"}),
        (b"#cloud-config-archive\n- |\n  #cloud-config\n  a: 1\n- {content: '#!x'}\n- 3\n", {"a"}),
        (b"#!/bin/sh\n", set()),
        (b"\x1f\x8bx", set()),
        (config("- a"), set()),
        (b"", set()),
    ],
)
def test_the_keys_of_user_data(content: bytes, expected: set[str]) -> None:
    assert contents(content).keys == expected


SILENT = {
    "a key for the default user": config("ssh_authorized_keys: [ssh-ed25519 AAAA]"),
    "keys from a server": config("ssh_import_id: [gh:someone]"),
    "a password": config("password: $6$x"),
    "passwords": config("chpasswd: {list: 'root:x'}"),
    "passwords as mappings": config("chpasswd: {users: [{name: root, password: x}]}"),
    "a user with a key": config("users: [default, {name: a, ssh_authorized_keys: [x]}]"),
    "a user with the old spelling": config("users: [{name: a, ssh-authorized-keys: [x]}]"),
    "a user with a password": config("users: [{name: a, plain_text_passwd: x}]"),
    "users as a mapping": config("users: {a: {passwd: x}}"),
    "the default user changed": config("user: {ssh_import_id: [gh:someone]}"),
    "an installer": config("autoinstall: {version: 1}"),
    "a packed file": gzip.compress(config("password: x"), mtime=0),
    "a script": b"#!/bin/sh\nuseradd a\n",
    "an include": b"#include\nhttps://example.org/a\n",
    "a template": b"## template: jinja\n#cloud-config\nusers: []\n",
    "a script in a message": multipart(PARTS[:2]),
    "a config in a message": multipart([Part("a", config("password: x"), "text/cloud-config")]),
    "a script in an archive": b"#cloud-config-archive\n- {content: '#!/bin/sh'}\n",
    "a config in an archive": b"#cloud-config-archive\n- {content: 'password: x'}\n",
    "what cannot be read": config("a: [", "b: {"),
    "broken gzip": b"\x1f\x8bx",
}
WARNED = {
    "nothing": b"",
    "a header": b"#cloud-config\n",
    "other keys": config("packages: [vim]", "runcmd: [ls]"),
    "users without anything": config("users: [default, {name: a, sudo: true}, b]"),
    "empty lists": config("ssh_authorized_keys: []", "users: [{name: a, passwd: ''}]"),
    "only an expiry": config("chpasswd: {expire: false}"),
    "nothing in a message": multipart([Part("a", config("packages: [x]"), "text/cloud-config")]),
    "nothing in an archive": b"#cloud-config-archive\n- {content: 'packages: [x]'}\n",
}


@pytest.mark.parametrize(
    ("content", "warned"),
    [*((c, False) for c in SILENT.values()), *((c, True) for c in WARNED.values())],
    ids=[*SILENT, *WARNED],
)
def test_a_seed_without_a_login_is_noticed(content: bytes, warned: bool) -> None:
    assert [f.code for f in no_login({"user-data": content})] == ["no-login"] * warned


def test_vendor_data_and_meta_data_may_let_somebody_in() -> None:
    vendor = config("password: x")
    assert not list(no_login({"user-data": b"", "vendor-data": vendor}))
    assert not list(no_login({"user-data": b"", "meta-data": b"public-keys: [ssh-rsa AAAA]\n"}))
    assert list(no_login({"user-data": b"", "meta-data": b"public-keys: []\n"}))


# -- templates -------------------------------------------------------------------------------


def test_only_braces_are_placeholders() -> None:
    text = "a: ${x}\nb: $x $HOME $${x} ${y.z-1} $ {x} ${ x }\n"
    assert filled(text, {"x": "1", "y.z-1": "$x"}, "t") == (
        "a: 1\nb: $x $HOME ${x} $x $ {x} ${ x }\n"
    )


def test_a_value_is_not_looked_into() -> None:
    assert filled("${a}${b}", {"a": "${b}", "b": "\\1"}, "t") == "${b}\\1"


def test_a_name_without_value_is_told_with_its_line() -> None:
    with pytest.raises(
        SeedError, match=r"base.yaml:2: there is no value for \$\{role\}"
    ) as refused:
        filled("#cloud-config\na: ${role}\n", {"rule": "x"}, "base.yaml")
    assert "Known: rule" in refused.value.hint


@pytest.mark.parametrize("value", ["a\nb", "a\0"])
def test_a_value_of_several_lines_is_refused(value: str) -> None:
    with pytest.raises(SeedError, match="the value x has more than one line"):
        filled("${x}", {"x": value}, "t")


# -- YAML ------------------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.dates(dt.date(1000, 1, 1))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner)
    ),
    max_leaves=20,
)


@pytest.mark.slow
@given(VALUES)
@settings(max_examples=300)
def test_what_is_written_is_read_as_the_same(data: Any) -> None:
    assert yaml.safe_load(dump_yaml(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        *("no", "0x1f", "1:30", "2026-01-01", "null", "~", "- a", "a: b", "#x", " a", "a ", ""),
        *("1e3", "0123", "1_000", "=", "<<", ".inf", "y", "!x", "&a", "*a", "%", "@", "`", "---"),
        *("a\nb", "a\nb\n", "a\n\n", "\na", "  a\nb", "a\n  b\n", "a\tb", "\ta\nb"),
        *("\u2028", "é😀", "\x85", "\\", "a\x85b\n", "a\u2029\n", "\ufeffa\nb", "a\r\nb\n"),
    ],
)
def test_text_stays_text(text: str) -> None:
    data = {"a": text, "b": [text, {"c": text}], text: 1}
    assert yaml.safe_load(dump_yaml(data)) == data


def test_what_yaml_cannot_say_is_refused() -> None:
    with pytest.raises(SeedError, match="a complex cannot be written"):
        dump_yaml({"a": 1j})


@pytest.mark.slow
@pytest.mark.parametrize("level", ["[", "{a: ", "- ", "? "])
def test_yaml_that_would_overflow_the_stack_is_refused(level: str) -> None:
    (finding,) = ParsedYaml("user-data", f"#cloud-config\n{level * 100_000}").problems
    assert "values are nested more than 100 deep" in finding.message
