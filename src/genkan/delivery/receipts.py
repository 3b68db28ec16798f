"""
Read what providers report of text messages, and believe nothing that they have not signed.

Twilio signs the address it calls and the form it sends (HMAC-SHA-1, its only way); the SMS API of Vonage signs what it
sends by HMAC with SHA-256 or SHA-512, whichever the account is set to: its older ways by MD5 and SHA-1 are not taken.
Amazon SNS reports to CloudWatch alone, and of any other provider nothing is known. Knows no storage.
Source: Twilio, "Webhooks security"; Vonage, "Signing messages" and "Delivery receipts"; their libraries' published
examples are the tests.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode

import msgspec

from genkan.engine.receipts import Receipt
from genkan.engine.transaction import StoreUnavailable
from genkan.exchange import Request, Response
from genkan.model import Secret
from genkan.settings import Settings, Twilio, Vonage
from genkan.telemetry import log

PATH: Final = "/delivery/receipts/"
"""Below it each provider has an endpoint, by the name of its setting."""

MOST_FIELDS: Final = 64
_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")

Note = Callable[[str, str, str, Receipt], Awaitable[bool]]
"""Write down a receipt of a tenant's message: tenant, reference, the message's id where the provider names it."""


def address(base_url: str, provider: str, tenant: str, reference: str) -> str:
    """Where the receipt of one message is to be sent."""
    query = urlencode({"tenant": tenant, "ref": reference})
    return f"{base_url}{PATH}{provider}?{query}"


def wanted(settings: Settings) -> dict[str, Twilio | Vonage]:
    """The providers whose receipts can be verified, by their names."""
    return {
        name: one
        for name, one in settings.sms.items()
        if isinstance(one, Twilio | Vonage) and one.receipt_secret is not None
    }


class ReceiptEndpoint:
    """The endpoint of one provider. A page of the server."""

    def __init__(self, name: str, settings: Twilio | Vonage, base_url: str, note: Note) -> None:
        self._name = name
        self._settings = settings
        self._url = f"{base_url}{PATH}{name}"
        self._note = note

    async def __call__(self, request: Request) -> Response:
        """204 for whatever the provider has signed, whether it was news or not; 403 for what it has not."""
        form, query = _fields(request), dict(parse_qsl(request.query, max_num_fields=8))
        secret = self._settings.receipt_secret
        if form is None or secret is None:
            return Response(status=403)
        if isinstance(self._settings, Twilio):
            url = f"{self._url}?{request.query}"
            is_genuine = is_signed_by_twilio(url, form, request.headers.get("x-twilio-signature", ""), secret)
            receipt, message = _of_twilio(self._name, form), ""
        else:
            is_genuine = is_signed_by_vonage(form, secret)
            receipt, message = _of_vonage(self._name, form), form.get("client-ref", "-")
        if not is_genuine:
            log.warning("receipt.forged", extra={"provider": self._name})
            return Response(status=403)
        if receipt is not None:
            try:
                await self._note(query.get("tenant", ""), query.get("ref", ""), message, receipt)
            except StoreUnavailable:
                return Response(status=503, headers=(("retry-after", "5"),))
        return Response(status=204)


def is_signed_by_twilio(url: str, form: Mapping[str, str], signature: str, secret: Secret) -> bool:
    """Whether Twilio called this address with this form. Shapes: `signature` is the header `X-Twilio-Signature`."""
    signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    digest = hmac.digest(secret.text.encode(), signed.encode(), "sha1")
    return hmac.compare_digest(base64.b64encode(digest), signature.encode("utf-8", "replace"))


_VONAGE_HASHES: Final = {64: "sha256", 128: "sha512"}
"""By the hexadecimal digits of a signature."""


def is_signed_by_vonage(form: Mapping[str, str], secret: Secret) -> bool:
    """Whether Vonage sent these fields; `sig`, which is one of them, says so."""
    signature = form.get("sig", "")
    method = _VONAGE_HASHES.get(len(signature))
    if method is None:
        return False
    plain = str.maketrans("&=", "__")
    signed = "".join(
        f"&{name.translate(plain)}={form[name].translate(plain)}" for name in sorted(form) if name != "sig"
    )
    digest = hmac.digest(secret.text.encode(), signed.encode(), method).hex()
    return hmac.compare_digest(digest.encode(), signature.lower().encode("utf-8", "replace"))


def _of_twilio(name: str, form: Mapping[str, str]) -> Receipt | None:
    """None for a state on the way."""
    status = form.get("MessageStatus", "")
    if status not in ("delivered", "undelivered", "failed"):
        return None
    return Receipt(
        how="delivered" if status == "delivered" else "undelivered",
        provider=name,
        reference=_word(form.get("MessageSid", "")),
        why="" if status == "delivered" else _word(form.get("ErrorCode", "")) or status,
    )


def _of_vonage(name: str, form: Mapping[str, str]) -> Receipt | None:
    status = form.get("status", "")
    if status not in ("delivered", "expired", "failed", "rejected"):
        return None
    return Receipt(
        how="delivered" if status == "delivered" else "undelivered",
        provider=name,
        reference=_word(form.get("messageId", "")),
        why="" if status == "delivered" else f"{status} {_word(form.get('err-code', ''))}".strip(),
    )


def _fields(request: Request) -> dict[str, str] | None:
    """What was sent, as a form or as one flat JSON object; None for anything else."""
    kind = request.media_type
    try:
        if kind == "application/json":
            return {
                name: value if isinstance(value, str) else str(value)
                for name, value in msgspec.json.decode(request.body, type=dict[str, str | int]).items()
            }
        if kind != "application/x-www-form-urlencoded":
            return None
        pairs = parse_qsl(
            request.body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=MOST_FIELDS
        )
    except (ValueError, RecursionError):
        return None
    form = dict(pairs)
    return form if len(form) == len(pairs) else None


def _word(text: str) -> str:
    """A provider's name or code for something, if it looks like one: it goes into the audit log."""
    return text if _CODE.fullmatch(text) else ""
