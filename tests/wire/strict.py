"""
What the MSAL SDKs can read: every answer of the wire tests passes through `check`.

One decoder for each answer of each endpoint. A member has the type, and is mandatory, where the strictest of the three
SDKs wants it so, and what none of them knows is refused: harmless to them, but a slip of ours (D30). `heard` says what
each SDK takes an answer for; it asks the same questions in the same order as their sources do.
Source: native-auth-v1 1.3 to 1.6, 3 to 7, 9.1, 9.2, 11.2, 12; MSAL JS 5.30.0, MSAL iOS, Android common.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import httpx2
import msgspec
from msgspec import Meta, Struct

INITIATE = "/oauth2/v2.0/initiate"
CHALLENGE = "/oauth2/v2.0/challenge"
INTROSPECT = "/oauth2/v2.0/introspect"
TOKEN = "/oauth2/v2.0/token"
SIGNUP_START = "/signup/v1.0/start"
SIGNUP_CHALLENGE = "/signup/v1.0/challenge"
SIGNUP_CONTINUE = "/signup/v1.0/continue"
RESET_START = "/resetpassword/v1.0/start"
RESET_CHALLENGE = "/resetpassword/v1.0/challenge"
RESET_CONTINUE = "/resetpassword/v1.0/continue"
RESET_SUBMIT = "/resetpassword/v1.0/submit"
RESET_POLL = "/resetpassword/v1.0/poll_completion"
REGISTER_INTROSPECT = "/register/v1.0/introspect"
REGISTER_CHALLENGE = "/register/v1.0/challenge"
REGISTER_CONTINUE = "/register/v1.0/continue"

# Answers 200. ---------------------------------------------------------------------------------------

Handle = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~-]+$", max_length=4095)]
"""A continuation token: URL-safe, below 4 KB (1.7)."""
Words = Annotated[str, Meta(pattern=r"\S")]
"""A text that Android does not take for blank."""
Guid = Annotated[
    str, Meta(pattern=r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$")
]
Channel = Literal["email", "sms"]
Digits = Annotated[int, Meta(ge=6, le=20)]
Positive = Annotated[int, Meta(gt=0)]


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON object of which every member is known."""


class Continued(Body, frozen=True):
    """Go on."""

    continuation_token: Handle


class Redirect(Body, frozen=True):
    """Go on in a browser. There is no token in it, so the native flow is over (1.9)."""

    challenge_type: Literal["redirect"]
    redirect_reason: Words


class CodeSent(Body, frozen=True):
    """iOS and Android want all of it; JS refuses, before it is sent, any code of another length (3.2)."""

    continuation_token: Handle
    challenge_type: Literal["oob"]
    binding_method: Literal["prompt"]
    challenge_channel: Channel
    challenge_target_label: Words
    code_length: Digits
    interval: Positive


class PasswordAsked(Body, frozen=True):
    continuation_token: Handle
    challenge_type: Literal["password"]


class Allowed(Body, frozen=True):
    type: Literal["public-key"]
    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$")]


class PublicKey(Body, frozen=True, rename="camel"):
    challenge: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{43}$")]
    rp_id: Words
    user_verification: Literal["required"]
    timeout: Positive
    allow_credentials: Annotated[tuple[Allowed, ...], Meta(min_length=1)]


class PasskeyAsked(Body, frozen=True):
    """Genkan's own, which no SDK hears of: `_check_success` sees to that."""

    continuation_token: Handle
    challenge_type: Literal["webauthn"]
    public_key: PublicKey


class Method(Body, frozen=True):
    """Android throws when the hint is missing, iOS when any of the others is (3.3)."""

    id: Words
    challenge_type: Literal["oob", "password", "redirect"]
    challenge_channel: Channel
    login_hint: str


class PasskeyMethod(Body, frozen=True):
    """Genkan's own: listed to an app that listed `webauthn` before."""

    id: Words
    challenge_type: Literal["webauthn"]
    login_hint: Words


class Methods(Body, frozen=True):
    continuation_token: Handle
    methods: Annotated[tuple[Method, ...], Meta(min_length=1)]


class EnrolmentSent(Body, frozen=True):
    """As `CodeSent`, but that the target stands in `challenge_target`, without `_label` (D21)."""

    continuation_token: Handle
    challenge_type: Literal["oob"]
    binding_method: Literal["prompt"]
    challenge_channel: Channel
    challenge_target: Words
    code_length: Digits
    interval: Positive


class Preverified(Body, frozen=True):
    continuation_token: Handle
    challenge_type: Literal["preverified"]


class Verified(Body, frozen=True):
    """A right reset code."""

    continuation_token: Handle
    expires_in: Annotated[int, Meta(gt=0, le=600)]


class Submitted(Body, frozen=True):
    """Android replaces an interval outside 1 to 15 (D36)."""

    continuation_token: Handle
    poll_interval: Annotated[int, Meta(ge=1, le=15)]


class Polled(Body, frozen=True):
    """`not_started` is legal and a failure to Android: never sent (D13)."""

    continuation_token: Handle
    status: Literal["in_progress", "succeeded", "failed"]


class Tokens(Body, frozen=True):
    """JS looks at these, in this order, and takes the lack of one for an error (2.1)."""

    access_token: Words
    id_token: Words
    refresh_token: Words
    expires_in: Positive
    token_type: Literal["Bearer"]
    client_info: Words
    scope: Words
    ext_expires_in: Positive
    refresh_token_expires_in: Positive | None = None


ANSWERS: Mapping[str, Mapping[str | None, type[Body]]] = {
    INITIATE: {None: Continued, "redirect": Redirect},
    CHALLENGE: {
        "oob": CodeSent,
        "password": PasswordAsked,
        "webauthn": PasskeyAsked,
        "redirect": Redirect,
    },
    INTROSPECT: {None: Methods, "redirect": Redirect},
    TOKEN: {None: Tokens, "redirect": Redirect},
    SIGNUP_START: {None: Continued, "redirect": Redirect},
    SIGNUP_CHALLENGE: {"oob": CodeSent, "password": PasswordAsked, "redirect": Redirect},
    SIGNUP_CONTINUE: {None: Continued},
    RESET_START: {None: Continued, "redirect": Redirect},
    RESET_CHALLENGE: {"oob": CodeSent, "redirect": Redirect},
    RESET_CONTINUE: {None: Verified},
    RESET_SUBMIT: {None: Submitted},
    RESET_POLL: {None: Polled},
    REGISTER_INTROSPECT: {None: Methods, "redirect": Redirect},
    REGISTER_CHALLENGE: {"oob": EnrolmentSent, "preverified": Preverified, "redirect": Redirect},
    REGISTER_CONTINUE: {None: Continued},
}
"""
Endpoint → `challenge_type` → what the rest of the answer must be.

There is no redirect where an SDK does not understand it (D07, D09).
"""

ENDPOINTS = tuple(ANSWERS)
"""All fifteen."""

STARTS = (INITIATE, SIGNUP_START, RESET_START)
WITH_TOKEN = tuple(endpoint for endpoint in ENDPOINTS if endpoint not in STARTS)
"""Those that begin a flow, and those that go on with one."""

# Errors (1.6, 11). ----------------------------------------------------------------------------------


class Options(Body, frozen=True):
    regex: str


class RequiredAttribute(Body, frozen=True):
    """iOS wants the first three."""

    name: Words
    type: Literal["string", "boolean", "int64"]
    required: bool
    options: Options | None = None


class Envelope(Body, frozen=True):
    """Android reads the first code without looking whether there is one."""

    error: Words
    error_description: Words
    error_codes: Annotated[tuple[int, ...], Meta(min_length=1)]
    timestamp: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$")]
    trace_id: Guid
    correlation_id: Guid
    suberror: Words | None = None
    continuation_token: Handle | None = None
    required_attributes: Annotated[tuple[RequiredAttribute, ...], Meta(min_length=1)] | None = None
    invalid_attributes: Annotated[tuple[dict[str, str], ...], Meta(min_length=1)] | None = None
    """Android decodes maps of strings (D28)."""
    unverified_attributes: Annotated[tuple[dict[str, str], ...], Meta(min_length=1)] | None = None
    puzzle: Annotated[str, Meta(max_length=128)] | None = None
    """Genkan's own, where a tenant asks for work (THR-08); the SDKs pass over members they do not know."""

    @property
    def words(self) -> tuple[str, str]:
        return self.error, self.suberror or ""


CONTINUE_SIGNALS = {
    ("credential_required", ""),
    ("attributes_required", ""),
    ("verification_required", ""),
    ("invalid_grant", "mfa_required"),
    ("invalid_grant", "registration_required"),
}
"""The errors that are none: they carry a token, and no other does."""

LISTS = {
    "required_attributes": ("attributes_required", ""),
    "invalid_attributes": ("invalid_grant", "attribute_validation_failed"),
    "unverified_attributes": ("verification_required", ""),
}
"""Each list belongs to one error."""

USERNAME_INVALID = "username parameter is empty or not valid"
CLIENT_INVALID = "client_id parameter is empty or not valid"
CHALLENGE_TYPE_UNKNOWN = "The challenge_type list parameter contains an unsupported challenge type"
"""What SDKs look for in a description."""

DESCRIPTION = re.compile(
    r"AADSTS(?P<code>\d+): (?P<text>.*\S) Trace ID: (?P<trace>\S+) Correlation ID: (?P<correlation>\S+)"
    r" Timestamp: (?P<timestamp>\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ)"
)

TRANSPORT_STATUSES = {405, 413, 415}
STATUSES = {400, 429, 500, 503} | TRANSPORT_STATUSES
"""Android tells errors apart only at 400; iOS reads no other body and repeats a call answered 5xx (1.5)."""


def check(endpoint: str, asked: Mapping[str, str], response: httpx2.Response) -> None:
    """Fail unless all three SDKs can read this answer of a native endpoint. `asked` is the form that was sent."""
    _check_transport(response)
    body = response.json()
    assert isinstance(body, dict), body
    _check_values(body)
    if response.status_code == 200:
        _check_success(endpoint, asked, body)
    else:
        _check_error(endpoint, body, response)


def _check_transport(response: httpx2.Response) -> None:
    headers, sent = response.headers, response.request.headers.get("client-request-id", "")
    assert headers["content-type"].partition(";")[0] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert headers["pragma"] == "no-cache"
    assert "www-authenticate" not in headers, "iOS would start to authenticate its device"
    assert "access-control-allow-credentials" not in headers
    assert "x-ms-request-id" not in headers.get("access-control-expose-headers", "").lower(), "D17"
    named = headers["client-request-id"]
    assert str(UUID(named)) == named.lower(), "iOS reads it as a GUID"
    if _is_guid(sent):
        assert named == sent
    assert _is_guid(headers["x-ms-request-id"])


def _check_values(body: object) -> None:
    for value in _all_in(body):
        assert value is not None, "a member without a value is left out"
        assert not isinstance(value, float), "every number is an integer"
        if isinstance(value, str):
            assert value == value.strip(), f"stray blanks: {value!r} (D30)"


def _all_in(value: object) -> Iterator[object]:
    """Every name and every value in it."""
    if isinstance(value, dict):
        yield from value
        for member in value.values():
            yield from _all_in(member)
    elif isinstance(value, list):
        for member in value:
            yield from _all_in(member)
    else:
        yield value


def _check_success(endpoint: str, asked: Mapping[str, str], body: dict[str, Any]) -> None:
    shapes = ANSWERS[endpoint]
    kind = body.get("challenge_type")
    assert kind in shapes, f"{endpoint} does not answer {kind}: {body}"
    own = [m for m in body.get("methods", ()) if m.get("challenge_type") == "webauthn"]
    if own and endpoint == INTROSPECT:
        msgspec.convert(own, list[PasskeyMethod])
        others = [m for m in body["methods"] if m not in own]
        if not others:
            return
        body = {**body, "methods": others}
    answer = msgspec.convert(body, shapes[kind])
    token = body.get("continuation_token")
    assert token is None or token != asked.get("continuation_token"), "a fresh token each time (D05)"
    if isinstance(answer, Tokens):
        _check_tokens(answer)
    if isinstance(answer, PasskeyAsked):
        assert "webauthn" in asked["challenge_type"], "no SDK has a word for it"
    if isinstance(answer, Methods):
        ids = [method.id for method in answer.methods]
        assert len(set(ids)) == len(ids)
        assert endpoint == INTROSPECT or set(ids) <= {"email", "sms"}
        assert all(method.login_hint for method in answer.methods) or endpoint == REGISTER_INTROSPECT


def _check_tokens(tokens: Tokens) -> None:
    info, header, claims = decoded(tokens.client_info), *jwt(tokens.id_token)
    assert info.keys() == {"uid", "utid"}
    assert header.keys() >= {"typ", "alg", "kid"}
    assert (claims["oid"], claims["tid"]) == (info["uid"], info["utid"])
    for name in ("iss", "aud", "sub", "preferred_username", "name", "ver"):
        assert isinstance(claims[name], str), name
        assert claims[name], name
    for name in ("iat", "nbf", "exp", "auth_time"):
        assert type(claims[name]) is int, name
    assert {"openid", "profile"} <= set(tokens.scope.split()), "JS finds no token in its cache without"


def _check_error(endpoint: str, body: dict[str, Any], response: httpx2.Response) -> None:
    assert response.status_code in STATUSES
    error = msgspec.convert(body, Envelope)
    assert (error.continuation_token is not None) == (error.words in CONTINUE_SIGNALS)
    for name, words in LISTS.items():
        assert (name in body) == (error.words == words), name
    described = DESCRIPTION.fullmatch(error.error_description)
    assert described, error.error_description
    assert int(described["code"]) == error.error_codes[0]
    assert described["timestamp"] == error.timestamp
    assert described["trace"] == error.trace_id == response.headers["x-ms-request-id"]
    assert described["correlation"] == error.correlation_id == response.headers["client-request-id"]
    if 50126 in error.error_codes:
        assert (endpoint, *error.words) == (TOKEN, "invalid_grant", ""), (
            "Android takes it for a wrong password"
        )
    if error.error == "credential_required":
        assert 55103 in error.error_codes, "JS does not believe it without"
    if error.error == "unsupported_challenge_type":
        assert error.error_codes[0] == 901007
    if response.status_code in (429, 503):
        assert int(response.headers["retry-after"]) > 0


def _is_guid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def decoded(part: str) -> dict[str, Any]:
    """The object in base64url without padding."""
    assert "=" not in part
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    assert isinstance(found, dict)
    return found


def jwt(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token, as an SDK reads them: without looking at the signature."""
    header, claims, _ = token.split(".")
    return decoded(header), decoded(claims)


# What the SDKs take it for. -------------------------------------------------------------------------


class Heard(NamedTuple):
    """What the app is told by each SDK, in the same words. `general`: an error that it cannot tell from others."""

    js: str
    ios: str
    android: str

    @classmethod
    def alike(cls, word: str) -> Heard:
        return cls(word, word, word)


def heard(endpoint: str, status: int, body: Mapping[str, Any]) -> Heard:
    """What each SDK takes an answer of `initiate`, `oauth2/challenge`, `token` or `register` for."""
    if status == 200:
        word = str(body.get("challenge_type", "success"))
        # Android parses a success of /token as tokens, and there are none (D08).
        return Heard(word, word, "general" if (endpoint, word) == (TOKEN, "redirect") else word)
    code, text = body["error_codes"][0], body["error_description"]
    error, suberror, token = body["error"], body.get("suberror", ""), body.get("continuation_token")
    return Heard(
        _js(error, suberror, body["error_codes"], text, token),
        _ios(endpoint, error, suberror, code, token),
        _android(endpoint, error, suberror, code, token),
    )


def _js(error: str, suberror: str, codes: list[int], text: str, token: str | None) -> str:
    match error, suberror:
        case "user_not_found" | "expired_token", _:
            return error
        case "unsupported_challenge_type", _:
            return "unsupported_challenge_type"
        case "invalid_request", _ if CHALLENGE_TYPE_UNKNOWN in text:
            return "unsupported_challenge_type"
        case "invalid_request", _ if 50142 in codes:
            return "password_reset_required"
        case "invalid_request", _ if 901001 in codes:
            return "invalid_input"
        case "access_denied", "provider_blocked_by_rep":
            return "contact_blocked"
        case "invalid_grant", "mfa_required" | "registration_required" if token:
            return suberror
        case "invalid_grant", "invalid_oob_value":
            return "wrong_code"
        case "invalid_grant", _ if 50126 in codes:
            return "wrong_password"
    return "invalid_username" if USERNAME_INVALID in text and 90100 in codes else "general"


def _ios(endpoint: str, error: str, suberror: str, code: int, token: str | None) -> str:
    match error, suberror:
        case "user_not_found" | "expired_token" | "unsupported_challenge_type", _:
            return error
        case "invalid_client" | "unauthorized_client", _:
            return "unauthorized_client"
        case "invalid_request", _ if code == 901001 and endpoint == REGISTER_CHALLENGE:
            return "invalid_input"
        case "invalid_request", _ if code == 50142 and endpoint == TOKEN:
            return "password_reset_required"
        case "access_denied", "provider_blocked_by_rep":
            return "contact_blocked"
        case "invalid_grant", "invalid_oob_value":
            return "wrong_code"
        case "invalid_grant", "mfa_required" | "registration_required" if token:
            return suberror
        case "invalid_grant", _ if code == 50034:
            return "user_not_found"
        case "invalid_grant", _ if code == 50126:
            return "wrong_password"
    return "general"


def _android(endpoint: str, error: str, suberror: str, code: int, token: str | None) -> str:
    match error, suberror:
        case "user_not_found", _ if endpoint in (INITIATE, TOKEN):
            return error
        case "unsupported_challenge_type", _ if endpoint == INITIATE:
            return error
        case "invalid_grant", _ if code == 50126 and endpoint == TOKEN:
            return "wrong_password"
        case "invalid_grant", "mfa_required" if token and code == 50076 and endpoint == TOKEN:
            return suberror
        case "invalid_grant", "registration_required" if token and endpoint == TOKEN:
            return suberror
        case "invalid_grant", "invalid_oob_value":
            return "wrong_code"
        case "invalid_grant", _ if code == 400002 and endpoint == TOKEN:
            return "wrong_kind"
        case "invalid_request", "introspect_required" if endpoint == CHALLENGE:
            return "introspect_required"
        case "invalid_request", _ if code == 901001 and endpoint == REGISTER_CHALLENGE:
            return "invalid_input"
    return "general"
