"""
Put a rendered message into the bytes of an e-mail, and make sure that nothing but it is in them.

Every header value is checked before it is set, and what was written is read again and compared: an address or a name
that carries a line break or an encoded word ends here, whatever the standard library makes of it (CVE-2024-6923).
Knows no relay. Source: MSG-01; RFC 5322; RFC 3834 (automatic messages).
"""

from __future__ import annotations

import re
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from typing import Final

from msgspec import Struct

from genkan import identifiers
from genkan.delivery.messages import LONGEST_VALUE, Rendered, spoken
from genkan.model import Brand, Message


class Unwritable(Exception):
    """A message that cannot be an e-mail. Says why, never what was in it."""


class Letter(Struct, frozen=True):
    """An e-mail, ready to be handed to a relay."""

    sender: str
    """The address of the envelope."""
    to: str
    """The address of the envelope; its domain in ASCII."""
    body: bytes


_POLICY: Final[EmailPolicy[EmailMessage]] = SMTP.clone(raise_on_defect=True, cte_type="7bit")
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|=\?|\?=")
"""Control characters, other line breaks, and the marks of an encoded word."""
_MAILBOX: Final = re.compile(r"(?:(?P<name>[^<>\"]*\S) *<)?(?P<address>[^\s<>@\"]+@[^\s<>@\"]+?)>?")


def letter(message: Message, said: Rendered, sender: str, brand: Brand) -> Letter:
    """
    The message as an e-mail from `sender`, as `Contoso <no-reply@example.com>`; a brand's name goes before its name.

    The same message always has the same `Message-ID`, by which a mailbox knows a second copy.

    Raises: `Unwritable`.
    """
    found = _MAILBOX.fullmatch(sender)
    to = identifiers.email(message.to)
    if found is None or to is None:
        raise Unwritable("an address that is none")
    local = _safe(message.to.strip()).rpartition("@")[0]
    target = f"{local}@{to.key.rpartition('@')[2]}"
    own = _safe(found["address"])
    name = _safe(" ".join((brand.name or found["name"] or "").split())[:LONGEST_VALUE])
    headers = {
        "From": Address(name, addr_spec=own),
        "To": Address(addr_spec=target),
        "Subject": _safe(said.subject or ""),
        "Date": message.created_at,
        "Message-ID": _safe(f"<{message.id}@{own.rpartition('@')[2]}>"),
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }
    written = EmailMessage(_POLICY)
    try:
        for header, value in headers.items():
            written[header] = value
        written.set_content(said.text, cte="quoted-printable")
        written.add_alternative(said.html or "", subtype="html", cte="quoted-printable")
        for part in written.iter_parts():
            del part["MIME-Version"]
        written["Content-Language"] = spoken(message.language, brand.language)
        body = written.as_bytes()
        _compare(written, message_from_bytes(body, policy=_POLICY))
    except (ValueError, IndexError, UnicodeError) as fault:
        raise Unwritable(f"it could not be written: {type(fault).__name__}") from None
    return Letter(sender=own, to=target, body=body)


def _safe(value: str) -> str:
    """
    A header value that is one line of plain text.

    Raises: `Unwritable`.
    """
    if _UNSAFE.search(value):
        raise Unwritable("a header value with a line break, a control character or an encoded word")
    return value


def _compare(written: EmailMessage, read: EmailMessage) -> None:
    """
    What a reader will find is what was written, header by header. Where lines are folded, blanks may come or go.

    Raises: `Unwritable`.
    """
    before, after = (
        [(name.lower(), "".join(str(value).split())) for name, value in seen.items()]
        for seen in (written, read)
    )
    parts = [part.get_content_type() for part in read.iter_parts()]
    if before != after or read.defects or parts != ["text/plain", "text/html"]:
        raise Unwritable("what was written reads as something else")
