"""The plugin's protocol: MessagePack, streams, calls, and how a plugin says what it is."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from unclone import __version__
from unclone.images.errors import UncloneError
from unclone.packer.__main__ import _COOKIE, _DEFAULT
from unclone.packer.gob import Kind, object_spec
from unclone.packer.msgpack import pack, unpack
from unclone.packer.rpc import Broker, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, 127, 128, 2**63, -1, -(2**40), 1.5, "", "ä" * 70000, b"\0" * 300),
        [1, ["a", {"b": b"c"}]],
        {"Seq": 1, "ServiceMethod": "Artifact.Files", "x": []},
        "name \udcff that is not UTF-8",
    ],
)
def test_values_come_back(value: object) -> None:
    assert unpack(io.BytesIO(pack(value)).read) == value


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("ff", -1),
        ("e0", -32),
        ("cc80", 128),
        ("cd0100", 256),
        ("d1ff00", -256),
        ("ca3fc00000", 1.5),
        ("a3616263", "abc"),
        ("d903616263", "abc"),
        ("c403616263", b"abc"),
        ("92c2c3", [False, True]),
        ("81a16101", {"a": 1}),
        ("dc0001c0", [None]),
        ("de0001a16101", {"a": 1}),
    ],
)
def test_shorter_forms_are_read(content: str, value: object) -> None:
    assert unpack(io.BytesIO(bytes.fromhex(content)).read) == value


def test_extension_types_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown MessagePack type 0xd4"):
        unpack(io.BytesIO(bytes.fromhex("d40000")).read)
    with pytest.raises(TypeError, match="object cannot be packed"):
        pack(object())


def test_a_description_in_gob() -> None:
    """Packer itself reads it in test_build.py; an empty one, and the parts of entries."""
    empty = object_spec({})
    assert empty.endswith(bytes.fromhex("04ff820000"))  # length 4, type 65, no field, no entries
    described = object_spec({"profile": Kind.TEXT, "strict": Kind.FLAG, "paths": Kind.LIST})
    for text in (b"profile", b"strict", b"paths", b"*hcldec.AttrSpec", b"cty.typeList"):
        assert text in described


@pytest.fixture
def ends() -> Iterator[tuple[Broker, Broker]]:
    """A plugin and something that calls it, connected."""
    left, right = socket.socketpair()
    plugin, caller = Broker(left), Broker(right)
    caller._session._next = 1  # as a client's
    threads = [Thread(target=each.run) for each in (plugin, caller)]
    for thread in threads:
        thread.start()
    yield plugin, caller
    for end in (left, right):
        end.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


def fail(argument: object) -> None:
    raise UncloneError(f"refused {argument}", hint="Do otherwise.")


def test_calls_go_both_ways(ends: tuple[Broker, Broker]) -> None:
    plugin, caller = ends
    plugin.serve(0, {"PostProcessor.Echo": lambda found: found, "PostProcessor.Fail": fail})
    caller.serve(7, {"Ui.Message": lambda text: f"shown: {text}"})
    call = caller.call(0)
    large = "x" * (3 * 256 * 1024)  # more than a window, in both directions
    assert call("PostProcessor.Echo", {"a": [large]}) == {"a": [large]}
    with pytest.raises(RemoteError, match="refused 5\nDo otherwise"):
        call("PostProcessor.Fail", 5)
    with pytest.raises(RemoteError, match=r"there is no method PostProcessor\.Nothing"):
        call("PostProcessor.Nothing")
    assert plugin.call(7)("Ui.Message", "text") == "shown: text"
    call.close()
    with pytest.raises(EOFError):
        caller.call(1)  # nobody serves it


def test_when_the_caller_is_gone_calls_end() -> None:
    left, right = socket.socketpair()
    plugin = Broker(left)
    thread = Thread(target=plugin.run)
    thread.start()
    right.close()
    thread.join()
    with pytest.raises(EOFError):
        plugin.call(1)
    left.close()


def test_the_plugin_describes_itself() -> None:
    """For ``packer-plugin-unclone``: API 5.0; without ``protocol_version`` settings come in gob."""
    told = subprocess.check_output([sys.executable, "-m", "unclone.packer", "describe"])
    described = json.loads(told)
    assert described["version"] == __version__
    assert described["api_version"] == "x5.0"
    assert described["post_processors"] == [_DEFAULT]
    assert "protocol_version" not in described


@pytest.mark.parametrize(
    ("arguments", "head"),
    [((), "5|unix|/"), (("start", "post-processor", _DEFAULT), "5|0|unix|/")],
)
def test_the_first_line_is_as_each_version_wants_it(
    tmp_path: Path, arguments: tuple[str, ...], head: str
) -> None:
    """A socket's path is short, however long that of the folder for temporary files is."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "unclone.packer", *arguments],
        env={**os.environ, "PACKER_PLUGIN_MAGIC_COOKIE": _COOKIE, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    ) as plugin:
        assert plugin.stdout is not None
        line = plugin.stdout.readline()
        assert line.startswith(head)
        with socket.socket(socket.AF_UNIX) as packer:
            packer.connect(line.strip().rpartition("|")[2])
        assert plugin.wait(60) == 0  # Packer is gone


def test_people_are_told_that_packer_starts_it() -> None:
    env = {name: value for name, value in os.environ.items() if "MAGIC_COOKIE" not in name}
    for arguments, why in (((), "Packer starts this program"), (("start",), "usage: ")):
        argv = [sys.executable, "-m", "unclone.packer", *arguments]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert why in done.stderr
