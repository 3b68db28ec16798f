"""An e-mail has the headers it was given and no others, whatever stands in an address, a name or a brand."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from msgspec.structs import replace

from genkan.delivery.mail import Letter, Unwritable, letter
from genkan.delivery.messages import Rendered, render
from genkan.model import Brand, Message
from tests.delivery.letters import a_message

SENDER = "Contoso <no-reply@contoso.example>"

HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
    "Content-Language",
]

BREAKS = ("\r\n", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029")

INJECTIONS = (
    *(f"Contoso{b}Bcc: everybody@example.com" for b in BREAKS),
    *(f"Contoso{b}{b}Another body" for b in BREAKS),
    "=?UTF-8?Q?=0A?=Bcc: everybody@example.com",
    "=?UTF-8?Q?=0D=0ABcc:_everybody@example.com?=",
    "=?utf-8?b?DQpCY2M6IGV2ZXJ5Ym9keUBleGFtcGxlLmNvbQ==?=",
    "Contoso <everybody@example.com>,",
    'Contoso" <everybody@example.com>',
)


def read(written: Letter) -> EmailMessage:
    return message_from_bytes(written.body, policy=SMTP)


def written(
    message: Message | None = None,
    said: Rendered | None = None,
    sender: str = SENDER,
    brand: Brand = Brand(),  # noqa: B008
) -> Letter:
    message = message or a_message("mfa")
    return letter(message, said or render(message, brand), sender, brand)


def test_an_email_has_these_headers_and_two_parts() -> None:
    found = read(written())

    assert [name for name, _ in found.items()] == HEADERS
    assert [part.get_content_type() for part in found.iter_parts()] == ["text/plain", "text/html"]
    assert found.defects == []


@pytest.mark.proves("MSG-01")
@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("where", ["app", "brand", "subject", "sender", "id", "to"])
def test_nothing_that_is_put_into_an_email_becomes_a_header(where: str, injection: str) -> None:
    message, brand, said, sender = a_message("mfa", to="ada@example.com"), Brand(), None, SENDER
    if where == "app":
        message = a_message("mfa", values={"app": injection})
    elif where == "brand":
        brand = Brand(name=injection, contact=injection, colour=injection)
    elif where == "subject":
        said = replace(render(message), subject=injection)
    elif where == "sender":
        sender = f"{injection} <no-reply@contoso.example>"
    elif where == "id":
        message = replace(message, id=injection)
    else:
        message = replace(message, to=f"{injection}@example.com")

    try:
        found = written(message, said, sender, brand)
    except Unwritable:
        found = None
    # What an administrator calls an application never costs anybody a code.
    assert found is not None or where != "app"
    if found is None:
        return
    letter_ = read(found)
    assert [name for name, _ in letter_.items()] == HEADERS
    assert [a.addr_spec for a in letter_["To"].addresses] == ["ada@example.com"]
    assert [a.addr_spec for a in letter_["From"].addresses] == ["no-reply@contoso.example"]
    assert (found.sender, found.to) == ("no-reply@contoso.example", "ada@example.com")
    assert len(list(letter_.iter_parts())) == 2


@pytest.mark.proves("MSG-01")
@pytest.mark.parametrize(
    "to",
    [
        "ada@example.com, eve@example.com",
        "ada@example.com>,<eve@example.com",
        "Ada <ada@example.com>",
        "ada@example.com\r\nRCPT TO:<eve@example.com>",
        "ada@[127.0.0.1]",
        '"ada"@example.com',
        "ada",
        "",
    ],
)
def test_an_email_goes_to_one_plain_address_or_nowhere(to: str) -> None:
    with pytest.raises(Unwritable):
        written(replace(a_message("mfa"), to=to))


def test_the_same_message_has_the_same_id_each_time() -> None:
    message = a_message("mfa")

    assert read(written(message))["Message-ID"] == read(written(message))["Message-ID"]
    assert read(written(message))["Message-ID"] != read(written(a_message("mfa")))["Message-ID"]


def test_every_line_is_short_enough_for_every_relay() -> None:
    brand = Brand(name="Größe " * 12)
    found = written(a_message("mfa", values={"app": "Sehr lange Anwendung " * 5}), brand=brand)

    assert max(map(len, found.body.split(b"\r\n"))) <= 998
    assert found.body.isascii()
    assert b"\n" not in found.body.replace(b"\r\n", b"")
