"""
The words of Entra native authentication, version 1: its paths, its errors, and the envelope they come in.

`ERRORS` has an entry for every refusal there is; nothing else says how one looks. Decides nothing.
Source: native-auth-v1 1.1, 1.5, 1.6, 11.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from genkan.engine.messages import Refused
from genkan.exchange import Request, Response, json_response
from genkan.model import Reason

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


# Errors (11). ---------------------------------------------------------------------------------------


class Error(Struct, frozen=True):
    """How a refusal looks on this wire."""

    error: str
    code: int
    text: str
    suberror: str = ""
    status: int = 400
    wait: int = 0
    """Seconds after which the request may be repeated as it is, where that is to be said (1.5)."""


CREDENTIAL_REQUIRED = Error("credential_required", 55103, "A password is needed.")
ATTRIBUTES_REQUIRED = Error("attributes_required", 55106, "More attributes are needed.")
VERIFICATION_REQUIRED = Error(
    "verification_required", 55200, "The attributes were kept; the address must be verified first."
)
MFA_REQUIRED = Error("invalid_grant", 50076, "A second factor is needed.", "mfa_required")
REGISTRATION_REQUIRED = Error(
    "invalid_grant", 50079, "A second factor must be registered first.", "registration_required"
)

_BAD_TOKEN = Error("invalid_request", 55200, "The continuation token is not valid here.")
_NO_POLICY_DETAIL = "message_only"

ERRORS: Mapping[Reason, Error] = {
    Reason.PARAMETER_MISSING: Error("invalid_request", 900144, "The request body must contain the parameter"),
    Reason.PARAMETER_REPEATED: Error("invalid_request", 90100, "A parameter appears more than once:"),
    Reason.PARAMETER_MALFORMED: Error("invalid_request", 90100, "A parameter cannot be read:"),
    Reason.IDENTIFIER_MALFORMED: Error(
        "invalid_request", 90100, "The username parameter is empty or not valid; send an e-mail address."
    ),
    Reason.CHALLENGE_TYPE_LACKS_REDIRECT: Error(
        "unsupported_challenge_type", 901007, "The challenge_type list must contain redirect."
    ),
    Reason.CHALLENGE_TYPE_UNKNOWN: Error(
        "invalid_request",
        90023,
        "The challenge_type list parameter contains an unsupported challenge type; "
        "the known ones are password, oob and redirect, and webauthn.",
    ),
    Reason.UNKNOWN_GRANT_TYPE: Error(
        "unsupported_grant_type", 70003, "This grant_type is not supported here."
    ),
    Reason.INVALID_SCOPE: Error(
        "invalid_scope", 70011, "The scope is unknown, not open to this app, or names two resources."
    ),
    Reason.INVALID_CONTEXT: Error("invalid_request", 90100, "The claims parameter names no known context."),
    Reason.UNKNOWN_TENANT: Error(
        "invalid_request", 90002, "There is no such tenant; check the path of the URL."
    ),
    Reason.CLIENT_MALFORMED: Error(
        "invalid_request", 90100, "The client_id parameter is empty or not valid; send the app's GUID."
    ),
    Reason.UNKNOWN_CLIENT: Error(
        "unauthorized_client", 700016, "No app with this client_id is registered here."
    ),
    Reason.CLIENT_NOT_NATIVE: Error(
        "invalid_client",
        7000218,
        "Native authentication is not enabled for this app.",
        "nativeauthapi_disabled",
    ),
    Reason.CLIENT_NOT_PUBLIC: Error("invalid_client", 7000218, "This app is not a public client."),
    Reason.FOREIGN_ORIGIN: Error(
        "invalid_request",
        9002326,
        "This web origin is not registered for the app; add it to the app's origins.",
    ),
    Reason.INVALID_HANDLE: _BAD_TOKEN,
    Reason.OUT_OF_TURN: _BAD_TOKEN,
    Reason.TRIES_EXHAUSTED: _BAD_TOKEN,
    Reason.EXPIRED_HANDLE: Error("expired_token", 552003, "The continuation token has expired; start again."),
    Reason.UNKNOWN_SUBJECT: Error("user_not_found", 50034, "No account has this sign-in name."),
    Reason.SUBJECT_EXISTS: Error("user_already_exists", 1003037, "An account with this sign-in name exists."),
    Reason.SUBJECT_MISMATCH: Error(
        "invalid_request", 90100, "The username is not the one this flow is about."
    ),
    Reason.SUBJECT_DISABLED: Error("invalid_grant", 50057, "The account is disabled."),
    Reason.WRONG_PASSWORD: Error(
        "invalid_grant",
        50126,
        "The user name or password is wrong, or there were too many tries; wait and try again.",
    ),
    Reason.WRONG_CODE: Error(
        "invalid_grant",
        50181,
        "The code is wrong or no longer valid, or there were too many tries.",
        "invalid_oob_value",
    ),
    Reason.WRONG_PASSKEY: Error(
        "invalid_grant",
        50181,
        "The passkey did not prove what was asked for, or there were too many tries; ask anew for a challenge.",
        "invalid_assertion",
    ),
    Reason.WRONG_KIND: Error("invalid_grant", 400002, "This is not the kind of proof that was asked for."),
    Reason.NO_PASSWORD: Error("invalid_request", 500222, "The account has no password to reset."),
    Reason.RESET_DISABLED: Error("invalid_request", 90023, "Password reset is switched off here."),
    Reason.SIGN_UP_DISABLED: Error("invalid_request", 90023, "Sign-up is switched off for this app."),
    Reason.PASSWORD_MUST_CHANGE: Error(
        "invalid_request", 50142, "The password must be changed: reset it first."
    ),
    Reason.PASSWORD_INVALID: Error(
        "invalid_grant", 399246, "The password holds characters that cannot be used.", "password_is_invalid"
    ),
    Reason.PASSWORD_TOO_LONG: Error(
        "invalid_grant", 399246, "The password is too long.", "password_too_long"
    ),
    Reason.PASSWORD_TOO_SHORT: Error(
        "invalid_grant", 399246, "The password is too short.", "password_too_short"
    ),
    Reason.PASSWORD_TOO_WEAK: Error(
        "invalid_grant",
        399246,
        "The password is too easy to guess; use a longer or less common one.",
        "password_too_weak",
    ),
    Reason.PASSWORD_BANNED: Error(
        "invalid_grant", 399246, "The password is on the list of well-known passwords.", "password_banned"
    ),
    Reason.PASSWORD_RECENTLY_USED: Error(
        "invalid_grant", 399246, "The password was used before; choose a new one.", "password_recently_used"
    ),
    Reason.ATTRIBUTES_MALFORMED: Error(
        "invalid_request", 90100, "The attributes parameter must be a JSON object of names and texts."
    ),
    Reason.ATTRIBUTES_REFUSED: Error(
        "invalid_grant", 55106, "An attribute value was refused.", "attribute_validation_failed"
    ),
    Reason.BLOCKED_BY_EXTENSION: Error(
        "invalid_grant", 53003, "This sign-up is not possible.", _NO_POLICY_DETAIL
    ),
    Reason.EXTENSION_FAILED: Error(
        "invalid_request",
        1003001,
        "A service that has a say in this could not be asked, or gave no answer that can be used; try again later.",
    ),
    Reason.CHOICE_NEEDED: Error(
        "invalid_request",
        90023,
        "There are several methods: ask introspect for them and name one.",
        "introspect_required",
    ),
    Reason.UNKNOWN_METHOD: Error("invalid_request", 901001, "There is no such method for this sign-in."),
    Reason.TARGET_REFUSED: Error(
        "invalid_request",
        901001,
        "This address or number cannot be registered here; check it or use another.",
    ),
    Reason.TOO_MANY_SENDS: Error("invalid_request", 701014, "Too many codes were asked for; wait a while."),
    Reason.TELEPHONY_LIMIT: Error(
        "invalid_request", 50088, "Too many text messages were asked for; wait a while."
    ),
    Reason.REGION_CLOSED: Error(
        "access_denied", 550024, "Text messages to this region are switched off.", "provider_blocked_by_admin"
    ),
    Reason.NUMBER_BLOCKED: Error(
        "access_denied", 550024, "Text messages to this number are blocked.", "provider_blocked_by_rep"
    ),
    Reason.BLOCKED_BY_POLICY: Error(
        "invalid_grant", 53003, "Access is blocked by policy.", _NO_POLICY_DETAIL
    ),
    Reason.DEVICE_NOT_COMPLIANT: Error(
        "invalid_grant", 53000, "Policy wants a compliant device.", _NO_POLICY_DETAIL
    ),
    Reason.DEVICE_NOT_JOINED: Error(
        "invalid_grant", 53001, "Policy wants a joined device.", _NO_POLICY_DETAIL
    ),
    Reason.APP_NOT_APPROVED: Error(
        "invalid_grant", 53002, "Policy wants an approved app.", _NO_POLICY_DETAIL
    ),
    Reason.ENROLMENT_TOO_RISKY: Error(
        "invalid_grant", 53004, "A second factor cannot be registered because of risk.", _NO_POLICY_DETAIL
    ),
    Reason.ENROLMENT_BLOCKED: Error(
        "invalid_request", 53010, "Policy does not allow registering a method here."
    ),
    Reason.NO_METHOD: Error("invalid_grant", 50079, "A second factor is needed, and none can be used."),
    Reason.GRANT_UNKNOWN: Error("invalid_grant", 70000, "The refresh token is not valid.", "bad_token"),
    Reason.GRANT_EXPIRED: Error(
        "invalid_grant", 700082, "The refresh token has expired; sign in again.", "bad_token"
    ),
    Reason.GRANT_REVOKED: Error("invalid_grant", 50173, "The session has ended; sign in again.", "bad_token"),
    Reason.GRANT_NEEDS_NEW_PASSWORD: Error(
        "invalid_grant", 50142, "The password must be changed: reset it first.", "basic_action"
    ),
    Reason.FACTOR_REQUIRED: Error(
        "invalid_grant", 50076, "A second factor is needed; sign in again.", "basic_action"
    ),
    Reason.REAUTHENTICATION_REQUIRED: Error(
        "invalid_grant", 70043, "The sign-in is too old for this policy; sign in again.", "bad_token"
    ),
    Reason.WORK_NEEDED: Error(
        "invalid_request",
        50131,
        "Repeat the request with the header x-genkan-work: the puzzle, a colon, and what makes SHA-256 of it all begin "
        "with as many zero bits as the puzzle's first number says.",
    ),
    Reason.GRANT_OF_DISABLED_SUBJECT: Error("invalid_grant", 50057, "The account is disabled.", "bad_token"),
    Reason.TOO_MANY_REQUESTS: Error(
        "temporarily_unavailable", 90055, "Too many requests; wait a second.", status=429, wait=1
    ),
    Reason.OVERLOADED: Error(
        "temporarily_unavailable", 90055, "Too busy; try again in a moment.", status=503, wait=2
    ),
    Reason.FAULT: Error(
        "server_error", 50000, "Something broke on our side; nothing was changed.", status=500
    ),
}
"""Every `Reason`, as this wire says it."""

MISUSE = 90100
"""The number of a request that is malformed as such."""

NAMED = frozenset({Reason.PARAMETER_MISSING, Reason.PARAMETER_REPEATED, Reason.PARAMETER_MALFORMED})
"""Refusals whose text ends in the parameter's name."""

GRANT_ERRORS = frozenset({CHALLENGE, SIGNUP_CHALLENGE, TOKEN})
"""Where a bad continuation token is `invalid_grant` and not `invalid_request` (11.1)."""


def write_refused(request: Request, refused: Refused, now: datetime) -> Response:
    """The envelope of a refusal, as this endpoint words it (11.1)."""
    error = ERRORS[refused.reason]
    if error is _BAD_TOKEN and request.path in GRANT_ERRORS:
        error = Error("invalid_grant", error.code, error.text)
    elif refused.reason is Reason.WRONG_KIND and request.path != TOKEN:
        error = Error("invalid_grant", _BAD_TOKEN.code, error.text)
    elif refused.reason is Reason.UNKNOWN_GRANT_TYPE and request.path in (
        SIGNUP_CONTINUE,
        REGISTER_CONTINUE,
        RESET_CONTINUE,
    ):
        error = Error("invalid_grant", error.code, error.text)
    elif refused.reason in NAMED:
        error = Error(error.error, error.code, f"{error.text} {refused.detail}.")
    elif refused.reason is Reason.WORK_NEEDED:
        return write_error(request, error, now, puzzle=refused.detail)
    elif refused.detail:
        error = replace(error, text=refused.detail)
    invalid = {"invalid_attributes": [{"name": n} for n in refused.attributes]} if refused.attributes else {}
    return write_error(request, error, now, **invalid)


def write_error(request: Request, error: Error, now: datetime, **members: Any) -> Response:
    """The envelope of section 1.6. `members` may add a continuation token or lists; nothing in it is ever null."""
    timestamp = f"{now:%Y-%m-%d %H:%M:%S}Z"
    body = {
        "error": error.error,
        "error_description": (
            f"AADSTS{error.code}: {error.text} Trace ID: {request.trace_id} "
            f"Correlation ID: {request.correlation_id} Timestamp: {timestamp}"
        ),
        "error_codes": [error.code],
        "timestamp": timestamp,
        "trace_id": request.trace_id,
        "correlation_id": request.correlation_id,
        **({"suberror": error.suberror} if error.suberror else {}),
        **members,
    }
    headers = (("retry-after", str(error.wait)),) if error.wait else ()
    return json_response(body, error.status, *headers)


def write_misuse(
    request: Request, status: int, text: str, now: datetime, *headers: tuple[str, str]
) -> Response:
    """The transport was misused: 405, 413 or 415, in the envelope all the same (1.5)."""
    response = write_error(request, Error("invalid_request", MISUSE, text, status=status), now)
    return replace(response, headers=(*response.headers, *headers))
