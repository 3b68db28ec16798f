"""
The authentication methods of one user, in Graph's words. Source: admin-graph-api 5.6.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from genkan import identifiers
from genkan.exchange import Response, json_response
from genkan.model import Authenticator, Identifier, Kind, Secret
from genkan.service.admin import people
from genkan.wire.graph import users
from genkan.wire.graph.answers import Fault, bad, time
from genkan.wire.graph.api import DONE, Call, Route
from genkan.wire.graph.permissions import METHODS_READ, METHODS_WRITE
from genkan.wire.graph.reads import text, written

PASSWORD = "28c10230-6103-485e-b985-444c60001490"
EMAIL = "3ddfcfc8-9383-446f-83cc-3ab9be4be18f"
MOBILE = "3179e48a-750b-4051-897c-87b9720928f7"
"""Fixed ids: a user has one method of each kind at most."""

_NUMBER = re.compile(r"\+[1-9][0-9]{0,2} [0-9]{4,14}( ?x[0-9]{1,6})?")


def _number(number: Identifier) -> str:
    """Return a number as Graph writes it: a space after the calling code."""
    code = identifiers.calling_code(number)
    return f"+{code} {number.key[1 + len(code) :]}"


def _phone(method: Authenticator) -> dict[str, Any]:
    return {
        "id": MOBILE,
        "createdDateTime": time(method.created_at),
        "phoneNumber": _number(method.target) if method.target else None,
        "phoneType": "mobile",
        "smsSignInState": "notAllowedByPolicy",
    }


def _email(method: Authenticator) -> dict[str, Any]:
    return {
        "id": EMAIL,
        "createdDateTime": time(method.created_at),
        "emailAddress": method.target.value if method.target else None,
    }


def _password(method: Authenticator) -> dict[str, Any]:
    return {
        "id": PASSWORD,
        "createdDateTime": time(method.changed_at or method.created_at),
        "password": None,
    }


def _fido2(method: Authenticator) -> dict[str, Any]:
    found = method.passkey
    return {
        "id": method.id,
        "createdDateTime": time(method.created_at),
        "displayName": method.name,
        "aaGuid": found.aaguid if found else None,
        "model": None,
        "attestationCertificates": [],
        "attestationLevel": "notAttested",
    }


FIDO2 = "#microsoft.graph.fido2AuthenticationMethod"

KINDS = {
    "passwordMethods": ("#microsoft.graph.passwordAuthenticationMethod", _password),
    "emailMethods": ("#microsoft.graph.emailAuthenticationMethod", _email),
    "phoneMethods": ("#microsoft.graph.phoneAuthenticationMethod", _phone),
}


async def _held(call: Call) -> tuple[str, dict[str, Authenticator]]:
    """Return the id of the user and their methods, by the names of the lists they stand in. Raises: `Fault`."""
    subject = await users.find(call, call.params["id"])
    held = await call.store.look(lambda view: view.authenticators(subject.id))
    found: dict[str, Authenticator] = {}
    for method in held:
        if method.kind is Kind.PASSWORD:
            found.setdefault("passwordMethods", method)
        elif method.kind is Kind.EMAIL_OTP and method.strong:
            found.setdefault("emailMethods", method)
        elif method.kind is Kind.SMS_OTP and method.strong:
            found.setdefault("phoneMethods", method)
    return subject.id, found


def _missing(id: str) -> Fault:
    return Fault(404, "ResourceNotFound", f"There is no authentication method {id[:60]}.")


def _of(call: Call, list_: str) -> str:
    return f"users('{call.params['id']}')/authentication/{list_}"


async def _list(call: Call) -> Response:
    _, held = await _held(call)
    values = [{"@odata.type": KINDS[name][0], **KINDS[name][1](method)} for name, method in held.items()]
    passkeys = [{"@odata.type": FIDO2, **_fido2(method)} for method in await _passkeys(call)]
    return call.collection(_of(call, "methods"), [*values, *passkeys])


async def _passkeys(call: Call) -> list[Authenticator]:
    """Of passkeys there may be several, oldest first. Raises: `Fault`."""
    subject = await users.find(call, call.params["id"])
    held = await call.store.look(lambda view: view.authenticators(subject.id))
    return sorted((a for a in held if a.passkey is not None), key=lambda a: (a.created_at, a.id))


async def _list_fido2(call: Call) -> Response:
    return call.collection(_of(call, "fido2Methods"), [_fido2(a) for a in await _passkeys(call)])


async def _get_fido2(call: Call) -> Response:
    id = call.params["method"].lower()
    found = next((a for a in await _passkeys(call) if a.id == id), None)
    if found is None:
        raise _missing(call.params["method"])
    return call.object(_of(call, "fido2Methods"), _fido2(found))


async def _remove_fido2(call: Call) -> Response:
    subject = await users.find(call, call.params["id"])
    id = call.params["method"].lower()
    if all(a.id != id for a in await _passkeys(call)):
        raise _missing(call.params["method"])
    call.unless_refused(await people.remove_method(call.door, call.actor, subject.id, Kind.PASSKEY, id))
    return DONE


async def _list_of(call: Call, list_: str) -> Response:
    _, held = await _held(call)
    return call.collection(_of(call, list_), [KINDS[list_][1](held[list_])] if list_ in held else [])


async def _get_of(call: Call, list_: str, id: str) -> Response:
    _, held = await _held(call)
    if list_ not in held or call.params["method"].lower() != id:
        raise _missing(call.params["method"])
    return call.object(_of(call, list_), KINDS[list_][1](held[list_]))


async def _list_passwords(call: Call) -> Response:
    return await _list_of(call, "passwordMethods")


async def _get_password(call: Call) -> Response:
    return await _get_of(call, "passwordMethods", PASSWORD)


async def _list_emails(call: Call) -> Response:
    return await _list_of(call, "emailMethods")


async def _get_email(call: Call) -> Response:
    return await _get_of(call, "emailMethods", EMAIL)


async def _list_phones(call: Call) -> Response:
    return await _list_of(call, "phoneMethods")


async def _get_phone(call: Call) -> Response:
    return await _get_of(call, "phoneMethods", MOBILE)


def _read_email(call: Call, current: dict[str, Any] | None = None) -> Identifier:
    given = written(call.body, kind="emailAuthenticationMethod", writable=("emailAddress",), current=current)
    found = identifiers.email(text(given.get("emailAddress"), "emailAddress"))
    if found is None:
        raise bad("emailAddress is an e-mail address.", "emailAddress")
    return found


def _read_phone(call: Call, held: bool, current: dict[str, Any] | None = None) -> Identifier:
    given = written(
        call.body,
        kind="phoneAuthenticationMethod",
        writable=("phoneNumber", "phoneType"),
        current=current,
    )
    kind = given.get("phoneType", "mobile")
    if kind not in ("mobile", "alternateMobile", "office"):
        raise bad("phoneType is mobile, alternateMobile or office.", "phoneType")
    if kind == "alternateMobile" and not held:
        raise bad("An alternate mobile number needs a mobile number first.", "phoneType")
    if kind != "mobile":
        raise bad("Only a mobile number is used here.", "phoneType")
    typed = text(given.get("phoneNumber"), "phoneNumber")
    found = identifiers.phone(typed.partition("x")[0].strip()) if _NUMBER.fullmatch(typed) else None
    if found is None:
        raise bad("phoneNumber is written +<code> <number>, with a space between.", "phoneNumber")
    return found


async def _add_email(call: Call) -> Response:
    user, _ = await _held(call)
    made = call.unless_refused(
        await people.add_method(call.door, call.actor, user, Kind.EMAIL_OTP, _read_email(call))
    )
    return call.created(f"users/{user}/authentication/emailMethods", _email(made))


async def _add_phone(call: Call) -> Response:
    user, held = await _held(call)
    number = _read_phone(call, "phoneMethods" in held)
    made = call.unless_refused(await people.add_method(call.door, call.actor, user, Kind.SMS_OTP, number))
    return call.created(f"users/{user}/authentication/phoneMethods", _phone(made))


async def _change_email(call: Call) -> Response:
    user, held = await _held(call)
    if call.params["method"].lower() != EMAIL or "emailMethods" not in held:
        raise _missing(call.params["method"])
    target = _read_email(call, _email(held["emailMethods"]))
    call.unless_refused(await people.change_method(call.door, call.actor, user, Kind.EMAIL_OTP, target))
    return DONE


async def _change_phone(call: Call) -> Response:
    user, held = await _held(call)
    if call.params["method"].lower() != MOBILE or "phoneMethods" not in held:
        raise _missing(call.params["method"])
    target = _read_phone(call, True, _phone(held["phoneMethods"]))
    call.unless_refused(await people.change_method(call.door, call.actor, user, Kind.SMS_OTP, target))
    return DONE


async def _remove_email(call: Call) -> Response:
    return await _removed(call, Kind.EMAIL_OTP, EMAIL)


async def _remove_phone(call: Call) -> Response:
    return await _removed(call, Kind.SMS_OTP, MOBILE)


async def _removed(call: Call, kind: Kind, id: str) -> Response:
    user, _ = await _held(call)
    if call.params["method"].lower() != id:
        raise _missing(call.params["method"])
    call.unless_refused(await people.remove_method(call.door, call.actor, user, kind))
    return DONE


async def _sms_sign_in(call: Call) -> Response:
    raise bad("A text message is no first factor here.", "smsSignInState")


async def _reset_password(call: Call) -> Response:
    """Set the password given; where none is, make one up and show it this once."""
    user, held = await _held(call)
    if call.params["method"].lower() != PASSWORD or "passwordMethods" not in held:
        raise _missing(call.params["method"])
    given = written(call.body, kind="none", writable=("newPassword",)) if call.request.body else {}
    wanted = given.get("newPassword")
    new = text(wanted, "newPassword") if wanted else secrets.token_urlsafe(18)
    call.unless_refused(await people.reset_password(call.door, call.actor, user, Secret(new)))
    location = ("location", f"{call.root}/users/{user}/authentication/methods/{PASSWORD}")
    if wanted:
        return Response(status=202, headers=(location,))
    return json_response(
        {"@odata.context": call.context("microsoft.graph.passwordResetResponse"), "newPassword": new}
    )


def _routes() -> tuple[Route, ...]:
    found: list[Route] = []
    at = "/users/{id}/authentication"

    def route(method: Any, path: str, handler: Any, summary: str, act: Any = None) -> None:
        permissions = METHODS_READ if method == "GET" else METHODS_WRITE
        found.append(Route(method, at + path, permissions, handler, summary, act))

    one = "/{method}"
    route("GET", "/methods", _list, "List a user's methods")
    route(
        "POST", "/methods/{method}/resetPassword", _reset_password, "Reset a password", people.RESET_PASSWORD
    )
    route("GET", "/passwordMethods", _list_passwords, "List a user's passwords, without them")
    route("GET", "/passwordMethods" + one, _get_password, "Get when a password was set")
    route("GET", "/emailMethods", _list_emails, "List a user's e-mail methods")
    route("POST", "/emailMethods", _add_email, "Register an address", people.ADD_METHOD)
    route("GET", "/emailMethods" + one, _get_email, "Get an e-mail method")
    route("PATCH", "/emailMethods" + one, _change_email, "Change an address", people.CHANGE_METHOD)
    route("DELETE", "/emailMethods" + one, _remove_email, "Remove an address", people.REMOVE_METHOD)
    route("GET", "/phoneMethods", _list_phones, "List a user's phones")
    route("POST", "/phoneMethods", _add_phone, "Register a phone", people.ADD_METHOD)
    route("GET", "/phoneMethods" + one, _get_phone, "Get a phone")
    route("PATCH", "/phoneMethods" + one, _change_phone, "Change a number", people.CHANGE_METHOD)
    route("DELETE", "/phoneMethods" + one, _remove_phone, "Remove a phone", people.REMOVE_METHOD)
    route("GET", "/fido2Methods", _list_fido2, "List a user's passkeys")
    route("GET", "/fido2Methods" + one, _get_fido2, "Get a passkey")
    route("DELETE", "/fido2Methods" + one, _remove_fido2, "Remove a passkey", people.REMOVE_METHOD)
    for action in ("enableSmsSignIn", "disableSmsSignIn"):
        route("POST", f"/phoneMethods{one}/{action}", _sms_sign_in, "Not supported", people.CHANGE_METHOD)
    return tuple(found)


ROUTES = _routes()
