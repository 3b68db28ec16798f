"""One browser and one site for the run, one server for each module, one profile for each app."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import sdk
from tests.browser.sdk import Chromium, OpenApp
from tests.server import Server, running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def site_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("site")
    sdk.bundle(folder)
    with sdk.site(folder) as port:
        yield port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("genkan") / "data") as process:
        yield process


@pytest.fixture
def open_app(chromium: Chromium, site_port: int, server: Server) -> Iterator[OpenApp]:
    opened = OpenApp(chromium, f"http://localhost:{site_port}/", server.base)
    yield opened
    opened.close()
