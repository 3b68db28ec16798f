"""`genkan approval`: what waits for a second administrator, and their word on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from genkan.cli.common import CONTEXT, as_json, deployment, done, looked_at
from genkan.cli.showing import as_lines, as_table

if TYPE_CHECKING:
    from genkan.bootstrap import Clock, Office
    from genkan.model import Approval
    from genkan.service.admin.door import Actor, Refusal
    from genkan.store.tenant import Reader


@click.group(context_settings=CONTEXT)
def approval() -> None:
    """
    What takes two administrators, where the tenant says so (dual_control): list, approve, refuse.

    Whoever wants to do such a thing does it, is told under which id it waits, and does it again when another
    administrator has approved it.

    \b
    Examples:
      genkan tenant update --set dual_control=true
      genkan approval list
      genkan approval approve 0b6c1a52-6d0f-4d1c-9a40-5f3f1f0a7c11 --reason "as agreed on Monday"
    """


@approval.command("list", context_settings=CONTEXT)
@deployment
@as_json
def list_(data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List what waits, and what was judged and not yet done.

    \b
    Examples:
      genkan approval list
      genkan approval list --json
    """
    from genkan.service.admin import approvals

    async def look(reader: Reader, clock: Clock) -> tuple[Approval, ...]:
        return approvals.waiting(reader.directory(), clock.now())

    found = looked_at(data, tenant, look)
    if as_json:
        from genkan.wire.graph.approvals import shown

        as_lines(map(shown, found))
        return
    as_table(
        ("Asked", "By", "What", "About", "Changes", "Stands", "Id"),
        (
            (f"{one.asked_at:%Y-%m-%d %H:%M}", one.asker, one.act, one.name, _said(one), _stands(one), one.id)
            for one in found
        ),
        "Nothing waits.",
    )


@approval.command(context_settings=CONTEXT)
@click.argument("id")
@click.option("--reason", default="", help="Why; it stands in the log.")
@deployment
def approve(id: str, reason: str, data: Path, tenant: str | None) -> None:
    """
    Approve what another administrator asked for. They have to do it again then, within a day of having asked.

    \b
    Examples:
      genkan approval approve 0b6c1a52-6d0f-4d1c-9a40-5f3f1f0a7c11
    """
    judged = _judged(id, "approved", reason, data, tenant)
    click.echo(
        f"Approved: {judged.act}, {judged.name}. {judged.asker} can do it until {judged.expires_at:%d %b %H:%M} UTC."
    )


@approval.command(context_settings=CONTEXT)
@click.argument("id")
@click.option("--reason", default="", help="Why; whoever asked is told.")
@deployment
def refuse(id: str, reason: str, data: Path, tenant: str | None) -> None:
    """
    Refuse it. Whoever asked takes it back so.

    \b
    Examples:
      genkan approval refuse 0b6c1a52-6d0f-4d1c-9a40-5f3f1f0a7c11 --reason "not before the audit"
    """
    judged = _judged(id, "refused", reason, data, tenant)
    click.echo(f"Refused: {judged.act}, {judged.name}.")


def _judged(
    id: str, verdict: Literal["approved", "refused"], reason: str, data: Path, tenant: str | None
) -> Approval:
    from genkan.service.admin import approvals

    async def act(office: Office, actor: Actor) -> Approval | Refusal:
        return await approvals.judge(office.door, actor, id.lower(), verdict, reason)

    return done(data, tenant, act)


def _stands(one: Approval) -> str:
    return f"{one.verdict} by {one.judge}" if one.verdict else "waits"


def _said(one: Approval) -> str:
    import msgspec

    changes = msgspec.json.decode(one.changes)
    return ", ".join(f"{c['name']}: {c['old'] or '–'} → {c['new'] or '–'}" for c in changes[:3])[:120]
