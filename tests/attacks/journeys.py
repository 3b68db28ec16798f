"""People and how they come to where a test wants them, by the calls that an app makes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from tests.attacks.target import Target, new_number, sending
from tests.server import BOTH, Reply, new_address

PASSWORD = "five calm lanterns by the river"
ANOTHER_PASSWORD = "seven brass kettles under a bridge"
NAME = json.dumps({"displayName": "Ada"})

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

STARTS = (INITIATE, SIGNUP_START, RESET_START)
ENDPOINTS = (
    INITIATE,
    CHALLENGE,
    INTROSPECT,
    TOKEN,
    SIGNUP_START,
    SIGNUP_CHALLENGE,
    SIGNUP_CONTINUE,
    RESET_START,
    RESET_CHALLENGE,
    RESET_CONTINUE,
    RESET_SUBMIT,
    RESET_POLL,
    REGISTER_INTROSPECT,
    REGISTER_CHALLENGE,
    REGISTER_CONTINUE,
)
GRANT_ERRORS = frozenset({CHALLENGE, SIGNUP_CHALLENGE, TOKEN})
"""Where a bad continuation token is `invalid_grant`; elsewhere it is `invalid_request` (native-auth-v1 11.1)."""

ALL_TYPES = "oob password redirect"


def bad_token(path: str) -> tuple[str, str, int]:
    """What a continuation token that is not valid here is answered with, whatever is wrong with it."""
    return ("invalid_grant" if path in GRANT_ERRORS else "invalid_request", "", 55200)


@dataclass(frozen=True)
class Person:
    """Somebody with an account, or about to have one."""

    address: str
    client: str
    """The app they sign in with."""
    password: str | None = None
    number: str | None = None
    """Their second factor, once they have registered it."""


def begin(target: Target, path: str, client: str, username: str, **form: str) -> Reply:
    """Open a flow of any kind, with everything declared."""
    form = {"challenge_type": ALL_TYPES, "capabilities": BOTH, **form}
    return target.post(path, None, client_id=client, username=username, **form)


def sign_up(target: Target, client: str | None = None, address: str = "") -> tuple[Person, str]:
    """A new account; the person, and the token that resumes the flow."""
    client = client or target.otp_app
    address = address or new_address()
    by_password = client == target.password_app
    extra = {"password": PASSWORD, "attributes": NAME} if by_password else {}
    begun = begin(target, SIGNUP_START, client, address, **extra).ok()
    sent, code = sending(
        target,
        address,
        "sign_up",
        lambda: target.post(SIGNUP_CHALLENGE, client_id=client, continuation_token=begun.token),
    )
    done = target.post(
        SIGNUP_CONTINUE, client_id=client, continuation_token=sent.token, grant_type="oob", oob=code
    ).ok()
    return Person(address, client, PASSWORD if by_password else None), done.token


def person(target: Target, client: str | None = None) -> Person:
    """Somebody with an account."""
    return sign_up(target, client)[0]


def challenged(target: Target, who: Person) -> tuple[str, str]:
    """A sign-in that waits for the first factor: its token, and the right proof."""
    begun = begin(target, INITIATE, who.client, who.address).ok()

    def ask() -> Reply:
        return target.post(CHALLENGE, client_id=who.client, continuation_token=begun.token)

    if who.password is not None:
        return ask().ok().token, who.password
    sent, code = sending(target, who.address, "sign_in", ask)
    return sent.token, code


def prove_first(target: Target, who: Person, token: str, proof: str, scope: str) -> Reply:
    """Answer the first challenge."""
    kind = "oob" if who.password is None else "password"
    return target.post(
        TOKEN,
        None,
        client_id=who.client,
        continuation_token=token,
        scope=scope,
        **{"grant_type": kind, kind: proof},
    )


def first_factor(target: Target, who: Person, scope: str | None = None) -> Reply:
    """A sign-in after its first factor, asking for the API unless told otherwise."""
    token, proof = challenged(target, who)
    return prove_first(target, who, token, proof, target.scope if scope is None else scope)


def enrolling(target: Target, who: Person, token: str, place: str) -> tuple[str, str]:
    """The registration of an address or number that waits for its code: its token, and the right code."""
    channel = "email" if "@" in place else "sms"
    sent, code = sending(
        target,
        place,
        "enrol",
        lambda: target.post(
            REGISTER_CHALLENGE,
            client_id=who.client,
            continuation_token=token,
            challenge_type="oob",
            challenge_target=place,
            challenge_channel=channel,
        ),
    )
    return sent.token, code


def with_phone(target: Target, who: Person) -> Person:
    """The same person with a phone as second factor, registered in a sign-in."""
    number = new_number()
    token, code = enrolling(target, who, first_factor(target, who).token, number)
    target.post(
        REGISTER_CONTINUE, client_id=who.client, continuation_token=token, grant_type="oob", oob=code
    ).ok()
    return replace(who, number=number)


def second_challenged(target: Target, who: Person, token: str) -> tuple[str, str]:
    """A sign-in that waits for the code of the second factor: its token, and the right code."""
    place = who.number or who.address
    sent, code = sending(
        target, place, "mfa", lambda: target.post(CHALLENGE, client_id=who.client, continuation_token=token)
    )
    return sent.token, code


def resetting(target: Target, who: Person) -> tuple[str, str]:
    """A password reset that waits for its code: its token, and the right code."""
    begun = begin(target, RESET_START, who.client, who.address).ok()
    sent, code = sending(
        target,
        who.address,
        "reset_password",
        lambda: target.post(RESET_CHALLENGE, client_id=who.client, continuation_token=begun.token),
    )
    return sent.token, code


def token_set(reply: Reply) -> bool:
    """Say whether this answer holds tokens of any kind."""
    return any(name in reply.body for name in ("access_token", "id_token", "refresh_token"))
