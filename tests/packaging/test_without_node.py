"""Without Node.js there is no MSAL JS, and the playground works all the same: by plain fetch, and it says so."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.console.visit import NARROW, WIDE, Visitor
from tests.packaging.conftest import BUNDLE
from tests.server import Server


def path_with(folder: Path, *commands: str) -> dict[str, str]:
    """An environment in which no other command is found."""
    folder.mkdir()
    for name in commands:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return {**os.environ, "PATH": str(folder)}


@pytest.mark.slow
def test_make_page_says_how_to_get_the_sdk_where_there_is_no_node(clone: Path, tmp_path: Path) -> None:
    found = path_with(tmp_path / "bin", "sh", "dirname", "make")

    said = subprocess.run(
        ["make", "--no-print-directory", "page"],
        cwd=clone,
        env=found,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (said.returncode, said.stdout) == (0, "")
    assert said.stderr == (
        "There is no Node.js here. The playground runs by plain fetch; with Node.js 18 or newer, make run adds the "
        "MSAL SDK.\n"
    )
    assert not (clone / BUNDLE).exists()


@pytest.mark.browser
def test_the_page_runs_by_plain_fetch_and_says_how_to_get_the_rest(bare_server: Server) -> None:
    server = bare_server
    assert server.http.get(f"{server.base}/static/msal.js").status_code == 404
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for size in (WIDE, NARROW):
            server.reset()
            ada = Visitor(browser, server, size, "light", "without node")

            expect(ada.page.locator("#no-sdk")).to_contain_text("With Node.js 18 or newer on this machine")
            expect(ada.page.locator("#runs-on")).to_have_text("plain fetch, no SDK")
            assert ada.page.get_by_label("MSAL JS").is_disabled()
            ada.sign_up()
            ada.press("Call the demo API")
            assert len(ada.things()) == 3

            assert ada.page.evaluate("document.documentElement.scrollWidth") == size["width"]
            assert (ada.complaints, ada.found) == ([], [])
            assert [url for url in ada.asked if not url.startswith(server.base) or "msal" in url] == []
            ada.context.close()
        browser.close()
