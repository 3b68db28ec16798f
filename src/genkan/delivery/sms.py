"""
Hand text messages to a provider: Twilio, Vonage, Amazon SNS, or whatever takes one in a single HTTP request.

Each reads its provider's own codes as one of four: handed over, nobody will ever reach this number, certainly not sent,
or unclear. None of the first three providers knows a repeated request again, so what is unclear is never repeated.
Source: the providers' public references of their messaging APIs and error codes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from genkan import identifiers
from genkan.delivery.http import Answered, Api, plainly, refusal
from genkan.delivery.providers import Failed, Handed, Parcel, Result, Unclear
from genkan.delivery.sigv4 import Credentials, signed
from genkan.model import Channel, Message
from genkan.settings import AnySms, HttpSms, SmsProvider, Sns, Twilio, Vonage

_FORM: Final = "application/x-www-form-urlencoded"
_REFERENCE: Final = re.compile(r"[A-Za-z0-9._:-]{1,80}")


class _Sms:
    """What the four have in common."""

    channel: Final = Channel.SMS
    at_once: Final = 32
    repeats = False

    def __init__(self, name: str, settings: SmsProvider) -> None:
        self.name = name
        self._countries = frozenset(settings.countries)
        self._api = Api(settings.timeout)

    def takes(self, message: Message) -> bool:
        if message.channel is not Channel.SMS:
            return False
        return not self._countries or identifiers.calling_code_of(message.to) in self._countries

    async def close(self) -> None:
        await self._api.close()


class TwilioSms(_Sms):
    """Twilio. A `Provider`."""

    UNREACHABLE: Final = frozenset({21211, 21214, 21217, 21265, 21268, 21610, 21614, 21635})
    """No number, none that takes texts, one that is barred, or one whose owner has opted out."""
    NOT_BY_US: Final = frozenset({21408, 21612, 21617})
    """A country that is switched off, a pair of numbers that has no route, a text that is too long."""

    def __init__(self, name: str, settings: Twilio) -> None:
        super().__init__(name, settings)
        self._sender = settings.sender
        self._reports = settings.receipt_secret is not None
        self._url = f"{settings.url}/2010-04-01/Accounts/{settings.account_sid}/Messages.json"
        user = settings.api_key_sid or settings.account_sid
        basic = base64.b64encode(f"{user}:{settings.secret.text}".encode()).decode()
        self._headers = {"Authorization": f"Basic {basic}", "Content-Type": _FORM}

    async def hand_over(self, parcel: Parcel) -> Result:
        by = "MessagingServiceSid" if self._sender.startswith("MG") else "From"
        form = {
            "To": parcel.message.to,
            by: self._sender,
            "Body": parcel.said.text,
            "ValidityPeriod": str(_between(1, parcel.lasts, 36_000)),
        }
        if callback := _callback(self, self._reports, parcel):
            form["StatusCallback"] = callback
        answered = await self._api.post(parcel, self._url, urlencode(form).encode(), self._headers)
        if not isinstance(answered, Answered):
            return answered
        said = answered.json()
        code = said.get("code")
        if code in self.UNREACHABLE:
            return refusal("it cannot reach this number", code)
        if code in self.NOT_BY_US:
            return Failed(why=f"it has no way to this number ({code})", is_fault=False, for_good=True)
        known = code if isinstance(code, int) else ""
        if (no := plainly(answered, is_theirs=bool(known), code=known)) is not None:
            return no
        return Handed(_reference(said.get("sid")))


class VonageSms(_Sms):
    """The SMS API of Vonage. A `Provider`. It answers 200 to whatever it has understood, and says the rest inside."""

    UNREACHABLE: Final = {"7": "the number is barred", "33": "the number is out of use"}
    NOT_BY_US: Final = {
        "2": "it misses a parameter",
        "3": "a parameter is not what it takes",
        "6": "it has no way to this number",
        "12": "the text is too long",
        "22": "it does not know the network",
        "29": "the number is not on the list of this trial account",
    }
    BUSY: Final = {"1": "it is asked too often", "10": "it is asked by too many at once"}
    FAULTS: Final = {
        "4": "it does not know us: the key or secret is wrong",
        "5": "it has a fault",
        "8": "the account is barred",
        "9": "the account has no credit",
        "11": "the account may not use this API",
        "14": "the signature is wrong",
        "15": "the sender is not one it allows",
        "32": "it wants either a signature or a secret",
    }

    def __init__(self, name: str, settings: Vonage) -> None:
        super().__init__(name, settings)
        self._settings = settings

    async def hand_over(self, parcel: Parcel) -> Result:
        settings, text = self._settings, parcel.said.text
        form = {
            "api_key": settings.api_key,
            "api_secret": settings.secret.text,
            "from": settings.sender,
            "to": parcel.message.to.removeprefix("+"),
            "text": text,
            "type": "text" if text.isascii() else "unicode",
            "ttl": str(_between(20, parcel.lasts, 604_800) * 1000),
            "client-ref": parcel.message.id,
        }
        if callback := _callback(self, settings.receipt_secret is not None, parcel):
            form |= {"status-report-req": "1", "callback": callback}
        answered = await self._api.post(
            parcel, f"{settings.url}/sms/json", urlencode(form).encode(), {"Content-Type": _FORM}
        )
        if not isinstance(answered, Answered):
            return answered
        if (no := plainly(answered, is_theirs=False)) is not None:
            return no
        parts = answered.json().get("messages")
        if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
            return Unclear("its answer cannot be read")
        states = {str(part.get("status")) for part in parts}
        if states == {"0"}:
            return Handed(_reference(parts[0].get("message-id")))
        if "0" in states:
            return Unclear("it has taken only a part of the text")
        return self._no(min(states))

    def _no(self, state: str) -> Result:
        if state in self.UNREACHABLE:
            return refusal(self.UNREACHABLE[state], state)
        if state in self.NOT_BY_US:
            return Failed(why=f"{self.NOT_BY_US[state]} ({state})", is_fault=False, for_good=True)
        if state in self.BUSY:
            return Failed(why=f"{self.BUSY[state]} ({state})", wait=timedelta(seconds=2))
        return Failed(why=f"{self.FAULTS.get(state, 'it says no')} ({state[:8]})")


class SnsSms(_Sms):
    """Amazon SNS. A `Provider`. Its errors are XML, of which only the code is read."""

    UNREACHABLE: Final = frozenset({"OptedOut", "OptedOutException"})
    NOT_BY_US: Final = frozenset(
        {"InvalidParameter", "InvalidParameterValue", "ParameterValueInvalid", "ValidationError"}
    )
    BUSY: Final = frozenset(
        {
            "Throttling",
            "Throttled",
            "ThrottledException",
            "ThrottlingException",
            "KMSThrottling",
            "RequestLimitExceeded",
        }
    )

    def __init__(self, name: str, settings: Sns, clock: Callable[[], datetime]) -> None:
        super().__init__(name, settings)
        self._settings = settings
        self._clock = clock
        self._url = settings.url or f"https://sns.{settings.region}.amazonaws.com/"
        self._who = Credentials(
            access_key_id=settings.access_key_id, secret=settings.secret, session_token=settings.session_token
        )

    async def hand_over(self, parcel: Parcel) -> Result:
        attributes = {"AWS.SNS.SMS.SMSType": "Transactional"}
        if self._settings.sender.startswith("+"):
            attributes["AWS.MM.SMS.OriginationNumber"] = self._settings.sender
        elif self._settings.sender:
            attributes["AWS.SNS.SMS.SenderID"] = self._settings.sender
        form = {
            "Action": "Publish",
            "Version": "2010-03-31",
            "PhoneNumber": parcel.message.to,
            "Message": parcel.said.text,
        }
        for number, (name, value) in enumerate(attributes.items(), 1):
            entry = f"MessageAttributes.entry.{number}"
            form |= {
                f"{entry}.Name": name,
                f"{entry}.Value.DataType": "String",
                f"{entry}.Value.StringValue": value,
            }
        body = urlencode(form).encode()
        headers = {"Content-Type": f"{_FORM}; charset=utf-8"}
        region = self._settings.region
        headers = signed("POST", self._url, headers, body, self._who, region, "sns", self._clock())
        answered = await self._api.post(parcel, self._url, body, headers)
        if not isinstance(answered, Answered):
            return answered
        code = _element(answered.body, "Code")
        if code in self.UNREACHABLE:
            return refusal("its owner has opted out", code)
        if code in self.NOT_BY_US:
            return Failed(why=f"it does not take this message ({code})", is_fault=False, for_good=True)
        if code in self.BUSY:
            return Failed(why=f"it is asked too often ({code})", wait=answered.wait or timedelta(seconds=1))
        if (no := plainly(answered, is_theirs=code != "", code=code)) is not None:
            return no
        return Handed(_element(answered.body, "MessageId"))


class AnyHttpSms(_Sms):
    """A provider that is described in the settings. A `Provider`."""

    def __init__(self, name: str, settings: HttpSms) -> None:
        super().__init__(name, settings)
        self._settings = settings
        self.repeats = settings.idempotency_header != ""

    async def hand_over(self, parcel: Parcel) -> Result:
        settings, message = self._settings, parcel.message
        values = {
            "to": message.to,
            "digits": message.to.removeprefix("+"),
            "text": parcel.said.text,
            "id": message.id,
        }
        fields = {name: _filled(template, values) for name, template in settings.fields.items()}
        if settings.encoding == "json":
            body, kind = msgspec.json.encode(fields), "application/json"
        else:
            body, kind = urlencode(fields).encode(), _FORM
        headers = {**settings.headers, "Content-Type": kind}
        if settings.authorization is not None:
            headers[settings.secret_header] = settings.authorization.text
        if settings.idempotency_header:
            headers[settings.idempotency_header] = message.id
        answered = await self._api.post(parcel, settings.url, body, headers)
        if not isinstance(answered, Answered):
            return answered
        if answered.status in settings.refused:
            return refusal("it cannot reach this number", answered.status)
        if (no := plainly(answered, is_theirs=answered.status not in (502, 504))) is not None:
            return no
        found: Any = answered.json()
        for member in settings.reference.split(".") if settings.reference else ():
            found = found.get(member) if isinstance(found, Mapping) else None
        return Handed(_reference(found))


def provider(
    name: str, settings: AnySms, clock: Callable[[], datetime]
) -> TwilioSms | VonageSms | SnsSms | AnyHttpSms:
    """The way out that these settings describe. `clock` is the real time, by which requests are signed."""
    match settings:
        case Twilio():
            return TwilioSms(name, settings)
        case Vonage():
            return VonageSms(name, settings)
        case Sns():
            return SnsSms(name, settings, clock)
        case HttpSms():
            return AnyHttpSms(name, settings)


def _callback(way: _Sms, reports: bool, parcel: Parcel) -> str:
    """Where the provider may report what became of the message; empty where nobody could verify it."""
    return parcel.receipt(way.name) if reports and parcel.receipt is not None else ""


def _between(least: int, seconds: float, most: int) -> int:
    return max(least, min(int(seconds), most))


def _reference(value: object) -> str:
    """A provider's name for a message, if it looks like one."""
    return value if isinstance(value, str) and _REFERENCE.fullmatch(value) else ""


def _element(body: bytes, name: str) -> str:
    """The text of an element of XML that holds nothing but letters, digits and a few marks."""
    found = re.search(rb"<%s>([A-Za-z0-9._-]{1,80})</%s>" % (name.encode(), name.encode()), body)
    return found[1].decode() if found else ""


def _filled(template: str, values: Mapping[str, str]) -> str:
    """A field with its places filled in; what is filled in is not looked at again."""
    return re.sub(r"\{(to|digits|text|id)\}", lambda found: values[found[1]], template)
