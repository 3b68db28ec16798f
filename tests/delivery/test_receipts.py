"""
What providers report of text messages: believed when it is signed, written down once, and never of use to a thief.

Signatures are checked against the examples that Twilio's and Vonage's own libraries are tested with.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import pytest
from msgspec.structs import replace

from genkan.delivery.receipts import ReceiptEndpoint, address, is_signed_by_twilio, is_signed_by_vonage
from genkan.engine import receipts
from genkan.engine.messages import Record
from genkan.engine.receipts import LATEST, figures
from genkan.engine.transaction import Audited
from genkan.exchange import Request
from genkan.model import Channel, Message, Secret
from genkan.service.receipts import Receipts
from genkan.settings import Twilio, Vonage
from genkan.store.sealing import Keys
from genkan.store.sqlite import SqliteStore
from tests.delivery.apis import NOW, serving, twilio, twilio_settings, vonage, vonage_settings
from tests.delivery.letters import a_message
from tests.delivery.test_sms import NUMBER, handed

pytestmark = pytest.mark.anyio

TENANT = "aaaaaaaa-0000-4000-8000-000000000001"
BASE = "https://login.example.com"
SECRET = Secret("receipt-secret-canary")
KEY = b"k" * 32
FORM = "application/x-www-form-urlencoded"

TWILIO = Twilio(account_sid="AC1", secret=Secret("x"), sender="+447700900000", receipt_secret=SECRET)
VONAGE = Vonage(api_key="abcd1234", secret=Secret("x"), sender="Contoso", receipt_secret=SECRET)

PROVIDERS: dict[str, Twilio | Vonage] = {"twilio": TWILIO, "vonage": VONAGE}


# Signatures. ----------------------------------------------------------------------------------------

TWILIO_EXAMPLE = dict(
    parse_qsl(
        "FromZip=89449&From=%2B15306666666&FromCity=SOUTH+LAKE+TAHOE&ApiVersion=2010-04-01&To=%2B15306384866"
        "&CallStatus=ringing&CalledState=CA&FromState=CA&Direction=inbound&ToCity=OAKLAND&ToZip=94612"
        "&CallerCity=SOUTH+LAKE+TAHOE&FromCountry=US&CallerName=CA+Wireless+Call&CalledCity=OAKLAND"
        "&CalledCountry=US&Caller=%2B15306666666&CallerZip=89449&AccountSid=AC9a9f9392lad99kla0sklakjs90j092j3"
        "&Called=%2B15306384866&CallerCountry=US&CalledZip=94612&CallSid=CAd800bb12c0426a7ea4230e492fef2a4f"
        "&CallerState=CA&ToCountry=US&ToState=CA"
    )
)
TWILIO_SIGNED = ("http://www.postbin.org/1ed898x", "fF+xx6dTinOaCdZ0aIeNkHr/ZAA=")
TWILIO_TOKEN = Secret("1c892n40nd03kdnc0112slzkl3091j20")


async def test_twilios_published_example_is_found_genuine_and_nothing_like_it_is() -> None:
    url, signature = TWILIO_SIGNED

    assert is_signed_by_twilio(url, TWILIO_EXAMPLE, signature, TWILIO_TOKEN)
    for form in ({**TWILIO_EXAMPLE, "ToState": "NV"}, {**TWILIO_EXAMPLE, "More": ""}, {}):
        assert not is_signed_by_twilio(url, form, signature, TWILIO_TOKEN)
    assert not is_signed_by_twilio(url + "?tenant=x", TWILIO_EXAMPLE, signature, TWILIO_TOKEN)
    assert not is_signed_by_twilio(url, TWILIO_EXAMPLE, signature, Secret("another"))
    for wrong in ("", "é", signature.lower()):
        assert not is_signed_by_twilio(url, TWILIO_EXAMPLE, wrong, TWILIO_TOKEN)


VONAGE_EXAMPLE = {"a": "1", "b": "2", "timestamp": "1461605396"}
VONAGE_SIGNED = {
    "sha256": "a321e824b9b816be7c3f28859a31749a098713d39f613c80d455bbaffae1cd24",
    "sha512": "812a18f76680fa0fe1b8bd9ee1625466ceb1bd96242e4d050d2cfd9a7b40166c63ed26ec9702168781b6edcf1633db8ff9"
    "5af9341701004eec3fcf9550572ee8",
}


@pytest.mark.parametrize("method", VONAGE_SIGNED)
async def test_vonages_published_examples_are_found_genuine_and_nothing_like_them_is(method: str) -> None:
    secret, signature = Secret("secret"), VONAGE_SIGNED[method]

    assert is_signed_by_vonage({**VONAGE_EXAMPLE, "sig": signature}, secret)
    assert is_signed_by_vonage({**VONAGE_EXAMPLE, "sig": signature.upper()}, secret)
    for change in ({"a": "3"}, {"c": "4"}, {"timestamp": "1461605397"}):
        assert not is_signed_by_vonage({**VONAGE_EXAMPLE, **change, "sig": signature}, secret)
    assert not is_signed_by_vonage({**VONAGE_EXAMPLE, "sig": signature}, Secret("another"))


async def test_vonages_older_ways_of_signing_are_not_taken() -> None:
    for weak in (
        "6af838ef94998832dbfc29020b564830",  # MD5, with the secret behind
        "c15c21ced558c93a226c305f58f902f2",  # HMAC-MD5
        "3e19a4e6880fdc2c1426bfd0587c98b9532f0210",  # HMAC-SHA-1
        "",
    ):
        assert not is_signed_by_vonage({**VONAGE_EXAMPLE, "sig": weak}, Secret("secret"))


# References. ----------------------------------------------------------------------------------------


def a_text(**changes: object) -> Message:
    ids = {"id": str(uuid4()), "correlation_id": str(uuid4())}
    return replace(a_message("mfa", Channel.SMS, to=NUMBER), **{**ids, **changes})


async def test_a_message_is_known_again_by_its_reference_and_by_no_other_text() -> None:
    message = a_text()
    text = receipts.reference(message, NOW, KEY)

    sent = receipts.read(text, KEY)
    assert sent is not None
    assert (sent.message, sent.correlation_id, sent.calling_code, sent.at) == (
        message.id,
        message.correlation_id,
        "44",
        NOW.replace(microsecond=0),
    )
    assert receipts.read(text, b"l" * 32) is None
    for wrong in ("", "é", text[:-2], "A" + text[1:], text + "AAAA", "!" * 74):
        assert receipts.read(wrong, KEY) is None
    assert receipts.reference(a_text(correlation_id=""), NOW, KEY) == ""
    assert receipts.reference(a_message("mfa"), NOW, KEY) == "", "e-mails have none"


async def test_providers_are_asked_for_receipts_where_these_can_be_verified() -> None:
    def receipt(name: str) -> str:
        return f"{BASE}/delivery/receipts/{name}?ref=x"

    async with serving(twilio) as one, serving(vonage) as other:
        await handed(twilio_settings(one, receipt_secret=SECRET), a_text(), receipt=receipt)
        await handed(vonage_settings(other, receipt_secret=SECRET), a_text(), receipt=receipt)
        await handed(twilio_settings(one), a_text(), receipt=receipt)
        await handed(vonage_settings(other), a_text(), receipt=receipt)
        await handed(twilio_settings(one, receipt_secret=SECRET), a_text(), receipt=lambda _: "")

    assert [r.form.get("StatusCallback") for r in one.requests] == [receipt("way"), None, None]
    assert [r.form.get("callback") for r in other.requests] == [receipt("way"), None]


# The endpoint. --------------------------------------------------------------------------------------


class Post:
    """A tenant, and the endpoints of its two providers."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.now = NOW
        self.receipts = Receipts(store, KEY)
        self.endpoints = {
            name: ReceiptEndpoint(name, settings, BASE, self.note) for name, settings in PROVIDERS.items()
        }

    async def note(self, tenant: str, reference: str, message: str, receipt: receipts.Receipt) -> bool:
        return tenant == TENANT and await self.receipts.note(reference, message, receipt)

    def url(self, provider: str, message: Message, tenant: str = TENANT) -> str:
        return address(BASE, provider, tenant, receipts.reference(message, self.now, KEY))

    async def twilio(self, url: str, *, by: str = SECRET.text, **form: str) -> int:
        """What Twilio hears when it calls this address; what it signs is that and the form."""
        signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
        signature = base64.b64encode(hmac.digest(by.encode(), signed.encode(), "sha1")).decode()
        return await self.called("twilio", url, urlencode(form), {"x-twilio-signature": signature})

    async def vonage(self, url: str, *, by: str = SECRET.text, kind: str = FORM, **form: str) -> int:
        form = {name.replace("_", "-"): value for name, value in form.items()}
        signed = "".join(f"&{name}={form[name]}" for name in sorted(form))
        form["sig"] = hmac.digest(by.encode(), signed.encode(), "sha256").hex()
        body = urlencode(form) if kind == FORM else json.dumps(form)
        return await self.called("vonage", url, body, {}, kind)

    async def called(
        self,
        provider: str,
        url: str,
        body: str,
        headers: dict[str, str],
        kind: str = FORM,
    ) -> int:
        parts = urlsplit(url)
        request = Request(
            method="POST",
            path=parts.path,
            query=parts.query,
            headers={"content-type": kind, **headers},
            body=body.encode(),
        )
        return (await self.endpoints[provider](request)).status

    async def rows(self) -> list[Audited]:
        return list(await self.store.trail())


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Post]:
    keys, posts = Keys(b"m" * 32), list[Post]()

    def clock() -> datetime:
        return posts[0].now if posts else NOW

    store = SqliteStore.open(folder / "shop.db", TENANT, keys, clock)
    posts.append(Post(store))
    try:
        yield posts[0]
    finally:
        await store.close()


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    async with opened(tmp_path) as one:
        yield one


async def test_what_twilio_says_in_the_end_is_written_down_with_the_request_that_caused_the_message(
    post: Post,
) -> None:
    message = a_text()
    url = post.url("twilio", message)

    for status in ("queued", "sending", "sent"):
        assert await post.twilio(url, MessageSid="SM1", MessageStatus=status) == 204
    assert await post.rows() == [], "that is not the end"
    assert await post.twilio(url, MessageSid="SM1", MessageStatus="undelivered", ErrorCode="30003") == 204

    (row,) = await post.rows()
    assert (row.record.action, row.record.correlation_id) == ("message:undelivered", message.correlation_id)
    assert row.record.detail == {
        "message": message.id,
        "channel": "sms",
        "calling_code": "44",
        "provider": "twilio",
        "reference": "SM1",
        "why": "30003",
    }


@pytest.mark.parametrize("kind", [FORM, "application/json"])
async def test_what_vonage_says_in_the_end_is_written_down_however_it_is_sent(post: Post, kind: str) -> None:
    lost, arrived = a_text(), a_text()
    said = {"msisdn": "447812345678", "err_code": "6", "messageId": "0A1"}

    url = post.url("vonage", lost)
    assert await post.vonage(url, kind=kind, client_ref=lost.id, status="accepted", **said) == 204
    assert await post.vonage(url, kind=kind, client_ref=lost.id, status="expired", **said) == 204
    url = post.url("vonage", arrived)
    assert await post.vonage(url, kind=kind, client_ref=arrived.id, status="delivered", **said) == 204

    rows = [row.record for row in await post.rows()]
    assert [(r.action, r.detail["message"], r.detail.get("why", "")) for r in rows] == [
        ("message:undelivered", lost.id, "expired 6"),
        ("message:delivered", arrived.id, ""),
    ]


async def test_a_receipt_that_is_forged_changes_nothing(post: Post) -> None:
    message, other = a_text(), a_text()
    url = post.url("twilio", message)
    said = {"MessageSid": "SM1", "MessageStatus": "delivered"}

    assert await post.twilio(url, by="guessed", **said) == 403
    assert await post.called("twilio", url, urlencode(said), {}) == 403
    # Signed by the provider, for another address than it was sent to.
    signed = url + "".join(f"{name}{said[name]}" for name in sorted(said))
    signature = base64.b64encode(hmac.digest(SECRET.text.encode(), signed.encode(), "sha1")).decode()
    elsewhere = post.url("twilio", other)
    assert await post.called("twilio", elsewhere, urlencode(said), {"x-twilio-signature": signature}) == 403
    twice = urlencode([*said.items(), ("MessageStatus", "failed")])
    assert await post.called("twilio", url, twice, {"x-twilio-signature": signature}) == 403
    for body, kind in (
        ("{", "application/json"),
        ("[1]", "application/json"),
        ("a=1", "text/plain"),
        ("", ""),
    ):
        assert await post.called("vonage", post.url("vonage", message), body, {}, kind) == 403
    assert await post.vonage(post.url("vonage", message), by="guessed", status="delivered") == 403

    assert await post.rows() == []


async def test_a_receipt_of_another_message_another_tenant_or_of_none_changes_nothing(post: Post) -> None:
    message, other = a_text(), a_text()
    said = {"MessageSid": "SM1", "MessageStatus": "delivered"}

    assert await post.twilio(address(BASE, "twilio", TENANT, "no-reference"), **said) == 204
    assert await post.twilio(post.url("twilio", message, tenant=str(uuid4())), **said) == 204
    assert await post.twilio(f"{BASE}/delivery/receipts/twilio?", **said) == 204
    # Vonage does not sign the address, so the message must be the one that it names in what it signs.
    url = post.url("vonage", message)
    assert await post.vonage(url, client_ref=other.id, status="delivered") == 204
    assert await post.vonage(url, status="delivered") == 204

    assert await post.rows() == []


async def test_a_receipt_counts_once_however_often_and_in_whatever_order_it_is_sent(post: Post) -> None:
    message = a_text()
    url = post.url("twilio", message)
    said = [{"MessageSid": "SM1", "MessageStatus": status} for status in ("delivered", "failed", "delivered")]

    answers = await asyncio.gather(*(post.twilio(url, **one) for one in said * 5))

    assert set(answers) == {204}
    assert len(await post.rows()) == 1


async def test_a_receipt_that_is_late_changes_nothing(post: Post) -> None:
    early, late = a_text(), a_text()
    urls = {m.id: post.url("twilio", m) for m in (early, late)}
    said = {"MessageSid": "SM1", "MessageStatus": "delivered"}

    post.now = NOW + LATEST - timedelta(seconds=2)
    assert await post.twilio(urls[early.id], **said) == 204
    post.now = NOW + LATEST + timedelta(seconds=1)
    assert await post.twilio(urls[late.id], **said) == 204
    await post.store.sweep()
    assert await post.twilio(urls[early.id], **said) == 204, "nor does one of which nothing is remembered"

    assert [row.record.detail["message"] for row in await post.rows()] == [early.id]


async def test_an_operator_hears_of_a_way_on_which_most_is_lost_once_an_hour(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    async def told(number: int, status: str) -> None:
        for _ in range(number):
            await post.twilio(post.url("twilio", a_text()), MessageSid="SM1", MessageStatus=status)

    await told(19, "failed")
    assert caplog.records == []
    await told(30, "delivered")
    await told(11, "undelivered")
    assert caplog.records == [], "as many have arrived"
    await told(5, "failed")

    (alarm,) = caplog.records
    assert (alarm.levelno, alarm.getMessage()) == (logging.ERROR, "sms:undelivered")
    assert alarm.__dict__["calling_code"] == "44"


async def test_no_receipt_opens_or_closes_a_route(post: Post) -> None:
    """A carrier's word is worth nothing against pumping: whoever is paid per message would have it say so."""
    message = a_text()
    sent = receipts.read(receipts.reference(message, NOW, KEY), KEY)
    assert sent is not None

    touched = set(receipts.buckets(sent))

    assert not any(name.startswith(("sms/sent", "sms/used", "sms/closed")) for name in touched)


# Figures. -------------------------------------------------------------------------------------------


async def test_the_figures_count_each_message_once_for_the_provider_that_took_it() -> None:
    def row(how: str, message: str, **detail: str) -> Record:
        detail = {"message": message, "channel": "sms", "calling_code": "44", **detail}
        return Record(action=f"message:{how}", detail=detail)

    found = figures(
        [
            row("sent", "1", provider="a"),
            row("sent", "2", provider="a"),
            row("used", "1"),
            row("delivered", "1", provider="a"),
            row("undelivered", "2", provider="a"),
            row("unclear", "3", provider="b"),
            row("sent", "4", provider="b", calling_code="353"),
            Record(action="sign_in:prove:ready", detail={"message": "9"}),
        ]
    )

    assert [
        (f.provider, f.calling_code, f.sent, f.delivered, f.undelivered, f.used, f.unclear) for f in found
    ] == [("a", "44", 2, 1, 1, 1, 0), ("b", "353", 1, 0, 0, 0, 0), ("b", "44", 0, 0, 0, 0, 1)]
