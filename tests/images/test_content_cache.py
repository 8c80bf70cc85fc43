"""What is answered from memory is what a read of the file would give."""

from __future__ import annotations

from unclone.images import content_cache
from unclone.images.content_cache import ContentCache


def test_a_whole_file_answers_every_limit() -> None:
    cache = ContentCache()
    assert cache.keep("/a", b"content", 100) == b"content"
    assert cache.get("/a", 3) == b"con"
    assert cache.get("/a", 1000) == b"content"
    assert cache.get("/b", 3) is None


def test_the_beginning_of_a_file_answers_no_more_than_it_has() -> None:
    cache = ContentCache()
    cache.keep("/a", b"cont", 4)  # there may be more of it
    assert cache.get("/a", 4) == b"cont"
    assert cache.get("/a", 5) is None
    cache.keep("/a", b"content", 5000)
    assert cache.get("/a", 5) == b"conte"


def test_an_empty_file_is_known_to_be_empty() -> None:
    cache = ContentCache()
    cache.keep("/a", b"", 16)
    assert cache.get("/a", 16) == b""
    cache.keep("/b", b"", 0)  # nothing was asked for
    assert cache.get("/b", 16) is None


def test_what_is_kept_is_bounded_and_the_oldest_go() -> None:
    cache = ContentCache()
    one = bytes(content_cache._ONE)
    assert cache.keep("/large", one + b"1", 2 * len(one)) == one + b"1"
    assert cache.get("/large", 16) is None
    for name in "abc":
        cache.keep(name, one, 2 * len(one))
    assert cache.get("a", 16) is None
    assert cache.get("c", 16) == bytes(16)
    cache.clear()
    assert cache.get("c", 16) is None
