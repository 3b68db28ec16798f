"""
Say in words what a message is to tell: subject, text and HTML of an e-mail, the text of a text message.

Knows no channel and no clock. The words are fixed and chosen by what the message is for. Of what the engine hands
along only two values are ever printed, `app` (the application's name, set by an administrator) and `method` (a masked
address); both are cut to plain text first. Nothing a person typed is printed, and no message carries a link.
Source: security-requirements MSG-01 (header values), MSG-02 (templates), MSG-03 (user text), MSG-04 (text messages).
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from genkan.model import Channel, Message

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


class Words(Struct, frozen=True):
    """What a message of one purpose says."""

    subject: str
    """The subject of the e-mail. It never holds the code: relays log subjects (LOG-01)."""
    purpose: str
    """Ends the sentence “Use this code to …”; of a notice, the whole sentence."""
    otherwise: str
    """What to do if it was not you."""
    label: str = ""
    """Ends the sentence “12345678 is your code to …” of a text message; of a notice, its whole text."""
    if_it_was: str = "If it was you, there is nothing to do."
    """Ends a notice by e-mail."""


CODES: Final = {
    "sign_in": Words(
        "Your sign-in code",
        "sign in",
        "If you are not signing in right now, ignore this message. Nobody gets in without the code.",
        "sign in",
    ),
    "sign_up": Words(
        "Your sign-up code",
        "create your account",
        "If you did not ask for an account, ignore this message. None is created without the code.",
        "sign up",
    ),
    "reset_password": Words(
        "Your code to reset the password",
        "choose a new password",
        "If you did not ask for this, ignore this message. Your password stays as it is without the code.",
        "reset your password",
    ),
    "mfa": Words(
        "Your verification code",
        "finish signing in",
        "If you are not signing in right now, somebody else has passed the first check of your account. "
        "Keep the code to yourself, and change the password of your account or your mailbox.",
        "finish signing in",
    ),
    "enrol": Words(
        "Your code to confirm this address",
        "confirm that this address is yours",
        "If you did not ask for this, ignore this message. Nothing is added to any account without the code.",
        "confirm this number",
    ),
    "emergency": Words(
        "Your code to protect your account",
        "protect your account",
        "If you did not report a problem with your account, keep the code to yourself: somebody else asked for it.",
        "protect your account",
    ),
}
"""By `Message.purpose`."""

NOTICES: Final = {
    "method_added": Words(
        "A new way to sign in was added to your account",
        "A new way to prove that it is you was added to your account.",
        "If this was not you, somebody else can use your account. Tell the people who run the service now, and change "
        "the password of your account or your mailbox.",
        "A new way to sign in was added to your account. Was it not you? Tell the people who run the service now.",
    ),
    "password_changed": Words(
        "Your password was changed",
        "The password of your account was changed.",
        "If this was not you, reset your password now and tell the people who run the service.",
        "The password of your account was changed. Was it not you? Reset your password now.",
    ),
    "second_factor_failed": Words(
        "Somebody could not finish signing in to your account",
        "Somebody passed the first check of your account, but gave wrong codes for the second one.",
        "If this was not you, somebody else may know your password or read your mail. Change your password now.",
        "Wrong codes were given to finish signing in to your account. Was it not you? Change your password now.",
    ),
    "account_exists": Words(
        "You already have an account",
        "Somebody asked for a new account with this address. It has one already, so none was created.",
        "If this was not you, ignore this message. Nothing was changed, and nobody was told that there is an account.",
        "Somebody asked for a new account with your number, which has one already. Was it not you? "
        "Ignore this message.",
        "If it was you, sign in instead.",
    ),
    "notice": Words(
        "The security settings of your account have changed",
        "The security settings of your account have changed.",
        "If this was not you, somebody else can use your account. Tell the people who run the service now.",
        "The security settings of your account have changed. Was it not you? Tell the people who run the service now.",
    ),
}
"""By `Message.template`. An unknown one is told as `notice`: better in general words than not at all."""


def render(message: Message, *, with_html: bool = True) -> Rendered:
    """
    The message in words.

    Raises: `Unrenderable` for a purpose without words, or a code that is missing or is not letters and digits.
    Source: MSG-02 … MSG-04.
    """
    if message.purpose == "notice":
        kind, words = "notice", NOTICES.get(message.template, NOTICES["notice"])
        method = _plain(message.values.get("method", ""))
        values: dict[str, Any] = {"at": _moment(message.created_at), "method": method}
    else:
        kind, words = "code", _words(message)
        values = {"code": _code(message), "minutes": _minutes(message)}
    if message.channel is Channel.SMS:
        text = _template(f"{kind}.sms.j2").render(words=words.label, **values)
        return Rendered(subject=None, text=text, html=None)
    app = _plain(message.values.get("app", ""))
    subject = f"{words.subject} for {app}" if app and kind == "code" else words.subject
    values |= {
        "app": app,
        "subject": subject,
        "purpose": words.purpose,
        "otherwise": words.otherwise,
        "if_it_was": words.if_it_was,
    }
    return Rendered(
        subject=subject,
        text=_template(f"{kind}.txt.j2").render(values),
        html=_template(f"{kind}.html.j2").render(values) if with_html else None,
    )


def _words(message: Message) -> Words:
    """What a code of this purpose is for."""
    words = CODES.get(message.purpose)
    if words is None:
        raise Unrenderable(f"no words for the purpose {message.purpose!r}")
    return words


def _code(message: Message) -> str:
    """The code, which can be nothing but ASCII letters and digits."""
    code = message.code.text if message.code else ""
    if not (code.isascii() and code.isalnum()):
        raise Unrenderable(f"no printable code in a message for {message.purpose!r}")
    return code


def _minutes(message: Message) -> str:
    """How long the code lasts, as `5 minutes`; rounded down, so that it never promises too much."""
    minutes = max(1, int((message.expires_at - message.created_at).total_seconds() // 60))
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def _moment(at: datetime) -> str:
    """A time for a person, as `4 March 2026, 09:12 UTC`."""
    return f"{at.day} {_MONTHS[at.month - 1]} {at:%Y, %H:%M} UTC"


_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_LINK = re.compile(
    r"""\S*(?: :// | \bwww\. )\S*                          # an address with its scheme, or a web host
      | \b(?:javascript|data|mailto|tel|sms):\S*           # what else a mail program may turn into a link
      | (?<![\w@*.-])[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,}(?:/\S*)?(?![\w@*-])   # a bare host
    """,
    re.IGNORECASE | re.VERBOSE,
)


@lru_cache(maxsize=256)
def _plain(value: str) -> str:
    """
    A value as one short line of plain text: no control or invisible characters, nothing that becomes a link.

    Also drops the marks of an encoded word, so that it can stand in a header (MSG-01, MSG-03).
    """
    if not value:
        return ""
    folded = unicodedata.normalize("NFKC", value[: 4 * LONGEST_VALUE])
    visible = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in folded)
    unlinked = _LINK.sub(" ", visible.replace("=?", " ").replace("?=", " "))
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
