"""Messages to send, and an inbox that nobody else uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from genkan.delivery.inbox import Inbox
from genkan.delivery.messages import render
from genkan.delivery.providers import Parcel
from genkan.engine.transaction import Outgoing
from genkan.model import Brand, Channel, Message, Secret

NOW = datetime(2026, 3, 4, 9, 12, 45, tzinfo=UTC)

CODE_PURPOSES = ("sign_in", "sign_up", "reset_password", "mfa", "enrol", "emergency")

_ids = count(1)


def a_message(
    purpose: Any = "sign_in",
    channel: Channel = Channel.EMAIL,
    *,
    to: str = "",
    code: str | None = "12345678",
    lasts: timedelta = timedelta(minutes=5),
    **changes: Any,
) -> Message:
    """A message that is valid but for what is asked to be otherwise."""
    return Message(
        id=f"00000000-0000-4000-8000-{next(_ids):012d}",
        channel=channel,
        to=to or ("ada@example.com" if channel is Channel.EMAIL else "+447911123456"),
        purpose=purpose,
        code=None if code is None or purpose == "notice" else Secret(code),
        created_at=NOW,
        expires_at=NOW + lasts,
        **changes,
    )


def a_delivery(message: Message | None = None, **changes: Any) -> Outgoing:
    """An outbox row that was leased for the first time."""
    return Outgoing(id=next(_ids), message=message or a_message(**changes), attempts=1)


def a_parcel(message: Message, **changes: Any) -> Parcel:
    """A message on its way to a provider."""
    brand = changes.pop("brand", Brand())
    parcel: dict[str, Any] = {
        "message": message,
        "said": render(message, brand),
        "brand": brand,
        "within": 30.0,
        "lasts": 300.0,
    }
    return Parcel(**{**parcel, **changes})


@contextmanager
def an_inbox(folder: Path) -> Iterator[Inbox]:
    """The inbox of a folder, closed at the end."""
    inbox = Inbox(folder / "inbox.db")
    try:
        yield inbox
    finally:
        inbox.close()
