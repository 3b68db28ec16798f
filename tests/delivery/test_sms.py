"""Text messages through each provider's own HTTP, on a real socket: what it is sent, and how its answers are read."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from genkan.delivery.providers import Failed, Handed, Refused, Result, Unclear
from genkan.delivery.sigv4 import Credentials, signed, signing_key
from genkan.delivery.sms import provider
from genkan.model import Channel, Message, Secret
from genkan.settings import AnySms, Vonage
from tests.delivery.apis import (
    NOW,
    SECRET,
    Fate,
    Reply,
    Request,
    Server,
    any_http,
    http_settings,
    serving,
    sns,
    sns_error,
    sns_settings,
    twilio,
    twilio_error,
    twilio_settings,
    vonage,
    vonage_says,
    vonage_settings,
)
from tests.delivery.letters import a_message, a_parcel
from tests.delivery.sockets import free_port, listening

pytestmark = pytest.mark.anyio

NUMBER = "+447812345678"

Settings = Callable[[Server], AnySms]

ALL: dict[str, tuple[Settings, Callable[[Request], Reply]]] = {
    "twilio": (twilio_settings, twilio),
    "vonage": (vonage_settings, vonage),
    "sns": (sns_settings, sns),
    "http": (http_settings, any_http),
}


def a_text(**changes: Any) -> Message:
    return a_message("mfa", Channel.SMS, to=NUMBER, **changes)


async def handed(settings: AnySms, message: Message | None = None, **changes: Any) -> Result:
    """What became of a text message."""
    way = provider("way", settings, lambda: NOW)
    try:
        return await way.hand_over(a_parcel(message or a_text(), **changes))
    finally:
        await way.close()


async def said(reply: Reply, settings: Settings) -> Result:
    """How an answer is read, whatever was asked."""
    async with serving(lambda _: reply) as server:
        return await handed(settings(server))


# What is asked of each. -----------------------------------------------------------------------------


async def test_twilio_is_asked_as_its_reference_says() -> None:
    async with serving(twilio) as server:
        result = await handed(twilio_settings(server), lasts=240.7)

        assert isinstance(result, Handed)
        assert result.reference.startswith("SM")
        [request] = server.requests
        assert request.form == {
            "To": NUMBER,
            "From": "+447700900000",
            "Body": "12345678 is your code to finish signing in. It is valid for 5 minutes. "
            "Do not share it with anyone.",
            "ValidityPeriod": "240",
        }


async def test_twilio_takes_a_messaging_service_and_an_api_key() -> None:
    async with serving(twilio) as server:
        settings = twilio_settings(server, sender="MG0", api_key_sid="SK0")

        assert isinstance(await handed(settings, lasts=1e9), Handed)
        assert "From" not in server.requests[0].form
        assert server.requests[0].form["MessagingServiceSid"] == "MG0"
        assert server.requests[0].form["ValidityPeriod"] == "36000"


async def test_vonage_is_asked_as_its_reference_says() -> None:
    message = a_text()
    async with serving(vonage) as server:
        assert await handed(vonage_settings(server), message, lasts=240) == Handed("0C000")

        [request] = server.requests
        form = request.form
        assert SECRET not in request.path
        assert (form["to"], form["from"], form["type"]) == ("447812345678", "Contoso", "text")
        assert (form["ttl"], form["client-ref"]) == ("240000", message.id)


async def test_vonage_is_told_of_letters_beyond_ascii() -> None:
    async with serving(vonage) as server:
        await handed(vonage_settings(server), a_text(language="fr"), lasts=3)

        assert server.requests[0].form["type"] == "unicode"
        assert server.requests[0].form["ttl"] == "20000"


async def test_sns_is_asked_with_a_signature_that_it_takes() -> None:
    async with serving(sns) as server:
        result = await handed(sns_settings(server, sender="Contoso"))

        assert result == Handed("567910cd-659e-55d4-8ccb-5aaf14679dc0")
        form = server.requests[0].form
        assert form["PhoneNumber"] == NUMBER
        attributes = {
            form[f"MessageAttributes.entry.{n}.Name"]: form[f"MessageAttributes.entry.{n}.Value.StringValue"]
            for n in (1, 2)
        }
        assert attributes == {"AWS.SNS.SMS.SMSType": "Transactional", "AWS.SNS.SMS.SenderID": "Contoso"}


async def test_sns_takes_temporary_credentials_and_an_origination_number() -> None:
    async with serving(sns) as server:
        settings = sns_settings(server, sender="+447700900000", session_token=Secret("temporary"))

        assert isinstance(await handed(settings), Handed)
        assert "AWS.MM.SMS.OriginationNumber" in server.requests[0].form.values()


async def test_any_provider_is_asked_as_the_settings_say() -> None:
    message = a_text()
    async with serving(any_http) as server:
        fields = {"recipient": "{digits}", "body": "{text}", "ref": "genkan-{id}"}
        settings = http_settings(
            server, fields=fields, headers={"X-Account": "7"}, idempotency_header="Idempotency-Key"
        )
        assert await handed(settings, message) == Handed("msg-1")
        await handed(http_settings(server, encoding="form"), message)

        as_json, as_form = server.requests
        assert json.loads(as_json.body) == {
            "recipient": "447812345678",
            "body": a_parcel(message).said.text,
            "ref": f"genkan-{message.id}",
        }
        assert (as_json.headers["x-account"], as_json.headers["idempotency-key"]) == ("7", message.id)
        assert as_form.form == {"to": NUMBER, "text": a_parcel(message).said.text}


async def test_what_is_filled_in_can_be_neither_another_field_nor_another_template() -> None:
    message = a_text()
    nasty = '{id}","to":"+447800000000&to=x\r\nX: y'
    said = a_parcel(message).said.__class__(subject=None, text=nasty, html=None)
    async with serving(any_http) as server:
        await handed(http_settings(server), message, said=said)
        await handed(http_settings(server, encoding="form"), message, said=said)

        as_json, as_form = server.requests
        assert json.loads(as_json.body) == as_form.form == {"to": NUMBER, "text": nasty}


# How answers are read. ------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [21211, 21214, 21217, 21265, 21268, 21610, 21614, 21635])
async def test_a_number_that_twilio_cannot_reach_is_refused(code: int) -> None:
    assert await said(twilio_error(400, code), twilio_settings) == Refused(
        f"it cannot reach this number ({code})"
    )


@pytest.mark.parametrize("code", [21408, 21612, 21617, 21606, 30008])
async def test_what_twilio_does_not_like_about_one_message_is_left_to_another(code: int) -> None:
    result = await said(twilio_error(400, code), twilio_settings)

    assert isinstance(result, Failed)
    assert (result.is_fault, result.for_good) == (False, True)


@pytest.mark.parametrize(
    ("status", "code"), [(401, 20003), (403, 20005), (404, 20404), (500, 20500), (503, 20503)]
)
async def test_a_fault_of_twilio_or_of_the_account_is_a_fault_and_sends_nothing(
    status: int, code: int
) -> None:
    result = await said(twilio_error(status, code), twilio_settings)

    assert isinstance(result, Failed)
    assert result.is_fault
    assert str(code) in result.why


async def test_twilio_that_is_asked_too_often_is_left_alone_as_long_as_it_asks() -> None:
    result = await said(twilio_error(429, 20429, **{"Retry-After": "7"}), twilio_settings)

    assert isinstance(result, Failed)
    assert result.wait == timedelta(seconds=7)


async def test_wrong_credentials_are_told_apart_by_each_provider() -> None:
    for settings, answer in (
        (twilio_settings, twilio),
        (vonage_settings, vonage),
        (sns_settings, sns),
    ):
        async with serving(answer) as server:
            result = await handed(settings(server, secret=Secret("wrong")))
            assert isinstance(result, Failed)
            assert result.why.startswith("it does not know us")
    async with serving(any_http) as server:
        result = await handed(http_settings(server, authorization=Secret("wrong")))
        assert isinstance(result, Failed)
        assert result.why.startswith("it does not know us")


@pytest.mark.parametrize("state", ["7", "33"])
async def test_a_number_that_vonage_cannot_reach_is_refused(state: str) -> None:
    assert isinstance(await said(vonage_says(state), vonage_settings), Refused)


@pytest.mark.parametrize("state", ["2", "3", "6", "12", "22", "29"])
async def test_what_vonage_does_not_like_about_one_message_is_left_to_another(state: str) -> None:
    result = await said(vonage_says(state), vonage_settings)

    assert isinstance(result, Failed)
    assert (result.is_fault, result.for_good) == (False, True)


@pytest.mark.parametrize("state", ["1", "4", "5", "8", "9", "10", "11", "14", "15", "32", "99"])
async def test_a_fault_of_vonage_or_of_the_account_is_a_fault_and_sends_nothing(state: str) -> None:
    result = await said(vonage_says(state), vonage_settings)

    assert isinstance(result, Failed)
    assert (result.is_fault, result.for_good) == (True, False)
    assert (result.wait is not None) is (state in ("1", "10"))


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"messages":[]}', '{"messages":[1]}', "<html>", "\x00"])
async def test_an_answer_of_vonage_that_cannot_be_read_is_unclear(body: str) -> None:
    assert isinstance(await said(Reply(200, body), vonage_settings), Unclear)


async def test_a_text_of_which_vonage_took_only_a_part_is_unclear_and_one_it_took_whole_is_sent() -> None:
    assert isinstance(await said(vonage_says("0", "1"), vonage_settings), Unclear)
    assert await said(vonage_says("0", "0"), vonage_settings) == Handed("0C000")


@pytest.mark.parametrize("code", ["OptedOut", "OptedOutException"])
async def test_a_number_that_sns_cannot_reach_is_refused(code: str) -> None:
    assert isinstance(await said(sns_error(400, code), sns_settings), Refused)


@pytest.mark.parametrize(
    "code", ["InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid", "ValidationError"]
)
async def test_what_sns_does_not_like_about_one_message_is_left_to_another(code: str) -> None:
    result = await said(sns_error(400, code), sns_settings)

    assert isinstance(result, Failed)
    assert (result.is_fault, result.for_good) == (False, True)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AuthorizationError"),
        (403, "InvalidClientTokenId"),
        (403, "SignatureDoesNotMatch"),
        (403, "InvalidSecurity"),
        (403, "OptInRequired"),
        (404, "NotFound"),
        (500, "InternalError"),
        (500, "InternalFailure"),
        (503, "ServiceUnavailable"),
        (400, "Throttled"),
        (400, "ThrottlingException"),
        (429, "ThrottledException"),
        (400, "KMSThrottling"),
    ],
)
async def test_a_fault_of_sns_or_of_the_account_is_a_fault_and_sends_nothing(status: int, code: str) -> None:
    result = await said(sns_error(status, code), sns_settings)

    assert isinstance(result, Failed)
    assert result.is_fault
    assert code in result.why
    assert (result.wait is not None) is ("hrottl" in code)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Failed),
        (404, Failed),
        (410, Refused),
        (429, Failed),
        (500, Failed),
        (502, Unclear),
        (504, Unclear),
    ],
)
async def test_a_status_of_any_other_provider_is_read_as_the_settings_say(status: int, kind: type) -> None:
    result = await said(Reply(status, ""), lambda server: http_settings(server, refused=(410,)))

    assert type(result) is kind


@pytest.mark.parametrize("name", ["twilio", "vonage", "sns"])
@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_fault_of_something_in_between_leaves_it_unclear(name: str, status: int) -> None:
    page = Reply(status, "<html><h1>Bad gateway</h1></html>", kind="text/html")

    assert isinstance(await said(page, ALL[name][0]), Unclear)


@pytest.mark.parametrize("name", ALL)
async def test_a_redirect_is_not_followed(name: str) -> None:
    async with serving(lambda _: Reply(200, "{}")) as elsewhere:
        moved = Reply(302, "", {"Location": f"{elsewhere.url}/"})
        result = await said(moved, ALL[name][0])

        assert isinstance(result, Failed)
        assert elsewhere.requests == []


# What goes wrong. -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
async def test_a_provider_that_is_down_has_sent_nothing(name: str) -> None:
    nowhere = Server(ALL[name][1], port=free_port())

    assert await handed(ALL[name][0](nowhere)) == Failed(why="it refuses connections")


@pytest.mark.proves("MSG-11")
@pytest.mark.parametrize("fate", ["silence", "close"])
@pytest.mark.parametrize("name", ALL)
async def test_a_provider_that_falls_silent_after_the_request_leaves_it_unclear(
    name: str, fate: Fate
) -> None:
    settings, answer = ALL[name]
    async with serving(answer) as server:
        server.fate = fate
        started = time.monotonic()
        result = await handed(settings(server), within=0.5)

        assert isinstance(result, Unclear)
        assert len(server.requests) == 1
        assert time.monotonic() - started < 3


async def test_a_provider_that_never_takes_the_connection_has_sent_nothing() -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    # It speaks TLS to a server that says nothing: no request is ever written.
    async with listening(hold) as port:
        settings = Vonage(api_key="k", secret=Secret("s"), sender="x", url=f"https://localhost:{port}")

        assert await handed(settings, within=0.5) == Failed(why="it does not answer in time")


async def test_an_answer_without_end_is_cut_off() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" " * 65536)
            await writer.drain()

    async with listening(endless) as port:
        result = await handed(vonage_settings(Server(vonage, port=port)))

    assert isinstance(result, Unclear)


@pytest.mark.parametrize("name", ALL)
async def test_the_conversation_can_be_watched_without_its_secrets_and_a_reason_names_nobody(
    name: str,
) -> None:
    settings, answer = ALL[name]
    told: list[str] = []
    async with serving(answer) as server:
        await handed(settings(server), tell=told.append)
        assert told[0].startswith(">>> POST http://127.0.0.1")
        assert "<<< 20" in "\n".join(told)
        assert SECRET not in "\n".join(told)
    for reply in (twilio_error(400, 21211), vonage_says("7"), sns_error(400, "OptedOut"), Reply(500, NUMBER)):
        result = await said(reply, settings)
        assert NUMBER[1:] not in str(result)


@pytest.mark.parametrize(
    ("to", "countries", "taken"),
    [
        (NUMBER, (), True),
        (NUMBER, ("44",), True),
        (NUMBER, ("1", "353"), False),
        ("+15550100", ("1",), True),
        ("+353851234567", ("353",), True),
        ("+353851234567", ("35",), False),
    ],
)
def test_a_provider_takes_the_countries_that_it_is_for(
    to: str, countries: tuple[str, ...], taken: bool
) -> None:
    way = provider("way", vonage_settings(Server(vonage), countries=countries), lambda: NOW)

    assert way.takes(a_message("mfa", Channel.SMS, to=to)) is taken
    assert not way.takes(a_message("mfa"))


# The signature of Amazon Web Services. --------------------------------------------------------------

WHO = Credentials(access_key_id="AKIDEXAMPLE", secret=Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)


@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "service", "signature"),
    [
        (
            "GET",
            "https://example.amazonaws.com/",
            {},
            b"",
            "service",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "https://example.amazonaws.com/",
            {"Content-Type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "service",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "GET",
            "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
            {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
            b"",
            "iam",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ],
)
def test_a_signature_is_the_one_that_amazon_publishes(
    method: str, url: str, headers: dict[str, str], body: bytes, service: str, signature: str
) -> None:
    found = signed(method, url, headers, body, WHO, "us-east-1", service, AT)["Authorization"]

    assert found.startswith(
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/{service}/aws4_request, "
    )
    assert found.endswith(f"Signature={signature}")


def test_a_signing_key_is_the_one_that_amazon_publishes() -> None:
    key = signing_key(WHO.secret, datetime(2012, 2, 15, tzinfo=UTC), "us-east-1", "iam")

    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
