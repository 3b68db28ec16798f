"""A deployment that begins: nobody administers it until somebody shows the one token, and then one client does."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from genkan.service import demo
from tests.delivery.relays import a_relay
from tests.delivery.sockets import free_port
from tests.delivery.test_serve import APP, begun, certificate, ready, settings, stopped, stopped_again

pytestmark = pytest.mark.anyio

REGISTER = "/shop/oauth2/v2.0/register"
EVERYTHING = {"grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default"}


def genkan(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "genkan", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


async def register(http: httpx2.AsyncClient, token: str, **said: Any) -> httpx2.Response:
    return await http.post(REGISTER, headers={"authorization": f"Bearer {token}"}, json=said)


async def administers(http: httpx2.AsyncClient, **proof: str) -> list[str]:
    """The names of all applications, read with a token for this proof."""
    told = await http.post("/shop/oauth2/v2.0/token", data={**EVERYTHING, **proof})
    assert told.status_code == 200, told.text
    bearer = {"authorization": f"Bearer {told.json()['access_token']}"}
    listed = await http.get("/v1.0/applications", headers=bearer)
    assert listed.status_code == 200, listed.text
    return sorted(app["displayName"] for app in listed.json()["value"])


@pytest.mark.proves("ADM-01")
async def test_a_fresh_deployment_has_no_administrator_and_one_token_makes_one(tmp_path: Path) -> None:
    trust, tls = certificate(tmp_path)
    port = free_port()
    async with a_relay(tmp_path) as relay:
        environment = {**settings(tmp_path, relay, port), **tls}
        await stopped_again(environment)
        listed = genkan(environment, "app", "list", "--json").stdout.splitlines()
        assert [json.loads(one)["appId"] for one in listed] == [APP]
        assert json.loads(listed[0])["passwordCredentials"] == json.loads(listed[0])["permissions"] == []
        first = json.loads(genkan(environment, "tenant", "bootstrap", "--json").stdout)
        assert first["path"] == REGISTER
        process = await begun(environment)
        log = await ready(process)
        async with httpx2.AsyncClient(verify=trust, base_url=f"https://localhost:{port}") as http:
            for client in (
                APP,
                demo.ADMIN,
                "admin",
            ):  # Neither the one that is there nor one that somebody may expect.
                form = {**EVERYTHING, "client_id": client, "client_secret": "admin"}
                assert (await http.post("/shop/oauth2/v2.0/token", data=form)).status_code in (400, 401)
            none = await http.post(REGISTER, json={})
            assert (none.status_code, none.json()["error"]) == (401, "invalid_token")
            guess = await register(http, "guess")
            assert (guess.status_code, guess.json()["error"]) == (401, "invalid_token")
            assert guess.headers["www-authenticate"] == 'Bearer error="invalid_token"'

            answers = await asyncio.gather(  # Each over a connection of its own.
                *(register(http, first["token"], client_name=f"Desk {n}") for n in range(4))
            )
            (won,) = (answer for answer in answers if answer.status_code == 201)
            assert {answer.status_code for answer in answers if answer is not won} == {401}
            made = won.json()
            assert won.headers["cache-control"] == "no-store"
            assert made["client_secret_expires_at"] > made["client_id_issued_at"]
            proof = {name: made[name] for name in ("client_id", "client_secret")}
            assert await administers(http, **proof) == [made["client_name"], "Shop"]
            assert (await register(http, first["token"])).status_code == 401
        log += await stopped(process)
        for secret in (first["token"], made["client_secret"]):
            assert secret not in log
        again = genkan(environment, "tenant", "bootstrap")
        assert again.returncode == 1
        assert again.stderr.startswith(f"Error: {made['client_name']} administers this tenant already.")


@pytest.mark.proves("ADM-01")
async def test_the_first_administrator_may_have_a_certificate_and_never_a_secret(tmp_path: Path) -> None:
    trust, tls = certificate(tmp_path)
    port, apart = free_port(), free_port()
    key = ec.generate_private_key(ec.SECP256R1())
    async with a_relay(tmp_path) as relay:
        environment = {
            **settings(tmp_path, relay, port),
            **tls,
            "GENKAN_ADMINISTRATION": f"127.0.0.1:{apart}",
            "GENKAN_ADMINISTRATION_URL": f"https://localhost:{apart}",
        }
        await stopped_again(environment)
        token = json.loads(genkan(environment, "tenant", "bootstrap", "--json").stdout)["token"]
        process = await begun(environment)
        await ready(process)
        shown = {
            "token_endpoint_auth_method": "private_key_jwt",
            "jwks": {"keys": [{"kty": "EC", "x5c": [certified(key)]}]},
        }
        try:
            async with httpx2.AsyncClient(verify=trust, base_url=f"https://localhost:{port}") as http:
                assert (
                    await register(http, token, **shown)
                ).status_code == 404  # It is where administration is.
            async with httpx2.AsyncClient(verify=trust, base_url=f"https://localhost:{apart}") as http:
                for bad in (
                    {"token_endpoint_auth_method": "private_key_jwt"},
                    {"jwks": shown["jwks"]},
                    {"token_endpoint_auth_method": "none"},
                    {"grant_types": ["authorization_code"]},
                    {**shown, "jwks": {"keys": [{"x5c": ["AAAA"]}]}},
                    {**shown, "jwks": {"keys": [{"x5c": [certified(key, timedelta(days=-1))]}]}},
                    {
                        **shown,
                        "jwks": {"keys": [{"x5c": [certified(ec.generate_private_key(ec.SECP384R1()))]}]},
                    },
                    {"client_name": ""},
                ):
                    refused = await register(http, token, **bad)
                    assert (refused.status_code, refused.json()["error"]) == (
                        400,
                        "invalid_client_metadata",
                    ), bad
                made = await register(http, token, **shown)  # What could not be read has not used it up.
                assert made.status_code == 201, made.text
                assert "client_secret" not in made.json()
                client = made.json()["client_id"]
                now = int(datetime.now(UTC).timestamp())
                claims = {
                    "iss": client,
                    "sub": client,
                    "aud": f"https://localhost:{port}/shop/oauth2/v2.0/token",
                    "jti": uuid4().hex,
                    "exp": now + 60,
                }
                assertion = jwt.encode(claims, key, algorithm="ES256")
                proof = {
                    "client_id": client,
                    "client_assertion": assertion,
                    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                }
                assert await administers(http, **proof) == ["Administration", "Shop"]
        finally:
            await stopped(process)


def certified(key: ec.EllipticCurvePrivateKey, lasts: timedelta = timedelta(days=1)) -> str:
    """A certificate of a key, as `x5c` has it."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "desk")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + lasts)
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(serialization.Encoding.DER)).decode()
