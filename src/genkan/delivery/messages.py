"""
Say in words what a message is to tell: subject, text and HTML of an e-mail, the text of a text message.

Knows no channel and no clock. The words are fixed, in one file for each language, and chosen by what the message is
for. Of what the engine hands along only a few values are ever printed: `app` (the application's name, set by an
administrator), `method` (a masked address), two times of an emergency, and in a text message the lines by which a
browser or Android hands the code to the right app. All are cut to plain text first. Nothing a person typed is printed.
The one link is that to the tenant's own page for lost devices, in notices by e-mail: what somebody does who did not do
what they are told of. It has no power; in a notice of a report alone it carries the secret that has (E1).
Source: security-requirements MSG-01 (header values), MSG-02 (templates), MSG-03 (user text), MSG-04 (text messages),
OTP-18, ENR-04; emergency-protocol 5.5, 8; wicg.github.io/sms-one-time-codes (the origin's line), Android SMS Retriever
(the app's hash).
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, field

from genkan.model import Brand, Channel, Message

if TYPE_CHECKING:
    from jinja2 import Environment, Template

LONGEST_VALUE: Final = 64
"""Characters of a value that may be printed (MSG-03)."""


class Unrenderable(Exception):
    """A message that cannot be put into words: a bug on our side. Says which template, never what was in it."""


class Rendered(Struct, frozen=True, kw_only=True):
    """A message in words. A text message has neither a subject nor HTML."""

    subject: str | None
    text: str
    html: str | None


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    """What a message of one purpose says."""

    subject: str
    """The subject of the e-mail. It never holds the code: relays log subjects (LOG-01)."""
    purpose: str
    """What the code is for, as a part of `Language.use`; of a notice, the whole sentence."""
    otherwise: str
    """What to do if it was not you."""
    label: str
    """What the code is for, as a part of `Language.sms`; of a notice, its whole text message."""
    if_it_was: str = ""
    """Ends a notice by e-mail."""
    act: str = ""
    """Of a notice that carries a link with power: what it does."""


class Language(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that is said in one language. What stands in braces is filled in."""

    minute: str
    minutes: str
    moment: str
    months: tuple[str, ...]
    subject: str
    use: str
    valid: str
    careful: str
    not_you: str
    application: str
    method: str
    time: str
    held: str
    """Until when a security hold lasts."""
    ready: str
    """When a recovery may be completed."""
    page: str
    """What the page for lost devices is, before its address."""
    contact: str
    sms: str
    codes: dict[str, Words] = field(default_factory=dict)
    """By `Message.purpose`."""
    notices: dict[str, Words] = field(default_factory=dict)
    """By `Message.template`. An unknown one is told as `notice`: better in general words than not at all."""


LANGUAGES: Final = ("en", "de", "es", "fr")
"""Those there are; the first is spoken where none other is known."""


@cache
def language(name: str) -> Language:
    """A language of `LANGUAGES`."""
    text = (files("genkan.delivery") / "languages" / f"{name}.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Language)


def spoken(*wanted: str) -> str:
    """The first of these (BCP 47 tags, as `de-CH`) that there are words for."""
    primary = (tag.partition("-")[0].lower() for tag in wanted)
    return next((name for name in primary if name in LANGUAGES), LANGUAGES[0])


def render(
    message: Message,
    brand: Brand = Brand(),  # noqa: B008
    page: str = "",
    *,
    with_html: bool = True,
) -> Rendered:
    """
    The message in words.

    `page` is the address of the tenant's page for lost devices, as its settings have it; empty: it has none.
    Raises: `Unrenderable` for a purpose without words, or a code that is missing or is not letters and digits.
    Source: MSG-02 … MSG-04, SSPR-06.
    """
    tongue = spoken(message.language, brand.language)
    said = language(tongue)
    app = _plain(brand.name) or _plain(message.values.get("app", ""))
    is_notice = message.purpose == "notice"
    words = said.notices.get(message.template, said.notices["notice"]) if is_notice else _words(message, said)
    code = "" if is_notice else _code(message)
    minutes = _minutes(message, said)
    if message.channel is Channel.SMS:
        if is_notice:
            return Rendered(subject=None, text=words.label, html=None)
        text = _filled(said.sms, code=code, label=words.label, minutes=minutes)
        return Rendered(subject=None, text=text + _lines_for_apps(message, code), html=None)
    subject = (
        _filled(said.subject, subject=words.subject, app=app) if app and not is_notice else words.subject
    )
    contact = _plain(brand.contact, is_contact=True)
    values: dict[str, Any] = {
        "language": tongue,
        "app": app,
        "subject": subject,
        "otherwise": words.otherwise,
        "not_you": said.not_you,
        "contact": _filled(said.contact, contact=contact) if contact else "",
        "colour": brand.colour if _COLOUR.fullmatch(brand.colour) else "",
    }
    if is_notice:
        is_neutral = message.template == NEUTRAL
        told = (
            (said.application, app),
            (said.method, _plain(message.values.get("method", ""))),
            (said.held, _when(message, HOLD_UNTIL, said)),
            (said.ready, _when(message, READY_AT, said)),
            (said.time, _moment(message.created_at, said)),
        )
        facts = [(name, value) for name, value in told[: 1 if is_neutral else None] if value]
        link = _link(message, page) if words.act else ""
        values |= {
            "purpose": words.purpose,
            "facts": facts,
            "act": words.act if link else "",
            "link": link,
            "if_it_was": words.if_it_was,
            "about_page": said.page if page and message.template not in HARMLESS else "",
            "page": page,
        }
    else:
        values |= {
            "code": code,
            "use": _filled(said.use, purpose=words.purpose),
            "valid": _filled(said.valid, minutes=minutes),
            "careful": said.careful,
        }
    kind = "notice" if is_notice else "code"
    return Rendered(
        subject=subject,
        text=_template(f"{kind}.txt.j2").render(values),
        html=_template(f"{kind}.html.j2").render(values) if with_html else None,
    )


NEUTRAL: Final = "emergency_neutral"
"""What may be read by others: no method, no time, no link with power (emergency-protocol 4, 8)."""

HARMLESS: Final = frozenset({"account_exists"})
"""Notices after which nothing needs to be put right: they point nowhere."""

HOLD_UNTIL: Final = "hold_until"
READY_AT: Final = "ready_at"
"""Names of the values of a notice that are times (RFC 3339)."""

LINK: Final = "link"
"""The value of a notice that is the page's address with what the notice proves, as `?link=…`."""


def _link(message: Message, page: str) -> str:
    """The link with power; empty where there is none, or none to our own page."""
    link = message.values.get(LINK, "")
    start, _, proof = link.partition("?link=")
    return link if page and start == page and _PROOF.fullmatch(proof) else ""


_PROOF: Final = re.compile(r"[A-Za-z0-9_-]{22,4096}")


def _when(message: Message, name: str, said: Language) -> str:
    """A value that is a time, for a person; empty where there is none."""
    try:
        at = datetime.fromisoformat(message.values.get(name, ""))
    except ValueError:
        return ""
    return _moment(at.astimezone(UTC), said) if at.tzinfo else ""


def _filled(sentence: str, **values: str) -> str:
    """A sentence of ours with what belongs into its braces. What is filled in is not looked at again."""
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], sentence)


def _words(message: Message, said: Language) -> Words:
    """What a code of this purpose is for."""
    words = said.codes.get(message.purpose)
    if words is None:
        raise Unrenderable(f"no words for the purpose {message.purpose!r}")
    return words


def _code(message: Message) -> str:
    """The code, which can be nothing but ASCII letters and digits."""
    code = message.code.text if message.code else ""
    if not (code.isascii() and code.isalnum()):
        raise Unrenderable(f"no printable code in a message for {message.purpose!r}")
    return code


def _lines_for_apps(message: Message, code: str) -> str:
    """
    The lines that machines read: Android's hash of the app, and last the origin that alone may fill the code in.

    A value that is not of its form is left out: it would spoil the message for everybody.
    """
    lines = ""
    app_hash, domain = message.values.get("android_hash", ""), message.values.get("code_domain", "")
    if _APP_HASH.fullmatch(app_hash):
        lines += f"\n{app_hash}"
    if _DOMAIN.fullmatch(domain):
        lines += f"\n\n@{domain} #{code}"
    return lines


_APP_HASH: Final = re.compile(r"[A-Za-z0-9+/]{11}")
_DOMAIN: Final = re.compile(
    r"(?=.{1,80}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+"
)
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")


def _minutes(message: Message, said: Language) -> str:
    """How long the code lasts, as `5 minutes`; rounded down, so that it never promises too much."""
    minutes = max(1, int((message.expires_at - message.created_at).total_seconds() // 60))
    return said.minute if minutes == 1 else _filled(said.minutes, count=str(minutes))


def _moment(at: datetime, said: Language) -> str:
    """A time for a person, as `4 March 2026, 09:12 UTC`."""
    parts = {
        "day": str(at.day),
        "month": said.months[at.month - 1],
        "year": str(at.year),
        "time": f"{at:%H:%M}",
    }
    return _filled(said.moment, **parts)


_LINK = re.compile(
    r"""\S*(?: :// | \bwww\. )\S*                          # an address with its scheme, or a web host
      | \b(?:javascript|data|mailto|tel|sms):\S*           # what else a mail program may turn into a link
      | (?<![\w@*.-])[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}(?:/\S*)?(?![\w@*-])   # a bare host
    """,
    re.IGNORECASE | re.VERBOSE,
)


@lru_cache(maxsize=256)
def _plain(value: str, *, is_contact: bool = False) -> str:
    """
    A value as one short line of plain text: no control or invisible characters, nothing that becomes a link.

    Also drops the marks of an encoded word, so that it can stand in a header (MSG-01, MSG-03). How to reach the
    operator may be an address: an administrator wrote it, and it is what a worried owner needs.
    """
    if not value:
        return ""
    folded = unicodedata.normalize("NFKC", value[: 4 * LONGEST_VALUE])
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in folded)
    unmarked = visible.replace("=?", " ").replace("?=", " ")
    unlinked = unmarked if is_contact else _LINK.sub(" ", unmarked)
    return " ".join(unlinked.split())[:LONGEST_VALUE].rstrip()


@cache
def _template(name: str) -> Template:
    """A template of ours, compiled once."""
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    """
    Where templates are compiled: names of variables, conditions on them and inheritance, and nothing else.

    Attributes, items and calls are refused, there are no filters, tests or globals, an unknown name is an error, and
    HTML is escaped (MSG-02). Jinja is imported here, so that it costs nothing until the first message.
    """
    from jinja2 import FunctionLoader, StrictUndefined, select_autoescape
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Logicless(ImmutableSandboxedEnvironment):
        def getattr(self, obj: Any, attribute: str) -> Any:
            return self.unsafe_undefined(obj, attribute)

        def getitem(self, obj: Any, argument: Any) -> Any:
            return self.unsafe_undefined(obj, str(argument))

        def is_safe_callable(self, obj: Any) -> bool:
            return False

    folder = files("genkan.delivery") / "templates"
    environment = Logicless(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=select_autoescape(enabled_extensions=["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.clear()
    environment.filters.clear()
    environment.tests.clear()
    return environment
