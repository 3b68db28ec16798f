"""
A person at a browser: a page, everything that it complained of or asked for, and what people do on the playground.

Pictures of what was seen are left in `build/playground`, for whoever wants to look.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar, Literal

from playwright.sync_api import Browser, Locator, Page, expect

from tests.server import Server

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build/playground"

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 360, "height": 740}

Scheme = Literal["light", "dark"]

LOOK = """
axe.run(document, {
    iframes: false,
    resultTypes: ["violations"],
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}).then(({violations}) => violations)
"""
"""Axe over the page."""

KINDS = """
(() => {
    const beside = /^(d|href|src|value|id|data-id|datetime|style|title|aria-label)$/;
    const kind = (one) => [
        one.tagName,
        one.disabled,
        ...[...one.attributes].filter(({name}) => !beside.test(name)).map(({name, value}) => `${name}=${value}`),
    ].join(" ");
    const shown = [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility());
    const on = (screen) => [...new Set(shown.filter((one) => (one.closest("#screen") !== null) === screen).map(kind))];
    return [on(true).sort().join(";"), on(false)];
})()
"""
"""
Which kinds of elements are to be seen on the app's screen, as one word, and which beside it; however often each is
there and whatever it says.
"""


class Visit:
    """A page in a profile of its own, and everything it complained of or asked for."""

    def __init__(self, browser: Browser, size: dict[str, int], scheme: Scheme = "light") -> None:
        # Without motion, so that nothing is looked at or pressed while it fades in.
        self.context = browser.new_context(
            viewport=size,  # type: ignore[arg-type]
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.context.set_default_timeout(15_000)
        self.page: Page = self.context.new_page()
        self.is_narrow = size["width"] < 1024
        self.scheme = scheme
        self.complaints: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", lambda message: self._complain(message.text))
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url))

    def _complain(self, text: str) -> None:
        # A browser notes every refusal of a native call, and refusals are what these journeys are full of.
        if not re.search("status of 40[01]", text):
            self.complaints.append(text)

    def clipboard(self) -> str:
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def faults(self) -> list[str]:
        """What axe finds: each rule that is broken, and where."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate((ROOT / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8"))
        found: list[dict[str, Any]] = self.page.evaluate(LOOK)
        return [
            f"{rule['id']} ({rule['impact']}): {', '.join(str(node['target']) for node in rule['nodes'])}"
            for rule in found
        ]


class Visitor(Visit):
    """Somebody on the playground. On every screen that they come to, axe looks for what would shut somebody out."""

    _LOOKED_AT: ClassVar[set[object]] = set()

    def __init__(
        self, browser: Browser, server: Server, size: dict[str, int], scheme: Scheme, name: str
    ) -> None:
        super().__init__(browser, size, scheme)
        self.server = server
        self.name = name
        self.found: list[str] = []
        """What axe has found on the screens that were come to."""
        self._seen = 0
        self._used = "none yet"
        self.page.goto(f"{server.base}/")
        expect(self.page.locator("#live-text")).to_have_text("live")
        expect(self.page.locator("#policies-words")).not_to_have_text("…")

    # The app.

    @property
    def screen(self) -> Locator:
        return self.page.locator("#screen")

    @property
    def address(self) -> str:
        return str(self.page.evaluate("JSON.parse(sessionStorage.getItem('genkan.playground')).address"))

    def choose(self, words: str) -> None:
        """Pick one of the ways the app can be built, or of the ways in."""
        self.show("app")
        self.page.locator("#app label", has_text=re.compile(f"^{words}$")).click()

    def press(self, words: str) -> None:
        self.show("app")
        self.screen.get_by_role("button", name=words, exact=True).click()

    def title(self, words: str) -> None:
        """The screen that is reached."""
        expect(self.screen.locator("h3")).to_have_text(words)
        self.look(words)

    def told(self, words: str | re.Pattern[str]) -> None:
        """The sentence about what went wrong."""
        expect(self.screen.get_by_role("alert")).to_contain_text(words)
        self.look("told")

    def use_code(self, continuing: bool = True) -> None:
        """Take the newest code with one click, from where it is offered at this width; go on."""
        if self.is_narrow:
            self.screen.locator(".suggestion .code").click()
        else:
            newest = self.page.locator("#letters .letter-item:has(.code)").first
            expect(newest).not_to_have_attribute("data-id", self._used)
            self._used = str(newest.get_attribute("data-id"))
            newest.locator(".code").click()
        expect(self.screen.locator("#field-code")).not_to_have_value("")
        if continuing:
            self.press("Continue")

    def sign_up(self) -> None:
        """The journey of the first minute: a new account, a second factor, tokens for the demo API."""
        self.choose("Sign up")
        self.press("Sign up")
        self.title("Check your e-mail")
        self.use_code()
        self.title("One step up")
        self.press("Send a code")
        self.title("Check your phone")
        self.use_code()
        self.is_signed_in()

    def is_signed_in(self, tokens: int = 2) -> None:
        """Signed in, every token verified."""
        self.title("Signed in")
        expect(self.screen.locator(".token-verdict[data-state=good]")).to_have_count(tokens)

    def things(self, words: str = "These things are yours, says the demo API.") -> list[str]:
        """What the demo API says that somebody owns, under these words."""
        expect(self.screen.locator("#things h4")).to_have_text(words)
        return self.screen.locator("#things li span").all_inner_texts()

    def claims(self, token: str) -> dict[str, Any]:
        """The claims that the page shows of a token."""
        card = self.screen.locator(".token", has_text=token)
        pairs = card.evaluate(
            "card => [...card.querySelectorAll('.members div')].map((pair) =>"
            " [pair.children[0].textContent, pair.children[1].firstChild.textContent])"
        )
        return {name: json.loads(text) if text[:1] in "[{" else text for name, text in pairs}

    # The other panes.

    def show(self, pane: str) -> None:
        """Turn to a pane; at a desk all of them are there."""
        if self.is_narrow and self.page.locator("#stage").get_attribute("data-pane") != pane:
            self.page.locator(f".tabs [data-shows={pane}]").click()

    def wire(self) -> list[tuple[str, str]]:
        """What was said: the name of each request, and the word of its answer."""
        calls = self.page.locator(".call summary").evaluate_all(
            "all => all.map((one) => [one.querySelector('.call-name').textContent,"
            " one.querySelector('.call-word').textContent])"
        )
        return [(name, word) for name, word in calls]

    def policy(self, name: str, state: str) -> None:
        self.show("world")
        self.page.locator("#policies-open").click()
        group = self.page.locator("#policies fieldset", has_text=name)
        group.get_by_text(state, exact=True).click()
        expect(self.page.locator("#said")).to_contain_text(f"is {state.lower()}")
        self.page.keyboard.press("Escape")

    def control(self, button: str) -> None:
        self.show("world")
        self.page.locator("#world").get_by_role("button", name=button, exact=True).click()

    # What is kept of it.

    def look(self, name: str) -> None:
        """Keep a picture, and whatever axe finds; unless such a screen, and all that is beside it, was looked at."""
        screen, beside = self.page.evaluate(KINDS)
        kinds = {(self.is_narrow, self.scheme, kind) for kind in (screen, *beside)}
        if kinds <= self._LOOKED_AT:
            return
        self._LOOKED_AT.update(kinds)
        self.found += self.faults()
        PICTURES.mkdir(parents=True, exist_ok=True)
        self._seen += 1
        width = "phone" if self.is_narrow else "desk"
        stem = re.sub(r"\W+", "-", f"{self.name}-{width}-{self.scheme}-{self._seen:02}-{name}".lower())
        self.page.screenshot(path=PICTURES / f"{stem}.png", animations="disabled")
