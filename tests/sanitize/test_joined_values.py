"""Values that readers put together, however many words a file has."""

from __future__ import annotations

from unclone.sanitize.joined_values import JoinedValues


def _ends(text: bytes) -> set[bytes]:
    joined = JoinedValues([text], lambda _: False)
    return {value for _, values in joined.expanded(text) for value in values.split()}


def test_words_that_say_the_same_do_not_use_up_what_may_be_expanded() -> None:
    few = b"".join(b'a=1%d\nb="$a"2%d\n' % (n, n) for n in range(60))
    many = b"".join(b"echo %d $b$b$b $a$b\n" % n for n in range(2000))
    last = b'p=c1d2\nq="$p"e3f4\nsearch $q\n'
    assert b"c1d2e3f4" in _ends(few + many + last)


def test_combinations_are_the_first_ones_in_order() -> None:
    text = b"".join(b"a=%d\n" % n for n in range(100)) + b"x $a-$a\n"
    found = JoinedValues([text], lambda _: False)
    assert list(found.expanded(text)) == [(101, b" ".join(b"0-%d" % n for n in range(64)))]


def test_a_variable_that_is_made_of_itself_ends() -> None:
    assert _ends(b'a="$a$a"\nb=$a\necho $b-$c\n')


def test_a_default_counts_beside_what_was_assigned() -> None:
    assert {b"12", b"52"} <= _ends(b'a=1\necho "${a:-5}2"\n')


def test_quotes_and_joints_are_no_part_of_a_line() -> None:
    text = b'first\necho a"b"\'c\'\\d\n# e"f" \\\n$g\nset h\\\ni\n'
    found = JoinedValues([text], lambda _: False)
    assert list(found.expanded(text)) == [(2, b"echo abcd"), (5, b"set hi")]
