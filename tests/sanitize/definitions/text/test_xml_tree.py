"""XML read for editing: values as a parser understands them, places as an editor needs them."""

from __future__ import annotations

import codecs
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unclone.images.errors import RefusedError
from unclone.sanitize.definitions.text.source import Source
from unclone.sanitize.definitions.text.splicing import Edit, splice
from unclone.sanitize.definitions.text.xml_tree import Element, read_xml, text_place

#: Everything XML 1.0 can say, but for white space at the ends, which no value has.
VALUES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=30
).map(str.strip)


def parsed(text: str | bytes) -> tuple[Source, Element]:
    source = Source(Path("a.xml"), text.encode() if isinstance(text, str) else text)
    return source, read_xml(source)


def with_words(text: str, value: str) -> str:
    """*text* with other words in its root element."""
    source, root = parsed(text)
    place = text_place(source, root)
    assert place is not None
    start, end, spell = place
    return splice(source.text, [Edit(start, end, spell(value))])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<a b='c'/>", "c"),
        ('<a b="c"/>', "c"),
        ("<a\n\tb = 'c' />", "c"),
        ("<a x='>' b='c'></a>", "c"),
        ("<a x='b=&quot;z&quot;' b='c'/>", "c"),
        ("<a b='&#99;'/>", "c"),
        ("<a b='x&amp;y'/>", "x&y"),
        ("<a xmlns='urn:n' xmlns:b='urn:b' b:x='1' b='c'/>", "c"),
        ("<!-- é ü 😀 --><a é='😀' b='c'/>", "c"),
        ("<a b=''/>", ""),
    ],
)
def test_attributes_are_found(text: str, value: str) -> None:
    source, root = parsed(text)
    found = root.attributes["b"]
    assert found.value == value
    assert source.text[found.start - 1] in "'\""
    edited = splice(source.text, [Edit(found.start, found.end, found.spell("new"))])
    assert parsed(edited)[1].get("b") == "new"
    removed = splice(source.text, [Edit(*found.removal, "")])
    assert "b" not in parsed(removed)[1].attributes


@pytest.mark.parametrize(
    ("text", "value", "after"),
    [
        ("<a>old</a>", "old", "<a>new</a>"),
        ("<a> old\n</a>", "old", "<a> new\n</a>"),
        ("<a></a>", "", "<a>new</a>"),
        ("<a><![CDATA[old]]></a>", "old", "<a><![CDATA[new]]></a>"),
        ("<a><!-- old -->old</a>", "old", "<a><!-- old -->new</a>"),
        ("<a>old<!-- old --></a>", "old", "<a>new<!-- old --></a>"),
        ("<a>o<!-- l -->ld</a>", "old", "<a>new<!-- l --></a>"),
        ("<a>o<![CDATA[l]]>d</a>", "old", "<a>new</a>"),
        ("<a>o<?p x?>ld</a>", "old", "<a>new<?p x?></a>"),
        ("<a>&#111;ld</a>", "old", "<a>new</a>"),
        ("<a>ä\r\n\told\r\n</a>", "ä\n\told", "<a>new\r\n</a>"),
    ],
)
def test_words_are_replaced_where_they_stand(text: str, value: str, after: str) -> None:
    assert parsed(text)[1].value == value
    assert with_words(text, "new") == after


@pytest.mark.slow
@given(VALUES)
def test_whatever_can_be_said_is_said_between_tags(value: str) -> None:
    assert parsed(with_words("<a>old</a>", value))[1].value == value


@pytest.mark.slow
@given(VALUES)
def test_whatever_can_be_said_is_said_in_cdata(value: str) -> None:
    assert parsed(with_words("<a><![CDATA[old]]></a>", value))[1].value == value


@pytest.mark.slow
@given(VALUES, st.sampled_from("'\""))
def test_whatever_can_be_said_is_said_in_an_attribute(value: str, quote: str) -> None:
    source, root = parsed(f"<a b={quote}old{quote}/>")
    found = root.attributes["b"]
    edited = splice(source.text, [Edit(found.start, found.end, found.spell(value))])
    assert parsed(edited)[1].get("b") == value


@pytest.mark.parametrize("value", ["\0", "\x1b[32m", "a\x08"])
def test_what_xml_cannot_say_is_refused(value: str) -> None:
    with pytest.raises(RefusedError):
        with_words("<a>old</a>", value)


def test_an_element_without_an_end_tag_has_no_place_for_words() -> None:
    source, root = parsed("<a/>")
    assert text_place(source, root) is None


def test_words_among_elements_are_refused() -> None:
    source, root = parsed("<a>x<b/>y</a>")
    with pytest.raises(RefusedError, match=r"a\.xml:1:1"):
        text_place(source, root)


ENCODED = "<a b='é'>ünder</a>"


@pytest.mark.parametrize(
    "content",
    [
        ENCODED.encode(),
        codecs.BOM_UTF8 + ENCODED.encode(),
        codecs.BOM_UTF16_LE + ENCODED.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + ENCODED.encode("utf-16-be"),
        b"<?xml version='1.0' encoding='ISO-8859-1'?>" + ENCODED.encode("latin-1"),
        b'<?xml version="1.0" encoding="windows-1252" standalone="yes"?>'
        + ENCODED.encode("cp1252"),
        b"<?xml version='1.0' encoding='utf-8'?>" + ENCODED.encode(),
    ],
    ids=["plain", "utf-8-bom", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "utf-8-declared"],
)
def test_every_encoding_stays(content: bytes) -> None:
    source, root = parsed(content)
    assert (root.get("b"), root.value) == ("é", "ünder")
    assert source.encoded(source.text) == content
    place = text_place(source, root)
    assert place is not None
    edited = source.encoded(splice(source.text, [Edit(place[0], place[1], place[2]("€ new"))]))
    assert parsed(edited)[1].value == "€ new"  # as a reference where the encoding has no such sign


def test_places_are_xpaths() -> None:
    _, root = parsed("<d><e><f/></e><e><f/><f/><g/></e></d>")
    places = [element.place for element in root.walk()]
    assert places == [
        "/d",
        "/d/e[1]",
        "/d/e[1]/f",
        "/d/e[2]",
        "/d/e[2]/f[1]",
        "/d/e[2]/f[2]",
        "/d/e[2]/g",
    ]


def test_elements_are_found_by_path() -> None:
    _, root = parsed("<d><e t='1'><f n='a'/></e><e t='2'><f n='b'/><h n='c'/></e></d>")
    assert [f.get("n") for f in root.find("e/f")] == ["a", "b"]
    assert [f.get("n") for f in root.find("e[@t='2']/f")] == ["b"]
    assert [f.get("n") for f in root.find("e/*")] == ["a", "b", "c"]
    assert root.first("e/x") is None


def test_the_whole_element_is_between_start_and_end() -> None:
    source, root = parsed("<d> <e a='>'/> <e>x</e > </d>")
    assert [source.text[e.start : e.end] for e in root.children] == ["<e a='>'/>", "<e>x</e >"]


def test_errors_have_a_place() -> None:
    with pytest.raises(RefusedError, match=r"a\.xml:2:7: is not valid XML: mismatched tag"):
        parsed("<a>\n <b></a>")


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a\tb\nc", "a b c"),
        ("a\r\nb", "a b"),
        ("a&#9;b&#xA;c", "a\tb\nc"),
        ("&lt;&gt;&amp;&apos;&amp;lt;", "<>&'&lt;"),
        ("&#x1F600;", "😀"),
    ],
)
def test_an_attribute_says_what_a_parser_says(written: str, value: str) -> None:
    text = f'<a b="{written}"/>'
    assert parsed(text)[1].get("b") == ET.fromstring(text).get("b") == value


def test_text_among_children_comments_and_cdata_is_put_together() -> None:
    text = "<a> x<!-- > --><b>no</b>y<![CDATA[<z>]]>&amp;<?p ?><b/> <c x='>'>n</c>w\r\n</a>"
    assert parsed(text)[1].value == "xy<z>& w"


def test_tags_of_every_kind_have_their_places() -> None:
    text = "<?xml version='1.0'?><!-- <x> --><a ><b c = '1' /><n:d xmlns:n='u'\n>t</n:d ></a >\n"
    _, root = parsed(text)
    assert [text[e.start : e.end] for e in root.walk()] == [
        text[text.index("<a") : -1],
        "<b c = '1' />",
        "<n:d xmlns:n='u'\n>t</n:d >",
    ]
    assert [e.inner and text[e.inner[0] : e.inner[1]] for e in root.walk()][1:] == [None, "t"]
    assert [e.tag for e in root.walk()] == ["a", "b", "d"]
