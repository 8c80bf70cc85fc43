"""Schemas: every way in which one can say what is where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.xsd import Schema, listing

if TYPE_CHECKING:
    from pathlib import Path

ONE = """<x:schema xmlns:x="http://www.w3.org/2001/XMLSchema" xmlns:o="urn:o">
<x:element name="Top" type="o:TTop"/>
<x:element name="Section" abstract="true"/>
<x:element name="Disk" type="o:TDisk" substitutionGroup="o:Section"/>
<x:element name="Serial" type="x:string"/>
<x:attributeGroup name="Ids">
  <x:attribute name="uuid"/><x:attribute name="speed"/>
</x:attributeGroup>
<x:complexType name="TBase"><x:sequence><x:element ref="o:Serial"/></x:sequence></x:complexType>
<x:complexType name="TTop"><x:complexContent><x:extension base="o:TBase">
  <x:choice><x:element ref="o:Section"/><x:element name="Again" type="o:TTop"/></x:choice>
</x:extension></x:complexContent></x:complexType>
</x:schema>"""
TWO = """<x:schema xmlns:x="http://www.w3.org/2001/XMLSchema" xmlns:o="urn:o">
<x:complexType name="TDisk"><x:sequence>
  <x:element name="Path"><x:complexType><x:simpleContent><x:extension base="x:string">
    <x:attribute ref="o:id"/></x:extension></x:simpleContent></x:complexType></x:element>
</x:sequence><x:attributeGroup ref="o:Ids"/></x:complexType>
</x:schema>"""


def test_every_place_is_found_and_what_is_within_itself_once(tmp_path: Path) -> None:
    files = [tmp_path / "one.xsd", tmp_path / "two.xsd"]
    for file, text in zip(files, (ONE, TWO), strict=True):
        file.write_text(text)
    assert Schema(files).paths("Top") == {
        "Serial",
        "Disk/@uuid",
        "Disk/@speed",
        "Disk/Path",
        "Disk/Path/@id",
    }
    assert list(listing("Top", files))[1:] == [
        "# one.xsd",
        "# two.xsd",
        "Disk/@uuid",
        "Disk/Path",
        "Disk/Path/@id",
        "Serial",
    ]
