"""
The pages of development mode and the files they are made of.

Knows no server and no database: a page is told what to show. It holds no script and no style inline, asks no other
host for anything, and cannot be framed.
Source: security-requirements BRW-04 (headers of web pages), BRW-06 (nothing from third parties).
"""

from __future__ import annotations

import gzip
import re
import shlex
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from genkan.exchange import Request, Response, page_headers

if TYPE_CHECKING:
    from jinja2 import Environment

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Of our own pages."""

FOREIGN_POLICY: Final = (
    "sandbox allow-same-origin; default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""
Of an e-mail shown in a frame. Without scripts nothing in it can use its origin; the page around it needs it to measure
how tall the e-mail is.
"""

FILE_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
"""Of a style sheet, a script or a picture."""

_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


class StartContext(Struct, frozen=True, kw_only=True):
    """What the start page tells: the members of the line that `genkan dev --json` prints, but for the secret."""

    base_url: str
    tenant: str
    tenant_id: str
    authority: str
    otp_client_id: str
    password_client_id: str
    api_client_id: str
    api_scope: str
    admin_client_id: str
    graph_url: str
    inbox_url: str
    ca_file: str | None = None
    """With `--tls`: the certificate of the local authority that a client must trust."""
    version: str
    code_seconds: int
    """How long a code is good."""


def routes(context: StartContext) -> list[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, exact path, function. The files below `/static/` are `static_file`'s."""

    async def playground(_: Request) -> Response:
        return playground_page(context, sdk_version())

    async def connect(_: Request) -> Response:
        return connect_page(context)

    return [("GET", "/", playground), ("GET", "/dev/connect", connect)]


def playground_page(context: StartContext, sdk: str) -> Response:
    """An app's own screens, the inbox and the wire. `sdk`: the version it runs on; where that is empty it says so."""
    return _page("playground.html.j2", here="playground", **asdict(context), sdk=sdk)


def connect_page(context: StartContext) -> Response:
    """Where everything is, and a first sign-in to paste."""
    return _page("connect.html.j2", here="connect", **asdict(context), first_sign_in=first_sign_in(context))


def sdk_version() -> str:
    """The version of MSAL JS in the bundle that `make run` and a release put beside our files; empty without one."""
    banner = _static_files().get("msal.js", b"")[:80]
    found = re.match(rb"/\*! @azure/msal-browser (\S+)", banner)
    return found[1].decode() if found else ""


def first_sign_in(context: StartContext) -> str:
    """The first sign-in as commands for bash, curl and python3. The page shows them and a test runs them."""
    return _environment().get_template("first_sign_in.sh.j2").render(asdict(context))


def inbox_page() -> Response:
    """The e-mails and text messages, live."""
    return _page("inbox.html.j2", here="inbox")


def foreign_document(html: str) -> Response:
    """HTML of an e-mail as a document in which nothing runs and nothing is fetched; only our pages may frame it."""
    return Response(
        body=html.encode(),
        content_type="text/html; charset=utf-8",
        headers=(("cache-control", "no-store"), *page_headers(FOREIGN_POLICY, strict_transport=False)),
    )


def static_file(name: str, gzipped: bool = False) -> Response | None:
    """A style sheet, a script or a picture, `gzipped` for a client that takes it so; None if there is none."""
    content = _static_files().get(name)
    if content is None:
        return None
    return Response(
        body=_gzipped(name) if gzipped else content,
        content_type=_TYPES[name.rpartition(".")[2]],
        headers=(
            ("cache-control", "public, max-age=60"),
            ("vary", "accept-encoding"),
            *((("content-encoding", "gzip"),) if gzipped else ()),
            *page_headers(FILE_POLICY, strict_transport=False),
        ),
    )


def _page(template: str, **values: Any) -> Response:
    """A page of ours."""
    return Response(
        body=_environment().get_template(template).render(values).encode(),
        content_type="text/html; charset=utf-8",
        headers=(("cache-control", "no-store"), *page_headers(PAGE_POLICY, strict_transport=False)),
    )


@cache
def _static_files() -> dict[str, bytes]:
    """The static files by name. There are few and they are small; no name from outside becomes a path."""
    folder = files("genkan.console") / "static"
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name.rpartition(".")[2] in _TYPES}


@cache
def _gzipped(name: str) -> bytes:
    return gzip.compress(_static_files()[name], mtime=0)


@cache
def _environment() -> Environment:
    """Where templates are compiled: HTML is escaped, an unknown name is an error. Jinja is imported on first use."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape

    folder = files("genkan.console") / "templates"
    environment = Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=select_autoescape(enabled_extensions=["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["quoted"] = shlex.quote
    return environment
