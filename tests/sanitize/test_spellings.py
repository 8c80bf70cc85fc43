from sanitize.spellings import spellings

ID = "0123456789abcdef0123456789abcdef"


def test_a_machine_id_is_also_written_as_a_uuid() -> None:
    assert spellings(ID) == (
        b"0123456789abcdef0123456789abcdef",
        b"01234567-89ab-cdef-0123-456789abcdef",
        b"0123456789ABCDEF0123456789ABCDEF",
        b"01234567-89AB-CDEF-0123-456789ABCDEF",
    )


def test_a_dashed_value_has_the_same_spellings() -> None:
    assert spellings("01234567-89AB-CDEF-0123-456789ABCDEF") == spellings(ID)


def test_anything_else_has_one() -> None:
    assert spellings("AAAAC3NzaC1lZDI1NTE5") == (b"AAAAC3NzaC1lZDI1NTE5",)
