"""The page that the how-to shows, in a real browser with its own authenticators: another mind's WebAuthn than ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, CDPSession, Page

from genkan.service.demo import SECURITY_INFO_SCOPE
from tests.browser import sdk
from tests.browser.sdk import Chromium
from tests.docs.test_how_to import ROOT, blocks
from tests.wire import strict
from tests.wire.journeys import OPENID, PASSWORD, account_by_password, first_factor_by_password
from tests.wire.servers import StrictServer, real_server

pytestmark = pytest.mark.browser

HOW_TO = ROOT / "docs/how-to/sign-in-with-a-passkey.md"
REFUSED = ("invalid_grant", "invalid_assertion")


@pytest.fixture(scope="module")
def genkan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictServer]:
    with real_server(tmp_path_factory.mktemp("genkan") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("page")
    (script,) = blocks(HOW_TO, "js")
    (folder / "passkeys.js").write_text(script, encoding="utf-8")
    (folder / "index.html").write_text("<!doctype html><title>Shop</title>", encoding="utf-8")
    with sdk.site(folder) as found:
        yield found


class Person:
    """Somebody at a browser, with an authenticator."""

    def __init__(self, chromium: Chromium, server: StrictServer, port: int, **options: Any) -> None:
        self.chromium, self.server = chromium, server
        self.address = account_by_password(server)
        self.context: BrowserContext
        self.page: Page
        self.devtools: CDPSession
        self.authenticator = ""
        chromium.wait(self._open(f"http://localhost:{port}/", options))

    async def _open(self, url: str, options: dict[str, Any]) -> None:
        browser = self.chromium._browser
        assert browser is not None
        self.context = await browser.new_context()
        self.page = await self.context.new_page()
        await self.page.goto(url)
        self.devtools = await self.context.new_cdp_session(self.page)
        await self.devtools.send("WebAuthn.enable")
        given = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
            **options,
        }
        added = await self.devtools.send("WebAuthn.addVirtualAuthenticator", {"options": given})
        self.authenticator = added["authenticatorId"]

    def close(self) -> None:
        self.chromium.wait(self.context.close())

    def tell(self, method: str, **parameters: Any) -> Any:
        """Say something to the authenticator."""
        said = {"authenticatorId": self.authenticator, **parameters}
        return self.chromium.wait(self.devtools.send(f"WebAuthn.{method}", said))

    def does(self, call: str, *arguments: str, before: str = "") -> dict[str, Any]:
        """What a method of the page's class comes back with."""
        script = f"""async ([authority, client, ...given]) => {{
            const {{ Genkan }} = await import("/passkeys.js");
            {before}
            return new Genkan(authority, client).{call}(...given);
        }}"""
        given = [f"{self.server.base}/dev", self.server.password_app, *arguments]
        answer: dict[str, Any] = self.chromium.wait(self.page.evaluate(script, given))
        return answer

    def registers(self) -> dict[str, Any]:
        asked = first_factor_by_password(self.server, self.address, f"openid {SECURITY_INFO_SCOPE}")
        return self.does("register", asked.ok()["access_token"], "Laptop")

    def signs_in(self, before: str = "") -> dict[str, Any]:
        return self.does("signIn", self.address, before=before)


def refusal(answer: dict[str, Any]) -> tuple[str, str]:
    return answer.get("error", ""), answer.get("suberror", "")


PLATFORM: dict[str, Any] = {}
SYNCED = {"defaultBackupEligibility": True, "defaultBackupState": True}
KEY = {"transport": "usb", "hasResidentKey": False}


@pytest.mark.proves("WAN-01", "WAN-03", "WAN-07")
@pytest.mark.parametrize(
    ("options", "anchor", "roaming"),
    [(PLATFORM, True, False), (SYNCED, False, False), (KEY, True, True)],
    ids=["a platform's", "a synced one", "a key that lists nothing by itself"],
)
def test_the_page_of_the_how_to_registers_a_passkey_and_signs_in_with_it(
    chromium: Chromium, genkan: StrictServer, port: int, options: dict[str, Any], anchor: bool, roaming: bool
) -> None:
    person = Person(chromium, genkan, port, **options)
    made = person.registers()
    tokens = [person.signs_in() for _ in range(2)]
    person.close()

    assert (made["anchor"], made["security_key"], made["name"]) == (anchor, roaming, "Laptop")
    for one in tokens:
        assert strict.jwt(one["id_token"])[1]["amr"] == ["pop", "user", "mfa"], one


@pytest.mark.proves("WAN-02")
def test_whoever_is_not_verified_goes_on_by_password(
    chromium: Chromium, genkan: StrictServer, port: int
) -> None:
    person = Person(chromium, genkan, port)
    person.registers()
    person.tell("setUserVerified", isUserVerified=False)
    instead = person.signs_in()
    person.close()

    assert instead["challenge_type"] == "password", instead
    genkan.post(
        strict.TOKEN,
        client_id=genkan.password_app,
        continuation_token=instead["continuation_token"],
        grant_type="password",
        password=PASSWORD,
        scope=OPENID,
    ).ok()


@pytest.mark.proves("WAN-02")
def test_a_page_that_asks_for_no_verification_gets_no_tokens(
    chromium: Chromium, genkan: StrictServer, port: int
) -> None:
    person = Person(chromium, genkan, port)
    person.registers()
    person.tell("setUserVerified", isUserVerified=False)
    careless = """
        const sign = Genkan.prototype.sign;
        Genkan.prototype.sign = function (o) { return sign.call(this, { ...o, userVerification: "discouraged" }); };
    """
    answer = person.signs_in(before=careless)
    person.close()

    assert refusal(answer) == REFUSED, answer


@pytest.mark.proves("WAN-04")
def test_a_copy_whose_counter_is_behind_gets_no_tokens(
    chromium: Chromium, genkan: StrictServer, port: int
) -> None:
    person = Person(chromium, genkan, port)
    person.registers()
    (early,) = person.tell("getCredentials")["credentials"]
    assert "access_token" in person.signs_in()
    person.tell("clearCredentials")
    person.tell("addCredential", credential={**early, "signCount": 0})
    cloned = person.signs_in()
    person.tell("clearCredentials")
    person.tell("addCredential", credential={**early, "signCount": 90})
    ahead = person.signs_in()
    person.close()

    assert refusal(cloned) == REFUSED, cloned
    assert "access_token" in ahead


@pytest.mark.proves("WAN-06")
def test_whoever_has_none_is_asked_alike_and_goes_on_by_password(
    chromium: Chromium, genkan: StrictServer, port: int
) -> None:
    person = Person(chromium, genkan, port)
    instead = person.signs_in()
    person.close()

    assert instead["challenge_type"] == "password", instead


@pytest.mark.proves("WAN-05")
def test_what_an_authenticator_keeps_of_a_person_is_no_name_that_others_know(
    chromium: Chromium, genkan: StrictServer, port: int
) -> None:
    person = Person(chromium, genkan, port)
    person.registers()
    (kept,) = person.tell("getCredentials")["credentials"]
    person.close()

    handle = base64.b64decode(kept["userHandle"])
    assert len(handle) == 32
    assert person.address.encode() not in handle
    assert kept["rpId"] == "localhost"
    assert json.dumps(kept["isResidentCredential"]) == "true"
