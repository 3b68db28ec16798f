"""
Take the pictures of README and docs anew, from the running page: `make screenshots`.

A server of its own, on a folder that is thrown away, its clock at a fixed day; somebody signs up on the playground at a
desk and on a phone. With the fonts of `screenshots.fonts.xml` installed the pictures look as on a present desktop
(on Debian: fonts-inter, fonts-crosextra-caladea); without them the system's own are taken.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT: Final = Path(__file__).resolve().parents[1]
PICTURES: Final = ROOT / "docs/images"

DAY: Final = "2031-03-04T09:12:00Z"
KEPT: Final = {"address": "ada@example.com", "phone": "+447812345678"}
DESK: Final = {"width": 1440, "height": 900}
PHONE: Final = {"width": 360, "height": 740}


@contextmanager
def development() -> Iterator[str]:
    """A server; its address."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "genkan", "dev", "--port", "0", "--json", "--data", folder]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            base = str(json.loads(process.stdout.readline())["base_url"])
            post(f"{base}/dev/clock", {"now": DAY})
            try:
                yield base
            finally:
                process.terminate()


def post(url: str, body: dict[str, Any]) -> None:
    """POST JSON."""
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), method="POST")).close()


def visit(browser: Browser, base: str, size: dict[str, int], scheme: Literal["light", "dark"]) -> Page:
    """The playground, opened by Ada."""
    post(f"{base}/dev/reset", {})
    context = browser.new_context(
        viewport=size,  # type: ignore[arg-type]
        color_scheme=scheme,
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
        device_scale_factor=1 if size is DESK else 2,
    )
    context.add_init_script(f"sessionStorage.setItem('genkan.playground', '{json.dumps(KEPT)}')")
    page = context.new_page()
    page.goto(f"{base}/")
    expect(page.locator("#live-text")).to_have_text("live")
    return page


def sign_up(page: Page, until: str = "Signed in") -> None:
    """Go through the first minute, as far as the screen of this title."""
    for deed in ("Sign up", "code", "Send a code", "code"):
        if deed == "code":
            offered = page.locator(
                ".suggestion .code" if page.viewport_size == PHONE else "#letters .code"
            ).first
            offered.click()
            page.keyboard.press("Enter")
        else:
            page.locator("#screen").get_by_role("button", name=deed, exact=True).click()
        titles = {"Sign up": "Check your e-mail", "Send a code": "Check your phone"}
        title = titles.get(deed) or (
            "One step up" if page.locator(".letter-item").count() == 1 else "Signed in"
        )
        expect(page.locator("#screen h3")).to_have_text(title)
        page.wait_for_timeout(400)
        if title == until:
            return


def abroad(page: Page) -> None:
    """Sign up where nothing more is asked, then sign in from Japan with the policy on."""
    page.get_by_text("Sign-in only", exact=True).click()
    page.locator("#screen").get_by_role("button", name="Sign up", exact=True).click()
    page.locator("#letters .code").first.click()
    page.keyboard.press("Enter")
    expect(page.locator("#screen h3")).to_have_text("Signed in")
    page.get_by_role("button", name="Sign out").click()
    page.locator("#policies-open").click()
    page.locator("#policies fieldset", has_text="Signing in abroad").get_by_text("On", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_label("Requests come from").select_option("Japan")
    page.get_by_role("button", name="Clear").click()
    page.locator("#screen").get_by_role("button", name="Sign in", exact=True).click()
    expect(page.locator("#letters .code")).to_have_count(2)
    page.locator("#letters .code").first.click()
    page.keyboard.press("Enter")
    expect(page.locator("#screen h3")).to_have_text("One step up")
    page.locator(".story .more summary").click()
    page.wait_for_timeout(4500)  # until the last notice has gone


def give_away(page: Page) -> None:
    """Ask the demo API for something that it wants a stronger sign-in for."""
    page.locator("#screen").get_by_role("button", name="Call the demo API").click()
    page.locator("#screen").get_by_role("button", name="Give away a lantern").click()
    expect(page.locator("#things h4")).to_have_text("A lantern is given away.")
    expect(page.locator(".journey").nth(2).locator(".ending")).to_be_visible()
    page.evaluate("document.getElementById('wire-body').scrollTop = 1e6")


def take(page: Page, name: str) -> None:
    """Keep a picture as WebP, which is a third of a PNG, and forget the visitor."""
    page.evaluate(
        "document.activeElement.blur(); scrollTo(0, document.querySelector('.lintel').offsetHeight)"
    )
    page.mouse.move(0, 0)
    page.wait_for_timeout(300)
    taken = page.context.new_cdp_session(page).send(
        "Page.captureScreenshot", {"format": "webp", "quality": 85}
    )
    (PICTURES / f"{name}.webp").write_bytes(base64.b64decode(taken["data"]))
    page.context.close()


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    fonts = {**os.environ, "FONTCONFIG_FILE": str(ROOT / "scripts/screenshots.fonts.xml")}
    with development() as base, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu"],
            env=fonts,  # type: ignore[arg-type]
        )
        page = visit(browser, base, DESK, "light")
        sign_up(page)
        expect(page.locator(".ending")).to_have_text("Tokens were issued.")
        take(page, "playground")
        page = visit(browser, base, DESK, "dark")
        sign_up(page, "Check your phone")
        take(page, "playground-dark")
        page = visit(browser, base, DESK, "light")
        abroad(page)
        take(page, "playground-abroad")
        page = visit(browser, base, DESK, "light")
        sign_up(page)
        give_away(page)
        take(page, "playground-step-up")
        page = visit(browser, base, PHONE, "light")
        sign_up(page, "Check your phone")
        take(page, "playground-phone")
        browser.close()
    for picture in sorted(PICTURES.glob("*.webp")):
        print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
