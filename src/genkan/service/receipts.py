"""
Write down what providers report of a tenant's text messages. Knows no provider; the rules are `engine.receipts`'s.
"""

from __future__ import annotations

from genkan.engine import receipts
from genkan.engine.messages import Record
from genkan.engine.receipts import Receipt
from genkan.engine.telephony import ALARMS
from genkan.engine.transaction import Change, Loaded, Needs
from genkan.service.ports import Store
from genkan.telemetry import log


class Receipts:
    """Of one tenant."""

    def __init__(self, store: Store, key: bytes) -> None:
        self._store = store
        self.key = key
        """By which references are made."""

    async def note(self, reference: str, message: str, receipt: Receipt) -> bool:
        """
        Write down a receipt; False where it changed nothing: it is of no message of ours, late, or told already.

        `message` is the id by which the provider names the message, where it does: then it must be the reference's.
        Raises: `StoreUnavailable`.
        """
        sent = receipts.read(reference, self.key)
        if sent is None or message not in ("", sent.message):
            return False

        def decide(loaded: Loaded) -> tuple[Change, tuple[bool, list[Record]]]:
            change, is_news = receipts.note(sent, receipt, loaded)
            return change, (is_news, [e for e in change.effects if isinstance(e, Record)])

        needs = Needs(buckets=lambda _: receipts.buckets(sent))
        is_news, records = await self._store.run(needs, decide)
        for record in records:
            if record.action in ALARMS:
                log.error(record.action, extra=dict(record.detail))
        return is_news
