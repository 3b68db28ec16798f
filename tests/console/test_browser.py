"""The pages Inbox and Connect in a real browser, over a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.console.visit import NARROW, WIDE, Scheme, Visit
from tests.server import Server, new_address, sign_up_by_code

pytestmark = pytest.mark.browser


@pytest.fixture
def wide(browser: Browser) -> Iterator[Visit]:
    visit = Visit(browser, WIDE)
    yield visit
    visit.context.close()


@pytest.fixture
def narrow(browser: Browser) -> Iterator[Visit]:
    visit = Visit(browser, NARROW)
    yield visit
    visit.context.close()


def open_inbox(visit: Visit, server: Server) -> Page:
    visit.page.goto(f"{server.base}/dev/inbox")
    expect(visit.page.locator("#live-text")).to_have_text("live")
    return visit.page


def test_a_message_appears_when_it_arrives_and_its_code_is_copied(wide: Visit, server: Server) -> None:
    page = open_inbox(wide, server)
    ada = new_address()

    sign_up_by_code(server, ada)

    row = page.locator(".row", has_text=ada)
    code = server.code(ada, "sign_up")
    expect(row.locator(".code")).to_have_text(code)
    expect(page.locator("#said")).to_contain_text(" ".join(code))
    row.locator(".code").click()
    expect(page.locator("#said")).to_have_text("Copied the code.")
    assert wide.clipboard() == code
    letter = page.frame_locator("iframe.letter")
    expect(letter.get_by_text(code)).to_be_visible()
    assert letter.get_by_text(code).evaluate("e => getComputedStyle(e).textAlign") == "center"
    assert wide.complaints == []
    assert all(url.startswith(server.base) for url in wide.asked)


def test_messages_are_filtered_read_with_the_keyboard_and_cleared(wide: Visit, server: Server) -> None:
    people = [new_address() for _ in range(3)]
    for person in people:
        sign_up_by_code(server, person)
    page = open_inbox(wide, server)

    page.get_by_role("searchbox").fill(people[0].upper())
    expect(page.locator(".row")).to_have_count(1)
    expect(page.locator("#message .to")).to_have_text(people[0])
    page.get_by_role("searchbox").fill("nobody at all")
    expect(page.locator("#nothing")).to_have_text("No message fits the filter.")
    page.get_by_role("searchbox").fill("")
    expect(page.locator(".row").first).to_contain_text(people[2])
    page.locator(".row-link").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#message .to")).to_have_text(people[1])
    expect(page.locator(".row-link[aria-current]")).to_contain_text(people[1])
    page.get_by_text("Plain text").click()
    expect(page.locator(".letter-text")).to_contain_text("Use this code to create your account:")
    page.get_by_role("button", name="Clear").click()
    assert server.messages(people[0])
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#nothing")).to_contain_text("Nothing has been sent yet")

    assert server.messages(people[0]) == []
    assert wide.complaints == []


def test_on_a_phone_one_message_is_read_at_a_time(narrow: Visit, server: Server) -> None:
    ada = new_address()
    sign_up_by_code(server, ada)
    page = open_inbox(narrow, server)
    expect(page.locator("#reading")).to_be_hidden()

    page.locator(".row-link", has_text=ada).click()

    expect(page.locator("#message .to")).to_have_text(ada)
    expect(page.locator(".tray")).to_be_hidden()
    page.get_by_role("link", name="All messages").click()
    expect(page.locator(".row-link", has_text=ada)).to_be_focused()
    assert narrow.complaints == []


def test_the_page_connect_moves_the_clock_and_resets_the_tenant(wide: Visit, server: Server) -> None:
    ada = new_address()
    sign_up_by_code(server, ada)
    before = server.http.get(f"{server.base}/dev/clock").json()["now"]
    page = wide.page
    page.goto(f"{server.base}/dev/connect")

    page.get_by_role("button", name="+ 1 day").click()
    expect(page.locator("#said")).to_contain_text("The server's time is now")
    page.get_by_role("button", name="Reset the tenant").click()
    page.get_by_role("button", name="Really reset?").click()
    expect(page.locator("#said")).to_have_text("Reset")
    page.get_by_role("button", name="Copy the commands").click()
    expect(page.locator("#said")).to_have_text("Copied to the clipboard.")

    assert server.http.get(f"{server.base}/dev/clock").json()["now"][:10] > before[:10]
    assert server.messages(ada) == []
    assert wide.clipboard() == page.locator("#script").text_content()
    assert wide.complaints == []
    assert all(url.startswith(server.base) for url in wide.asked)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("path", ["/dev/inbox", "/dev/connect"])
def test_no_page_is_wider_than_its_window_or_shuts_anybody_out(
    browser: Browser, server: Server, path: str, size: dict[str, int], scheme: Scheme
) -> None:
    sign_up_by_code(server, f"somebody.with.a.very.long.name.{new_address()}")
    visit = Visit(browser, size, scheme)

    visit.page.goto(server.base + path)
    visit.page.wait_for_timeout(200)

    assert visit.page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert visit.faults() == []
    assert visit.complaints == []
    visit.context.close()
