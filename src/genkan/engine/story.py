"""
One sign-in told as a story: from its entry in the sign-in log and the audit rows of its steps, in plain sentences.

For administrators: it names policies. Decides nothing and repeats no secret; of addresses it knows only the network's.
Source: conditional-access 14.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct

from genkan.engine.messages import Directory, SignIn
from genkan.engine.steps import NOT_ABOUT_IT, WRONG
from genkan.engine.transaction import Audited
from genkan.model import DIRECTORY, Kind
from genkan.policy.explain import explain_policy
from genkan.policy.model import Applied
from genkan.risk.score import sentence

PROOFS = {
    Kind.PASSWORD: "The password",
    Kind.EMAIL_OTP: "The code from the e-mail",
    Kind.SMS_OTP: "The code from the text message",
    Kind.PASSKEY: "The passkey",
    Kind.FEDERATED: "The sign-in at another provider",
}
SENT = {
    Kind.EMAIL_OTP: "A code was sent by e-mail",
    Kind.SMS_OTP: "A code was sent by text message",
    Kind.PASSKEY: "A passkey was asked for",
}
SAID = {
    "identify": "A sign-in name was given",
    "confirm": "The mailbox that was proven before was registered as second factor",
    "setpassword": "A password was set",
    "supply": "Attributes were handed in",
    "look": "The app looked what is awaited",
    "resume": "The app asked for tokens",
    "renew": "The app asked for fresh tokens",
    "reset": "A password was reset",
}
CAME = {
    "needenrolment": "a second factor had to be registered first",
    "needattributes": "attributes were still missing",
    "neednewpassword": "a password was still to be set",
    "ready": "tokens were issued",
    "web": "only a browser could go on",
}
NOT_CLEARED = {
    "block": "The service that is asked before a text message said no.",
    "silent": "The service that is asked before a text message did not say yes in time.",
}
ENDED = {
    "issued": "Tokens were issued.",
    "allow": "Nothing more was asked for, but the app never came for its tokens.",
    "mfa": "It ended where a second factor was asked for.",
    "register": "It ended where a second factor had to be registered.",
    "web": "The app was sent to the browser.",
}
PURPOSES = {
    "sign_in": "Sign-in",
    "sign_up": "Sign-up",
    "reset_password": "Password reset",
    "session": "Refresh",
}


class Event(Struct, frozen=True, kw_only=True):
    """One step: when, what was said and what came of it, and what each policy had to do with it."""

    at: datetime
    text: str
    because: tuple[str, ...] = ()


class _Step(NamedTuple):
    """An audit row, its action taken apart."""

    row: Audited
    purpose: str
    said: str
    came: str


class Story(Struct, frozen=True, kw_only=True):
    """One flow or refresh, from beginning to end."""

    title: str
    correlation_id: str
    facts: tuple[str, ...]
    """Who, from where, with what: a sentence each."""
    events: tuple[Event, ...]
    ending: str
    unconcerned: tuple[str, ...] = ()
    """The policies that were not about it, and why not."""


def tell(entries: Iterable[SignIn], trail: Iterable[Audited], directory: Directory) -> tuple[Story, ...]:
    """
    The stories that a correlation id leads to, oldest first; none when nothing is known of it.

    Shapes: `entries` and `trail` are all that the logs hold of it. A client may use one id for several requests, so
    steps are given to the entry of their own purpose.
    """
    left: dict[str, list[_Step]] = {}
    for row in sorted(trail, key=lambda row: row.seq):
        match row.record.action.split(":"):
            case (purpose, said, came):
                left.setdefault(purpose, []).append(_Step(row, purpose, said, came))
    stories = []
    for entry in sorted(entries, key=lambda entry: entry.at):
        purpose = str(entry.purpose) if entry.interactive else "session"
        stories.append(_story(entry, left.pop(purpose, []), directory))
    return (*stories, *(_without_entry(steps, directory) for steps in left.values()))


def as_text(stories: Sequence[Story]) -> str:
    """The stories as a terminal shows them."""
    return "\n\n".join("\n".join(map(printable, _lines(story))) for story in stories)


def printable(text: str) -> str:
    """A text that people have chosen, without what could move a terminal's cursor or colour (LOG-06)."""
    return "".join(c if c.isprintable() else "�" for c in text)


def _lines(story: Story) -> Iterable[str]:
    yield story.title
    yield from (f"  {fact}" for fact in story.facts)
    yield ""
    for event in story.events:
        yield f"  {event.at:%H:%M:%S}  {event.text}"
        yield from (f"            {sentence}" for sentence in event.because)
    yield ""
    yield f"  {story.ending}"
    if story.unconcerned:
        yield ""
        yield "  Not about it:"
        yield from (f"    {sentence}" for sentence in story.unconcerned)


def _story(entry: SignIn, steps: Sequence[_Step], directory: Directory) -> Story:
    kind = PURPOSES[str(entry.purpose)] if entry.interactive else PURPOSES["session"]
    ending = ENDED.get(entry.outcome, "")
    if entry.reason is not None:
        ending = f"It was refused: {_words(entry.reason)}."
        if entry.because and entry.policies:
            ending = f"{ending} {entry.because}"
    elif entry.outcome == "web":
        ending = f"{ending} {entry.because}."
    return Story(
        title=f"{kind} to “{entry.client_name}” on {entry.at:%Y-%m-%d at %H:%M:%S} UTC",
        correlation_id=entry.correlation_id,
        facts=tuple(_facts(entry, directory)),
        events=tuple(_event(step) for step in steps),
        ending=ending,
        unconcerned=tuple(explain_policy(a) for a in entry.policies if a.result in NOT_ABOUT_IT),
    )


def _facts(entry: SignIn, directory: Directory) -> Iterable[str]:
    if entry.subject is None:
        yield "Person        nobody known here"
    else:
        yield f"Person        {entry.name or 'without a display name'} ({entry.subject})"
    yield f"For           {_resource(entry.resource, directory)}, scopes {' '.join(entry.scopes)}"
    if entry.contexts:
        yield f"Contexts      {' '.join(entry.contexts)}"
    place = f" ({entry.place.country})" if entry.place.country else ""
    app = "a browser" if entry.client_app == "browser" else "an app"
    on = "an unknown platform" if entry.platform == "unknown" else entry.platform
    yield f"From          {entry.address or 'an address that is not told'}{place}, with {app} on {on}"
    if entry.risk.level != "hidden":
        is_settled = entry.risk.state == "remediated"
        yield f"Risk          {entry.risk.level}{', settled by the second factor' if is_settled else ''}"
        yield from (f"              {sentence(word)} ({word})" for word in entry.risk.reasons)
    if entry.account_risk not in ("hidden", "none"):
        yield f"Account risk  {entry.account_risk}"
    yield f"Correlation   {entry.correlation_id}"


def _without_entry(steps: Sequence[_Step], directory: Directory) -> Story:
    """Nobody got so far that policy was asked or a proof was wrong."""
    row, purpose, _, _ = steps[0]
    client = directory.clients.get(row.record.client or "")
    name = client.name if client else row.record.client
    return Story(
        title=f"{PURPOSES.get(purpose, purpose)} to “{name}” on {row.at:%Y-%m-%d at %H:%M:%S} UTC",
        correlation_id=row.record.correlation_id,
        facts=(f"Correlation   {row.record.correlation_id}",),
        events=tuple(_event(step) for step in steps),
        ending="It did not come to a decision.",
    )


def _event(step: _Step) -> Event:
    row, _, said, came = step
    detail = row.record.detail
    text = _said(said, came, detail.get("sent"), detail.get("kind"), row.record.reason)
    outcome = f"refused: {_words(row.record.reason)}" if came == "refused" else CAME.get(came, "")
    if came == "needchoice" and "policies" in detail:
        outcome = "a second factor was asked for"
    if said == "prove" and came == "refused" and row.record.reason in WRONG:
        outcome = ""
    return Event(
        at=row.at,
        text=f"{text}; {outcome}." if outcome else f"{text}.",
        because=(
            *(explain_policy(_applied(entry)) for entry in detail.get("policies", ())),
            *((NOT_CLEARED[detail["telephony_risk"]],) if "telephony_risk" in detail else ()),
        ),
    )


def _said(said: str, came: str, sent: str | None, kind: str | None, reason: str) -> str:
    if said == "prove" and kind is not None:
        wrong = came == "refused" and reason in WRONG
        return f"{PROOFS[Kind(kind)]} was {'wrong' if wrong else 'right'}"
    if sent is not None:
        new = " to the new second factor" if said == "enrol" else ""
        return f"{SENT[Kind(sent)]}{new}"
    if said == "choose":
        return "The password was asked for" if came == "needproof" else "The app asked for a challenge"
    return SAID.get(said, said)


def _applied(entry: Applied | list[object]) -> Applied:
    """A trace as the log holds it."""
    return entry if isinstance(entry, Applied) else msgspec.convert(entry, Applied)


def _resource(resource: str, directory: Directory) -> str:
    if resource == DIRECTORY:
        return "the directory"
    known = directory.apis.get(resource)
    return f"“{known.name}”" if known else resource


def _words(reason: str) -> str:
    return reason.replace("_", " ")
