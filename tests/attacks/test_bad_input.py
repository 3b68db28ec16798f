"""
Nonsense at every endpoint: it is refused in the protocol's own words, and nothing has changed.

Over a socket against the real process. What can be spoilt about a call is spoilt in a call that would otherwise
succeed; afterwards every row of the database is what it was, and the same call, unspoilt, still succeeds.
"""

from __future__ import annotations

import gzip
import json
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.attacks import envelope, lab
from tests.attacks.journeys import (
    ALL_TYPES,
    CHALLENGE,
    ENDPOINTS,
    INITIATE,
    INTROSPECT,
    NAME,
    REGISTER_CHALLENGE,
    REGISTER_CONTINUE,
    REGISTER_INTROSPECT,
    RESET_CHALLENGE,
    RESET_CONTINUE,
    RESET_POLL,
    RESET_START,
    RESET_SUBMIT,
    SIGNUP_CHALLENGE,
    SIGNUP_CONTINUE,
    SIGNUP_START,
    STARTS,
    TOKEN,
    bad_token,
    person,
)
from tests.attacks.lab import Place
from tests.attacks.target import Outside, Target
from tests.server import BOTH, Reply, Server, new_address

FORM = "application/x-www-form-urlencoded"
Form = dict[str, str]
Error = tuple[str, str, int]

MALFORMED: Error = ("invalid_request", "", 90100)
MISSING: Error = ("invalid_request", "", 900144)
NO_TENANT: Error = ("invalid_request", "", 90002)
ORIGIN: Error = ("invalid_request", "", 9002326)

DOCUMENTS = (
    "/v2.0/.well-known/openid-configuration",
    "/.well-known/openid-configuration",
    "/discovery/v2.0/keys",
)
DEV = ("/dev/inbox", "/dev/inbox/messages", "/dev/inbox/wait", "/dev/inbox/html", "/dev/clock", "/dev/reset")

LARGE = 10 * 1024 * 1024


# Calls that would succeed. --------------------------------------------------------------------------


@dataclass(frozen=True)
class Good:
    """A call that succeeds as it is."""

    path: str
    form: Form

    @property
    def bad_token(self) -> Error:
        return bad_token(self.path)

    def without(self, *names: str) -> Form:
        return {name: value for name, value in self.form.items() if name not in names}


def starting(path: str, app: str = "otp") -> Callable[[Target], Good]:
    def build(target: Target) -> Good:
        client = target.otp_app if app == "otp" else target.password_app
        username = new_address() if path == SIGNUP_START else person(target, client).address
        form = {"client_id": client, "username": username, "challenge_type": ALL_TYPES, "capabilities": BOTH}
        return Good(path, form | ({"attributes": "{}"} if path == SIGNUP_START else {}))

    return build


def going_on(path: str, grant: str, reach: Callable[[Target], Place]) -> Callable[[Target], Good]:
    def build(target: Target) -> Good:
        place = reach(target)
        return Good(path, {"client_id": place.who.client, **place.form(target, (path, grant))})

    return build


GOOD: Mapping[str, Callable[[Target], Good]] = {
    INITIATE: starting(INITIATE),
    CHALLENGE: going_on(CHALLENGE, "", lab.si_init),
    INTROSPECT: going_on(INTROSPECT, "", lab.mfa_required),
    TOKEN: going_on(TOKEN, "oob", lab.si_oob),
    SIGNUP_START: starting(SIGNUP_START),
    SIGNUP_CHALLENGE: going_on(SIGNUP_CHALLENGE, "", lab.su_init),
    SIGNUP_CONTINUE: going_on(SIGNUP_CONTINUE, "oob", lab.su_oob),
    RESET_START: starting(RESET_START, "password"),
    RESET_CHALLENGE: going_on(RESET_CHALLENGE, "", lab.rp_init),
    RESET_CONTINUE: going_on(RESET_CONTINUE, "oob", lab.rp_oob),
    RESET_SUBMIT: going_on(RESET_SUBMIT, "", lab.rp_verified),
    RESET_POLL: going_on(RESET_POLL, "", lab.rp_submitted),
    REGISTER_INTROSPECT: going_on(REGISTER_INTROSPECT, "", lab.reg_required),
    REGISTER_CHALLENGE: going_on(REGISTER_CHALLENGE, "", lab.reg_required),
    REGISTER_CONTINUE: going_on(REGISTER_CONTINUE, "oob", lab.reg_oob),
}
assert set(GOOD) == set(ENDPOINTS)

OPTIONAL = frozenset({"capabilities", "attributes", "scope"})
every_endpoint = pytest.mark.parametrize("path", ENDPOINTS)


@pytest.fixture(scope="module")
def kept() -> dict[str, Good]:
    """Calls that nobody has made yet."""
    return {}


@pytest.fixture
def good(path: str, outside: Outside, kept: dict[str, Good]) -> Good:
    """The call of this endpoint that would succeed; whoever makes it takes it away."""
    if path not in kept:
        kept[path] = GOOD[path](outside)
    return kept[path]


@pytest.fixture(autouse=True)
def nothing_breaks(server: Server) -> Iterator[None]:
    """Whatever is sent: the process lives, and its log tells of no fault."""
    before = len(server.log)
    yield
    assert server.process.poll() is None
    said = server.log[before:]
    assert "Traceback" not in said, said
    assert "http.fault" not in said, said


def send(
    server: Server,
    path: str,
    body: bytes | str | Form = b"",
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    query: str = "",
    root: str = "/dev",
) -> httpx2.Response:
    """A request as it is."""
    content = urlencode(body).encode() if isinstance(body, dict) else body
    url = f"{server.base}{root}{path}{'?' if query else ''}{query}"
    given = {"content-type": FORM, **(headers or {})}
    response = server.http.request(method, url, content=content, headers=given)
    assert "Traceback" not in response.text
    assert 'File "' not in response.text
    assert response.status_code < 500, response.text
    return response


def refused(response: httpx2.Response, *expected: Error, status: int = 400) -> None:
    """Fail unless this is a refusal of the protocol, and one of those expected if any are named."""
    reply = Reply.of(response)
    envelope.check(reply, (status,))
    assert not reply.token
    if expected:
        assert reply.error in expected, reply.body


# Native endpoints. ----------------------------------------------------------------------------------


@every_endpoint
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_required_parameter_that_is_missing_or_empty(
    server: Server, path: str, good: Good, value: str | None
) -> None:
    before = lab.stored(server.data)

    for name in set(good.form) - OPTIONAL:
        form = good.without(name) | ({name: value} if value is not None else {})
        expected = {"client_id": MALFORMED, "username": MALFORMED}.get(name, MISSING)
        if value == "  " and name == "new_password":  # Blanks belong to a password.
            expected = ("invalid_grant", "password_too_short", 399246)
        refused(send(server, path, form), expected)

    assert lab.stored(server.data) == before


@every_endpoint
@pytest.mark.proves("FLOW-19")
@pytest.mark.parametrize("second", ["equal", "different", "empty"])
def test_a_parameter_that_is_said_twice(server: Server, path: str, good: Good, second: str) -> None:
    before = lab.stored(server.data)

    for name, value in good.form.items():
        again = {"equal": value, "different": f"{value}0", "empty": ""}[second]
        body = urlencode([*good.form.items(), (name, again)])
        refused(send(server, path, body), MALFORMED)
        refused(send(server, path, urlencode([(name, again), *good.form.items()])), MALFORMED)

    assert lab.stored(server.data) == before


@every_endpoint
@pytest.mark.proves("FLOW-19")
def test_a_parameter_that_stands_in_the_query(server: Server, path: str, good: Good) -> None:
    before = lab.stored(server.data)

    for name, value in good.form.items():
        in_query = urlencode({name: value})
        refused(send(server, path, good.form, query=in_query), MALFORMED)
        refused(send(server, path, good.without(name), query=in_query))
        escaped = in_query.replace(name, f"%{ord(name[0]):02x}{name[1:]}", 1)
        refused(send(server, path, good.form, query=f"x=1&{escaped}"), MALFORMED)

    assert lab.stored(server.data) == before


@every_endpoint
@pytest.mark.proves("FLOW-19")
@pytest.mark.parametrize("written", ["{}[]", "{}[0]", "{}.0", "{}%5B%5D", " {}", "{}%00", "{}%20"])
def test_a_parameter_under_another_name_is_not_there(
    server: Server, path: str, good: Good, written: str
) -> None:
    before = lab.stored(server.data)

    for name in set(good.form) - OPTIONAL:
        body = urlencode(good.without(name)) + f"&{written.format(name)}={quote(good.form[name])}"
        refused(send(server, path, body), MISSING, MALFORMED)

    assert lab.stored(server.data) == before


JUNK = {
    "NUL": "%00",
    "NUL in the middle": "a%00b",
    "a line break": "%0d%0aset-cookie:%20a=b",
    "a lone percent": "%",
    "half a percent": "%4",
    "no hexadecimal": "%zz",
    "an old escape": "%u0041",
    "a surrogate": "%ed%a0%80",
    "a right-to-left mark": "%e2%80%ae",
    "a byte order mark": "%ef%bb%bf",
    "an overlong slash": "%c0%af",
    "a lone byte": "%ff",
    "half a character": "%e2%82",
    "markup": "%3Cscript%3Ealert(1)%3C/script%3E",
    "a quote": "%27%20OR%201=1--",
    "a template": "%7B%7B7*7%7D%7D",
    "a path": "../../../etc/passwd",
}


@every_endpoint
def test_junk_in_the_place_of_a_value(server: Server, path: str, good: Good) -> None:
    before = lab.stored(server.data)

    for name in set(good.form) - OPTIONAL - {"new_password"}:
        for junk in JUNK.values():
            refused(send(server, path, urlencode(good.without(name)) + f"&{name}={junk}"))

    assert lab.stored(server.data) == before


@every_endpoint
@pytest.mark.parametrize("junk", ["%ff", "%e2%82", "%c0%af", "%ed%a0%80"])
def test_what_is_not_utf_8_is_not_read(server: Server, path: str, good: Good, junk: str) -> None:
    before, body = lab.stored(server.data), urlencode(good.form)

    for spoilt in (f"{body}&x={junk}", f"{body}&{junk}=x", f"{junk}&{body}"):
        refused(send(server, path, spoilt), MALFORMED)
    refused(send(server, path, body.encode() + b"&x=\xff"), MALFORMED)
    refused(send(server, path, body.encode("utf-16")), MALFORMED)

    assert lab.stored(server.data) == before


@every_endpoint
def test_a_body_that_is_too_large_is_413_and_too_many_fields_are_400(
    server: Server, path: str, good: Good
) -> None:
    before, body = lab.stored(server.data), urlencode(good.form)

    refused(send(server, path, f"{body}&x={'x' * LARGE}"), MALFORMED, status=413)
    refused(send(server, path, f"{body}&" + "x" * 65536), MALFORMED, status=413)
    refused(send(server, path, f"{body}&" + "&".join(f"f{n}" for n in range(10_000))), MALFORMED)
    refused(send(server, path, f"{body}{'&' * 10_000}"), MALFORMED)

    assert lab.stored(server.data) == before


@every_endpoint
def test_a_body_without_a_length_is_not_read_beyond_the_limit(server: Server, path: str, good: Good) -> None:
    before = lab.stored(server.data)

    def body() -> Iterator[bytes]:
        yield urlencode(good.form).encode()
        for _ in range(20):
            yield b"&x" + b"x" * 8192

    response = server.http.post(f"{server.base}/dev{path}", content=body(), headers={"content-type": FORM})

    refused(response, MALFORMED, status=413)
    assert lab.stored(server.data) == before


@every_endpoint
def test_values_that_are_too_long_are_refused(server: Server, path: str, good: Good) -> None:
    before = lab.stored(server.data)

    for name in set(good.form) - OPTIONAL:
        refused(send(server, path, good.form | {name: good.form[name] + "9" * 30_000}))

    assert lab.stored(server.data) == before


@every_endpoint
@pytest.mark.proves("BRW-05")
@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "text/plain",
        "text/plain; application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded2",
        "application/xml",
        "*/*",
        "application",
        "",
    ],
)
def test_another_content_type_is_415(server: Server, path: str, good: Good, kind: str) -> None:
    before = lab.stored(server.data)

    for body in (urlencode(good.form), json.dumps(good.form)):
        refused(send(server, path, body, {"content-type": kind}), MALFORMED, status=415)

    assert lab.stored(server.data) == before


@every_endpoint
def test_a_compressed_body_or_one_in_another_form_is_not_understood(
    server: Server, path: str, good: Good
) -> None:
    before, body = lab.stored(server.data), urlencode(good.form).encode()

    refused(send(server, path, gzip.compress(body), {"content-encoding": "gzip"}), MALFORMED)
    refused(send(server, path, json.dumps(good.form)), MALFORMED)
    refused(send(server, path, b""), MALFORMED)
    refused(send(server, path, b"\x00" * 100), MALFORMED)
    refused(send(server, path, b"=" * 100), MALFORMED)

    assert lab.stored(server.data) == before


@every_endpoint
@pytest.mark.proves("BRW-05", "MSG-14")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_another_method_is_405_and_does_nothing(server: Server, path: str, good: Good, method: str) -> None:
    before = lab.stored(server.data)

    in_query = send(server, path, method=method, query=urlencode(good.form))
    in_body = send(server, path, good.form, {"x-http-method-override": "POST"}, method=method)

    for response in (in_query, in_body):
        assert response.status_code == 405
        assert response.headers["allow"] == "POST"
        if method != "HEAD":
            refused(response, MALFORMED, status=405)
    assert lab.stored(server.data) == before


@every_endpoint
@pytest.mark.parametrize(
    "root",
    [
        "/nobody",
        "/%00",
        "/dev%00",
        "/dev.",
        "/dev%20",
        "/%ff",
        "/admin",
        "/" + "x" * 5000,
    ],
)
def test_an_unknown_tenant_is_named_as_such(server: Server, path: str, good: Good, root: str) -> None:
    before = lab.stored(server.data)

    response = send(server, path, good.form, root=root)

    refused(response, NO_TENANT)
    assert lab.stored(server.data) == before


GARBAGE = [
    "x",
    "gk1.",
    "gk1." + "A" * 64,
    "gk1." + "=" * 64,
    "gk2." + "A" * 64,
    "gk1." + "é" * 64,
    "gk1." + "\x00" * 64,
    "A" * 5000,
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
    "null",
    "0",
    "[]",
    "{}",
    "../flow",
    "' OR '1'='1",
]


@pytest.mark.parametrize("path", [path for path in ENDPOINTS if path not in STARTS])
@pytest.mark.proves("FLOW-20")
def test_a_garbage_token_is_an_invalid_one(server: Server, path: str, good: Good) -> None:
    before, own = lab.stored(server.data), good.form["continuation_token"]
    altered = [own[:-1], own + "A", own.swapcase(), own[:10] + "A" + own[11:], own[::-1], own * 2]

    for token in GARBAGE + [text for text in altered if text != own]:
        refused(send(server, path, good.form | {"continuation_token": token}), good.bad_token)

    assert lab.stored(server.data) == before


@every_endpoint
@pytest.mark.parametrize(
    "headers",
    [
        {"client-request-id": "not a guid"},
        {"client-request-id": "a" * 8000},
        {"authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
        {"authorization": "Basic ===="},
        {"cookie": "session=1; a=" + "b" * 4000},
        {"accept": "text/html;q=nonsense,,,"},
        {"x-forwarded-for": "10.0.0.1, ::1, nonsense"},
        {"x-forwarded-host": "evil.example", "forwarded": "for=unknown;host=evil.example"},
        {"host": "evil.example"},
        {"x-original-url": "/dev/reset", "x-rewrite-url": "/dev/reset"},
        {"x-client-os": "~" * 100, "x-client-sku": "A" * 5000, "user-agent": ""},
        {"range": "bytes=0-0,-1", "if-none-match": "*", "expect": "200-ok"},
        {"te": "trailers", "upgrade": "h2c"},
    ],
    ids=" ".join,
)
def test_odd_headers_change_nothing_about_the_answer(
    server: Server, path: str, good: Good, headers: dict[str, str]
) -> None:
    spoilt = good.form | {"continuation_token": "x", "challenge_type": "nonsense"}
    plain = Reply.of(send(server, path, spoilt))

    reply = Reply.of(send(server, path, spoilt, headers))

    envelope.check(reply, (400,))
    assert reply.error == plain.error
    assert set(reply.body) == set(plain.body)
    assert "evil.example" not in json.dumps(reply.body) + str(reply.headers)


@pytest.mark.parametrize("path", [path for path in ENDPOINTS if path not in STARTS])
@pytest.mark.proves("BRW-02")
def test_what_a_browser_would_add_by_itself_stands_for_nothing(server: Server, path: str, good: Good) -> None:
    before = lab.stored(server.data)
    form, token = good.without("continuation_token"), good.form["continuation_token"]

    for headers in (
        {"cookie": f"continuation_token={token}; client_id={good.form['client_id']}; session={token}"},
        {"authorization": f"Bearer {token}"},
        {"authorization": "Basic " + b64encode(f"{good.form['client_id']}:{token}".encode()).decode()},
        {"referer": f"{server.base}/?continuation_token={token}"},
    ):
        response = send(server, path, form, headers)
        refused(response, MISSING)
        assert "set-cookie" not in response.headers

    assert lab.stored(server.data) == before


@every_endpoint
@pytest.mark.proves("BRW-01", "BRW-03")
@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://evil.example:80/http://localhost",
        "http://localhost@evil.example",
        "http://localhost:80:80",
        "http://localhost:",
        "http://localhost:x",
        "http://localhost/",
        "HTTP://LOCALHOST.evil",
        "http://127.0.0.1",
        "ftp://localhost",
        "localhost",
        "*",
        "",
        "http://[::1",
        "http://localhost https://evil.example",
        "http://localhost, https://evil.example",
        "x" * 4000,
    ],
)
def test_a_foreign_origin_is_refused_and_never_reflected(
    server: Server, path: str, good: Good, origin: str
) -> None:
    before = lab.stored(server.data)

    response = send(server, path, good.form, {"origin": origin})

    refused(response, ORIGIN)
    assert "access-control-allow-origin" not in response.headers
    assert response.headers["vary"] == "Origin"
    assert lab.stored(server.data) == before


@every_endpoint
def test_after_all_of_that_the_call_still_succeeds(
    server: Server, path: str, good: Good, kept: dict[str, Good]
) -> None:
    del kept[path]

    reply = Reply.of(send(server, path, good.form))

    envelope.check(reply)
    assert reply.status == 200 or reply.token, reply.body


# JSON within forms. ---------------------------------------------------------------------------------

DEEP = [
    "[" * 50_000,
    "[" * 20_000 + "]" * 20_000,
    '{"a":' * 5000,
    '{"a":' * 3000 + "1" + "}" * 3000,
    '{"access_token":' + "[" * 20_000 + "]" * 20_000 + "}",
    '{"access_token":{"acrs":{"value":' + '{"a":' * 3000 + "1" + "}" * 3003,
]
NO_OBJECTS = [
    "[]",
    "1",
    '"text"',
    "null",
    "true",
    "{",
    "nul",
    "{'a': 1}",
    '{"a": NaN}',
    '{"a": Infinity}',
    "\x00",
]


def with_json(form: Form, name: str, text: str) -> str:
    """The form with JSON in a field, escaped as little as it may be: there is a limit to its length."""
    rest = {key: value for key, value in form.items() if key != name}
    return f"{urlencode(rest)}&{name}={quote(text, safe='[]{}:,')}"


@pytest.mark.parametrize("path", [SIGNUP_START])
@pytest.mark.parametrize("text", [*DEEP, *NO_OBJECTS, '{"displayName": {}}', '{"displayName": []}'])
def test_attributes_that_are_no_flat_object_begin_nothing(
    server: Server, path: str, good: Good, text: str
) -> None:
    before = lab.stored(server.data)

    refused(send(server, path, with_json(good.form, "attributes", text)), MALFORMED)

    assert lab.stored(server.data) == before


@pytest.mark.parametrize("text", [*DEEP, *NO_OBJECTS, '{"displayName": {}}'])
def test_attributes_that_are_no_flat_object_leave_a_sign_up_as_it_was(
    server: Server, outside: Outside, text: str
) -> None:
    place = lab.su_init(outside)
    form = {"client_id": place.who.client, "continuation_token": place.token, "grant_type": "attributes"}
    before = lab.stored(server.data)

    refused(send(server, SIGNUP_CONTINUE, with_json(form, "attributes", text)), MALFORMED)

    assert lab.stored(server.data) == before
    outside.post(SIGNUP_CONTINUE, None, **form, attributes=NAME)


@pytest.mark.parametrize("path", [TOKEN])
@pytest.mark.parametrize("text", [*DEEP, "[]", "1", '"text"', "{", "{'a': 1}", "\x00"])
def test_claims_that_are_no_object_spend_nothing(server: Server, path: str, good: Good, text: str) -> None:
    before = lab.stored(server.data)

    refused(send(server, path, with_json(good.form, "claims", text)))

    assert lab.stored(server.data) == before


@pytest.mark.parametrize(
    "attributes",
    [
        {str(n): "x" for n in range(65)},
        {"": "x"},
        {"displayName": "x" * 257},
        {"displayName": "a\x00b"},
        {"displayName": "a\ud800b"},
        {"__class__": "x"},
        {"nobody asked": "x"},
        {"displayName": 10**400},
        {"displayName": True},
    ],
    ids=range(9),
)
def test_attributes_that_cannot_be_kept_are_refused_or_passed_over(
    server: Server, outside: Outside, attributes: dict[str, Any]
) -> None:
    form = {
        "client_id": outside.password_app,
        "username": new_address(),
        "challenge_type": ALL_TYPES,
        "attributes": json.dumps(attributes),
    }

    reply = Reply.of(send(server, SIGNUP_START, form))

    envelope.check(reply)


# Discovery, keys and the rest. ----------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_a_document_is_only_to_be_read(server: Server, path: str, method: str) -> None:
    refused(send(server, path, b"x" * 1000, method=method), MALFORMED, status=405)


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_document_does_not_mind_what_else_is_said(server: Server, path: str) -> None:
    plain = send(server, path, method="GET")

    for query in ("%", "%ff", "a=1&a=2", "x" * 5000, "callback=alert(1)", "%00"):
        response = send(server, path, method="GET", query=query)
        assert (response.status_code, response.content) == (200, plain.content)
    for headers in (
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"x-forwarded-host": "evil"},
    ):
        response = send(server, path, headers=headers, method="GET")
        assert (response.status_code, response.content) == (200, plain.content)
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_document_of_an_unknown_tenant_is_not_there(server: Server, path: str) -> None:
    refused(send(server, path, method="GET", root="/nobody"), NO_TENANT)


@pytest.mark.parametrize("path", DEV)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_development_endpoints_refuse_nonsense_in_words(server: Server, path: str, method: str) -> None:
    before = lab.stored(server.data)

    for query in (
        "%ff",
        "a=1",
        "to=a&to=b",
        "limit=-1",
        "limit=1e9",
        "timeout=999999",
        "channel=fax",
        "&" * 40,
    ):
        response = send(server, path, b"[", method=method, query=query, root="")
        if not (path == "/dev/inbox" and method == "GET"):  # The page; its script reads the query.
            assert response.status_code in (400, 404, 405), (path, method, query, response.text)
            assert {"error", "error_description"} <= set(response.json())

    assert lab.stored(server.data) == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"advance_seconds": "600"}',
        b'{"advance_seconds": null}',
        b'{"advance_seconds": true}',
        b'{"advance_seconds": -1}',
        b'{"advance_seconds": 1e400}',
        b'{"advance_seconds": NaN}',
        b'{"advance_seconds": ' + b"9" * 5000 + b"}",
        b'{"advance_seconds": 1, "now": "2030-01-01T00:00:00Z"}',
        b'{"now": "yesterday"}',
        b'{"now": "2001-01-01T00:00:00Z"}',
        b'{"now": "9999-12-31T23:59:59Z"}',
        b'{"now": "9999-12-31T23:59:59-23:59"}',
        b'{"now": "0001-01-01T00:00:00+23:59"}',
        b'{"now": "2030-01-01T00:00:00"}',
        b"[" * 50_000,
        b'{"a":' * 12_000,
        b"\xff\xfe",
        b"\x00" * 100,
    ],
    ids=range(22),
)
def test_the_clock_does_not_move_for_nonsense(server: Server, body: bytes) -> None:
    before = server.http.get(f"{server.base}/dev/clock").json()["now"]

    response = send(server, "/dev/clock", body, root="")

    assert response.status_code == 400
    assert set(response.json()) == {"error", "error_description"}
    after = server.http.get(f"{server.base}/dev/clock").json()["now"]
    assert before[:16] == after[:16] or before < after < before[:4] + "z"


@pytest.mark.proves("BRW-03")
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"host": "evil.example"},
        {"origin": "http://[::1"},
    ],
    ids=str,
)
def test_a_foreign_page_cannot_use_development_endpoints(server: Server, headers: dict[str, str]) -> None:
    before = lab.stored(server.data)

    for method, path in (("GET", "/dev/inbox/messages"), ("POST", "/dev/clock"), ("POST", "/dev/reset")):
        response = send(server, path, b'{"advance_seconds": 1}', headers, method=method, root="")
        assert response.status_code == 403, response.text

    assert lab.stored(server.data) == before


def test_a_large_body_is_413_at_development_endpoints_too(server: Server) -> None:
    for path in ("/dev/clock", "/dev/reset"):
        assert send(server, path, b"x" * LARGE, root="").status_code == 413


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/%00",
        "/static/../../../../etc/passwd",
        "/static/..%2f..%2f..%2fetc%2fpasswd",
        "/static/%00",
        "/static/" + "x" * 3000,
        "/dev/",
        "/dev/oauth2/v2.0/",
        "/dev/oauth2/v2.0/token/",
        "/dev/oauth2/v2.0/token/x",
        "/dev/oauth2/v2.0/%74oken",
        "/dev/resetpassword/v1.0/complete",
        "/" + "a/" * 2000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_odd_paths_lead_nowhere(server: Server, path: str, method: str) -> None:
    response = send(server, path, method=method, root="")

    assert response.status_code in (200, 204, 400, 404, 405)
    assert "root:" not in response.text


# Beneath HTTP. --------------------------------------------------------------------------------------

HEAD = b"POST /dev/oauth2/v2.0/initiate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
KIND = b"Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /dev/oauth2/v2.0/initiate HTTP/9.9\r\n\r\n",
        b"POST \xff\xfe\x00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"POST http://evil.example/dev/oauth2/v2.0/initiate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
        HEAD
        + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /dev/clock HTTP/1.1\r\n\r\n",
        HEAD + KIND + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        HEAD + KIND + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n",
        HEAD + KIND + b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        HEAD + b"X: a\x00b\r\n\r\n",
        HEAD + b": no name\r\n\r\n",
        HEAD + b"no colon\r\n\r\n",
        HEAD + b" folded: x\r\n\r\n",
        HEAD + b"Origin: \xff\xfe\r\nContent-Type: \xff\r\nCookie: \xe9\r\n\r\n",
        HEAD + b"".join(b"X-%d: x\r\n" % n for n in range(2000)) + b"\r\n",
        HEAD + b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
    ],
    ids=range(24),
)
def test_what_is_not_http_does_not_harm_the_server(server: Server, sent: bytes) -> None:
    host = urlsplit(server.base)
    with socket.create_connection((host.hostname or "", host.port or 0), timeout=5) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)

        heard = b""
        while chunk := connection.recv(65536):
            heard += chunk

    assert b"Traceback" not in heard
    assert not heard.startswith(b"HTTP/1.1 5")
    assert server.http.get(f"{server.base}/dev/clock").status_code == 200


@pytest.mark.parametrize("path", [TOKEN])
def test_half_a_body_is_no_body(server: Server, path: str, good: Good) -> None:
    before, body = lab.stored(server.data), urlencode(good.form).encode()
    host = urlsplit(server.base)
    head = f"POST /dev{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body) + 1}\r\n".encode()

    with socket.create_connection((host.hostname or "", host.port or 0), timeout=5) as connection:
        connection.sendall(head + KIND + b"\r\n" + body)
        connection.shutdown(socket.SHUT_WR)
        heard = connection.recv(65536)

    assert not heard.startswith(b"HTTP/1.1 200")
    assert lab.stored(server.data) == before


# Anything at all. -----------------------------------------------------------------------------------

PARAMETERS = (
    "client_id username challenge_type capabilities capability continuation_token id grant_type scope password oob "
    "client_info claims refresh_token attributes challenge_target challenge_channel new_password"
).split()

words = st.sampled_from(
    [
        "",
        " ",
        "\x00",
        "%",
        "oob",
        "password",
        "mfa_oob",
        "continuation_token",
        "refresh_token",
        "attributes",
        ALL_TYPES,
        "redirect",
        "sms",
        "email",
        "ada@example.com",
        "ADA@EXAMPLE.COM ",
        "a@b",
        "+447912345678",
        "+4479",
        "12345678",
        "１２３４５６７８",
        "gk1." + "A" * 64,
        "gkr1.x.y",
        "openid",
        "api://genkan-demo/Things.Read",
        "api://genkan-demo/.default",
        '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}',
        "{}",
        "[]",
        "null",
        BOTH,
    ]
)
values = st.one_of(words, words, st.text(max_size=40), st.binary(max_size=20))
forms = st.lists(st.tuples(st.one_of(st.sampled_from(PARAMETERS), st.text(max_size=8)), values), max_size=10)
odd_headers = st.dictionaries(
    st.sampled_from(
        ["client-request-id", "origin", "cookie", "x-client-os", "sec-fetch-site", "accept", "x-a"]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30),
    max_size=2,
)


@given(
    path=st.sampled_from(ENDPOINTS),
    fields=forms,
    raw=st.one_of(st.none(), st.none(), st.binary(max_size=200)),
    query=st.one_of(
        st.just(""), st.just(""), st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
    ),
    headers=odd_headers,
    app=st.sampled_from(["otp", "password", "none"]),
)
@settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
def test_whatever_is_said_is_answered_in_the_protocols_words(
    server: Server,
    path: str,
    fields: list[tuple[str, Any]],
    raw: bytes | None,
    query: str,
    headers: dict[str, str],
    app: str,
) -> None:
    known = [] if app == "none" else [("client_id", server.told["apps"][app])]
    body = raw if raw is not None else urlencode([*known, *fields], errors="surrogatepass").encode()

    response = send(server, path, body, headers, query=quote(query, safe="%&=?+/"))

    envelope.check(Reply.of(response), (200, 400, 413))
