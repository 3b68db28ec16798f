"""
Microsoft Entra External ID native authentication, version 1: two pure functions around the engine.

`read` turns a form into what the engine is asked, `write` turns its reply into JSON. Neither decides anything: what
may be called when is the table `LEGAL`, what a refusal looks like is the table `ERRORS`.
Source: native-auth-v1 (sections are named at each table).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from genkan import identifiers
from genkan.engine.flow import (
    AwaitingAttributes,
    AwaitingChoice,
    AwaitingEnrolment,
    AwaitingNewPassword,
    AwaitingProof,
    AwaitingResume,
    Flow,
    Offers,
)
from genkan.engine.messages import (
    Begin,
    Choose,
    Confirm,
    Directory,
    Enrol,
    Event,
    Identify,
    Look,
    NeedAttributes,
    NeedCheck,
    NeedChoice,
    NeedEnrolment,
    NeedIdentifier,
    NeedNewPassword,
    NeedProof,
    NeedResume,
    Prove,
    Ready,
    Refused,
    Renew,
    Resume,
    SetPassword,
    Supply,
    Web,
)
from genkan.exchange import Request, Response, json_response
from genkan.model import Attribute, Channel, Demand, Identifier, Kind, Purpose, Reason, Secret
from genkan.service.conduct import Answer, Ask
from genkan.tokens import scopes
from genkan.wire import reading
from genkan.wire.reading import Form

DIALECT = "entra_v1"

# Which call fits where (1.8). -----------------------------------------------------------------------


def phase(flow: Flow) -> str:
    """The name this dialect's specification gives to where a flow stands."""
    family = {Purpose.SIGN_IN: "SI", Purpose.SIGN_UP: "SU", Purpose.RESET_PASSWORD: "RP"}[flow.purpose]
    match flow.stage:
        case AwaitingChoice(part="first" | "verify"):
            return f"{family}.init"
        case AwaitingProof(part="first", challenge=challenge):
            return "SI.pwd" if challenge.kind is Kind.PASSWORD else "SI.oob"
        case AwaitingProof(part="verify"):
            return f"{family}.oob"
        case AwaitingChoice(part="second"):
            return "MFA.required"
        case AwaitingProof(part="second"):
            return "MFA.oob"
        case AwaitingEnrolment():
            return "REG.required"
        case AwaitingProof(part="enrol", preverified=preverified):
            return "REG.pre" if preverified else "REG.oob"
        case AwaitingNewPassword(offered=offered):
            return "RP.verified" if family == "RP" else "SU.pwd" if offered else "SU.cred"
        case AwaitingAttributes():
            return "SU.attr"
        case AwaitingResume():
            return "REG.done" if flow.enrolled else f"{family}.done"
        case _:
            return "over"


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

LEGAL: Mapping[tuple[str, str], frozenset[str]] = {
    (CHALLENGE, ""): frozenset({"SI.init", "SI.oob", "SI.pwd", "MFA.required", "MFA.oob"}),
    (INTROSPECT, ""): frozenset({"MFA.required", "MFA.oob"}),
    (TOKEN, "password"): frozenset({"SI.pwd", "SI.oob"}),
    (TOKEN, "oob"): frozenset({"SI.oob", "SI.pwd", "MFA.oob"}),
    (TOKEN, "mfa_oob"): frozenset({"MFA.oob"}),
    # SI.done: policy asked for nothing more by the time a code for registration was right.
    (TOKEN, "continuation_token"): frozenset({"SI.done", "SU.done", "RP.done", "REG.done"}),
    (SIGNUP_CHALLENGE, ""): frozenset({"SU.init", "SU.oob", "SU.cred", "SU.pwd"}),
    (SIGNUP_CONTINUE, "oob"): frozenset({"SU.oob"}),
    (SIGNUP_CONTINUE, "password"): frozenset({"SU.pwd"}),
    (SIGNUP_CONTINUE, "attributes"): frozenset({"SU.init", "SU.oob", "SU.attr"}),
    (RESET_CHALLENGE, ""): frozenset({"RP.init", "RP.oob"}),
    (RESET_CONTINUE, "oob"): frozenset({"RP.oob"}),
    (RESET_SUBMIT, ""): frozenset({"RP.verified"}),
    (RESET_POLL, ""): frozenset({"RP.done"}),
    (REGISTER_INTROSPECT, ""): frozenset({"REG.required"}),
    (REGISTER_CHALLENGE, ""): frozenset({"REG.required", "REG.oob", "REG.pre"}),
    (REGISTER_CONTINUE, "oob"): frozenset({"REG.oob", "REG.pre"}),
    (REGISTER_CONTINUE, "continuation_token"): frozenset({"REG.oob", "REG.pre"}),
}
"""(path, grant type) → phases. Where a proof of the wrong kind has an answer of its own, its phase is listed too."""


# Requests. ------------------------------------------------------------------------------------------

CHALLENGE_TYPES = frozenset({"password", "oob", "redirect"})
FIELDS = frozenset(
    "client_id username challenge_type capabilities capability continuation_token id grant_type scope password oob "
    "client_info claims refresh_token attributes challenge_target challenge_channel new_password".split()
)
"""Every parameter of this dialect: none of them may stand in the query (FLOW-19)."""


def read(request: Request, directory: Directory) -> Ask | Refused:
    """What is asked of the engine; or the refusal, when the request cannot be read."""
    form = reading.form(request.body, request.query, FIELDS)
    if isinstance(form, Refused):
        return form
    if not reading.is_guid(form.get("client_id", "")):
        return Refused(reason=Reason.CLIENT_MALFORMED)
    return READERS[request.path](form, directory)


def _read_initiate(form: Form, directory: Directory) -> Ask | Refused:
    offers = _offers(form)
    if isinstance(offers, Refused):
        return offers
    identifier = _sign_in_name(form.get("username", ""))
    if identifier is None:
        return Refused(reason=Reason.IDENTIFIER_MALFORMED)
    return _begin(form, Purpose.SIGN_IN, offers, Identify(identifier=identifier))


def _read_signup_start(form: Form, directory: Directory) -> Ask | Refused:
    offers = _offers(form)
    if isinstance(offers, Refused):
        return offers
    identifier = identifiers.email(form.get("username", ""))
    if identifier is None:
        return Refused(reason=Reason.IDENTIFIER_MALFORMED)
    attributes = reading.attributes(form["attributes"]) if form.get("attributes") else {}
    if attributes is None:
        return Refused(reason=Reason.ATTRIBUTES_MALFORMED)
    password = Secret(form["password"]) if form.get("password") else None
    return _begin(
        form,
        Purpose.SIGN_UP,
        offers,
        Identify(identifier=identifier, password=password, attributes=attributes),
    )


def _sign_in_name(typed: str) -> Identifier | None:
    """An e-mail address or, in a tenant that has them, a username: the engine says whose (10.3)."""
    return identifiers.email(typed) or identifiers.username(typed)


def _begin(form: Form, purpose: Purpose, offers: Offers, identify: Identify) -> Ask:
    return Ask(
        client=form["client_id"].lower(),
        events=(Begin(purpose=purpose, offers=offers, dialect=DIALECT), identify),
    )


def _read_challenge(form: Form, directory: Directory) -> Ask | Refused:
    offers = _offers(form) if form.get("challenge_type") else None
    if isinstance(offers, Refused):
        return offers
    return _ask(form, CHALLENGE, "", Choose(method=form.get("id") or None, offers=offers))


def _read_signup_challenge(form: Form, directory: Directory) -> Ask | Refused:
    offers = _offers(form) if form.get("challenge_type") else None
    if isinstance(offers, Refused):
        return offers
    return _ask(form, SIGNUP_CHALLENGE, "", Choose())


def _read_introspect(form: Form, directory: Directory) -> Ask | Refused:
    return _ask(form, INTROSPECT, "", Look())


def _read_token(form: Form, directory: Directory) -> Ask | Refused:
    grant = form.get("grant_type", "")
    if not grant:
        return Refused(reason=Reason.PARAMETER_MISSING, detail="grant_type")
    demand = _demand(form, directory)
    if isinstance(demand, Refused):
        return demand
    match grant:
        case "refresh_token":
            if not form.get("refresh_token"):
                return Refused(reason=Reason.PARAMETER_MISSING, detail="refresh_token")
            token = Secret(form["refresh_token"])
            renew = (
                Renew(token=token, demand=demand)
                if form.get("scope")
                else Renew(token=token, contexts=demand.contexts if demand else ())
            )
            return Ask(client=form["client_id"].lower(), events=(renew,))
        case "password":
            if not form.get("continuation_token"):
                return Refused(reason=Reason.UNKNOWN_GRANT_TYPE)
            return _proof(form, TOKEN, grant, "password", demand)
        case "oob" | "mfa_oob":
            return _proof(form, TOKEN, grant, "oob", demand)
        case "continuation_token":
            named = form.get("username")
            identifier = _sign_in_name(named) if named else None
            if named and identifier is None:
                return Refused(reason=Reason.SUBJECT_MISMATCH)
            return _ask(form, TOKEN, grant, Resume(demand=demand, identifier=identifier))
        case _:
            return Refused(reason=Reason.UNKNOWN_GRANT_TYPE)


def _read_signup_continue(form: Form, directory: Directory) -> Ask | Refused:
    grant = form.get("grant_type", "")
    match grant:
        case "":
            return Refused(reason=Reason.PARAMETER_MISSING, detail="grant_type")
        case "oob":
            return _proof(form, SIGNUP_CONTINUE, grant, "oob", None)
        case "password":
            if not form.get("password"):
                return Refused(reason=Reason.PARAMETER_MISSING, detail="password")
            return _ask(form, SIGNUP_CONTINUE, grant, SetPassword(password=Secret(form["password"])))
        case "attributes":
            if not form.get("attributes"):
                return Refused(reason=Reason.PARAMETER_MISSING, detail="attributes")
            attributes = reading.attributes(form["attributes"])
            if attributes is None:
                return Refused(reason=Reason.ATTRIBUTES_MALFORMED)
            return _ask(form, SIGNUP_CONTINUE, grant, Supply(attributes=attributes))
        case _:
            return Refused(reason=Reason.UNKNOWN_GRANT_TYPE)


def _read_reset_start(form: Form, directory: Directory) -> Ask | Refused:
    offers = _offers(form)
    if isinstance(offers, Refused):
        return offers
    identifier = _sign_in_name(form.get("username", ""))
    if identifier is None:
        return Refused(reason=Reason.IDENTIFIER_MALFORMED)
    return _begin(form, Purpose.RESET_PASSWORD, offers, Identify(identifier=identifier))


def _read_reset_challenge(form: Form, directory: Directory) -> Ask | Refused:
    offers = _offers(form) if form.get("challenge_type") else None
    if isinstance(offers, Refused):
        return offers
    return _ask(form, RESET_CHALLENGE, "", Choose())


def _read_reset_continue(form: Form, directory: Directory) -> Ask | Refused:
    match form.get("grant_type", ""):
        case "":
            return Refused(reason=Reason.PARAMETER_MISSING, detail="grant_type")
        case "oob":
            return _proof(form, RESET_CONTINUE, "oob", "oob", None)
        case _:
            return Refused(reason=Reason.UNKNOWN_GRANT_TYPE)


def _read_reset_submit(form: Form, directory: Directory) -> Ask | Refused:
    if not form.get("new_password"):
        return Refused(reason=Reason.PARAMETER_MISSING, detail="new_password")
    return _ask(form, RESET_SUBMIT, "", SetPassword(password=Secret(form["new_password"])))


def _read_reset_poll(form: Form, directory: Directory) -> Ask | Refused:
    return _ask(form, RESET_POLL, "", Look())


def _read_register_introspect(form: Form, directory: Directory) -> Ask | Refused:
    return _ask(form, REGISTER_INTROSPECT, "", Look())


def _read_register_challenge(form: Form, directory: Directory) -> Ask | Refused:
    if not form.get("challenge_type"):
        return Refused(reason=Reason.PARAMETER_MISSING, detail="challenge_type")
    if not set(form["challenge_type"].lower().split()) <= CHALLENGE_TYPES:
        return Refused(reason=Reason.CHALLENGE_TYPE_UNKNOWN)
    typed = form.get("challenge_target", "")
    if not typed.strip():
        return Refused(reason=Reason.PARAMETER_MISSING, detail="challenge_target")
    channel = form.get("challenge_channel", "").lower() or ("email" if "@" in typed else "sms")
    if channel not in ("email", "sms"):
        return Refused(reason=Reason.TARGET_REFUSED)
    target = identifiers.email(typed) if channel == "email" else identifiers.phone(typed)
    return _ask(form, REGISTER_CHALLENGE, "", Enrol(channel=Channel(channel), target=target))


def _read_register_continue(form: Form, directory: Directory) -> Ask | Refused:
    grant = form.get("grant_type", "")
    match grant:
        case "":
            return Refused(reason=Reason.PARAMETER_MISSING, detail="grant_type")
        case "oob":
            return _proof(form, REGISTER_CONTINUE, grant, "oob", None)
        case "continuation_token":
            return _ask(form, REGISTER_CONTINUE, grant, Confirm())
        case _:
            return Refused(reason=Reason.UNKNOWN_GRANT_TYPE)


READERS: Mapping[str, Callable[[Form, Directory], Ask | Refused]] = {
    INITIATE: _read_initiate,
    CHALLENGE: _read_challenge,
    INTROSPECT: _read_introspect,
    TOKEN: _read_token,
    SIGNUP_START: _read_signup_start,
    SIGNUP_CHALLENGE: _read_signup_challenge,
    SIGNUP_CONTINUE: _read_signup_continue,
    RESET_START: _read_reset_start,
    RESET_CHALLENGE: _read_reset_challenge,
    RESET_CONTINUE: _read_reset_continue,
    RESET_SUBMIT: _read_reset_submit,
    RESET_POLL: _read_reset_poll,
    REGISTER_INTROSPECT: _read_register_introspect,
    REGISTER_CHALLENGE: _read_register_challenge,
    REGISTER_CONTINUE: _read_register_continue,
}


def _ask(form: Form, path: str, grant: str, *events: Event) -> Ask | Refused:
    """An ask about the flow that the continuation token leads to."""
    handle = form.get("continuation_token", "")
    if not handle:
        return Refused(reason=Reason.PARAMETER_MISSING, detail="continuation_token")
    legal = LEGAL[path, grant]
    return Ask(
        client=form["client_id"].lower(),
        events=events,
        handle=handle,
        admits=lambda flow: phase(flow) in legal,
    )


def _proof(form: Form, path: str, grant: str, field: str, demand: Demand | None) -> Ask | Refused:
    """A code or a password; at the token endpoint, tokens are asked for in the same breath."""
    if not form.get(field):
        return Refused(reason=Reason.PARAMETER_MISSING, detail=field)
    prove = Prove(kind="password" if field == "password" else "code", text=Secret(form[field]), demand=demand)
    return _ask(form, path, grant, prove, *([Resume()] if path == TOKEN else []))


def _offers(form: Form) -> Offers | Refused:
    """The challenge types and capabilities the client declares (1.9)."""
    types = form.get("challenge_type", "").lower().split()
    if not types:
        return Refused(reason=Reason.PARAMETER_MISSING, detail="challenge_type")
    if not CHALLENGE_TYPES.issuperset(types):
        return Refused(reason=Reason.CHALLENGE_TYPE_UNKNOWN)
    if "redirect" not in types:
        return Refused(reason=Reason.CHALLENGE_TYPE_LACKS_REDIRECT)
    declared = (
        f"{form.get('capabilities', '')} {form.get('capability', '')}".lower().replace(",", " ").split()
    )
    return Offers(
        password="password" in types,
        code="oob" in types,
        second_factor="mfa_required" in declared,
        enrolment="registration_required" in declared,
    )


def _demand(form: Form, directory: Directory) -> Demand | Refused | None:
    """What tokens are wanted for; None when the client is unknown, which the engine will say."""
    client = directory.clients.get(form["client_id"].lower())
    if client is None:
        return None
    demand = scopes.demand(form.get("scope"), form.get("claims"), client, directory.resources)
    if isinstance(demand, Reason):
        return Refused(reason=demand, detail="claims" if demand is Reason.PARAMETER_MALFORMED else "")
    return demand


# Answers. -------------------------------------------------------------------------------------------

RESEND_AFTER_SECONDS = 300
"""`interval`: when a resend is sensible; the SDK's own default (6.2)."""


POLL_SECONDS = 2
"""`poll_interval`. The password is in place when this is sent, so the first poll succeeds (7.4)."""


SAYS: Mapping[str, type] = {
    CHALLENGE: NeedProof,
    INTROSPECT: NeedChoice,
    REGISTER_INTROSPECT: NeedEnrolment,
    REGISTER_CHALLENGE: NeedProof,
    REGISTER_CONTINUE: NeedResume,
}
"""
What these endpoints have words for, beside a refusal and a redirect.

A policy that changes in the middle of a flow may lead elsewhere than the app's next screen; no SDK could read that, so
the app is made to start anew.
"""


def write(request: Request, answer: Answer, now: datetime) -> Response:
    """The JSON answer."""
    token = {"continuation_token": answer.handle} if answer.handle else {}
    if not isinstance(answer.reply, Refused | Web | SAYS.get(request.path, object)):
        return write_refused(request, Refused(reason=Reason.OUT_OF_TURN), now)
    match answer.reply:
        case Ready() if answer.tokens is not None:
            return json_response(answer.tokens)
        case Web(because=because):
            return json_response({"challenge_type": "redirect", "redirect_reason": because})
        case Refused() as refused:
            return write_refused(request, refused, now)
        case NeedProof(preverified=True):
            return json_response({**token, "challenge_type": "preverified"})
        case NeedProof(kind=Kind.PASSWORD):
            return json_response({**token, "challenge_type": "password"})
        case NeedProof() as proof:
            return json_response({**token, **_code_sent(proof)})
        case NeedNewPassword() if request.path == SIGNUP_CHALLENGE:
            return json_response({**token, "challenge_type": "password"})
        case NeedNewPassword(until=until) if request.path == RESET_CONTINUE:
            return json_response({**token, "expires_in": int((until - now).total_seconds()) if until else 0})
        case NeedNewPassword():
            return _error(request, CREDENTIAL_REQUIRED, now, **token)
        case NeedAttributes(unverified=True):
            return _error(
                request, VERIFICATION_REQUIRED, now, **token, unverified_attributes=[{"name": "username"}]
            )
        case NeedAttributes(attributes=attributes):
            required = [_attribute(a) for a in attributes]
            return _error(request, ATTRIBUTES_REQUIRED, now, **token, required_attributes=required)
        case NeedChoice(second=True, methods=methods) if request.path == INTROSPECT:
            shown = [_method(m.id, m.channel, m.hint) for m in methods]
            return json_response({**token, "methods": shown})
        case NeedChoice(second=True):
            return _error(request, MFA_REQUIRED, now, **token)
        case NeedEnrolment(methods=methods) if request.path == REGISTER_INTROSPECT:
            shown = [_method(m.channel.value, m.channel, m.hint) for m in methods]
            return json_response({**token, "methods": shown})
        case NeedEnrolment():
            return _error(request, REGISTRATION_REQUIRED, now, **token)
        case NeedResume() if request.path == RESET_SUBMIT:
            return json_response({**token, "poll_interval": POLL_SECONDS})
        case NeedResume() if request.path == RESET_POLL:
            return json_response({**token, "status": "succeeded"})
        case NeedChoice() | NeedResume():
            return json_response(token)
        case Ready() | NeedCheck() | NeedIdentifier():
            return write_refused(request, Refused(reason=Reason.FAULT), now)


def _code_sent(proof: NeedProof) -> dict[str, Any]:
    """The members that the strict SDKs want, all of them, each of its exact type (3.2, 5.2)."""
    return {
        "challenge_type": "oob",
        "binding_method": "prompt",
        "challenge_channel": "sms" if proof.kind is Kind.SMS_OTP else "email",
        "challenge_target" if proof.enrolling else "challenge_target_label": proof.hint,
        "code_length": proof.length,
        "interval": RESEND_AFTER_SECONDS,
    }


def _method(id: str, channel: Channel, hint: str) -> dict[str, str]:
    return {"id": id, "challenge_type": "oob", "challenge_channel": channel.value, "login_hint": hint}


def _attribute(attribute: Attribute) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": attribute.name, "type": attribute.type, "required": attribute.required}
    return {**entry, "options": {"regex": attribute.regex}} if attribute.regex else entry


# Errors (11). ---------------------------------------------------------------------------------------


class Error(Struct, frozen=True):
    """How a refusal looks on this wire."""

    error: str
    code: int
    text: str
    suberror: str = ""
    status: int = 400


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
        "the known ones are password, oob and redirect.",
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
    Reason.WRONG_KIND: Error("invalid_grant", 400002, "This is not the kind of proof that was asked for."),
    Reason.NO_PASSWORD: Error("invalid_request", 500222, "The account has no password to reset."),
    Reason.RESET_DISABLED: Error("invalid_request", 90023, "Password reset is switched off here."),
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
    Reason.OVERLOADED: Error(
        "temporarily_unavailable", 90055, "Too busy; try again in a moment.", status=503
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
    elif refused.detail:
        error = Error(error.error, error.code, refused.detail, error.suberror, error.status)
    invalid = {"invalid_attributes": [{"name": n} for n in refused.attributes]} if refused.attributes else {}
    return _error(request, error, now, **invalid)


def _error(request: Request, error: Error, now: datetime, **members: Any) -> Response:
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
    headers = (("retry-after", "2"),) if error.status == 503 else ()
    return json_response(body, error.status, *headers)


def write_misuse(
    request: Request, status: int, text: str, now: datetime, *headers: tuple[str, str]
) -> Response:
    """The transport was misused: 405, 413 or 415, in the envelope all the same (1.5)."""
    response = _error(request, Error("invalid_request", MISUSE, text, status=status), now)
    return replace(response, headers=(*response.headers, *headers))
