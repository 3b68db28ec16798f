"""
Microsoft Entra External ID native authentication, version 1: two pure functions around the engine.

`read` turns a form into what the engine is asked, `write` turns its reply into JSON. Neither decides anything: what
may be called when is the table `LEGAL`; what a refusal looks like is the table `ERRORS` in `entra_v1_words`.
Source: native-auth-v1 (sections are named at each table).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from genkan import identifiers
from genkan.engine import passkeys
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
    Method,
    NeedAttributes,
    NeedCall,
    NeedCheck,
    NeedChoice,
    NeedClearance,
    NeedEnrolment,
    NeedIdentifier,
    NeedLift,
    NeedNewPassword,
    NeedProof,
    NeedResume,
    Prove,
    Ready,
    Refused,
    Renew,
    Resume,
    SetPassword,
    Signing,
    Supply,
    Web,
)
from genkan.exchange import Request, Response, json_response
from genkan.factors import passkey
from genkan.model import Attribute, Channel, Demand, Identifier, Kind, Purpose, Reason, Secret
from genkan.service.conduct import Answer, Ask
from genkan.tokens import scopes
from genkan.wire import ceremonies, reading
from genkan.wire.entra_v1_words import (
    ATTRIBUTES_REQUIRED,
    CHALLENGE,
    CREDENTIAL_REQUIRED,
    INITIATE,
    INTROSPECT,
    MFA_REQUIRED,
    REGISTER_CHALLENGE,
    REGISTER_CONTINUE,
    REGISTER_INTROSPECT,
    REGISTRATION_REQUIRED,
    RESET_CHALLENGE,
    RESET_CONTINUE,
    RESET_POLL,
    RESET_START,
    RESET_SUBMIT,
    SIGNUP_CHALLENGE,
    SIGNUP_CONTINUE,
    SIGNUP_START,
    TOKEN,
    VERIFICATION_REQUIRED,
    write_error,
    write_refused,
)
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
            return {Kind.PASSWORD: "SI.pwd", Kind.PASSKEY: "SI.key"}.get(challenge.kind, "SI.oob")
        case AwaitingProof(part="verify"):
            return f"{family}.oob"
        case AwaitingChoice(part="second"):
            return "MFA.required"
        case AwaitingProof(part="second", challenge=challenge):
            return "MFA.key" if challenge.kind is Kind.PASSKEY else "MFA.oob"
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


LEGAL: Mapping[tuple[str, str], frozenset[str]] = {
    (CHALLENGE, ""): frozenset(
        {"SI.init", "SI.oob", "SI.pwd", "SI.key", "MFA.required", "MFA.oob", "MFA.key"}
    ),
    (INTROSPECT, ""): frozenset({"MFA.required", "MFA.oob", "MFA.key"}),
    (TOKEN, "password"): frozenset({"SI.pwd", "SI.oob", "SI.key"}),
    (TOKEN, "oob"): frozenset({"SI.oob", "SI.pwd", "SI.key", "MFA.oob", "MFA.key"}),
    (TOKEN, "webauthn"): frozenset({"SI.key", "SI.oob", "SI.pwd", "MFA.key", "MFA.oob"}),
    (TOKEN, "mfa_oob"): frozenset({"MFA.oob", "MFA.key"}),
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

CHALLENGE_TYPES = frozenset({"password", "oob", "redirect", "webauthn"})
"""`webauthn` is Genkan's own: only an app that lists it ever hears of passkeys."""
FIELDS = frozenset(
    "client_id username challenge_type capabilities capability continuation_token id grant_type scope password oob "
    "credential client_info claims refresh_token attributes challenge_target challenge_channel new_password".split()
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


def _read_start(purpose: Purpose, form: Form, directory: Directory) -> Ask | Refused:
    """Begin a sign-in or a reset; both name the account alike."""
    offers = _offers(form)
    if isinstance(offers, Refused):
        return offers
    identifier = _sign_in_name(form.get("username", ""))
    if identifier is None:
        return Refused(reason=Reason.IDENTIFIER_MALFORMED)
    return _begin(form, purpose, offers, Identify(identifier=identifier))


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


def _read_challenge(path: str, form: Form, directory: Directory) -> Ask | Refused:
    """Ask for a challenge. A list of challenge types must be right wherever it is sent; only a sign-in goes by it."""
    offers = _offers(form) if form.get("challenge_type") else None
    if isinstance(offers, Refused):
        return offers
    choose = Choose(method=form.get("id") or None, offers=offers) if path == CHALLENGE else Choose()
    return _ask(form, path, "", choose)


def _read_look(path: str, form: Form, directory: Directory) -> Ask | Refused:
    return _ask(form, path, "", Look())


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
                else Renew(token=token, claims=_claims(form))
            )
            return Ask(client=form["client_id"].lower(), events=(renew,))
        case "password":
            if not form.get("continuation_token"):
                return Refused(reason=Reason.UNKNOWN_GRANT_TYPE)
            return _proof(form, TOKEN, grant, "password", demand)
        case "oob" | "mfa_oob":
            return _proof(form, TOKEN, grant, "oob", demand)
        case "webauthn":
            return _signature(form, grant, demand)
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
    INITIATE: partial(_read_start, Purpose.SIGN_IN),
    CHALLENGE: partial(_read_challenge, CHALLENGE),
    INTROSPECT: partial(_read_look, INTROSPECT),
    TOKEN: _read_token,
    SIGNUP_START: _read_signup_start,
    SIGNUP_CHALLENGE: partial(_read_challenge, SIGNUP_CHALLENGE),
    SIGNUP_CONTINUE: _read_signup_continue,
    RESET_START: partial(_read_start, Purpose.RESET_PASSWORD),
    RESET_CHALLENGE: partial(_read_challenge, RESET_CHALLENGE),
    RESET_CONTINUE: _read_reset_continue,
    RESET_SUBMIT: _read_reset_submit,
    RESET_POLL: partial(_read_look, RESET_POLL),
    REGISTER_INTROSPECT: partial(_read_look, REGISTER_INTROSPECT),
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


def _signature(form: Form, grant: str, demand: Demand | None) -> Ask | Refused:
    """What a passkey has signed, as `PublicKeyCredential.toJSON` writes it; tokens are asked for in the same breath."""
    if not form.get("credential"):
        return Refused(reason=Reason.PARAMETER_MISSING, detail="credential")
    if passkey.read(form["credential"]) is None:
        return Refused(reason=Reason.PARAMETER_MALFORMED, detail="credential")
    prove = Prove(kind="passkey", text=Secret(form["credential"]), demand=demand)
    return _ask(form, TOKEN, grant, prove, Resume())


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
        passkey="webauthn" in types,
        second_factor="mfa_required" in declared,
        enrolment="registration_required" in declared,
    )


def _demand(form: Form, directory: Directory) -> Demand | Refused | None:
    """What tokens are wanted for; None when the client is unknown, which the engine will say."""
    client = directory.clients.get(form["client_id"].lower())
    if client is None:
        return None
    demand = scopes.demand(form.get("scope"), form.get("claims"), client, directory.apis)
    if isinstance(demand, Reason):
        return Refused(reason=demand, detail="claims" if demand is Reason.PARAMETER_MALFORMED else "")
    return demand


def _claims(form: Form) -> scopes.Claims:
    """The `claims` alone; what cannot be read has been refused with the demand."""
    claims = scopes.read_claims(form.get("claims"))
    return claims if isinstance(claims, scopes.Claims) else scopes.Claims()


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
        case NeedProof(signing=Signing() as signing):
            wait = int(passkeys.LIFETIME.total_seconds() * 1000)
            public_key = ceremonies.request(signing.challenge, signing.rp_id, signing.credentials, wait)
            return json_response({**token, "challenge_type": "webauthn", "public_key": public_key})
        case NeedProof() as proof:
            return json_response({**token, **_code_sent(proof)})
        case NeedNewPassword() if request.path == SIGNUP_CHALLENGE:
            return json_response({**token, "challenge_type": "password"})
        case NeedNewPassword(until=until) if request.path == RESET_CONTINUE:
            return json_response({**token, "expires_in": int((until - now).total_seconds()) if until else 0})
        case NeedNewPassword():
            return write_error(request, CREDENTIAL_REQUIRED, now, **token)
        case NeedAttributes(unverified=True):
            return write_error(
                request, VERIFICATION_REQUIRED, now, **token, unverified_attributes=[{"name": "username"}]
            )
        case NeedAttributes(attributes=attributes):
            required = [_attribute(a) for a in attributes]
            return write_error(request, ATTRIBUTES_REQUIRED, now, **token, required_attributes=required)
        case NeedChoice(second=True, methods=methods) if request.path == INTROSPECT:
            shown = [_second_factor(m) for m in methods]
            return json_response({**token, "methods": shown})
        case NeedChoice(second=True):
            return write_error(request, MFA_REQUIRED, now, **token)
        case NeedEnrolment(methods=methods) if request.path == REGISTER_INTROSPECT:
            shown = [_method(m.channel.value, m.channel, m.hint) for m in methods]
            return json_response({**token, "methods": shown})
        case NeedEnrolment():
            return write_error(request, REGISTRATION_REQUIRED, now, **token)
        case NeedResume() if request.path == RESET_SUBMIT:
            return json_response({**token, "poll_interval": POLL_SECONDS})
        case NeedResume() if request.path == RESET_POLL:
            return json_response({**token, "status": "succeeded"})
        case NeedChoice() | NeedResume():
            return json_response(token)
        case Ready() | NeedCheck() | NeedClearance() | NeedCall() | NeedLift() | NeedIdentifier():
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


def _second_factor(method: Method) -> dict[str, str]:
    """A passkey is listed to apps that know of it alone, and has no channel."""
    if method.kind is Kind.PASSKEY:
        return {"id": method.id, "challenge_type": "webauthn", "login_hint": method.hint}
    return _method(method.id, method.channel, method.hint)


def _attribute(attribute: Attribute) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": attribute.name, "type": attribute.type, "required": attribute.required}
    return {**entry, "options": {"regex": attribute.regex}} if attribute.regex else entry
