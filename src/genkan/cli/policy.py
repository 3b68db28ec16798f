"""`genkan policy`: Conditional Access policies, and what they would do before they do it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from genkan.cli.common import CONTEXT, as_json, deployment, document, looked_at, moment

if TYPE_CHECKING:
    from genkan.bootstrap import Clock
    from genkan.engine.impact import Affected, Impact
    from genkan.engine.messages import Directory
    from genkan.model import Client, Resource
    from genkan.policy.model import Policy
    from genkan.service.inquiry import Outlook
    from genkan.store.tenant import Reader

RISKS = click.Choice(["none", "low", "medium", "high", "hidden"])


@click.group(context_settings=CONTEXT)
def policy() -> None:
    """Conditional Access policies: what they would do to a sign-in, and what they would have done."""


# What if? --------------------------------------------------------------------------------------------


@policy.command("what-if", context_settings=CONTEXT)
@click.argument("person")
@click.option("--app", required=True, help="The app: its client id or name.")
@click.option("--for", "resource", default=None, help="The API: its id, URI or name. [the directory]")
@click.option("--first", type=click.Choice(["password", "code"]), default=None, help="The first factor.")
@click.option("--address", default="", help="From which IP address.")
@click.option("--country", default=None, help="From which country, as two letters.")
@click.option("--platform", default="unknown", help="android, iOS, windows, macOS or linux.")
@click.option("--browser", is_flag=True, help="In a browser.")
@click.option("--sign-in-risk", type=RISKS, default="hidden", help="[hidden]")
@click.option("--user-risk", type=RISKS, default=None, help="[as it is]")
@click.option("--context", "contexts", multiple=True, help="An authentication context that is asked for: c1.")
@deployment
@as_json
def what_if(
    person: str,
    app: str,
    resource: str | None,
    first: str | None,
    address: str,
    country: str | None,
    platform: str,
    browser: bool,
    sign_in_risk: str,
    user_risk: str | None,
    contexts: tuple[str, ...],
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    What policy would say to PERSON right after a right first factor. Nothing is sent and nothing is written.

    PERSON is an e-mail address, a username or an id.

    \b
    Examples:
      genkan policy what-if ada@example.com --app "Demo app with e-mail codes" --for api://genkan-demo
      genkan policy what-if ada@example.com --app aaaaaaaa-0000-4000-8000-0000000000a2 --country JP
    """
    from msgspec.structs import replace

    from genkan.cli.user import found_person
    from genkan.engine.messages import Signals
    from genkan.engine.plan import NOTHING_DEMANDED
    from genkan.model import Demand, Kind, Place, Risk
    from genkan.service.inquiry import Supposed, account, outlook

    async def ask(reader: Reader, clock: Clock) -> Outlook:
        directory = reader.directory()
        client: Client = _named("app", app, directory.clients, "name")
        who = await reader.look(lambda view: found_person(view, person))
        found = await account(reader, who.id)
        if found is None:  # It has gone since.
            raise click.ClickException(f"There is no account {person}.")
        demand = NOTHING_DEMANDED
        if resource is not None:
            api: Resource = _named("API", resource, directory.apis, "name", "uri")
            scopes = tuple(f"{api.uri}/{scope}" for scope in api.scopes)
            demand = Demand(scopes=("openid", *scopes), resource=api.id)
        if user_risk is not None:
            risk = replace(found.subject.risk, level=user_risk)
            found = replace(found, subject=replace(found.subject, risk=risk))
        has_password = any(a.kind is Kind.PASSWORD for a in found.authenticators)
        by_password = first == "password" or (first is None and has_password)
        supposed = Supposed(
            first=Kind.PASSWORD if by_password else Kind.EMAIL_OTP,
            client=client,
            demand=replace(demand, contexts=contexts),
            signals=Signals(
                address=address,
                place=Place(country=country.upper() if country else None),
                client_app="browser" if browser else "mobileAppsAndDesktopClients",
                platform=platform,
            ),
            risk=Risk(level=sign_in_risk),  # type: ignore[arg-type]
        )
        return outlook(directory, found, supposed, clock.now())

    found = looked_at(data, tenant, ask)
    click.echo(_outlook_as_json(found) if as_json else "\n".join(_outlook_as_text(found)))


def _outlook_as_text(found: Outlook) -> Iterable[str]:
    from genkan.policy.explain import explain

    decision = found.decision
    sentence, *policies = explain(decision)
    yield f"After a right first factor: {_OUTCOMES[decision.outcome]}"
    yield f"  {sentence}"
    if methods := (*decision.usable, *decision.passkeys):
        yield f"  Second factors that would do: {', '.join(_method(a.kind) for a in methods)}"
    if decision.registrable:
        yield f"  May be registered: {', '.join(_method(kind) for kind in decision.registrable)}"
    yield ""
    yield from policies or ("There are no policies.",)


def _outlook_as_json(found: Outlook) -> bytes:
    import msgspec

    return msgspec.json.encode(
        {
            "outcome": found.decision.outcome,
            "reason": found.decision.reason,
            "because": found.decision.because,
            "usable": [a.kind for a in (*found.decision.usable, *found.decision.passkeys)],
            "registrable": list(found.decision.registrable),
            "policies": [
                {
                    "id": entry.policy.id,
                    "displayName": entry.policy.display_name,
                    "policyApplies": entry.applies,
                    "analysisReasons": entry.reasons,
                }
                for entry in found.policies
            ],
        }
    )


_OUTCOMES = {
    "allow": "tokens.",
    "block": "blocked.",
    "deny": "refused.",
    "reauth": "asked to sign in again.",
    "mfa": "asked for a second factor.",
    "register": "asked to register a second factor.",
    "password_change": "asked for a new password.",
    "no_method": "stranded, for no method would do.",
}


def _method(kind: str) -> str:
    return {"sms_otp": "text message", "email_otp": "e-mail"}.get(kind, kind)


# What would have been? -------------------------------------------------------------------------------


@policy.command(context_settings=CONTEXT)
@click.argument("policy", metavar="POLICY")
@click.option("--since", default="7d", help="How far back: 12h, 7d, 4w, or a date. [7d]")
@click.option("--until", default=None, help="Up to when; the same forms. [now]")
@click.option("--off", is_flag=True, help="As if the policy were switched off.")
@click.option("--app", default=None, help="Sign-ins to this app only: its client id or name.")
@click.option("--people", "shown", type=click.IntRange(0), default=10, help="How many people to list. [10]")
@deployment
@as_json
def impact(
    policy: str,
    since: str,
    until: str | None,
    off: bool,
    app: str | None,
    shown: int,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    What POLICY would have done to the sign-ins of the last days: who would have been asked, blocked or stranded.

    POLICY is the id or name of a stored policy, whatever its state, or a file with a draft in Graph's JSON
    (`-` reads it from standard input). A draft with the id of a stored policy takes its place. Each sign-in of the log
    is judged twice, without the policy and with it enabled. Nothing is written; the server may go on running.

    \b
    Examples:
      genkan policy impact "MFA for everybody" --since 7d
      genkan policy impact draft.json --since 2026-11-01 --json
      genkan policy impact "Old rule" --off            what would be if it went
    """
    from genkan.engine.story import printable
    from genkan.engine.transaction import SignInQuery
    from genkan.service import inquiry

    async def ask(reader: Reader, clock: Clock) -> tuple[Impact, Policy, datetime, datetime]:
        directory = reader.directory()
        draft = _draft(policy, directory)
        before, after = inquiry.compared(directory.policies, draft)
        if off:
            before, after = after, tuple(p for p in after if p.id != draft.id)
        start, end = moment(since, clock.now()), moment(until, clock.now()) if until else clock.now()
        client = _named("app", app, directory.clients, "name").id if app else None
        query = SignInQuery(since=start, until=end, client=client)
        with _counting(as_json) as counted:
            return await inquiry.impact(reader, before, after, query, counted), draft, start, end

    found, draft, start, end = looked_at(data, tenant, ask)
    if as_json:
        click.echo(_impact_as_json(found, draft, start, end))
    else:
        lines = _impact_as_text(found, draft, start, end, shown, off)
        click.echo("\n".join(map(printable, lines)))


def _draft(text: str, directory: Directory) -> Policy:
    """The policy that is meant: a file, or a stored one by id or name."""
    from genkan.policy.validate import Refusal, read

    path = Path(text)
    if text != "-" and not path.is_file():
        found = [p for p in directory.policies if text in (p.id, p.display_name)]
        if len(found) != 1:
            names = "\n".join(f"  {p.id}  {p.display_name}" for p in directory.policies) or "  none"
            many = "There is no policy or file" if not found else "Several policies are called"
            raise click.ClickException(f"{many} {text}. Stored policies:\n{names}")
        return found[0]
    from msgspec.structs import replace

    said = document(path)
    draft = read(said)
    if isinstance(draft, Refusal):
        raise click.ClickException(f"{text} is no policy: {draft.number}: {draft.text}")
    given = said.get("id") if isinstance(said, dict) else None
    return replace(draft, id=given if isinstance(given, str) else "draft")


def _impact_as_text(
    found: Impact, draft: Policy, start: datetime, end: datetime, shown: int, off: bool
) -> Iterable[str]:
    from genkan.engine.impact import WORDS

    title = f"without “{draft.display_name}”" if off else f"with “{draft.display_name}” enabled"
    yield f"What would have been {title}, {start:%d %b %H:%M} to {end:%d %b %H:%M} UTC"
    yield ""
    total, refreshed = sum(found.sign_ins.values()), sum(found.refreshes.values())
    if not total and not refreshed:
        yield "  Nobody signed in. Look further back with --since."
    else:
        seen, fresh = _many(len(found.seen), "person", "people"), _many(refreshed, "refresh", "refreshes")
        yield f"  {_many(total, 'sign-in')} by {seen}, {fresh}"
        yield ""
        for effect, words in WORDS.items():
            count, again = found.sign_ins[effect], found.refreshes[effect]
            if count or again:
                people = found.people.get(effect, {})
                who = f"{_many(len(people), 'person', 'people'):>12}" if people else " " * 12
                more = f"   {_many(again, 'refresh', 'refreshes')}" if again else ""
                yield f"  {words:<46}{_many(count, 'sign-in'):>16}{who}{more}".rstrip()
    for effect, words in WORDS.items():
        people = found.people.get(effect, {})
        if not people or not shown:
            continue
        yield ""
        yield f"  {words.capitalize()}"
        order = sorted(people.values(), key=lambda p: (-p.sign_ins, -p.refreshes, p.subject))
        yield from (f"    {_person(person)}" for person in order[:shown])
        if len(order) > shown:
            yield f"    … and {len(order) - shown} more (--people {len(order)})"
    yield ""
    for why, count in sorted(found.left_out.items()):
        yield f"  {_many(count, 'entry', 'entries')} left out: {why}."
    yield "  Accounts, groups, methods and the other policies are those of today."


def _person(person: Affected) -> str:
    apps = ", ".join(f"{app} ×{count}" for app, count in person.apps.most_common(3))
    return f"{person.name or '(no name)'}  {person.subject}  last {person.last:%d %b %H:%M}  {apps}"


def _impact_as_json(found: Impact, draft: Policy, start: datetime, end: datetime) -> bytes:
    import msgspec

    return msgspec.json.encode(
        {
            "policy": {"id": draft.id, "displayName": draft.display_name},
            "since": start,
            "until": end,
            "signIns": found.sign_ins,
            "refreshes": found.refreshes,
            "people": {effect: list(people.values()) for effect, people in found.people.items()},
            "peopleSeen": len(found.seen),
            "leftOut": found.left_out,
        }
    )


# What is meant. --------------------------------------------------------------------------------------

Thing = TypeVar("Thing")


def _named(kind: str, text: str, things: Mapping[str, Thing], *members: str) -> Thing:
    """The one thing with this id, or with this text as one of these members."""
    found = [
        thing
        for id, thing in things.items()
        if text.lower() == id or text in (getattr(thing, member) for member in members)
    ]
    if len(found) == 1:
        return found[0]
    known = "\n".join(f"  {id}  {getattr(thing, members[0])}" for id, thing in things.items()) or "  none"
    many = f"There is no {kind}" if not found else f"There are several {kind}s called"
    raise click.ClickException(f"{many} {text}. There are:\n{known}")


def _many(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


@contextmanager
def _counting(quiet: bool) -> Iterator[Callable[[Any], None]]:
    """Says on a terminal how far it is."""
    stream = sys.stderr
    if quiet or not stream.isatty():
        yield lambda _: None
        return
    count, every = 0, 500

    def counted(entry: Any) -> None:
        nonlocal count
        count += 1
        if count % every == 0:
            stream.write(f"\r  {count:,} entries, back to {entry.at:%d %b %H:%M} …")
            stream.flush()

    try:
        yield counted
    finally:
        stream.write("\r\033[K")
        stream.flush()
