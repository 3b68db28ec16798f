"""
The page for lost devices: `/{tenant}/lost-device`, for somebody at a borrowed computer who has nothing but one proof.

Forms that the server writes and that need no script, but for a passkey. The claim key is a case card: 32 random bytes
that its owner writes down, of which the server keeps a hash. Until the browser is told to forget it, it keeps the card
in a cookie that only this page is sent. What anything means is `service.emergency`'s, as for the API.
Source: emergency-protocol 8, 9.4; BRW-03, BRW-04, BRW-06; ENUM-02.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import tomllib
from binascii import Error as NotBase32
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from genkan.engine.emergency import words
from genkan.engine.emergency.asked import OFFERED, Proof
from genkan.engine.emergency.case import MEDIUM, STRONG, Means, Refusal
from genkan.engine.emergency.evidence import Lost
from genkan.engine.messages import Directory, Signals
from genkan.engine.messages import Refused as Unread
from genkan.exchange import Request, Response, page_headers
from genkan.model import Secret
from genkan.service.emergency import PAGE, Call, Door, Question
from genkan.tokens import base64url
from genkan.wire import ceremonies, reading

if TYPE_CHECKING:
    from jinja2 import Environment

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

FORM: Final = "application/x-www-form-urlencoded"

STYLE, SCRIPT = f"{PAGE}/style.css", f"{PAGE}/passkey.js"

METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    PAGE: ("GET", "POST"),
    STYLE: ("GET",),
    SCRIPT: ("GET",),
}
"""Every endpoint here, and the methods it takes."""

LANGUAGES: Final = ("en", "de", "es", "fr")
"""Those there are; the first is spoken where none other is known."""

CARD_BYTES: Final = 32

FLAWS: Final[Mapping[Refusal, str]] = {
    Refusal.INVALID_CODE: "wrong",
    Refusal.INVALID_ASSERTION: "passkey",
    Refusal.EVIDENCE_NOT_ACCEPTED: "not_accepted",
    Refusal.EVIDENCE_INSUFFICIENT: "insufficient",
    Refusal.PENDING: "insufficient",
    Refusal.EXPIRED: "expired",
    Refusal.INVALID_GRANT: "expired",
    Refusal.INVALID_REQUEST: "expired",
    Refusal.CLAIM_KEY_MISMATCH: "expired",
    Refusal.UNKNOWN_CASE: "expired",
    Refusal.ACCOUNT_IN_EMERGENCY: "changed",
    Refusal.TRIGGER_LIMITED: "limited",
    Refusal.ACCESS_DENIED: "limited",
    Refusal.STATE_CHANGED: "changed",
    Refusal.CONTESTED: "insufficient",
    Refusal.SLOW_DOWN: "slow",
}
"""Every refusal of the protocol, as the page words it."""

_OFFERED: Final = {means.value: means for means in OFFERED}
_ORDER: Final = ("email", "sms", "freeze_code", "recovery_code", "passkey", "password")
"""How they are offered: the password last, which nobody should type at a strange computer."""

Aim = Literal["hold", "object", "undo"]


class Endpoint(Struct, frozen=True, kw_only=True):
    """What a tenant answers with here."""

    door: Door
    directory: Callable[[], Directory]
    clock: Callable[[], datetime]
    base_url: str

    async def __call__(self, request: Request, signals: Signals) -> Response:
        """Answer a request to one of `METHODS`. Raises: `StoreUnavailable`."""
        if request.path != PAGE:
            return self._file(request.path)
        visit = self._visit(request, signals)
        return await (self._act(visit, request) if request.method == "POST" else self._opened(visit))

    def busy(self, request: Request, status: int) -> Response:
        """Say that it cannot be answered now; nothing was lost by that."""
        return self._page(self._visit(request, Signals()), "start", flaw="busy", status=status)

    # Who is there. ----------------------------------------------------------------------------------

    def _visit(self, request: Request, signals: Signals) -> _Visit:
        query = parse_qs(request.query, keep_blank_values=True)
        form: dict[str, str] | None = None
        if request.method == "POST":
            read = reading.form(request.body, "", frozenset()) if request.media_type == FORM else None
            form = None if read is None or isinstance(read, Unread) else read
        cookies = _cookies(request.headers.get("cookie", ""))
        kept = cookies.get(self._cookie("case"), "")
        card, _, case = kept.partition(".")
        asked = (form or {}).get("ui_locales") or query.get("ui_locales", [""])[0]
        return _Visit(
            query={name: values[0] for name, values in query.items()},
            form=form,
            seed=cookies.get(self._cookie("form"), ""),
            kept=kept,
            card=card if _read_card(card) is not None else "",
            case=case if _CASE.fullmatch(case) else "",
            language=_spoken(
                asked, request.headers.get("accept-language", ""), self.directory().tenant.brand.language
            ),
            signals=signals,
            correlation_id=request.correlation_id,
        )

    def _cookie(self, name: str) -> str:
        """Cookies with this prefix are bound to the host and to https, and no other host can set them (RFC 6265bis)."""
        return f"__Host-{name}-{self.directory().tenant.id[:8]}"

    def _is_forged(self, visit: _Visit, request: Request) -> bool:
        """The form was not written for this browser, or is sent from another site (BRW-03)."""
        site = request.headers.get("sec-fetch-site", "same-origin")
        given = (visit.form or {}).get("form", "")
        is_own = bool(visit.seed) and hmac.compare_digest(given.encode(), _form_token(visit.seed).encode())
        return site != "same-origin" or not is_own

    # What is done. ----------------------------------------------------------------------------------

    async def _opened(self, visit: _Visit) -> Response:
        """A look at the page changes nothing, also by the link of a notice, which mailboxes look at too (SSPR-06)."""
        if "link" in visit.query:
            return self._page(visit, "link", token=visit.query["link"])
        if "card" in visit.query:
            return self._page(visit, "card")
        if visit.case:
            return await self._status(visit)
        return self._page(visit, "start")

    async def _act(self, visit: _Visit, request: Request) -> Response:
        form = visit.form
        if form is None or self._is_forged(visit, request):
            return self._page(replace(visit, form=None), "start", flaw="stale", status=403)
        act = _ACTS.get(form.get("act", ""))
        if act is None:
            return self._page(visit, "start", flaw="stale", status=400)
        return await act(self, visit, form)

    async def start(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        """Say whom it is about, and how they will show that it is theirs."""
        name, means = reading.name(form.get("username", "")), _OFFERED.get(form.get("means", ""))
        again: dict[str, Any] = {
            "username": form.get("username", ""),
            "means": form.get("means", ""),
            "aim": _aim(form),
            "status": 400,
        }
        if name is None:
            return self._page(visit, "start", flaw="name", at="username", **again)
        if means is None:
            return self._page(visit, "start", flaw="means", at="means", **again)
        visit = replace(visit, card=_new_card(), case="")  # Never one that this browser had before.
        call, now = visit.call(), self.clock()
        question = self.door.start(call, name, now)
        if means in (Means.EMAIL, Means.SMS, Means.PASSKEY):
            asked = await self.door.challenge(call, question.token, means, now)
            if isinstance(asked, words.Refused):
                return self._page(visit, "start", flaw=FLAWS[asked.refusal], **again)
            question = asked
        return self._ask(visit, "proof", question, means, aim=_aim(form), username=form["username"])

    async def contain(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        proof = _proof(form)
        if proof is None or not visit.card:
            return self._again(visit, "proof", form, Refusal.INVALID_CODE if visit.card else Refusal.EXPIRED)
        reply = await self.door.contain(
            visit.call(), form.get("token", ""), proof, _lost(form), quiet=False, now=self.clock()
        )
        if isinstance(reply, words.Holding):
            return self._held(visit, reply)
        return self._again(visit, "proof", form, _refusal(reply))

    async def object(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        proof = _proof(form)
        if proof is None or not visit.card:
            return self._again(visit, "proof", form, Refusal.INVALID_CODE if visit.card else Refusal.EXPIRED)
        reply = await self.door.object(visit.call(), form.get("token", ""), proof, self.clock())
        if isinstance(reply, words.Refused):
            return self._again(visit, "proof", form, reply.refusal)
        return self._page(visit, "told", told="object")

    async def undo(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        """Take back a recovery that somebody else has completed (E20)."""
        proof, name = _proof(form), reading.name(form.get("username", ""))
        if proof is None or name is None or not visit.card:
            return self._again(visit, "proof", form, Refusal.INVALID_ASSERTION)
        reply = await self.door.undo(visit.call(), form.get("token", ""), proof, self.clock())
        if not isinstance(reply, words.Moved):
            return self._again(visit, "proof", form, _refusal(reply))
        found = await self.door.find(visit.call(), name)
        visit = replace(visit, case="" if isinstance(found, words.Refused) else found)
        card = _written(_read_card(visit.card) or b"")
        return self._page(
            visit, "status", title="held", card=card, state=reply.state, worth="most", noted="undone"
        )

    async def follow(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        """The button of a notice's link: that it was read is the proof (E1)."""
        visit = replace(visit, card=_new_card(), case="")  # Never one that this browser had before.
        reply = await self.door.contain(
            visit.call(), form.get("token", ""), None, _lost(form), quiet=False, now=self.clock()
        )
        if isinstance(reply, words.Holding):
            return self._held(visit, reply)
        refusal = _refusal(reply)
        flaw = "link" if FLAWS[refusal] in ("expired", "wrong") else FLAWS[refusal]
        return self._page(visit, "start", flaw=flaw, status=400)

    async def report(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        name = reading.name(form.get("name", ""))
        if name is None:
            return self._page(visit, "start", flaw="name", at="name", status=400)
        await self.door.report(visit.call(), name)
        return self._page(visit, "told", told="report")

    async def resume(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        """Come back with the card, from wherever."""
        name, card = reading.name(form.get("username", "")), _read_card(form.get("card", ""))
        if name is None:
            return self._page(visit, "card", flaw="name", at="username", status=400)
        found = None
        if card is not None:
            visit = replace(visit, card=_card_text(card), case="")
            found = await self.door.find(visit.call(), name)
        if found is None or isinstance(found, words.Refused):
            unknown = replace(visit, card="", case="")
            return self._page(
                unknown, "card", flaw="card", at="card", username=form.get("username", ""), status=400
            )
        return await self._status(replace(visit, case=found))

    async def begin(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        """Ask for a further item of evidence."""
        means = _OFFERED.get(form.get("means", ""))
        if not visit.case:
            return self._page(visit, "over")
        if means is None:
            return await self._status(visit, flaw="means", at="means")
        question = await self.door.begin(visit.call(), visit.case, means, self.clock())
        if isinstance(question, words.Refused):
            return await self._status(visit, flaw=FLAWS[question.refusal])
        return self._ask(visit, "item", question, means)

    async def add(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        proof = _proof(form)
        if proof is None:
            return self._again(visit, "item", form, Refusal.INVALID_CODE)
        reply = await self.door.add(visit.call(), form.get("token", ""), proof, self.clock())
        if isinstance(reply, words.Accepted):
            return await self._status(visit, noted="accepted")
        return self._again(visit, "item", form, _refusal(reply))

    async def extend(self, visit: _Visit, _: Mapping[str, str]) -> Response:
        return await self._said(visit, words.Extend(visit.key), "extended")

    async def lift(self, visit: _Visit, _: Mapping[str, str]) -> Response:
        reply = await self.door.say(visit.call(), visit.case, words.AskLift(visit.key))
        if isinstance(reply, words.Moved) and reply.state == "normal":
            return self._page(
                replace(visit, card="", case=""), "status", noted="lifted", state="normal", worth="none"
            )
        if isinstance(reply, words.Moved):
            return await self._status(visit, noted="lift_later")
        return await self._status(visit, flaw=FLAWS[_refusal(reply)])

    async def contest(self, visit: _Visit, _: Mapping[str, str]) -> Response:
        return await self._said(visit, words.Dispute(key=visit.key), "contested")

    async def clear(self, visit: _Visit, form: Mapping[str, str]) -> Response:
        """Leave nothing on a borrowed computer."""
        gone = replace(visit, card="", case="")
        return self._page(gone, "start") if "again" in form else self._page(gone, "cleared")

    async def _said(self, visit: _Visit, event: words.Event, noted: str) -> Response:
        reply = await self.door.say(visit.call(), visit.case, event)
        if isinstance(reply, words.Refused):
            return await self._status(visit, flaw=FLAWS[reply.refusal])
        return await self._status(visit, noted=noted)

    # What is shown. ---------------------------------------------------------------------------------

    def _held(self, visit: _Visit, holding: words.Holding) -> Response:
        """The account is held. The card is shown where it was made, and never again."""
        secret = _read_card(visit.card) or b""
        visit = replace(visit, case=holding.case)
        return self._page(
            visit,
            "status",
            title="held",
            card=_written(secret),
            state=holding.state,
            worth=_worth(holding.rank),
        )

    async def _status(self, visit: _Visit, **more: Any) -> Response:
        """How it stands: no time is told here, to whoever may look over a shoulder (8)."""
        reply = await self.door.say(visit.call(), visit.case, words.Look(visit.key))
        if not isinstance(reply, words.Status):
            return self._page(visit, "over")
        return self._page(visit, "status", state=reply.state, worth=_worth(reply.rank), **more)

    def _ask(
        self,
        visit: _Visit,
        screen: str,
        question: Question,
        means: Means,
        aim: Aim = "hold",
        username: str = "",
    ) -> Response:
        options = ""
        if means is Means.PASSKEY:
            options = json.dumps(
                ceremonies.request(question.nonce, question.rp_id, question.credentials, ceremonies.TIMEOUT)
            )
        return self._page(
            visit,
            screen,
            title="proof",
            token=question.token,
            means=means.value,
            aim=aim,
            options=options,
            username=username,
        )

    def _again(self, visit: _Visit, screen: str, form: Mapping[str, str], refusal: Refusal) -> Response:
        """The same question once more, with what was wrong; from the beginning where it cannot be answered any more."""
        flaw, means, aim = FLAWS[refusal], form.get("means", ""), _aim(form)
        if aim != "hold" and refusal in _NO:
            flaw = "object"  # The same, whether or not there is anything to object to.
        can_retry = refusal in (Refusal.INVALID_CODE, Refusal.EVIDENCE_NOT_ACCEPTED) or flaw == "object"
        if can_retry and means in _OFFERED and means != Means.PASSKEY:
            return self._page(
                visit,
                screen,
                title="proof",
                flaw=flaw,
                at="proof",
                token=form.get("token", ""),
                means=means,
                aim=aim,
                username=form.get("username", ""),
                status=400,
            )
        if screen == "item":
            return self._page(visit, "start" if not visit.case else "over", flaw=flaw, status=400)
        return self._page(visit, "start", flaw=flaw, means=means, aim=aim, status=400)

    def _page(
        self, visit: _Visit, screen: str, *, title: str = "", status: int = 200, **values: Any
    ) -> Response:
        tenant, path = self.directory().tenant, urlsplit(self.door.page).path
        seed = visit.seed or base64url.encode(os.urandom(32))
        # A browser that comes from another site shows no cookie: it keeps those that it has.
        kept = f"{visit.card}.{visit.case}" if visit.card and visit.case else visit.card
        changed = (
            ("form", visit.seed, "" if screen == "cleared" else seed),
            ("case", visit.kept, kept),
        )
        said = _words(visit.language)
        shown = {
            **_NOTHING,
            **values,
            "screen": screen,
            "title": said[_TITLES.get(title or screen, f"{title or screen}_title")],
            "w": said,
            "language": visit.language,
            "languages": [
                (code, _words(code)["name"], self._in(code, visit, path, screen)) for code in LANGUAGES
            ],
            "action": path,
            "form": _form_token(seed),
            "offered": _ORDER,
            "brand": tenant.brand.name,
            "contact": tenant.brand.contact,
            "support": tenant.brand.support if _WEB.fullmatch(tenant.brand.support) else "",
        }
        return Response(
            status=status,
            body=_environment().get_template("page.html.j2").render(shown).encode(),
            content_type="text/html; charset=utf-8",
            headers=(
                ("cache-control", "no-store"),
                ("content-language", visit.language),
                *(("set-cookie", _set(self._cookie(name), now)) for name, was, now in changed if now != was),
                *page_headers(POLICY, strict_transport=self.base_url.startswith("https://")),
            ),
        )

    def _in(self, language: str, visit: _Visit, path: str, screen: str) -> str:
        """The address of this page in a language. A link with power stays what it is."""
        kept = {"link": visit.query["link"]} if screen == "link" else {"card": ""} if screen == "card" else {}
        return f"{path}?{urlencode({**kept, 'ui_locales': language})}"

    def _file(self, path: str) -> Response:
        """The style sheet, with the tenant's colour, or the script."""
        colour = self.directory().tenant.brand.colour
        name, kind = ("style.css", "text/css") if path == STYLE else ("passkey.js", "text/javascript")
        text = _text(name)
        if path == STYLE and _COLOUR.fullmatch(colour):
            text += f"\n:root {{ --brand: {colour}; }}\n"
        return Response(
            body=text.encode(),
            content_type=f"{kind}; charset=utf-8",
            headers=(
                ("cache-control", "public, max-age=300"),
                *page_headers(
                    "default-src 'none'; frame-ancestors 'none'",
                    strict_transport=self.base_url.startswith("https://"),
                ),
            ),
        )


class _Visit(Struct, frozen=True, kw_only=True):
    """One request of somebody's browser."""

    query: dict[str, str]
    form: dict[str, str] | None
    """None: nothing was sent, or nothing that can be read."""
    seed: str
    """What this browser's forms are known by."""
    kept: str
    """The cookie of the case, as it came."""
    card: str
    """The case card, in base64url; empty: there is none here."""
    case: str
    language: str
    signals: Signals
    correlation_id: str

    @property
    def key(self) -> str:
        """The claim key: of a card only this hash is kept. No thumbprint of a JWK has a full stop."""
        return f"card.{base64url.encode(sha256(b'genkan case card ' + self.card.encode()).digest())}"

    def call(self) -> Call:
        return Call(
            key=self.key if self.card else "", signals=self.signals, correlation_id=self.correlation_id
        )


_NOTHING: Final[Mapping[str, Any]] = dict.fromkeys(
    ("flaw", "at", "noted", "told", "username", "means", "aim", "token", "options", "card", "state", "worth"),
    "",
)
_NO: Final = (Refusal.INVALID_CODE, Refusal.INVALID_ASSERTION, Refusal.STATE_CHANGED)
_TITLES: Final = {"item": "proof_title"}
_CASE: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_WEB: Final = re.compile(r"https://[^\s\"'<>]{1,500}")


# The case card. -------------------------------------------------------------------------------------


def _new_card() -> str:
    return _card_text(os.urandom(CARD_BYTES))


def _card_text(secret: bytes) -> str:
    return base64url.encode(secret)


def _written(secret: bytes) -> list[str]:
    """A card as it is written down: 13 groups of four of the letters A to Z and the digits 2 to 7 (RFC 4648 6)."""
    text = base64.b32encode(secret).decode().rstrip("=")
    return [text[i : i + 4] for i in range(0, len(text), 4)]


def _read_card(typed: str) -> bytes | None:
    """A card as it was typed or kept; None where it is none. What looks alike on paper is read as what it can be."""
    kept = base64url.decode(typed) if len(typed) == 43 else None
    if kept is not None and len(kept) == CARD_BYTES:
        return kept
    letters = re.sub(r"[^A-Z0-9]", "", typed[:256].upper()).translate(str.maketrans("018", "OIB"))
    try:
        secret = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except (NotBase32, ValueError):
        return None
    return secret if len(secret) == CARD_BYTES else None


# Small things. --------------------------------------------------------------------------------------


def _aim(form: Mapping[str, str]) -> Aim:
    given = form.get("aim")
    return "object" if given == "object" else "undo" if given == "undo" else "hold"


def _lost(form: Mapping[str, str]) -> Lost:
    return Lost(everything_on_phone="phone" in form, recovery_codes="paper" in form)


def _proof(form: Mapping[str, str]) -> Proof | None:
    """An answer as the door takes it; None where there is none."""
    means, given = _OFFERED.get(form.get("means", "")), form.get("proof", "")
    if means is None or not given:
        return None
    if means is not Means.PASSKEY:
        return Proof(means=means, text=Secret(given if means is Means.PASSWORD else given.strip()))
    try:
        return Proof(means=means, credential=msgspec.json.decode(given, type=dict[str, Any]))
    except (msgspec.DecodeError, RecursionError):
        return None


def _refusal(reply: words.Reply) -> Refusal:
    return reply.refusal if isinstance(reply, words.Refused) else Refusal.INVALID_REQUEST


def _worth(rank: int) -> str:
    return "most" if rank >= STRONG else "more" if rank >= MEDIUM else "some" if rank else "none"


def _cookies(header: str) -> dict[str, str]:
    pairs = (pair.strip().partition("=") for pair in header[:8192].split(";"))
    return {name: value for name, _, value in pairs if name}


def _set(name: str, value: str) -> str:
    """A cookie until the browser is closed; an empty one is forgotten at once."""
    ended = "" if value else "; Max-Age=0"
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict{ended}"


def _form_token(seed: str) -> str:
    """What a form must carry: nobody can say it who cannot read the cookie."""
    return base64url.encode(hmac.digest(seed.encode(), b"lost-device form", "sha256"))


def _spoken(asked: str, accepted: str, otherwise: str) -> str:
    """The language of the page: the one asked for, else the best that the browser takes, else the tenant's."""
    wished: list[tuple[float, str]] = []
    for part in accepted[:1024].split(","):
        tag, _, quality = part.partition(";q=")
        try:
            wished.append((-float(quality or 1), tag))
        except ValueError:
            continue
    tags = [*asked[:256].split(" "), *(tag for _, tag in sorted(wished, key=lambda w: w[0])), otherwise]
    primary = (tag.strip().partition("-")[0].lower() for tag in tags)
    return next((name for name in primary if name in LANGUAGES), LANGUAGES[0])


@cache
def _words(language: str) -> Mapping[str, str]:
    """All that the page says in a language of `LANGUAGES`."""
    found: dict[str, str] = tomllib.loads(_text(f"languages/{language}.toml"))
    return found


@cache
def _text(name: str) -> str:
    return files("genkan.wire.lost_device").joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    """Where the template is compiled: HTML is escaped, an unknown name is an error."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=FunctionLoader(_text),
        autoescape=select_autoescape(enabled_extensions=["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


_ACTS: Final[Mapping[str, Callable[[Endpoint, _Visit, Mapping[str, str]], Awaitable[Response]]]] = {
    "start": Endpoint.start,
    "contain": Endpoint.contain,
    "object": Endpoint.object,
    "undo": Endpoint.undo,
    "follow": Endpoint.follow,
    "report": Endpoint.report,
    "card": Endpoint.resume,
    "begin": Endpoint.begin,
    "add": Endpoint.add,
    "extend": Endpoint.extend,
    "lift": Endpoint.lift,
    "contest": Endpoint.contest,
    "clear": Endpoint.clear,
}
"""Every button of the page, by what its form says."""
