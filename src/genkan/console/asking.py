"""
Reading the requests of development mode, and refusing what is not from this machine.

Its endpoints ask for no credentials, so they answer only what was sent by a program on this machine or by a page that
this machine serves: a foreign web page can neither read the inbox by renaming itself to this address nor reset the
tenant by posting a form.
Source: security-requirements BRW-03 (origin checks).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from genkan.exchange import Request, Response, json_response
from genkan.model import Channel

Serve = Callable[[Request], Awaitable[Response]]
Route = tuple[str, str, Serve]
"""Method, exact path, function."""


class Bad(Exception):
    """What was asked makes no sense; says why in a sentence."""


def guarded(serve: Serve) -> Serve:
    """The function, behind the check of where a request comes from, its refusals put into JSON."""

    async def answer(request: Request) -> Response:
        if (why := _foreign(request)) is not None:
            return error(403, "forbidden", why)
        try:
            return await serve(request)
        except Bad as why_not:
            return error(400, "invalid_request", str(why_not))

    return answer


def _foreign(request: Request) -> str | None:
    """Why a request is not from this machine; None if it is, as far as its headers tell."""
    headers, ours = request.headers, {"localhost", _host(request.base_url)} - {""}
    if "host" in headers:
        asked = _host(f"//{headers['host']}")
        if asked not in ours and not asked.endswith(".localhost") and _address(asked) is None:
            return "Development endpoints answer to `localhost` or an IP address, not to another host name."
        ours.add(asked)
    if "origin" in headers:
        origin = _host(headers["origin"])
        address = _address(origin)
        if origin not in ours and not origin.endswith(".localhost") and not (address and address.is_loopback):
            return "Development endpoints answer no page of another site."
    elif request.method != "GET" and headers.get("sec-fetch-site") == "cross-site":
        return "Development endpoints answer no page of another site."
    return None


def _host(url: str) -> str:
    """The host a URL names, without its port."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """The host as an IP address. No foreign name can be made to point to one, so it needs no trust."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def query(request: Request, *known: str) -> dict[str, str]:
    """The parameters of the query; a blank one counts as left out, an unknown or repeated one is refused."""
    given: dict[str, str] = {}
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, errors="strict", max_num_fields=16)
    except (ValueError, UnicodeDecodeError):
        raise Bad("The query string cannot be read.") from None
    for name, value in pairs:
        if name not in known:
            raise Bad(f"Unknown parameter. Known here: {', '.join(known) or 'none'}.")
        if name in given:
            raise Bad(f"`{name}` is given twice.")
        given[name] = value
    return {name: value for name, value in given.items() if value.strip()}


def channel(given: Mapping[str, str]) -> Channel | None:
    """The channel asked for."""
    try:
        return Channel(given["channel"]) if "channel" in given else None
    except ValueError:
        raise Bad("`channel` is `email` or `sms`.") from None


def number(given: Mapping[str, str], name: str, *, most: int) -> int | None:
    """A whole number from 0 to `most`."""
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 9 and int(text) <= most):
        raise Bad(f"`{name}` is a whole number from 0 to {most}.")
    return int(text)


def body(request: Request) -> Mapping[str, Any]:
    """The body as a JSON object. Its content type may be anything, so that a plain `curl -d` does."""
    try:
        return msgspec.json.decode(request.body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise Bad("The body is not a JSON object.") from None


def error(status: int, error: str, description: str) -> Response:
    """An error as JSON: a word for programs and a sentence for people."""
    return json_response({"error": error, "error_description": description}, status)
