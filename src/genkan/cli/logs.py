"""`genkan logs`: what happened, and whether the record of it is whole."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genkan.cli.common import CONTEXT, as_json, deployment, looked_at, moment
from genkan.cli.showing import as_lines, as_table

if TYPE_CHECKING:
    from genkan.bootstrap import Clock
    from genkan.engine.messages import SignIn
    from genkan.engine.transaction import Audited
    from genkan.store.chain import Chained
    from genkan.store.tenant import Reader

PAGE = 1000
since_option = click.option("--since", default="7d", help="How far back: 12h, 7d, 4w, or a date. [7d]")
until_option = click.option("--until", default=None, help="Up to when; the same forms. [now]")


@click.group(context_settings=CONTEXT)
def logs() -> None:
    """
    The logs: sign-ins, changes by administrators, and whether the audit log is whole. A server may run meanwhile.

    \b
    Examples:
      genkan logs sign-ins --person ada@example.com
      genkan logs audits --since 30d
      genkan logs messages --since 1d
      genkan logs verify
      genkan logs export sign-ins --since 1d > sign-ins.jsonl
    """


def _is_head(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    if text is not None and re.fullmatch(r"\d{1,18}:[0-9A-Fa-f]{64}", text) is None:
        raise click.BadParameter("it is as verify prints it: a number, a colon and 64 digits.")
    return text


@logs.command("sign-ins", context_settings=CONTEXT)
@click.option("--person", default=None, help="Of this person only: an address, a username or an id.")
@click.option("--app", default=None, help="To this app only: its app id.")
@click.option("--refused", is_flag=True, help="Those that were refused only.")
@click.option("--limit", type=click.IntRange(1), default=50, help="How many at most. [50]")
@since_option
@until_option
@deployment
@as_json
def sign_ins(
    person: str | None,
    app: str | None,
    refused: bool,
    limit: int,
    since: str,
    until: str | None,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    List sign-ins and refreshes, the latest first. `genkan explain CORRELATION-ID` tells one as a story.

    \b
    Examples:
      genkan logs sign-ins --refused --since 1h
      genkan logs sign-ins --person ada@example.com --json
    """
    from genkan.cli.user import found_person

    async def look(reader: Reader, clock: Clock) -> list[SignIn]:
        who = (await reader.look(lambda view: found_person(view, person))).id if person else None
        found: list[SignIn] = []
        async for entry in _sign_ins(reader, clock, since, until, subject=who, client=app):
            if not refused or entry.outcome == "refused":
                found.append(entry)
            if len(found) >= limit:
                break
        return found

    found = looked_at(data, tenant, look)
    if as_json:
        as_lines(found)
        return
    as_table(
        ("When", "Who", "App", "What", "Came to", "Correlation id"),
        (
            (
                entry.at,
                entry.name or entry.subject or "nobody known",
                entry.client_name,
                "refresh" if not entry.interactive else entry.purpose.replace("_", " "),
                " ".join(filter(None, (entry.outcome, str(entry.reason or "").replace("_", " ")))),
                entry.correlation_id,
            )
            for entry in found
        ),
        "Nobody signed in. Look further back with --since.",
    )


@logs.command(context_settings=CONTEXT)
@click.option("--limit", type=click.IntRange(1), default=50, help="How many at most. [50]")
@since_option
@until_option
@deployment
@as_json
def audits(limit: int, since: str, until: str | None, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List what administrators changed, or tried to, the latest first.

    \b
    Examples:
      genkan logs audits --json
    """

    async def look(reader: Reader, clock: Clock) -> list[Audited]:
        found: list[Audited] = []
        async for row in _audits(reader, clock, since, until):
            found.append(row)
            if len(found) >= limit:
                break
        return found

    found = looked_at(data, tenant, look)
    if as_json:
        as_lines(map(_row, found))
        return
    as_table(
        ("When", "Who", "What", "Of", "Result"),
        (
            (
                row.at,
                row.record.detail.get("actor", {}).get("name", ""),
                row.record.action,
                ", ".join(t.get("name") or t.get("id", "") for t in row.record.detail.get("targets", ())),
                f"refused: {row.record.detail.get('why', row.record.reason)}"
                if row.record.reason
                else "done",
            )
            for row in found
        ),
        "Nothing was changed. Look further back with --since.",
    )


@logs.command(context_settings=CONTEXT)
@since_option
@until_option
@deployment
@as_json
def messages(since: str, until: str | None, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Count what became of messages, by provider and calling code.

    Arrived and lost are what providers have reported, where they report (see docs/how-to/send-messages.md); used are
    the codes of text messages that were entered.

    \b
    Example:
      genkan logs messages --since 1d
    """
    from genkan.engine import receipts

    async def look(reader: Reader, clock: Clock) -> list[receipts.Figures]:
        return receipts.figures([row.record async for row in _trail(reader, clock, since, until)])

    found = looked_at(data, tenant, look)
    if as_json:
        as_lines(found)
        return
    as_table(
        ("Channel", "Provider", "To", "Sent", "Arrived", "Lost", "Used", "Unclear", "Refused", "Late"),
        (
            (
                one.channel,
                one.provider,
                f"+{one.calling_code}" if one.calling_code else "",
                *(f"{n:,}" for n in (one.sent, one.delivered, one.undelivered)),
                f"{one.used:,} ({100 * one.used // one.sent} %)" if one.calling_code and one.sent else "",
                *(f"{n:,}" for n in (one.unclear, one.refused, one.late)),
            )
            for one in found
        ),
        "Nothing was sent. Look further back with --since.",
    )


@logs.command(context_settings=CONTEXT)
@click.option(
    "--head", default=None, callback=_is_head, help="A head noted earlier, which must be in the log."
)
@deployment
@as_json
def verify(head: str | None, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Say whether the audit log is as it was written: no row altered, removed or put in between.

    Rows cut off at the end leave no trace inside. Note the head that is printed, somewhere else, and give it with
    --head the next time. Rows older than the tenant's audit_retention are gone, and the others are verified as before.

    \b
    Examples:
      genkan logs verify
      genkan logs verify --head 12345:5f0c…
    """

    async def look(reader: Reader, _: Clock) -> Chained:
        return await reader.verify_trail(head)

    found = looked_at(data, tenant, look)
    is_whole = found.broken_at is None and found.knows_head is not False
    if as_json:
        as_lines(
            [
                {
                    "whole": is_whole,
                    "rows": found.rows,
                    "rowsBefore": found.before,
                    "removedUntil": found.removed,
                    "head": found.head,
                    "brokenAt": found.broken_at,
                    "knowsHead": found.knows_head,
                }
            ]
        )
    elif is_whole:
        click.echo(f"Whole: {found.rows:,} rows are as they were written.")
        if found.before:
            click.echo(f"{found.before:,} older rows are of before there was a chain.")
        if found.removed:
            click.echo(
                f"Those up to row {found.removed:,} were older than audit_retention, and were removed."
            )
        if head is not None and found.knows_head is None:
            click.echo("The head that was noted was among them, so it says nothing any more.")
        click.echo(f"Head: {found.head}")
    if found.broken_at is not None:
        raise click.ClickException(
            f"The log is not as it was written: row {found.broken_at} was altered or put in, or rows before it are "
            "missing. Compare it with what was exported, and find out who could write to the database."
        )
    if found.knows_head is False:
        raise click.ClickException(
            "The head that was noted is not in the log: rows were cut off at its end, or it is another database."
        )


@logs.command(context_settings=CONTEXT)
@click.argument("which", type=click.Choice(["sign-ins", "audits", "trail"]))
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), default=None, help="A file. [stdout]"
)
@since_option
@until_option
@deployment
def export(
    which: str, output: Path | None, since: str, until: str | None, data: Path, tenant: str | None
) -> None:
    """
    Write a log as JSON Lines, for another system to keep.

    sign-ins are the entries of the sign-in log, audits the changes by administrators, both the latest first; trail is
    every row of the audit log with the steps of flows, the oldest first.

    \b
    Examples:
      genkan logs export sign-ins --since 1d --output sign-ins.jsonl
      genkan logs export trail --since 2026-11-01 | gzip > trail.jsonl.gz
    """
    import msgspec

    async def look(reader: Reader, clock: Clock) -> int:
        count = 0
        with _writing(output) as write:
            if which == "sign-ins":
                async for entry in _sign_ins(reader, clock, since, until):
                    write(msgspec.json.encode(entry))
                    count += 1
            else:
                rows = (
                    _audits(reader, clock, since, until)
                    if which == "audits"
                    else _trail(reader, clock, since, until)
                )
                async for row in rows:
                    write(msgspec.json.encode(_row(row)))
                    count += 1
        return count

    count = looked_at(data, tenant, look)
    if output is not None:
        click.echo(f"{count:,} rows are in {output}.")


@contextmanager
def _writing(output: Path | None) -> Iterator[Callable[[bytes], None]]:
    if output is None:
        yield click.echo
        return
    with output.open("wb") as stream:
        yield lambda line: (stream.write(line + b"\n"), None)[1]


def _sign_ins(
    reader: Reader, clock: Clock, since: str, until: str | None, **asked: Any
) -> AsyncIterator[SignIn]:
    """The entries of a time, the latest first."""
    from genkan.engine.transaction import SignInQuery
    from genkan.service import inquiry

    start, end = moment(since, clock.now()), moment(until, clock.now()) if until else None
    return inquiry.sign_ins(reader, SignInQuery(since=start, until=end, **asked))


async def _audits(reader: Reader, clock: Clock, since: str, until: str | None) -> AsyncIterator[Audited]:
    """Changes by administrators in a time, the latest first."""
    from genkan.engine.queries import AuditQuery

    start, end = moment(since, clock.now()), moment(until, clock.now()) if until else None
    before: int | None = None
    while True:
        page = await reader.audits(AuditQuery(since=start, until=end, before=before, limit=PAGE))
        for row in page:
            yield row
        if len(page) < PAGE:
            return
        before = page[-1].seq


async def _trail(reader: Reader, clock: Clock, since: str, until: str | None) -> AsyncIterator[Audited]:
    """Every audit row of a time, the oldest first."""
    start = moment(since, clock.now())
    end: datetime = moment(until, clock.now()) if until else clock.now()
    after = 0
    while page := await reader.trail(after=after, limit=PAGE):
        for row in page:
            if start <= row.at <= end:
                yield row
        after = page[-1].seq


def _row(row: Audited) -> dict[str, Any]:
    import msgspec

    return {"seq": row.seq, "at": row.at, **msgspec.to_builtins(row.record)}
