"""The page for lost devices in a real browser: without a script, by keyboard alone, on a small screen, with a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from genkan.service.demo import SECURITY_INFO_SCOPE
from tests.console.visit import NARROW, ROOT, WIDE, Visit
from tests.server import Server, first_factor_by_code, new_address, sign_up_by_code

PICTURES = ROOT / "build/lost-device"
HELD = "Your account is on a security hold"
WEEK = 7 * 24 * 3600

SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])


@contextmanager
def opened(browser: Browser, size: dict[str, int], *, script: bool = True, **more: Any) -> Iterator[Page]:
    context: BrowserContext = browser.new_context(
        viewport=size,  # type: ignore[arg-type]
        java_script_enabled=script,
        **more,
    )
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def at(server: Server, query: str = "") -> str:
    return f"{server.base}/dev/lost-device{query}"


def an_account(server: Server) -> str:
    address = new_address()
    sign_up_by_code(server, address)
    return address


def pictured(page: Page, name: str, size: dict[str, int]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}-{size['width']}.png", full_page=True)


def fits(page: Page) -> bool:
    """Nothing has to be scrolled for sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


@SIZES
def test_without_a_script_an_account_is_held_and_nothing_is_left_behind(
    browser: Browser, server: Server, size: dict[str, int]
) -> None:
    address = an_account(server)
    with opened(browser, size, script=False) as page:
        page.goto(at(server))
        pictured(page, "start", size)
        expect(page.get_by_label("A passkey or security key")).to_be_hidden()
        page.get_by_label("Your address or name").first.fill(address)
        page.get_by_label("A code by e-mail").check()
        page.get_by_role("button", name="Continue").click()
        pictured(page, "proof", size)
        page.get_by_label("The code").fill(server.code(address, "emergency"))
        page.get_by_role("button", name="Put the account on hold").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(HELD)
        pictured(page, "held", size)
        card = page.locator(".secret").inner_text()
        page.goto(at(server))
        expect(page.get_by_role("heading", level=1)).to_have_text("How your account stands")
        expect(page.locator(".secret")).to_have_count(0)
        page.get_by_role("button", name="Finish and clear").click()
        assert page.context.cookies() == []
    with opened(browser, size, script=False) as elsewhere:
        elsewhere.goto(at(server))
        elsewhere.get_by_role("link", name="Use my case card").click()
        elsewhere.get_by_label("Your address or name").fill(address)
        elsewhere.get_by_label("What stands on your case card").fill(card)
        elsewhere.get_by_role("button", name="Continue").click()
        expect(elsewhere.get_by_role("heading", level=1)).to_have_text("How your account stands")
        pictured(elsewhere, "status", size)


def test_by_keyboard_alone_an_account_is_held(browser: Browser, server: Server) -> None:
    address = an_account(server)
    with opened(browser, NARROW) as page:
        page.goto(at(server))
        press = page.keyboard.press
        press("Tab")
        expect(page.locator("#username")).to_be_focused()
        page.keyboard.type(address)
        press("Tab")
        press("Space")
        expect(page.get_by_label("A code by e-mail")).to_be_checked()
        press("Enter")
        expect(page.locator("#proof")).to_be_visible()
        press("Tab")
        expect(page.locator("#proof")).to_be_focused()
        page.keyboard.type("00000000")
        press("Enter")
        expect(page).to_have_title("Please check: Show one thing")
        expect(page.locator("#proof")).to_be_focused()
        expect(page.locator("#proof")).to_have_attribute("aria-invalid", "true")
        page.keyboard.type(server.code(address, "emergency"))
        press("Tab")
        expect(page.get_by_label("My phone, with everything that was on it")).to_be_focused()
        press("Tab")
        press("Tab")
        expect(page.get_by_role("button", name="Put the account on hold")).to_be_focused()
        press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(HELD)


@pytest.mark.proves("ENR-04")
def test_the_link_in_the_mail_opens_a_button_that_holds_the_account(browser: Browser, server: Server) -> None:
    address = an_account(server)
    with opened(browser, WIDE) as page:
        page.goto(at(server))
        page.locator("#name").fill(address)
        page.get_by_role("button", name="Send the message").click()
        expect(page.get_by_role("status")).to_contain_text("If there is such an account")
        wait = f"{server.base}/dev/inbox/wait?to={address}&purpose=notice"
        server.http.get(wait)
        text = next(m["text"] for m in server.messages(address) if "/lost-device?link=" in m["text"])
        link = next(line for line in text.splitlines() if "/lost-device?link=" in line)
        page.goto(link)
        expect(page.get_by_role("heading", level=1)).to_have_text("Put your account on a security hold?")
        pictured(page, "link", WIDE)
        page.get_by_role("button", name="Put the account on hold").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(HELD)


@SIZES
@pytest.mark.parametrize("language", ["en", "de", "es", "fr"])
def test_nobody_is_shut_out_in_any_language(
    browser: Browser, server: Server, size: dict[str, int], language: str
) -> None:
    address = an_account(server)
    visit = Visit(browser, size, "dark" if language in ("de", "fr") else "light")
    page = visit.page
    page.goto(at(server, f"?ui_locales={language}"))
    seen = [visit.faults(), fits(page)]
    page.locator("#username").fill(address)
    page.locator("#means-email").check()
    page.locator("main form").first.locator("button").click()
    page.locator("#proof").fill("00000000")
    page.locator("main form").first.locator("button").click()
    seen += [visit.faults(), fits(page)]
    page.locator("#proof").fill(server.code(address, "emergency"))
    page.locator("main form").first.locator("button").click()
    expect(page.locator(".secret")).to_be_visible()
    pictured(page, f"held-{language}", size)
    seen += [visit.faults(), fits(page)]
    page.goto(at(server, "?card"))
    seen += [visit.faults(), fits(page)]
    complaints, asked = visit.complaints, visit.asked
    visit.context.close()

    assert seen == [[], True] * 4
    assert complaints == []
    assert {url.split("?")[0].removeprefix(server.base) for url in asked} <= {
        "/dev/lost-device",
        "/dev/lost-device/style.css",
        "/dev/lost-device/passkey.js",
    }


def test_a_security_key_shown_on_the_page_holds_the_account_firmly(browser: Browser, server: Server) -> None:
    address = an_account(server)
    answer = first_factor_by_code(server, address, f"openid {SECURITY_INFO_SCOPE}").ok()
    bearer = {"authorization": f"Bearer {answer['access_token']}"}
    own = f"{server.base}/dev/emergency/v1.0/me/passkeys"
    with opened(browser, WIDE) as page:
        a_key(page)
        page.goto(at(server))
        begun = server.http.post(f"{own}/begin", headers=bearer, json={}).json()
        made = page.evaluate(MAKE, begun["public_key"])
        given = {"credential": made, "name": "Blue key"}
        done = server.http.post(f"{own}/finish", headers=bearer, json=given)
        assert done.status_code == 200, done.text
        server.advance(WEEK + 3600)
        page.goto(at(server))
        page.get_by_label("Your address or name").first.fill(address)
        page.get_by_label("A passkey or security key").check()
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Use a passkey or security key").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(HELD)
        expect(page.locator("main")).to_contain_text("firm security hold")
        expect(page.locator("main")).to_contain_text("the strongest evidence that there is")
        page.get_by_role("button", name="It was a false alarm").click()
        expect(page.get_by_role("status")).to_contain_text("The hold has ended.")


MAKE = """
async (options) => {
    const plain = (text) => atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = (text) => Uint8Array.from(plain(text), (c) => c.charCodeAt(0));
    const made = await navigator.credentials.create({publicKey: {
        ...options, challenge: bytes(options.challenge), user: {...options.user, id: bytes(options.user.id)},
        excludeCredentials: [],
    }});
    return made.toJSON();
}
"""


def a_key(page: Page) -> None:
    """A security key in the browser's machine, which verifies its user."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "usb",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
