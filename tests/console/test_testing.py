"""The helper for tests of apps, against a server that it starts itself."""

from __future__ import annotations

import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from genkan.service import demo
from genkan.testing import DidNotStart, Genkan, NoMessage, Refused, running


@pytest.fixture(scope="module")
def genkan() -> Iterator[Genkan]:
    with running() as started:
        yield started


def ask_for_a_code(genkan: Genkan, address: str) -> None:
    """Begin a sign-up and have a code sent."""

    def post(path: str, **form: str) -> str:
        body = urllib.parse.urlencode({"client_id": genkan.otp_app, **form}).encode()
        with urllib.request.urlopen(genkan.authority + path, body) as answer:
            return str(answer.read())

    token = post("/signup/v1.0/start", username=address, challenge_type="oob redirect").split('"')[3]
    post("/signup/v1.0/challenge", continuation_token=token)


def test_a_mailbox_hands_each_code_out_once_and_none_of_before(genkan: Genkan) -> None:
    genkan.reset()
    ask_for_a_code(genkan, "ada@example.com")
    (before,) = genkan.wait("ada@example.com")
    mail = genkan.mailbox("Ada@Example.com")

    ask_for_a_code(genkan, "ada@example.com")
    ask_for_a_code(genkan, "ada@example.com")
    codes = [mail.code(), mail.code()]

    newest_first = [message.code for message in genkan.messages("ada@example.com")]
    assert newest_first == [*reversed(codes), before.code]
    with pytest.raises(NoMessage, match=r"Nothing arrived for Ada@Example\.com within 0 seconds"):
        mail.next(seconds=0)


def test_the_inbox_is_searched_by_its_words(genkan: Genkan) -> None:
    genkan.reset()
    for address in ("ada@example.com", "bo@example.com"):
        ask_for_a_code(genkan, address)
        genkan.wait(address)

    (found,) = genkan.messages(query="bo@")

    assert (found.to, found.purpose, found.channel) == ("bo@example.com", "sign_up", "email")
    assert genkan.messages(channel="sms") == []


def test_the_world_can_be_changed_and_put_back(genkan: Genkan) -> None:
    genkan.reset()
    before = genkan.now()

    assert genkan.advance(600) - before >= timedelta(seconds=600)
    genkan.switch_policy(demo.POLICY, "disabled")
    genkan.place(country="jp", address="198.51.100.20")
    genkan.fail_delivery()
    assert genkan.policies()[0]["state"] == "disabled"
    assert genkan._ask("GET", "/dev/place") == {"address": "198.51.100.20", "country": "JP"}
    assert genkan._ask("GET", "/dev/delivery")["failing"] is True

    genkan.fail_delivery(False)
    genkan.place()
    assert genkan._ask("GET", "/dev/place") == {"address": None, "country": None}
    genkan.reset()

    assert genkan.policies()[0]["state"] == "enabled"
    assert genkan.story("00000000-0000-4000-8000-000000000000") == []


def test_the_inbox_can_be_cleared(genkan: Genkan) -> None:
    genkan.reset()
    ask_for_a_code(genkan, "ada@example.com")
    assert len(genkan.wait("ada@example.com")) == 1

    genkan.clear()

    assert genkan.messages() == []


def test_what_the_server_refuses_is_raised_with_its_sentence(genkan: Genkan) -> None:
    with pytest.raises(Refused, match="never goes back"):
        genkan.advance(-1)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data"),
        pytest.raises(DidNotStart, match="in use by another Genkan"),
        running(tmp_path / "data"),
    ):
        pass


def test_https_is_trusted_by_the_certificate_that_the_server_names(tmp_path: Path) -> None:
    with running(tmp_path / "data", tls=True) as genkan:
        assert genkan.base_url.startswith("https://")
        assert genkan.messages() == []
