"""Every spelling of a MAC address comes back as it was; what is none is refused."""

from __future__ import annotations

import pytest

from unclone.images.errors import RefusedError, UsageError
from unclone.sanitize.identities import mac

SPELLINGS = {
    "colons": ("52:54:00:ab:cd:0f", "52:54:00:11:22:3e"),
    "colons upper": ("52:54:00:AB:CD:0F", "52:54:00:11:22:3E"),
    "dashes": ("52-54-00-ab-cd-0f", "52-54-00-11-22-3e"),
    "dashes upper": ("52-54-00-AB-CD-0F", "52-54-00-11-22-3E"),
    "cisco": ("5254.00ab.cd0f", "5254.0011.223e"),
    "cisco upper": ("5254.00AB.CD0F", "5254.0011.223E"),
    "bare": ("525400abcd0f", "52540011223e"),
    "bare upper": ("525400ABCD0F", "52540011223E"),
    "mixed is lower": ("52:54:00:Ab:cD:0f", "52:54:00:11:22:3e"),
    "short octets": ("52:54:0:ab:cd:f", "52:54:00:11:22:3e"),
    "blanks around": (" 52:54:00:ab:cd:0f\n", "52:54:00:11:22:3e"),
}


@pytest.mark.parametrize(("written", "respelled"), SPELLINGS.values(), ids=SPELLINGS)
def test_a_new_address_is_spelled_as_the_old(written: str, respelled: str) -> None:
    assert str(mac.parse(written)) == "52:54:00:ab:cd:0f"
    assert mac.respelled("52:54:00:11:22:3e", like=written) == respelled


BAD = {
    "multicast": ("01:00:5e:00:00:01", "is a multicast address"),
    "broadcast": ("ff:ff:ff:ff:ff:ff", "is a multicast address"),
    "null": ("00:00:00:00:00:00", "is the null address"),
    "five octets": ("52:54:00:12:34", "not a MAC address"),
    "seven octets": ("52:54:00:12:34:56:78", "not a MAC address"),
    "no hex": ("52:54:00:12:34:5g", "not a MAC address"),
    "mixed separators": ("52:54-00:12:34:56", "not a MAC address"),
    "other digits": ("52:54:00:12:34:5\u0666", "not a MAC address"),
    "empty": ("", "not a MAC address"),
    "escapes": ("\x1b[31m", r"'\\x1b\[31m' is not a MAC address"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_what_no_card_can_have_is_refused(text: str, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        mac.parse(text)
    with pytest.raises(RefusedError, match=r"^card net0: "):
        mac.parse(text, "card net0")


DEFAULT = bytes.fromhex("bc2411")
RENEWED = {
    "qemu": ("52:54:00:12:34:56", "525400"),
    "xen": ("00:16:3e:12:34:56", "00163e"),
    "vmware static": ("00:50:56:3f:34:56", "005056"),
    "vmware vcenter": ("00:50:56:80:34:56", "005056"),
    "vmware neither": ("00:50:56:40:34:56", "005056"),
    "vmware host": ("00:0c:29:12:34:56", "005056"),
    "vmware old": ("00:05:69:12:34:56", "005056"),
    "virtualbox": ("080027123456", "080027"),
    "proxmox": ("BC:24:11:12:34:56", "bc2411"),
    "incus": ("10:66:6a:12:34:56", "10666a"),
    "hyper-v": ("00155D123456", "00155d"),
    "cloud-hypervisor": ("2e:89:a8:12:34:56", "2e"),
    "one's own": ("02:aa:bb:12:34:56", "02aabb"),
    "a real card's": ("3c:fd:fe:12:34:56", "bc2411"),
}


@pytest.mark.parametrize(("old", "prefix"), RENEWED.values(), ids=RENEWED)
def test_a_new_address_is_of_the_hypervisors_own_range(old: str, prefix: str) -> None:
    assert mac.prefix_for(old, DEFAULT).hex() == prefix


def test_every_range_was_tried() -> None:
    tried = [mac.parse(old).octets for old, _ in RENEWED.values()]
    assert [r.owner for r in mac.RANGES if not any(r.holds(octets) for octets in tried)] == []


def test_new_vmware_addresses_can_be_assigned_by_hand() -> None:
    prefix = bytes.fromhex("005056")
    new = {mac.composed(prefix, bytes([fourth, 0x12, 0x34])) for fourth in range(256)}
    assert new == {f"00:50:56:{fourth:02x}:12:34" for fourth in range(0x40)}


def test_the_tail_fills_any_prefix() -> None:
    tail = bytes.fromhex("0102030405060708")
    assert mac.composed(bytes.fromhex("525400"), tail) == "52:54:00:06:07:08"
    assert mac.composed(b"\x2e", tail) == "2e:04:05:06:07:08"
    assert mac.composed(bytes.fromhex("02aabbccdd"), tail) == "02:aa:bb:cc:dd:08"


@pytest.mark.parametrize("text", ["52:54:00", "525400", "52-54-00", "52:54:00:0a:0B", "02aabb01"])
def test_a_prefix_of_ones_own(text: str) -> None:
    digits = text.replace(":", "").replace("-", "").lower()
    assert mac.parse_prefix(text) == bytes.fromhex(digits)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("53:54:00", "multicast"),
        ("fe:54:00", "reserved"),
        ("52:54", "not the beginning"),
        ("52:54:00:12:34:56", "not the beginning"),
        ("x", "not the beginning"),
    ],
)
def test_a_prefix_that_no_card_can_have(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        mac.parse_prefix(text)


TEXTS = {
    "netplan": ("    macaddress: 52:54:00:12:34:56\n", ["52:54:00:12:34:56"]),
    "quoted": ('HWADDR="52:54:00:12:34:56"', ["52:54:00:12:34:56"]),
    "rules": ('ATTR{address}=="52:54:00:12:34:56", NAME', ["52:54:00:12:34:56"]),
    "match-device": ("match-device=mac:52:54:00:ab:34:56;", ["52:54:00:ab:34:56"]),
    "two": ("52:54:00:12:34:56;52-54-00-12-34-57", ["52:54:00:12:34:56", "52-54-00-12-34-57"]),
    "client id": ("identifier 01:52:54:00:12:34:56;", ["52:54:00:12:34:56"]),
    "client id, short": ("identifier 1:52:54:00:12:34:56;", ["52:54:00:12:34:56"]),
    "DUID-LL": ("dhcp-duid=00:03:00:01:52:54:00:12:34:56", ["52:54:00:12:34:56"]),
    "DUID-LLT": ("00-01-00-01-2A-BB-CC-DD-52-54-00-12-34-56", ["52-54-00-12-34-56"]),
    "DUID-LL, raw": ("DUIDRawData=00:01:52:54:00:12:34:56", ["52:54:00:12:34:56"]),
    "DUID-UUID": ("00:04:aa:bb:cc:dd:ee:ff:00:11:22:33:52:54:00:12:34:56", []),
    "RFC 4361": ("ff:00:12:34:56:00:03:00:01:52:54:00:12:34:56", ["52:54:00:12:34:56"]),
    "longer than a DUID": ("aa:00:03:00:01:52:54:00:12:34:56", []),
    "types without end": ("01:" * 20_000 + "52:54:00:12:34:56", []),
    "BusyBox": ("udhcpc -x 0x3d:0152540012Ab56", ["52540012Ab56"]),
    "BOOTIF": ("BOOTIF=01-52-54-00-12-34-56 ro", ["52-54-00-12-34-56"]),
    "interface name": ("iface enx5254001234ab inet dhcp", ["5254001234ab"]),
    "cisco": ("MACAddress=5254.0012.3456", ["5254.0012.3456"]),
    "end of a sentence": ("It is 52:54:00:12:34:56.", ["52:54:00:12:34:56"]),
    "infiniband": ("80:00:02:08:fe:80:00:00:00:00:00:00:7c:fe:90:03:00:29:26:52", []),
    "ipv6": ("2001:db8:52:54:00:12:34:56", []),
    "uuid": ("0ae55c0b-8ce3-4d5c-95cf-525400123456", []),
    "sha": ("525400123456525400123456", []),
    "word": ("x52:54:00:12:34:56", []),
    "mixed separators": ("52:54-00:12:34:56", []),
}


@pytest.mark.parametrize(("text", "found"), TEXTS.values(), ids=TEXTS)
def test_addresses_in_a_text(text: str, found: list[str]) -> None:
    hits = list(mac.find(text))
    assert [hit.text for hit in hits] == found
    assert [text[hit.start : hit.end] for hit in hits] == found


def test_spellings_of_two_addresses_correspond() -> None:
    olds, news = mac.spellings("52:54:00:ab:cd:0f"), mac.spellings("52:54:00:12:34:56")
    assert olds == (
        b"52:54:00:ab:cd:0f",
        b"52:54:00:AB:CD:0F",
        b"52-54-00-ab-cd-0f",
        b"52-54-00-AB-CD-0F",
        b"5254.00ab.cd0f",
        b"5254.00AB.CD0F",
        b"525400abcd0f",
        b"525400ABCD0F",
    )
    assert [len(old) for old in olds] == [len(new) for new in news]
