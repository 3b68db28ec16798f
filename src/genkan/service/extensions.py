"""
Ask an extension: put the question into Graph's words, sign it, call, and read the answer without believing it.

The call bears a token that this tenant issued for the receiver, and a signature over id, time and body (Standard
Webhooks). What is odd in an answer makes all of it a failure with a number, never a part of it an answer. Each
extension has places of its own, so that one that is slow holds up no other. No code and nothing of an answer is logged.
Source: admin-graph-api 6.3, 6.4; WHK-01 to WHK-05, WHK-08.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import msgspec

from genkan.engine.messages import (
    Adds,
    Blocks,
    Directory,
    Fails,
    GoOn,
    Heard,
    Objects,
    Question,
    Signals,
    Values,
)
from genkan.model import DIRECTORY, Channel, Extension, Hook, Message, MessagePurpose, Scalar, Subject
from genkan.service.admin.applications import Application
from genkan.service.admin.door import domain
from genkan.service.pinned import Answered, NotCalled, Pinned
from genkan.telemetry import log

RECEIVE: Final = "CustomAuthenticationExtension.Receive.Payload"
"""The permission without which an application's API is not called."""
ROTATION: Final = timedelta(hours=24)
"""So long the secret before signs too."""
AT_ONCE, CODES_AT_ONCE = 128, 16
"""Calls of one extension that may be under way: while people wait for them, and of codes, which can wait themselves."""
LONGEST_CLAIMS: Final = 3 * 1024
LONGEST_WORDS: Final = 500
"""Characters of a sentence for a person."""
DEEPEST_ANSWER: Final = 16

(
    UNEXPECTED,
    STATUS,
    BAD_BODY,
    THROTTLED,
    LATE,
    CONTENT_TYPE,
    EMPTY,
    NUMBER_OF_ACTIONS,
    ACTION_TYPE,
    NO_PERMISSION,
    TOO_LONG,
    CLAIMS_TOO_LONG,
    UNREACHABLE,
) = (
    1003001,
    1003002,
    1003003,
    1003004,
    1003005,
    1003006,
    1003009,
    1003010,
    1003012,
    1003021,
    1003024,
    1003025,
    1003027,
)

CALLOUTS: Final[Mapping[Hook, tuple[str, str, str]]] = {
    "otp_send": ("emailOtpSend", "onOtpSendCalloutData", "OnOtpSendResponseData"),
    "attributes_start": (
        "attributeCollectionStart",
        "onAttributeCollectionStartCalloutData",
        "onAttributeCollectionStartResponseData",
    ),
    "attributes_submit": (
        "attributeCollectionSubmit",
        "onAttributeCollectionSubmitCalloutData",
        "onAttributeCollectionSubmitResponseData",
    ),
    "token_issuance": (
        "tokenIssuanceStart",
        "onTokenIssuanceStartCalloutData",
        "onTokenIssuanceStartResponseData",
    ),
}
"""The words of each: the event, what is sent, what is answered."""

REQUESTS: Final[Mapping[MessagePurpose, str]] = {
    "sign_in": "signIn",
    "sign_up": "signUp",
    "reset_password": "passwordReset",
    "mfa": "mfa",
    "enrol": "mfa",
}
"""What a code is for."""

ATTRIBUTE_TYPES: Final = {"string": "string", "boolean": "boolean", "int64": "int64"}


class _Wrong(Exception):
    """The answer is no answer."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(why)
        self.number = number


class ExtensionCalls:
    """One tenant's extensions."""

    def __init__(
        self,
        pinned: Pinned,
        *,
        directory: Callable[[], Directory],
        clock: Callable[[], datetime],
        token: Callable[[str, datetime], str],
        key: bytes,
    ) -> None:
        """`token` makes what tells an application who asks; `key` is the tenant's for webhooks."""
        self._pinned = pinned
        self._directory = directory
        self._clock = clock
        self._token = token
        self._key = key
        self._under_way: dict[str, int] = {}

    async def ask(self, question: Question, signals: Signals) -> Heard:
        """What it says; or how it failed, when its time is up or anything of its answer is odd. It never raises."""
        if question.is_ambiguous:
            log.error("extension.ambiguous", extra={"listener": question.listener})
        extension = question.extension
        about = self._envelope(extension, question.listener, question.client, question.resource)
        about["data"]["authenticationContext"] |= {
            "correlationId": signals.correlation_id,
            "client": self._client(signals.address, ""),
        }
        match extension.hook:
            case "token_issuance" if question.subject is not None:
                user = _user(question.subject, domain(self._directory().tenant))
                about["data"]["authenticationContext"]["user"] = user
            case _:
                about["data"]["userSignUpInfo"] = self._sign_up(question)
        return await self._asked(extension, about, f"msg_{uuid4().hex}")

    async def send_code(self, message: Message, listener: str, extension: Extension) -> GoOn | Fails:
        """Let an extension send a code: `GoOn` where it says that it has. A message has the same id each time."""
        about = self._envelope(extension, listener, message.client, DIRECTORY)
        data = about["data"]
        data["authenticationContext"] |= {
            "correlationId": message.correlation_id,
            "client": self._client(message.address, message.language),
            "requestType": REQUESTS.get(message.purpose, "signIn"),
        }
        code = message.code.text if message.code else ""
        data["otpContext"] = {"identifier": message.to, "oneTimeCode": code}
        if message.channel is Channel.SMS:
            about["type"] = "genkan.authenticationEvent.smsOtpSend"
            data["otpContext"]["channel"] = "sms"
        heard = await self._asked(extension, about, f"msg_{message.id.replace('-', '')}")
        return heard if isinstance(heard, Fails) else GoOn()

    def secret(self, extension: Extension) -> str:
        """The secret that signs for an extension now, as receivers' libraries take it."""
        return "whsec_" + base64.b64encode(self._secret(extension.id, extension.generation)).decode()

    # The call. -------------------------------------------------------------------------------------------------------

    async def _asked(self, extension: Extension, about: dict[str, Any], id: str) -> Heard:
        heard = await self._called(extension, about, id)
        if isinstance(heard, Fails):
            log.warning(
                "extension.failed",
                extra={
                    "extension": extension.id,
                    "hook": extension.hook,
                    "number": heard.number,
                    "why": heard.why,
                },
            )
        return heard

    async def _called(self, extension: Extension, about: dict[str, Any], id: str) -> Heard:
        app = self._directory().clients.get(extension.app)
        if app is None or RECEIVE not in app.app_roles:
            return Fails(number=NO_PERMISSION, why=f"its application lacks {RECEIVE}")
        most = CODES_AT_ONCE if extension.hook == "otp_send" else AT_ONCE
        if self._under_way.get(extension.id, 0) >= most:
            return Fails(number=THROTTLED, why="it is too slow for all that it is asked", is_busy=True)
        self._under_way[extension.id] = self._under_way.get(extension.id, 0) + 1
        try:
            body = msgspec.json.encode(about)
            is_unclear = False
            heard: Heard = Fails(number=UNEXPECTED, why="it was not called")
            for attempt in range(extension.retries + 1):
                heard, again = await self._once(extension, body, id)
                if not isinstance(heard, Fails):
                    return heard
                is_unclear |= heard.is_unclear
                if not again or attempt == extension.retries:
                    break
            assert isinstance(heard, Fails)  # noqa: S101 - whatever else it says is returned above
            return msgspec.structs.replace(heard, is_unclear=is_unclear)
        except Exception:  # noqa: BLE001 - whatever it was, the extension has not answered
            log.exception("extension.fault")
            return Fails(number=UNEXPECTED, why="a fault of Genkan: see its log", is_unclear=True)
        finally:
            self._under_way[extension.id] -= 1
            if not self._under_way[extension.id]:
                del self._under_way[extension.id]

    async def _once(self, extension: Extension, body: bytes, id: str) -> tuple[Heard, bool]:
        """What came of one call, and whether another may do better."""
        try:
            answered = await self._pinned.post(
                extension.url, self._headers(extension, id, body), body, extension.timeout / 1000
            )
        except NotCalled as fault:
            number = LATE if fault.is_late else TOO_LONG if fault.is_too_long else UNREACHABLE
            return Fails(number=number, why=str(fault), is_unclear=fault.is_unclear), fault.again
        try:
            return read(extension.hook, answered), False
        except _Wrong as wrong:
            return Fails(number=wrong.number, why=str(wrong)), answered.status >= 500

    def _headers(self, extension: Extension, id: str, body: bytes) -> dict[str, str]:
        now = self._clock()
        moment = str(int(now.timestamp()))
        content = f"{id}.{moment}.".encode() + body
        generations = [extension.generation]
        if extension.rotated_at is not None and now < extension.rotated_at + ROTATION:
            generations.append(extension.generation - 1)
        signatures = (
            hmac.digest(self._secret(extension.id, generation), content, "sha256")
            for generation in generations
        )
        return {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Authorization": f"Bearer {self._token(extension.app, now)}",
            "webhook-id": id,
            "webhook-timestamp": moment,
            "webhook-signature": " ".join(f"v1,{base64.b64encode(one).decode()}" for one in signatures),
        }

    def _secret(self, extension: str, generation: int) -> bytes:
        return hmac.digest(self._key, f"{extension}/{generation}".encode(), "sha256")

    # What is said. ---------------------------------------------------------------------------------------------------

    def _envelope(self, extension: Extension, listener: str, client: str, resource: str) -> dict[str, Any]:
        tenant = self._directory().tenant
        event, callout, _ = CALLOUTS[extension.hook]
        return {
            "type": f"microsoft.graph.authenticationEvent.{event}",
            "source": f"/tenants/{tenant.id}/applications/{extension.app}",
            "data": {
                "@odata.type": f"microsoft.graph.{callout}",
                "tenantId": tenant.id,
                "authenticationEventListenerId": listener,
                "customAuthenticationExtensionId": extension.id,
                "authenticationContext": {
                    "correlationId": "",
                    "protocol": "OAUTH2.0",
                    "client": {},
                    "clientServicePrincipal": self._principal(client),
                    "resourceServicePrincipal": self._principal(resource),
                },
            },
        }

    def _principal(self, app_id: str) -> dict[str, str]:
        directory = self._directory()
        app = Application(
            id=app_id, client=directory.clients.get(app_id), resource=directory.resources.get(app_id)
        )
        name = app.name or "Directory"
        return {"id": app.principal_id, "appId": app_id, "appDisplayName": name, "displayName": name}

    def _client(self, address: str, language: str) -> dict[str, str]:
        locale = (language or self._directory().tenant.brand.language).lower()
        return {"ip": address, "locale": locale, "market": locale}

    def _sign_up(self, question: Question) -> dict[str, Any]:
        identifier = question.identifier
        named = {
            "signInType": "email",
            "issuer": domain(self._directory().tenant),
            "issuerAssignedId": identifier.value if identifier else "",
        }
        return {
            "attributes": {
                attribute.name: {
                    "@odata.type": f"microsoft.graph.{ATTRIBUTE_TYPES[attribute.type]}DirectoryAttributeValue",
                    "value": value,
                    "attributeType": "directorySchemaExtension"
                    if attribute.name.startswith("extension_")
                    else "builtIn",
                }
                for attribute, value in question.attributes
            },
            "identities": [named],
        }


def _user(subject: Subject, domain: str) -> dict[str, Any]:
    said = subject.attributes
    return {
        "companyName": said.get("companyName"),
        "createdDateTime": f"{subject.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "displayName": said.get("displayName"),
        "givenName": said.get("givenName"),
        "id": subject.id,
        "mail": said.get("mail") or (subject.email.value if subject.email else None),
        "preferredLanguage": said.get("preferredLanguage"),
        "surname": said.get("surname"),
        "userPrincipalName": subject.principal_name or f"{subject.id}@{domain}",
        "userType": "Member",
    }


# What is answered. --------------------------------------------------------------------------------------------------


def read(hook: Hook, answered: Answered) -> Heard:
    """What an answer says. Raises: `_Wrong` for whatever is not one, to the letter."""
    if answered.status == 429:
        raise _Wrong(THROTTLED, "it is asked too often (429)")
    if answered.status != 200:
        raise _Wrong(STATUS, f"it answered {answered.status}")
    kind = answered.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise _Wrong(CONTENT_TYPE, "its answer is not application/json")
    if answered.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _Wrong(BAD_BODY, "its answer is compressed")
    if not answered.body.strip():
        raise _Wrong(EMPTY, "its answer is empty")
    try:
        said = msgspec.json.decode(answered.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _Wrong(BAD_BODY, "its answer is not JSON") from None
    data = _object(_object(said).get("data"))
    if not _is(data.get("@odata.type"), CALLOUTS[hook][2]):
        raise _Wrong(BAD_BODY, "its answer is of another type")
    actions = data.get("actions")
    if not isinstance(actions, list):
        raise _Wrong(BAD_BODY, "its answer has no list of actions")
    if len(actions) != 1:
        raise _Wrong(NUMBER_OF_ACTIONS, f"its answer has {len(actions)} actions, and not one")
    return _acted(hook, _object(actions[0]))


def _acted(hook: Hook, action: dict[str, Any]) -> Heard:
    kind = action.get("@odata.type")
    at = {
        "otp_send": "OtpSend",
        "attributes_start": "attributeCollectionStart",
        "attributes_submit": "attributeCollectionSubmit",
        "token_issuance": "tokenIssuanceStart",
    }[hook]
    if hook != "token_issuance" and _is(kind, f"{at}.continueWithDefaultBehavior"):
        return GoOn()
    match hook:
        case "attributes_start" if _is(kind, f"{at}.setPrefillValues"):
            return Values(_values(action.get("inputs")))
        case "attributes_submit" if _is(kind, f"{at}.modifyAttributeValues"):
            return Values(_values(action.get("attributes")))
        case "attributes_submit" if _is(kind, f"{at}.showValidationError"):
            errors = action.get("attributeErrors")
            named = _object(errors) if errors is not None else {}
            return Objects(message=_words(action.get("message")), attributes=tuple(named))
        case "attributes_start" | "attributes_submit" if _is(kind, f"{at}.showBlockPage"):
            return Blocks(_words(action.get("message")))
        case "token_issuance" if _is(kind, f"{at}.provideClaimsForToken"):
            return Adds(_claims(action.get("claims")))
    raise _Wrong(ACTION_TYPE, "its action is of another type")


def _is(said: object, kind: str) -> bool:
    return isinstance(said, str) and said.lstrip("#").lower() == f"microsoft.graph.{kind}".lower()


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(BAD_BODY, "its answer lacks an object")
    return value


def _values(value: object) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for name, one in _object(value).items():
        if one is None:
            continue
        if not isinstance(one, (str, int)):
            raise _Wrong(BAD_BODY, "a value is no text, number or boolean")
        found[name] = one
    return found


def _claims(value: object) -> dict[str, str | tuple[str, ...]]:
    claims: dict[str, str | tuple[str, ...]] = {}
    for name, one in _object(value).items():
        if isinstance(one, str):
            claims[name] = one
        elif isinstance(one, list) and all(isinstance(text, str) for text in one):
            claims[name] = tuple(one)
        else:
            raise _Wrong(BAD_BODY, "a claim is neither a text nor a list of texts")
    if len(msgspec.json.encode(claims)) > LONGEST_CLAIMS:
        raise _Wrong(CLAIMS_TOO_LONG, "its claims have more than 3 KB")
    return claims


def _words(value: object) -> str:
    """A sentence for a person: one line, whatever is in it."""
    if not isinstance(value, str):
        raise _Wrong(BAD_BODY, "a message is no text")
    return " ".join("".join(c if c.isprintable() else " " for c in value).split())[:LONGEST_WORDS]
