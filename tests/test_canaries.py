"""The search for secrets finds what it looks for: in every sink, in every form. Otherwise it would prove nothing."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx2
import pytest

from tests.canaries import Marks
from tests.server import new_address, running, sign_up_by_code

WORD = "an<other> cänary & 'two'"
TOKEN = "Zk3-vQ_9rT1xL0pWb7sNfHcYdE5uJ2aG8mKq"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ." + TOKEN

FORMS: dict[str, Callable[[str], bytes]] = {
    "raw": lambda secret: secret.encode(),
    "URL": lambda secret: quote(secret, safe="").encode(),
    "form": lambda secret: urlencode({"a": secret}).encode(),
    "JSON": lambda secret: json.dumps(secret).encode(),
    "base64": lambda secret: b64encode(secret.encode()),
    "base64url": lambda secret: urlsafe_b64encode(secret.encode()),
    "base64 in something": lambda secret: b64encode(b"{" + secret.encode() + b"}"),
    "hex": lambda secret: secret.encode().hex().encode(),
    "repr": lambda secret: repr({"a": secret}).encode(),
}


def marks() -> Marks:
    found = Marks()
    found.words, found.tokens, found.codes = {WORD}, {TOKEN}, {"48151623"}
    return found


@pytest.mark.proves("LOG-02")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("secret", [WORD, TOKEN])
def test_a_secret_is_found_in_every_form(form: str, secret: str) -> None:
    text = b'{"at": "x", "what": "' + FORMS[form](secret) + b'"}'
    assert ("log", secret) in marks().found_in({"log": text})


@pytest.mark.parametrize("text", [b"code 48151623.", b'"48151623"', b"x\x0048151623\x00y"])
def test_a_code_is_found(text: bytes) -> None:
    assert marks().found_in({"log": text, "inbox.db": text}, codes_in=["inbox.db"]) == [("log", "48151623")]


@pytest.mark.parametrize("text", [b"148151623", b"48151623-0000-4000", b"a48151623f", b"another canary", b""])
def test_what_only_looks_like_one_is_none(text: bytes) -> None:
    assert marks().found_in({"log": text}) == []


def test_a_part_of_a_token_is_found() -> None:
    assert marks().found_in({"log": TOKEN[:16].encode()})
    assert marks().found_in({"log": TOKEN[16:].encode()})


def test_of_a_jwt_the_signature_is_the_secret() -> None:
    found = Marks()
    found.tokens = {JWT}
    header, _, signature = JWT.split(".")
    assert found.found_in({"log": header.encode()}) == []
    assert found.found_in({"log": signature.encode()}) == [("log", JWT)]


@pytest.mark.proves("LOG-02")
def test_what_goes_over_the_wire_is_heard() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/refused":
            return httpx2.Response(400, json={"error": f"you said {request.content.decode()}"})
        if request.url.path.startswith("/dev/inbox"):
            return httpx2.Response(200, json={"messages": [{"code": "48151623", "to": "a@example.com"}]})
        if "/emergency/" in request.url.path:
            return httpx2.Response(200, json={"codes": ["ABCD-EFGH"], "shown_once": True})
        return httpx2.Response(
            200, json={"refresh_token": TOKEN, "scope": "openid", "deep": [{"secretText": JWT}]}
        )

    found = Marks()
    with httpx2.Client(transport=httpx2.MockTransport(answer), base_url="https://x.example") as client:
        found.listen(client)
        client.post(
            "/token", data={"password": "correct horse", "oob": "00112233", "username": "ada@example.com"}
        )
        client.post("/users", json={"passwordProfile": {"password": "battery staple"}})
        client.get("/dev/inbox/messages")
        client.get("/dev/emergency/v1.0/me/recovery-codes")
        assert found.words == {"correct horse", "battery staple", "ABCD-EFGH", "ABCDEFGH"}
        assert found.codes == {"00112233", "48151623"}
        assert found.tokens == {TOKEN, JWT}
        with pytest.raises(AssertionError, match="refused"):
            client.post("/refused", json={"password": "correct horse"})


@pytest.mark.proves("LOG-02")
@pytest.mark.parametrize("sink", ["data.log", "data/dev.db-extra", "data/core.123"])
def test_a_server_that_has_written_a_secret_does_not_stop_in_peace(tmp_path: Path, sink: str) -> None:
    def live() -> None:
        with running(tmp_path / "data") as server:
            assert sign_up_by_code(server, new_address()).token
            assert server.marks.codes
            token = max(server.marks.tokens, key=len)
            with (tmp_path / sink).open("ab") as file:
                file.write(b'{"event": "' + b64encode(b"<" + token.encode()) + b'"}\n')

    with pytest.raises(AssertionError, match="secrets were written"):
        live()
