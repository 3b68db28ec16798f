"""`genkan doctor`: what an operator reads when all is well, and when something is not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from genkan.delivery import doctor
from genkan.delivery.doctor import Finding
from genkan.model import Secret
from genkan.settings import BadSettings, Settings
from tests.delivery.apis import NOW, SECRET, serving, vonage, vonage_settings
from tests.delivery.relays import PASSWORD, USER, Relay, a_relay
from tests.delivery.sockets import free_port

pytestmark = pytest.mark.anyio

ALL_RECORDS = {
    "contoso.example.": "v=spf1 include:relay.example -all",
    "_dmarc.contoso.example.": "v=DMARC1; p=reject",
    "s1._domainkey.contoso.example.": "v=DKIM1; k=rsa; p=MIIB",
}


class _Names(asyncio.DatagramProtocol):
    """A name server of a few TXT records."""

    def __init__(self, records: Mapping[str, str]) -> None:
        self._records = records

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        asked = dns.message.from_wire(data)
        name = asked.question[0].name.to_text()
        answer = dns.message.make_response(asked)
        if name in self._records:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", f'"{self._records[name]}"'))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), address)


@asynccontextmanager
async def names(records: Mapping[str, str]) -> AsyncIterator[dns.resolver.Resolver]:
    """Somebody to ask for these records alone."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Names(records), local_addr=("127.0.0.1", 0))
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = transport.get_extra_info("sockname")[1]
    try:
        yield resolver
    finally:
        transport.close()


async def examined(settings: Settings, records: Mapping[str, str]) -> tuple[bool, list[Finding]]:
    found: list[Finding] = []
    async with names(records) as resolver:
        is_well = await doctor.examine(settings, lambda: NOW, found.append, resolver=resolver)
    return is_well, found


def texts(found: list[Finding], kind: str) -> str:
    return "\n".join(f.text for f in found if f.kind == kind)


@pytest.mark.proves("MSG-13")
async def test_when_all_is_well_it_says_so_and_sends_nothing(tmp_path: Path) -> None:
    async with a_relay(tmp_path) as relay, serving(vonage) as server:
        settings = Settings(
            email={"relay": relay.settings(dkim_selector="s1")}, sms={"text": vonage_settings(server)}
        )
        is_well, found = await examined(settings, ALL_RECORDS)

        assert is_well, found
        assert "relay: it answers and lets us in; encrypted: TLSv1.3" in texts(found, "good")
        for name in ("SPF", "DMARC", "DKIM (s1)"):
            assert f"{name}: published" in texts(found, "good")
        assert (relay.envelopes, server.requests) == ([], [])


@pytest.mark.proves("MSG-13")
@pytest.mark.parametrize("missing", ALL_RECORDS)
async def test_a_record_that_mailboxes_look_up_and_do_not_find_is_named(tmp_path: Path, missing: str) -> None:
    async with a_relay(tmp_path) as relay, serving(vonage) as server:
        settings = Settings(
            email={"relay": relay.settings(dkim_selector="s1")}, sms={"text": vonage_settings(server)}
        )
        records = {name: text for name, text in ALL_RECORDS.items() if name != missing}
        is_well, found = await examined(settings, records)

        assert not is_well
        assert missing.rstrip(".") in texts(found, "bad")


async def test_what_cannot_be_looked_up_is_no_reason_to_worry(tmp_path: Path) -> None:
    nobody = dns.resolver.Resolver(configure=False)
    nobody.nameservers, nobody.port = ["127.0.0.1"], free_port()
    found: list[Finding] = []
    async with a_relay(tmp_path) as relay, serving(vonage) as server:
        settings = Settings(email={"relay": relay.settings()}, sms={"text": vonage_settings(server)})
        assert await doctor.examine(settings, lambda: NOW, found.append, resolver=nobody)

    assert "cannot be looked up from here" in texts(found, "note")


async def test_a_relay_that_does_not_let_us_in_is_named_with_the_conversation(tmp_path: Path) -> None:
    async with a_relay(tmp_path) as relay:
        settings = Settings(email={"relay": relay.settings(password=Secret("not-the-one"))})
        is_well, found = await examined(settings, ALL_RECORDS)

    assert not is_well
    assert "relay: it does not know us: the name or password is wrong (535)" in texts(found, "bad")
    assert ">>> STARTTLS" in texts(found, "heard")
    assert "not-the-one" not in str(found)


async def test_a_channel_without_a_provider_is_named() -> None:
    is_well, found = await examined(Settings(), {})

    assert not is_well
    assert texts(found, "bad").splitlines() == [
        "no provider is set: nobody gets e-mail",
        "no provider is set: nobody gets text messages",
    ]


async def test_a_test_message_goes_by_each_provider_or_by_the_one_that_is_named(tmp_path: Path) -> None:
    async with a_relay(tmp_path) as relay:
        settings = Settings(email={"a": relay.settings(), "b": relay.settings()})
        found: list[Finding] = []
        for only, sent in ((None, 2), ("b", 3)):
            assert await doctor.send_test(settings, lambda: NOW, "you@example.com", only, found.append)
            assert len(relay.letters) == sent
        assert relay.letters[0]["Subject"] == "Test message from Genkan"
        assert "handed to b, which calls it Q3" in texts(found, "good")


@pytest.mark.parametrize(
    ("to", "only"),
    [("you@example.com", "elsewhere"), ("+447812345678", None), ("0781 234", None), ("you@", None)],
)
async def test_what_cannot_be_tried_is_said_in_one_sentence(
    tmp_path: Path, to: str, only: str | None
) -> None:
    async with a_relay(tmp_path) as relay:
        with pytest.raises(BadSettings) as said:
            await doctor.send_test(
                Settings(email={"a": relay.settings()}), lambda: NOW, to, only, lambda _: None
            )

    assert str(said.value).endswith(".")


# As it is typed. ------------------------------------------------------------------------------------


async def typed(environment: Mapping[str, str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, output and errors of a real `genkan doctor`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "genkan",
        "doctor",
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("GENKAN_")}, **environment},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def environment(relay: Relay) -> dict[str, str]:
    return {
        "GENKAN_EMAIL_RELAY_HOST": "localhost",
        "GENKAN_EMAIL_RELAY_PORT": str(relay.port),
        "GENKAN_EMAIL_RELAY_CA_FILE": str(relay.ca_file),
        "GENKAN_EMAIL_RELAY_USERNAME": USER,
        "GENKAN_EMAIL_RELAY_PASSWORD": PASSWORD,
        "GENKAN_EMAIL_RELAY_SENDER": "no-reply@contoso.example",
    }


async def test_a_test_message_and_its_conversation_are_shown_and_no_secret_is(tmp_path: Path) -> None:
    async with a_relay(tmp_path) as relay:
        status, out, err = await typed(environment(relay), "--to", "you@example.com")

        assert (status, err) == (0, "")
        assert "A test message to you@example.com by relay" in out
        assert "    >>> RCPT TO:<you@example.com>" in out
        assert "  ✓ handed to relay, which calls it Q1. Now see whether it arrives." in out
        assert out.endswith("All is well.\n")
        assert PASSWORD not in out
        assert len(relay.envelopes) == 1


async def test_the_effective_settings_are_shown_with_secrets_masked(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    config = tmp_path / "genkan.toml"
    config.write_text(
        f'[sms.text]\nkind = "vonage"\napi_key = "k"\nsender = "Contoso"\nsecret_file = "{tmp_path}/secret"\n'
    )
    async with a_relay(tmp_path, "none") as relay:  # of which no name server is asked
        told = {**environment(relay), "GENKAN_EMAIL_RELAY_SECURITY": "none", "GENKAN_CONFIG": str(config)}
        del told["GENKAN_EMAIL_RELAY_CA_FILE"]
        status, out, err = await typed(told)

        assert (status, err) == (0, "")
        assert [line.split() for line in out.splitlines() if ".secret" in line or ".password" in line] == [
            ["email.relay.password", "(set)"],
            ["sms.text.secret", "(set)"],
        ]
        assert PASSWORD not in out
        assert SECRET not in out
        assert relay.envelopes == []


async def test_a_mistake_is_said_in_one_sentence_without_a_traceback(tmp_path: Path) -> None:
    config = tmp_path / "genkan.toml"
    config.write_text('[email.relay]\npassword = "oops"\n')

    status, out, err = await typed({}, "--config", str(config))

    assert (status, out) == (1, "")
    assert err.startswith("Error: The settings file holds a secret, email.relay.password.")
    assert "Traceback" not in err
    assert "oops" not in err
