"""E-mail by SMTP, to relays on real sockets with real TLS: what arrives, and what is said when nothing can."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from genkan.delivery.messages import render
from genkan.delivery.providers import Failed, Handed, Refused, Result, Unclear, silent
from genkan.delivery.smtp import SmtpRelay
from genkan.model import Brand, Message, Secret
from genkan.settings import BadSettings, Smtp
from tests.delivery.letters import a_message, a_parcel
from tests.delivery.relays import PASSWORD, USER, a_relay, a_script, lines
from tests.delivery.sockets import free_port

pytestmark = pytest.mark.anyio

BRAND = Brand()


async def handed(
    settings: Smtp,
    *messages: Message,
    brand: Brand = BRAND,
    within: float = 30,
    tell: list[str] | None = None,
) -> list[Result]:
    """What became of messages handed over one after another."""
    relay = SmtpRelay("relay", settings)
    hears = silent if tell is None else tell.append
    try:
        return [await relay.hand_over(a_parcel(m, brand=brand, within=within, tell=hears)) for m in messages]
    finally:
        await relay.close()


# What arrives. --------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_email_arrives_encrypted_and_authenticated(tmp_path: Path, security: str) -> None:
    message = a_message("mfa", values={"app": "Contoso Söhne"}, to="Ada.Lovelace@Example.com")
    async with a_relay(tmp_path, security) as relay:
        result = await handed(relay.settings(security=security), message)

        assert result == [Handed("Q1")]
        assert relay.encrypted == [True]
        assert relay.users == [USER.encode()]
        [envelope], [letter] = relay.envelopes, relay.letters
        assert (envelope.mail_from, envelope.rcpt_tos) == (
            "no-reply@contoso.example",
            ["Ada.Lovelace@example.com"],
        )
        assert letter["From"] == "Contoso <no-reply@contoso.example>"
        assert letter["Subject"] == "Your verification code for Contoso Söhne"
        assert letter["Message-ID"] == f"<{message.id}@contoso.example>"
        assert letter["Auto-Submitted"] == "auto-generated"
        said = render(message)
        text, html = (part.get_content().replace("\r\n", "\n") for part in letter.iter_parts())
        assert (text.strip(), html.strip()) == (said.text.strip(), (said.html or "").strip())


async def test_a_brand_and_a_language_go_with_the_email(tmp_path: Path) -> None:
    message = a_message("mfa", language="de")
    async with a_relay(tmp_path) as relay:
        await handed(relay.settings(), message, brand=Brand(name="Größe & Co, Inc."))

        [letter] = relay.letters
        assert letter["From"].addresses[0].display_name == "Größe & Co, Inc."
        assert letter["From"].addresses[0].addr_spec == "no-reply@contoso.example"
        assert letter["Content-Language"] == "de"
        assert letter["Subject"] == "Ihr Bestätigungscode für Größe & Co, Inc."


async def test_a_domain_beyond_ascii_is_written_so_that_every_relay_reads_it(tmp_path: Path) -> None:
    async with a_relay(tmp_path) as relay:
        assert await handed(relay.settings(), a_message(to="ada@bücher.example")) == [Handed("Q1")]

        assert relay.envelopes[0].rcpt_tos == ["ada@xn--bcher-kva.example"]


async def test_lines_that_begin_with_a_dot_arrive_as_they_are(tmp_path: Path) -> None:
    message = a_message("mfa")
    said = render(message)
    dotted = type(said)(subject=said.subject, text=".\n..two\nafter\n.", html="<p>\n.\n</p>")
    async with a_relay(tmp_path) as relay:
        provider = SmtpRelay("relay", relay.settings())
        assert await provider.hand_over(a_parcel(message, said=dotted)) == Handed("Q1")
        await provider.close()

        text, html = (part.get_content().replace("\r\n", "\n") for part in relay.letters[0].iter_parts())
        assert text.strip("\n") == dotted.text
        assert html.strip("\n") == dotted.html


async def test_connections_are_used_again_and_never_more_than_allowed(tmp_path: Path) -> None:
    async with a_relay(tmp_path) as relay:
        provider = SmtpRelay("relay", relay.settings(connections=3))
        messages = [a_message() for _ in range(30)]
        results = await asyncio.gather(*(provider.hand_over(a_parcel(m)) for m in messages))
        await provider.close()

        assert all(isinstance(result, Handed) for result in results)
        assert len(relay.envelopes) == 30
        assert 1 <= len(relay.sessions) <= 3


async def test_a_connection_that_the_relay_has_closed_is_replaced(tmp_path: Path) -> None:
    async with a_relay(tmp_path) as relay:
        provider = SmtpRelay("relay", relay.settings())
        first = await provider.hand_over(a_parcel(a_message()))
        for idle in provider._idle:
            assert idle.client.transport is not None
            idle.client.transport.abort()  # type: ignore[attr-defined]
        second = await provider.hand_over(a_parcel(a_message()))
        await provider.close()

        assert (first, second) == (Handed("Q1"), Handed("Q2"))
        assert len(relay.sessions) == 2


# Who is not trusted. --------------------------------------------------------------------------------


async def test_a_relay_whose_certificate_is_for_another_name_gets_nothing(tmp_path: Path) -> None:
    for security in ("starttls", "tls"):
        async with a_relay(tmp_path, security, certificate_for="elsewhere.example") as relay:
            [result] = await handed(relay.settings(security=security), a_message())

            assert isinstance(result, Failed)
            assert result.why.startswith("its certificate is not to be trusted")
            assert relay.envelopes == []


async def test_a_relay_of_an_unknown_authority_gets_nothing(tmp_path: Path) -> None:
    for security in ("starttls", "tls"):
        async with a_relay(tmp_path, security) as relay:
            [result] = await handed(relay.settings(security=security, ca_file=None), a_message())

            assert isinstance(result, Failed)
            assert "not to be trusted" in result.why
            assert relay.envelopes == []


async def test_a_relay_without_starttls_hears_neither_the_password_nor_the_message() -> None:
    async with a_script("", "") as relay:
        settings = relay.settings(security="starttls", username=USER, password=Secret(PASSWORD))
        [result] = await handed(settings, a_message())

        assert isinstance(result, Failed)
        assert [line.split()[0] for line in relay.heard] == ["EHLO"]
        assert relay.taken == []


async def test_a_wrong_password_is_a_fault_of_the_settings_and_is_not_shown(tmp_path: Path) -> None:
    told: list[str] = []
    async with a_relay(tmp_path) as relay:
        [result] = await handed(relay.settings(password=Secret("not-the-one")), a_message(), tell=told)

        assert result == Failed(why="it does not know us: the name or password is wrong (535)")
        assert "not-the-one" not in lines(told)
        assert relay.envelopes == []


def test_a_file_without_certificates_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "missing.pem"):
        settings = Smtp(host="relay.example", sender="a@contoso.example", ca_file=tmp_path / name)
        with pytest.raises(BadSettings, match=r"email\.relay\.ca_file"):
            SmtpRelay("relay", settings)


# What a relay may say. ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        "550 5.1.1 <ada@example.com>: no such user",
        "550 no such user",
        "553 5.1.3 bad",
        "552 5.2.2 mailbox full",
    ],
)
async def test_a_mailbox_that_is_not_there_is_refused_and_the_next_message_goes_on(
    tmp_path: Path, reply: str
) -> None:
    async with a_relay(tmp_path) as relay:
        relay.answers["gone@example.com"] = reply
        results = await handed(relay.settings(), a_message(to="gone@example.com"), a_message())

        assert isinstance(results[0], Refused)
        assert "@" not in results[0].why
        assert results[1] == Handed("Q1")
        assert len(relay.sessions) == 1


@pytest.mark.parametrize("reply", ["450 4.2.0 greylisted", "451 4.7.1 try later", "452 4.2.2 full for now"])
async def test_a_relay_that_says_not_now_is_asked_again_later(tmp_path: Path, reply: str) -> None:
    async with a_relay(tmp_path) as relay:
        relay.answers["ada@example.com"] = reply
        [result] = await handed(relay.settings(), a_message(to="ada@example.com"))

        assert isinstance(result, Failed)
        assert result.wait is not None
        assert not result.is_fault


async def test_an_address_that_a_relay_does_not_relay_to_is_left_to_another(tmp_path: Path) -> None:
    async with a_relay(tmp_path) as relay:
        relay.answers["ada@example.com"] = "554 5.7.1 relay access denied"
        [result] = await handed(relay.settings(), a_message(to="ada@example.com"))

        assert isinstance(result, Failed)
        assert (result.is_fault, result.for_good) == (False, True)


@pytest.mark.parametrize(
    ("reply", "for_good"),
    [("451 4.3.0 queue full", False), ("554 5.6.0 looks like spam", True), ("552 too large", True)],
)
async def test_a_message_that_was_refused_whole_was_certainly_not_sent(
    tmp_path: Path, reply: str, for_good: bool
) -> None:
    async with a_relay(tmp_path) as relay:
        relay.answers["DATA"] = reply
        [result] = await handed(relay.settings(), a_message())

        assert isinstance(result, Failed)
        assert (result.is_fault, result.for_good) == (False, for_good)


# What goes wrong. -----------------------------------------------------------------------------------


async def test_a_relay_that_is_down_has_sent_nothing() -> None:
    settings = Smtp(host="127.0.0.1", port=free_port(), security="none", sender="a@contoso.example")

    assert await handed(settings, a_message()) == [Failed(why="it refuses connections")]


@pytest.mark.proves("MSG-11")
@pytest.mark.parametrize("do", ["close", "silence", "421 4.3.2 shutting down"])
@pytest.mark.parametrize("at", ["connect", "EHLO", "MAIL", "RCPT", "DATA"])
async def test_what_goes_wrong_before_the_message_leaves_it_certainly_unsent(at: str, do: str) -> None:
    async with a_script(at, do) as relay:
        started = time.monotonic()
        [result] = await handed(relay.settings(), a_message())

        assert isinstance(result, Failed)
        assert relay.taken == []
        assert time.monotonic() - started < 3


@pytest.mark.proves("MSG-11")
@pytest.mark.parametrize("do", ["close", "silence"])
async def test_what_goes_wrong_after_the_message_leaves_it_unclear(do: str) -> None:
    async with a_script(".", do) as relay:
        [result] = await handed(relay.settings(), a_message())

        assert isinstance(result, Unclear)
        assert len(relay.taken) == 1


@pytest.mark.parametrize(("at", "kind"), [("connect", Failed), ("RCPT", Failed), (".", Unclear)])
async def test_the_answer_comes_in_the_time_there_is(at: str, kind: type[Result]) -> None:
    async with a_script(at, "silence") as relay:
        started = time.monotonic()
        [result] = await handed(relay.settings(timeout=20), a_message(), within=0.3)

        assert isinstance(result, kind)
        assert time.monotonic() - started < 2


async def test_a_connection_on_which_something_went_wrong_is_not_used_again() -> None:
    async with a_script(".", "451 4.3.0 later") as relay:
        await handed(relay.settings(), a_message(), a_message())
        assert relay.connections == 1
    async with a_script(".", "421 4.3.2 going down") as relay:
        await handed(relay.settings(), a_message(), a_message())
        assert relay.connections == 2


# What the operator may watch. -----------------------------------------------------------------------


async def test_the_conversation_can_be_watched_without_its_secrets(tmp_path: Path) -> None:
    told: list[str] = []
    async with a_relay(tmp_path) as relay:
        await handed(relay.settings(), a_message(code="55443322"), tell=told)

    said = lines(told)
    for line in (
        "… connecting to localhost",
        ">>> STARTTLS",
        "encrypted: TLSv1.3",
        ">>> RCPT TO:<ada@example.com>",
    ):
        assert line in said
    assert f">>> AUTH as {USER} (secret not shown)" in said
    assert "<<< 250 2.0.0 Ok: queued as Q1" in said
    assert PASSWORD not in said
    assert "55443322" not in said
