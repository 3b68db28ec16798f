"""
Canaries: secrets that are easy to find again, used in every journey and looked for in everything the process writes.

Looked for in every form they may have been brought into, in the log and in every file of the folder.
The inbox of development mode is the declared exception for codes, and for nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.attacks import lab
from tests.attacks.journeys import (
    CHALLENGE,
    INITIATE,
    RESET_CONTINUE,
    RESET_POLL,
    RESET_SUBMIT,
    SIGNUP_CHALLENGE,
    SIGNUP_CONTINUE,
    SIGNUP_START,
    TOKEN,
    Person,
    begin,
    challenged,
    first_factor,
    resetting,
    second_challenged,
    sign_up,
    with_phone,
)
from tests.attacks.target import Outside, sending
from tests.attacks.test_races import wrong_codes
from tests.canaries import forms, holds
from tests.server import Reply, new_address, running

CANARY = 'c"anary ärger \\ %41+ \u2028 one'
SECOND_CANARY = "an<other> canary & 'zwei' \u00df"
WRONG_CANARY = "gu\tess 'canary' drei"
CODES = frozenset({"oob"})
FIELDS = frozenset({"password", "new_password", "continuation_token", "refresh_token"}) | CODES
MEMBERS = frozenset({"continuation_token", "access_token", "refresh_token", "id_token"})


@dataclass
class Listening(Outside):
    """A server whose client keeps every secret that goes over the wire."""

    codes: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)

    def post(self, path: str, headers: Mapping[str, str] | None = None, **form: str) -> Reply:
        self.codes |= {form[name] for name in CODES & form.keys()}
        self.others |= {form[name] for name in (FIELDS - CODES) & form.keys()}
        answer = super().post(path, headers, **form)
        self.others |= {answer.body[name] for name in MEMBERS & answer.body.keys()}
        return answer


def live(target: Listening) -> tuple[str, ...]:
    """Every journey with its mistakes; the names of those who made them."""
    by_code = with_phone(target, sign_up(target)[0])
    token, code = second_challenged(target, by_code, first_factor(target, by_code).token)
    form = {"client_id": by_code.client, "continuation_token": token, "grant_type": "mfa_oob"}
    for wrong in wrong_codes(code, 2):
        target.post(TOKEN, None, **form, oob=wrong)
    tokens = target.post(TOKEN, None, **form, oob=code).ok()
    for held in (tokens["refresh_token"], tokens["refresh_token"], "gkr1." + "c" * 64):
        target.post(TOKEN, None, client_id=by_code.client, grant_type="refresh_token", refresh_token=held)

    app = target.password_app
    who = Person(new_address(), app, CANARY)
    begun = begin(
        target, SIGNUP_START, app, who.address, password=CANARY, attributes='{"displayName": "Ada"}'
    ).ok()
    sent, code = sending(
        target,
        who.address,
        "sign_up",
        lambda: target.post(SIGNUP_CHALLENGE, None, client_id=app, continuation_token=begun.token),
    )
    target.post(
        SIGNUP_CONTINUE, None, client_id=app, continuation_token=sent.token, grant_type="oob", oob=code
    ).ok()
    token, _ = challenged(target, who)
    form = {"client_id": app, "continuation_token": token, "grant_type": "password"}
    target.post(TOKEN, None, **form, password=WRONG_CANARY)
    target.post(TOKEN, None, **form, password=CANARY).ok()

    token, code = resetting(target, who)
    form = {"client_id": app, "grant_type": "oob", "oob": code}
    proven = target.post(RESET_CONTINUE, None, **form, continuation_token=token).ok()
    form = {"client_id": app, "continuation_token": proven.token}
    target.post(RESET_SUBMIT, None, **form, new_password=CANARY)
    target.post(RESET_SUBMIT, None, **form, new_password=SECOND_CANARY).ok()
    target.post(RESET_POLL, None, **form)

    for path in (INITIATE, CHALLENGE, TOKEN):
        url = f"{target.server.base}/dev{path}?password={quote(CANARY)}&oob={code}&continuation_token={token}"
        target.server.http.post(url, content=b"\xff")
        target.server.http.get(url)
    assert by_code.number is not None
    return by_code.address, by_code.number, who.address


@pytest.mark.proves("V1-203", "V1-204", "OTP-06", "LOG-01")
def test_no_secret_is_found_in_any_form_in_anything_that_the_process_writes(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data, "--log-level", "debug") as server:
        target = Listening(server)
        people = live(target)
        rows = json.dumps(lab.stored(data), default=_shown).encode()
        kept = {path.name: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    logged = server.log.encode()

    assert {CANARY, SECOND_CANARY, WRONG_CANARY} <= target.others
    assert len(target.codes) > 8
    inbox = {name for name in kept if name.startswith("inbox.db")}
    assert inbox
    for secret in target.others | target.codes:
        for written in forms(secret):
            assert not holds(logged, written), secret
            assert not holds(rows, written), secret
            for name in kept.keys() - (inbox if secret in target.codes else set()):
                assert not holds(kept[name], written), (name, secret)
    for name in people:
        assert name.encode() not in logged


def _shown(value: Any) -> str:
    return bytes(value).decode("latin-1")
