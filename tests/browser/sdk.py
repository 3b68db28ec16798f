"""
The real thing: MSAL JS as it is published, bundled as an app would, in a real Chromium, on a page of another origin.

Nothing here knows what Genkan answers. An `App` is one page in a browser profile of its own; what its SDK returns are
`Result`s, which tell what the SDK's own predicates say. Playwright runs on a loop in a thread of its own, so that
tests stay plain functions and no other test finds a loop running.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from playwright.async_api import Browser, BrowserContext, Page, Playwright, Request, async_playwright

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
MSAL = "5.30.0"
"""The version that the specification was read and measured from."""

AUTHORITY = "https://nobody.invalid/dev"
"""The SDK insists on an https authority and never contacts it: nobody is there."""

SECONDS = 30
"""How long any one thing in the browser may take."""

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>App</title>
<link rel="icon" href="data:,">
<script type="module" src="app.js"></script>
"""


def bundle(folder: Path) -> None:
    """Put the page and its script, as esbuild makes them of `app.mjs` and the package, into a folder."""
    package = ROOT / "node_modules/@azure/msal-browser/package.json"
    esbuild = ROOT / "node_modules/.bin/esbuild"
    if not package.is_file() or not esbuild.is_file():
        raise RuntimeError("The Node packages are missing: `make test` installs them.")
    version = json.loads(package.read_text())["version"]
    if version != MSAL:
        raise RuntimeError(
            f"These tests are about MSAL JS {MSAL}, and {version} is installed: `make test` puts that right."
        )
    source = Path(__file__).with_name("app.mjs")
    subprocess.run(
        [
            esbuild,
            source,
            "--bundle",
            "--format=esm",
            "--log-level=warning",
            f"--outfile={folder / 'app.js'}",
        ],
        check=True,
    )
    (folder / "index.html").write_text(PAGE)


# The site. ------------------------------------------------------------------------------------------


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def site(folder: Path) -> Iterator[int]:
    """Serve a folder on loopback; the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


# The browser. ---------------------------------------------------------------------------------------


class Chromium:
    """One headless browser and the loop that it is driven from."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns, run on the browser's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(SECONDS + 5)

    def __enter__(self) -> Chromium:
        executable = shutil.which("chromium")
        if executable is None:
            raise RuntimeError(
                "The browser tests need Chromium, as the command `chromium`: `make test` installs it."
            )
        self._thread.start()
        try:
            self.wait(self._launch(executable))
        except BaseException:
            self.__exit__()
            raise
        return self

    async def _launch(self, executable: str) -> None:
        self._playwright = await async_playwright().start()
        # Playwright itself sees to the rest: no sandbox (so root can), no first run, no traffic of the browser's own.
        self._browser = await self._playwright.chromium.launch(
            executable_path=executable, args=["--disable-gpu"]
        )

    def __exit__(self, *_: object) -> None:
        self.wait(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        if self._browser is not None:
            await self._browser.close()
        if self._playwright is not None:
            await self._playwright.stop()

    def profile(self, on_request: Callable[[Request], None]) -> BrowserContext:
        """A fresh profile: no cookies, no storage."""
        return self.wait(self._profile(on_request))

    async def _profile(self, on_request: Callable[[Request], None]) -> BrowserContext:
        assert self._browser is not None
        context = await self._browser.new_context()
        context.set_default_timeout(SECONDS * 1000)
        context.on("request", on_request)
        return context


# What went over the wire. ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One request of the page."""

    request: Request
    wait: Callable[[Coroutine[Any, Any, Any]], Any]

    @property
    def url(self) -> str:
        return self.request.url

    @property
    def origin(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def endpoint(self) -> str:
        """The path below the tenant."""
        return "/" + urlsplit(self.url).path.split("/", 2)[-1]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.request.post_data or "", keep_blank_values=True))

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON that came back."""
        return dict(self.wait(self._answer()))

    async def _answer(self) -> Any:
        response = await self.request.response()
        assert response is not None
        return await response.json()


class Calls(list[Call]):
    """Requests in the order they were made."""

    @property
    def endpoints(self) -> list[str]:
        return [call.endpoint for call in self]


# What the SDK returned. -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    """An error of the SDK."""

    said: set[str]
    """The predicates of the error that hold."""
    code: str
    sub_error: str
    numbers: list[int]
    description: str
    attributes: list[dict[str, Any]]


@dataclass(frozen=True)
class Part:
    """Something of the SDK's that methods can be called on."""

    app: App
    id: int
    member: str = ""

    def do(self, method: str, *inputs: Any) -> Result:
        """Call a method that returns a result of the SDK's."""
        return self.app.result(self.app.call(self.id, self.member, method, *inputs))

    def ask(self, method: str, *inputs: Any) -> Any:
        """Call a method that returns a plain value."""
        return self.app.call(self.id, self.member, method, *inputs).get("value")


@dataclass(frozen=True)
class Result(Part):
    """A result of the SDK's."""

    said: set[str] = field(default_factory=set)
    """The predicates that hold; of a result's states exactly one should."""
    failure: Failure | None = None
    value: Any = None

    @property
    def state(self) -> Part:
        return Part(self.app, self.id, "state")

    @property
    def account(self) -> Part:
        return Part(self.app, self.id, "data")

    @property
    def error(self) -> Failure:
        assert self.failure is not None, f"there is no error: {self.said}"
        return self.failure


class App:
    """A page with the SDK, in a profile of its own."""

    def __init__(
        self,
        chromium: Chromium,
        url: str,
        configuration: Mapping[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._wait = chromium.wait
        self._url = url
        self._configuration = configuration
        self._headers = dict(headers) if headers else None
        self._page: Page | None = None
        self._id = -1
        self.calls = Calls()
        """Every request of the page since it was opened, the page itself included."""
        self._context = chromium.profile(lambda request: self.calls.append(Call(request, chromium.wait)))

    def open(self) -> App:
        """Load the page and create the SDK's application on it, as after a reload."""
        told = self.create(self._configuration)
        assert "refused" not in told, told
        self._id = int(told["id"])
        return self

    def create(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """Load the page and try a configuration on it; what came of that."""
        self._wait(self._load())
        return dict(
            self.evaluate(
                "([configuration, headers]) => sdk.create(configuration, headers)",
                configuration,
                self._headers,
            )
        )

    async def _load(self) -> None:
        if self._page is None:
            self._page = await self._context.new_page()
        await self._page.goto(self._url)

    def close(self) -> None:
        self._wait(self._context.close())

    @contextmanager
    def watched(self) -> Iterator[Calls]:
        """The calls that are made within a block."""
        before = len(self.calls)
        watched = Calls()
        yield watched
        watched.extend(self.calls[before:])

    def advance(self, seconds: float) -> None:
        """Set the page's clock forward, and stop it there."""
        later = self.evaluate("() => Date.now()") / 1000 + seconds
        assert self._page is not None
        self._wait(self._page.clock.set_fixed_time(later))

    def evaluate(self, function: str, *inputs: Any) -> Any:
        assert self._page is not None
        return self._wait(self._page.evaluate(function, list(inputs)))

    def call(self, id: int, member: str, method: str, *inputs: Any) -> dict[str, Any]:
        """Call a method of something that the page keeps; what it tells of the outcome."""
        return dict(self.evaluate("(call) => sdk.call(...call)", id, member, method, list(inputs)))

    def at_once(self, times: int, part: Part, method: str, *inputs: Any) -> list[Result]:
        """Call the same method several times without waiting in between."""
        call = [part.id, part.member, method, list(inputs)]
        return [
            self.result(told) for told in self.evaluate("(call) => sdk.callAtOnce(...call)", times, *call)
        ]

    def result(self, told: Mapping[str, Any]) -> Result:
        assert "id" in told, f"the SDK returned no result: {told}"
        error = told.get("error")
        return Result(
            self,
            int(told["id"]),
            said=set(told["said"]),
            failure=Failure(
                said=set(error["said"]),
                code=error.get("code", ""),
                sub_error=error.get("subError", ""),
                numbers=list(error.get("errorCodes") or ()),
                description=error.get("errorDescription") or "",
                attributes=list(error.get("attributes") or ()),
            )
            if error
            else None,
            value=told.get("value"),
        )

    # The verbs of the application. --------------------------------------------------------------------

    def sign_up(self, **inputs: Any) -> Result:
        return Part(self, self._id).do("signUp", inputs)

    def sign_in(self, **inputs: Any) -> Result:
        return Part(self, self._id).do("signIn", inputs)

    def reset_password(self, **inputs: Any) -> Result:
        return Part(self, self._id).do("resetPassword", inputs)

    def current_account(self) -> Result:
        return Part(self, self._id).do("getCurrentAccount")


class OpenApp:
    """Opens the apps of one test."""

    def __init__(self, chromium: Chromium, site: str, genkan: str) -> None:
        self._chromium = chromium
        self._site = site
        self._genkan = genkan
        self._apps: list[App] = []

    def __call__(
        self,
        client_id: str,
        *,
        site: str = "",
        api: str = "",
        challenge_types: Sequence[str] = ("oob", "password"),
        capabilities: Sequence[str] = ("mfa_required", "registration_required"),
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        cache: str = "localStorage",
    ) -> App:
        """
        An app, open and ready, in a profile of its own.

        Shapes: `site` is where its page is, `api` what the SDK calls, with the tenant in it; `query` and `headers` are
        what the app adds to each native call; `cache` is where its SDK keeps tokens.
        """
        custom_auth: dict[str, Any] = {
            "challengeTypes": list(challenge_types),
            "capabilities": list(capabilities),
            "authApiProxyUrl": api or f"{self._genkan}/dev",
        }
        if query:
            custom_auth["customAuthApiQueryParams"] = dict(query)
        configuration = {
            "auth": {"clientId": client_id, "authority": AUTHORITY, "redirectUri": "/"},
            "cache": {"cacheLocation": cache},
            "customAuth": custom_auth,
        }
        app = App(self._chromium, site or self._site, configuration, headers)
        self._apps.append(app)
        return app.open()

    def close(self) -> None:
        """
        End every app, and see whom they have spoken to, whatever the test was about.

        That is their own site and Genkan alone, and of Genkan no discovery document.
        """
        for app in self._apps:
            app.close()
        for app in self._apps:
            assert {call.origin for call in app.calls} <= {app.calls[0].origin, self._genkan}
            assert not [c.url for c in app.calls if "/.well-known/" in c.url or "/discovery/" in c.url]
