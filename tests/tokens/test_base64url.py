"""One text for one value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genkan.tokens import base64url


def test_writes_what_the_rfc_writes() -> None:
    octets = bytes([3, 236, 255, 224, 193])  # RFC 7515 appendix C

    assert base64url.encode(octets) == "A-z_4ME"
    assert base64url.decode("A-z_4ME") == octets


@given(st.binary(max_size=80))
def test_reads_what_it_wrote(raw: bytes) -> None:
    assert base64url.decode(base64url.encode(raw)) == raw


@given(st.text(alphabet=st.sampled_from("AQaz09-_+/= \n\u00e9"), max_size=9))
def test_no_two_texts_are_one_value(text: str) -> None:
    raw = base64url.decode(text)

    assert raw is None or base64url.encode(raw) == text


@pytest.mark.parametrize(
    "text", ["A-z_4MF", "A-z_4ME=", "A+z/4ME", "A-z_ 4ME", "A-z_4ME\n", "A", "ABCDE", "Å-z_4ME"]
)
def test_refuses_other_spellings(text: str) -> None:
    assert base64url.decode(text) is None
