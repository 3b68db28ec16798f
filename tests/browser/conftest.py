"""One browser and one site for the run, one server for each module, one profile for each app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest

from tests.browser import sdk
from tests.browser.sdk import App, Chromium
from tests.server import Server, running


class OpenApp(Protocol):
    """Opens an app; what may be said is what `sdk.App` takes."""

    def __call__(self, client_id: str, **configuration: object) -> App: ...


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
    """
    Opens apps, each in a profile of its own.

    Afterwards, whatever the test was about: no page has spoken to anybody but its own site and Genkan, and none has
    asked for a discovery document.
    """
    apps: list[App] = []

    def opened(client_id: str, **configuration: object) -> App:
        given: dict[str, object] = {
            "url": f"http://localhost:{site_port}/",
            "api": f"{server.base}/dev",
            **configuration,
        }
        app = App(chromium, client_id=client_id, **given)  # type: ignore[arg-type]
        apps.append(app)
        return app.open()

    yield opened

    for app in apps:
        app.close()
        assert app.calls
        site_origin = app.calls[0].origin
        assert {call.origin for call in app.calls} <= {site_origin, server.base}
        assert not [call.url for call in app.calls if "/.well-known/" in call.url or "/discovery/" in call.url]
