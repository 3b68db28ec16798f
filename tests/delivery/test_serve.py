"""`genkan serve`: a real process over real TLS, whose codes leave by a real relay; and what it refuses to run with."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import trustme
from click.testing import CliRunner

from genkan import bootstrap
from genkan.cli import main
from genkan.engine.messages import Deliver
from genkan.engine.transaction import Change, Needs
from genkan.model import Channel, Message, Secret
from genkan.settings import Settings, Smtp
from tests.delivery.apis import Request, Server, serving, twilio, twilio_settings
from tests.delivery.relays import PASSWORD, USER, Relay, a_relay, a_script
from tests.delivery.sockets import free_port

pytestmark = pytest.mark.anyio

TENANT, APP = "bbbbbbbb-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-0000000000a1"

SEED = f"""
[tenant]
id = "{TENANT}"
name = "shop"
aliases = ["shop.onmicrosoft.com"]
brand = {{ name = "Contoso", language = "de" }}

[[apps]]
id = "{APP}"
name = "Shop"
origins = ["https://shop.example.com"]
"""


def certificate(folder: Path) -> tuple[ssl.SSLContext, dict[str, str]]:
    """Whom a client trusts, and the settings of a server that it does."""
    authority = trustme.CA()
    own = authority.issue_cert("localhost", "127.0.0.1")
    own.private_key_pem.write_to_path(folder / "server.key")
    (folder / "server.pem").write_bytes(b"".join(blob.bytes() for blob in own.cert_chain_pems))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context, {
        "GENKAN_CERTIFICATE": str(folder / "server.pem"),
        "GENKAN_PRIVATE_KEY": str(folder / "server.key"),
    }


def settings(folder: Path, relay: Relay | None, port: int) -> dict[str, str]:
    (folder / "shop.toml").write_text(SEED)
    environment = {
        "GENKAN_DATA": str(folder / "data"),
        "GENKAN_SEED": str(folder / "shop.toml"),
        "GENKAN_HOST": "127.0.0.1",
        "GENKAN_PORT": str(port),
        "GENKAN_URL": f"https://localhost:{port}",
        "GENKAN_HASHING_WORKERS": "1",
    }
    if relay is not None:
        environment |= {
            "GENKAN_EMAIL_RELAY_HOST": "localhost",
            "GENKAN_EMAIL_RELAY_PORT": str(relay.port),
            "GENKAN_EMAIL_RELAY_CA_FILE": str(relay.ca_file),
            "GENKAN_EMAIL_RELAY_USERNAME": USER,
            "GENKAN_EMAIL_RELAY_PASSWORD": PASSWORD,
            "GENKAN_EMAIL_RELAY_SENDER": "no-reply@contoso.example",
        }
    return environment


async def begun(environment: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "genkan",
        "serve",
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("GENKAN_")}, **environment},
    )


async def ready(process: asyncio.subprocess.Process) -> str:
    """What it has logged until it serves."""
    assert process.stderr is not None
    lines = ""
    while "serve.ready" not in lines:
        line = (await process.stderr.readline()).decode()
        assert line, lines
        lines += line
    return lines


async def stopped(process: asyncio.subprocess.Process) -> str:
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert process.returncode == -signal.SIGTERM, (
        errors
    )  # as the server raises again what has asked it to stop
    return errors.decode()


async def mailed(relay: Relay, number: int) -> str:
    """The code of the newest of so many e-mails."""
    for _ in range(500):
        if len(relay.letters) >= number:
            break
        await asyncio.sleep(0.02)
    plain = relay.letters[-1].get_body(("plain",))
    assert plain is not None
    found = re.search(r"^    (\d{8})\r?$", plain.get_content(), re.MULTILINE)
    assert found is not None
    return found[1]


async def test_somebody_signs_up_by_a_code_that_left_by_the_relay_and_gets_tokens(tmp_path: Path) -> None:
    trust, tls = certificate(tmp_path)
    port = free_port()
    async with a_relay(tmp_path) as relay:
        process = await begun({**settings(tmp_path, relay, port), **tls})
        log = await ready(process)
        async with httpx2.AsyncClient(verify=trust, base_url=f"https://localhost:{port}/shop") as http:

            async def post(path: str, **form: str) -> dict[str, str]:
                answer = await http.post(path, data={"client_id": APP, **form})
                assert answer.status_code == 200, answer.text
                return dict(answer.json())

            start = await post(
                "/signup/v1.0/start", username="ada@example.com", challenge_type="oob redirect"
            )
            sent = await post("/signup/v1.0/challenge", continuation_token=start["continuation_token"])
            code = await mailed(relay, 1)
            done = await post(
                "/signup/v1.0/continue",
                continuation_token=sent["continuation_token"],
                grant_type="oob",
                oob=code,
            )
            tokens = await post(
                "/oauth2/v2.0/token",
                continuation_token=done["continuation_token"],
                grant_type="continuation_token",
                scope="openid",
            )
            assert tokens["id_token"]
            found = (await http.get("/v2.0/.well-known/openid-configuration")).json()
            assert found["issuer"].startswith(f"https://localhost:{port}/")
            for path in ("/dev/inbox/messages", "/dev/inbox", "/dev/clock", "/dev/world", "/", "/connect"):
                answer = await http.get(f"https://localhost:{port}{path}")
                assert answer.status_code in (400, 404), path
        log += await stopped(process)

    assert relay.letters[0]["Subject"] == "Ihr Registrierungscode für Contoso"
    assert relay.encrypted == [True]
    for secret in (code, PASSWORD, "ada@example.com"):
        assert secret not in log


@pytest.mark.proves("ENR-04", "SSPR-06")
async def test_a_report_leaves_by_the_relay_with_a_link_to_the_page_that_is_served(tmp_path: Path) -> None:
    trust, tls = certificate(tmp_path)
    port = free_port()
    page = f"https://localhost:{port}/shop/lost-device"
    async with a_relay(tmp_path) as relay:
        process = await begun({**settings(tmp_path, relay, port), **tls})
        log = await ready(process)
        async with httpx2.AsyncClient(verify=trust, base_url=f"https://localhost:{port}/shop") as http:

            async def post(path: str, **form: str) -> Any:
                return (await http.post(path, data={"client_id": APP, **form})).json()

            told = {"username": "ada@example.com", "challenge_type": "oob redirect"}
            token = (await post("/signup/v1.0/start", **told))["continuation_token"]
            token = (await post("/signup/v1.0/challenge", continuation_token=token))["continuation_token"]
            given = {"continuation_token": token, "grant_type": "oob", "oob": await mailed(relay, 1)}
            assert "continuation_token" in await post("/signup/v1.0/continue", **given)
            looked = await http.get(
                page, headers={"host": f"localhost:{port}", "x-forwarded-host": "evil.example"}
            )
            reported = await http.post(
                "/emergency/v1.0/report", json={"client_id": APP, "username": "ada@example.com"}
            )
            assert reported.status_code == 202
            for _ in range(500):
                if len(relay.letters) >= 2:
                    break
                await asyncio.sleep(0.02)
            plain = relay.letters[-1].get_body(("plain",))
            assert plain is not None
            link = next(x for x in plain.get_content().splitlines() if x.startswith(f"{page}?link="))
            opened = await http.get(link)
        log += await stopped(process)

    assert looked.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
    assert "evil.example" not in looked.text
    assert "Ihr Gerät ist verloren" in looked.text
    assert "Eine Sicherheitssperre für Ihr Konto setzen?" in opened.text
    assert link.partition("=")[2] in opened.text, "for the button"
    assert link.partition("=")[2] not in log
    assert relay.letters[-1]["Subject"] == "Jemand hat gemeldet, dass Ihr Gerät verloren ist"


async def test_the_seed_is_read_once_and_what_there_is_stays(tmp_path: Path) -> None:
    _, tls = certificate(tmp_path)
    async with a_relay(tmp_path) as relay:
        environment = {**settings(tmp_path, relay, free_port()), **tls}
        await stopped_again(environment)
        (tmp_path / "shop.toml").write_text(SEED.replace('"Shop"', '"Another name"'))
        await stopped_again(environment)
        del environment["GENKAN_SEED"]
        await stopped_again(environment)


async def stopped_again(environment: Mapping[str, str]) -> None:
    process = await begun(environment)
    await ready(process)
    await stopped(process)


async def test_requests_are_answered_at_once_while_the_relay_says_nothing(tmp_path: Path) -> None:
    trust, tls = certificate(tmp_path)
    port = free_port()
    async with a_script("connect", "silence") as relay:
        environment = {
            **settings(tmp_path, None, port),
            **tls,
            "GENKAN_EMAIL_RELAY_HOST": "127.0.0.1",
            "GENKAN_EMAIL_RELAY_PORT": str(relay.port),
            "GENKAN_EMAIL_RELAY_SECURITY": "none",
            "GENKAN_EMAIL_RELAY_SENDER": "no-reply@contoso.example",
        }
        process = await begun(environment)
        await ready(process)
        async with httpx2.AsyncClient(
            verify=trust, base_url=f"https://localhost:{port}/shop", timeout=5
        ) as http:
            for n in range(15):
                form = {"client_id": APP, "username": f"p{n}@example.com", "challenge_type": "oob redirect"}
                start = (await http.post("/signup/v1.0/start", data=form)).json()
                form = {"client_id": APP, "continuation_token": start["continuation_token"]}
                answer = await http.post("/signup/v1.0/challenge", data=form)
                assert answer.status_code == 200
                assert answer.elapsed.total_seconds() < 2
        process.kill()
        await process.communicate()


@pytest.mark.proves("MSG-14")
async def test_a_provider_reports_what_became_of_a_text_and_the_figures_say_it(tmp_path: Path) -> None:
    """From the outbox to the provider, from its signed report to `genkan logs messages`; a GET changes nothing."""
    (tmp_path / "shop.toml").write_text(SEED)
    async with serving(twilio) as api:
        served = Settings(
            data=tmp_path / "data",
            seed=tmp_path / "shop.toml",
            url="https://login.example.com",
            trusted_proxies="127.0.0.1",
            hashing_workers=1,
            email={"relay": Smtp(host="localhost", sender="no-reply@example.com")},
            sms={"twilio": twilio_settings(api, receipt_secret=Secret("auth token"))},
        )
        production = bootstrap.Production(served)
        await production._start()
        try:
            (tenant,) = production._tenants
            now = production._clock.now()
            message = Message(
                id=str(uuid4()),
                channel=Channel.SMS,
                to="+447812345678",
                purpose="mfa",
                code=Secret("12345678"),
                correlation_id=str(uuid4()),
                created_at=now,
                expires_at=now + timedelta(minutes=5),
            )
            await tenant.store.run(Needs(), lambda _: (Change(effects=(Deliver(message),)), None))
            tenant.wake()
            url = (await asked_of(api)).form["StatusCallback"]
            form = {"MessageSid": "SM1", "MessageStatus": "delivered"}
            signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
            digest = base64.b64encode(hmac.digest(b"auth token", signed.encode(), "sha1")).decode()
            transport = httpx2.ASGITransport(app=production.app)
            async with httpx2.AsyncClient(transport=transport) as http:
                looked = [(await http.request(method, url)).status_code for method in ("GET", "HEAD")]
                forged = await http.post(url, data=form, headers={"x-twilio-signature": "forged"})
                before = [row.record.action for row in await tenant.store.trail()]
                told = await http.post(url, data=form, headers={"x-twilio-signature": digest})
            after = [row.record for row in await tenant.store.trail()]
        finally:
            await production._stop()

    assert url.startswith("https://login.example.com/delivery/receipts/twilio?tenant=")
    assert (looked, forged.status_code, told.status_code) == ([405, 405], 403, 204)
    assert before == ["message:sent"]
    assert [(r.action, r.correlation_id) for r in after] == [
        ("message:sent", message.correlation_id),
        ("message:delivered", message.correlation_id),
    ]
    listed = await asyncio.to_thread(
        CliRunner().invoke, main, ["logs", "messages", "--data", str(tmp_path / "data")]
    )
    assert re.search(r"sms +twilio +\+44 +1 +1 +0 +0 \(0 %\) +0 +0 +0", listed.output), listed.output


async def asked_of(api: Server) -> Request:
    """What the provider was asked first."""
    for _ in range(500):
        if api.requests:
            await asyncio.sleep(0.05)  # and has been settled
            return api.requests[0]
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was asked")


@pytest.mark.proves("MSG-15")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"GENKAN_EMAIL_RELAY_HOST": None, "GENKAN_EMAIL_RELAY_SENDER": None}, "No mail relay is set"),
        ({"GENKAN_URL": None}, "GENKAN_URL="),
        ({"GENKAN_URL": "http://login.example.com"}, "GENKAN_URL cannot be used"),
        ({"GENKAN_URL": "https://login.example.com/path"}, "GENKAN_URL cannot be used"),
        ({}, "Nobody ends TLS"),
        ({"GENKAN_TLS": "true"}, "GENKAN_TLS is for genkan dev"),
        ({"GENKAN_CERTIFICATE": "/nowhere", "GENKAN_PRIVATE_KEY": "/nowhere"}, "/nowhere is not there"),
        ({"GENKAN_CERTIFICATE": "/nowhere"}, "GENKAN_PRIVATE_KEY cannot be used"),
        ({"GENKAN_SEED": None, "GENKAN_TRUSTED_PROXIES": "127.0.0.1"}, "There is no tenant"),
        ({"GENKAN_SEED": "/nowhere", "GENKAN_TRUSTED_PROXIES": "127.0.0.1"}, "cannot be read"),
    ],
)
async def test_it_does_not_start_with_what_nobody_should_run_with(
    tmp_path: Path, changes: dict[str, str | None], said: str
) -> None:
    environment: dict[str, str | None] = {
        **settings(tmp_path, None, free_port()),
        "GENKAN_EMAIL_RELAY_HOST": "smtp.example.com",
        "GENKAN_EMAIL_RELAY_SENDER": "no-reply@example.com",
    }
    given = {name: value for name, value in (environment | changes).items() if value is not None}
    process = await begun(given)
    out, errors = await process.communicate()

    last = errors.decode().strip().splitlines()[-1]
    assert (process.returncode, out) == (1, b"")
    assert last.startswith("Error: ")
    assert said in last
    assert "Traceback" not in errors.decode()


def test_the_tenant_on_the_page_can_be_used_as_it_stands(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/run-in-production.md").read_text()
    [block] = re.findall(r"```toml\n(\[tenant\].*?)```", page, re.DOTALL)
    (tmp_path / "shop.toml").write_text(block)

    seed = bootstrap._seed(tmp_path / "shop.toml")

    assert (seed.tenant.name, seed.apps[0].name, seed.apis[0].uri) == ("shop", "Contoso Shop", "api://orders")


@pytest.mark.parametrize("name", ["dev", "admin", "a b", "ä", "a/b", ""])
async def test_a_seed_cannot_take_a_name_that_is_genkans(tmp_path: Path, name: str) -> None:
    environment = {
        **settings(tmp_path, None, free_port()),
        "GENKAN_EMAIL_RELAY_HOST": "smtp.example.com",
        "GENKAN_EMAIL_RELAY_SENDER": "no-reply@example.com",
        "GENKAN_TRUSTED_PROXIES": "127.0.0.1",
    }
    (tmp_path / "shop.toml").write_text(SEED.replace('name = "shop"', f'name = "{name}"'))
    process = await begun(environment)
    _, errors = await process.communicate()

    assert process.returncode == 1
    assert "names its tenant" in errors.decode()


def an_administrator(environment: Mapping[str, str]) -> dict[str, str]:
    """What an application that may read people asks for a token with."""

    def genkan(*words: str) -> Any:
        said = subprocess.run(
            [sys.executable, "-m", "genkan", *words],
            env={**os.environ, **environment},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        return json.loads(said) if "--json" in words else None

    made = genkan("app", "create", "Desk", "--json")
    secret = genkan("app", "add-secret", "Desk", "--json")
    genkan("app", "grant", "Desk", "User.Read.All")
    return {
        "grant_type": "client_credentials",
        "client_id": made["appId"],
        "client_secret": secret["secretText"],
        "scope": "https://graph.microsoft.com/.default",
    }


@pytest.mark.proves("ADM-09")
async def test_administration_is_served_at_its_own_address_alone(tmp_path: Path) -> None:
    """Whatever a request says of itself: of its host, or of whom it is forwarded for."""
    verify, tls = certificate(tmp_path)
    port, apart = free_port(), free_port()
    async with a_relay(tmp_path) as relay:
        environment = {
            **settings(tmp_path, relay, port),
            **tls,
            "GENKAN_ADMINISTRATION": f"127.0.0.1:{apart}",
            "GENKAN_ADMINISTRATION_URL": f"https://localhost:{apart}",
        }
        await stopped_again(environment)
        desk = an_administrator(environment)
        process = await begun(environment)
        await ready(process)
        try:
            async with httpx2.AsyncClient(verify=verify) as client:
                told = await client.post(f"https://localhost:{port}/shop/oauth2/v2.0/token", data=desk)
                bearer = {"authorization": f"Bearer {told.json()['access_token']}"}
                listed = await client.get(f"https://localhost:{apart}/v1.0/users", headers=bearer)
                assert listed.status_code == 200, listed.text
                assert listed.json()["@odata.context"].startswith(f"https://localhost:{apart}/v1.0/")
                refused = await client.get(f"https://localhost:{port}/v1.0/users", headers=bearer)
                assert refused.status_code == 404
                for path in ("/v1.0/users", "/beta/users", "/V1.0/users", "//v1.0//users", "/v1.0/"):
                    url = f"https://localhost:{port}{path}"
                    for headers in (
                        {},
                        {"host": f"localhost:{apart}"},
                        {"x-forwarded-port": str(apart), "x-forwarded-host": f"localhost:{apart}"},
                        {"authorization": "Bearer x"},
                    ):
                        answer = await client.get(url, headers=headers)
                        assert answer.status_code == 404, (path, headers)
                        assert answer.json()["error"] == "not_found"
                here = await client.get(f"https://localhost:{apart}/v1.0/users")
                assert (here.status_code, here.json()["error"]["code"]) == (
                    401,
                    "InvalidAuthenticationToken",
                )
                for path in ("/metrics", "/debug", "/debug/pprof", "/dev/inbox", "/dev/clock", "/admin"):
                    answer = await client.get(f"https://localhost:{port}{path}")
                    assert answer.status_code in (400, 404), path
        finally:
            await stopped(process)
