"""`genkan policy list, show, create, update, delete`: the stored policies, as the JSON that Microsoft Graph uses."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genkan.cli.common import CONTEXT, agreed, as_json, deployment, destroys, document, done, looked_at
from genkan.cli.policy import policy
from genkan.cli.showing import as_lines, as_table

if TYPE_CHECKING:
    from genkan.bootstrap import Clock, Office
    from genkan.policy.model import Policy
    from genkan.service.admin.door import Actor, Refusal
    from genkan.store.tenant import Reader

__all__ = ["policy"]
"""With these commands beside those of `genkan.cli.policy`."""

STATES = {"on": "enabled", "off": "disabled", "report": "enabledForReportingButNotEnforced"}


@policy.command("list", context_settings=CONTEXT)
@deployment
@as_json
def list_(data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List the policies.

    \b
    Examples:
      genkan policy list
    """
    found = looked_at(data, tenant, _every)
    if as_json:
        as_lines(found)
        return
    words = {state: word for word, state in STATES.items()}
    as_table(
        ("Name", "State", "Id"),
        ((p.display_name, words[p.state], p.id) for p in found),
        "There are no policies: a first factor is enough everywhere.",
    )


@policy.command(context_settings=CONTEXT)
@click.argument("policy", metavar="POLICY")
@deployment
def show(policy: str, data: Path, tenant: str | None) -> None:
    """
    Show a policy as JSON. POLICY is its name or id; what is shown can be stored again with `create`.

    \b
    Examples:
      genkan policy show "Require MFA" > policy.json
    """
    import msgspec

    found = _named(looked_at(data, tenant, _every), policy)
    click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2))


@policy.command(context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@deployment
@as_json
def create(file: Path, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Store a policy of a file, in the JSON that Microsoft Graph uses and Entra exports; `-` reads standard input.

    \b
    Examples:
      genkan policy create everybody.json
      genkan policy impact everybody.json && genkan policy create everybody.json
    """
    from genkan.service.admin import policies

    given = document(file)
    made, remarks = done(
        data, tenant, lambda office, actor: _with_remarks(office, policies.add(office.door, actor, given))
    )
    if as_json:
        as_lines([made])
    else:
        click.echo(f"Created {made.display_name}, {made.id}.")
        _as_notes(remarks)


@policy.command(context_settings=CONTEXT)
@click.argument("policy", metavar="POLICY")
@click.argument(
    "file", required=False, type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)
)
@click.option("--name", default=None, help="Another name.")
@click.option("--state", type=click.Choice(list(STATES)), default=None, help="On, off, or reporting only.")
@destroys
@deployment
@as_json
def update(
    policy: str,
    file: Path | None,
    name: str | None,
    state: str | None,
    yes: bool,
    dry_run: bool,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Change a policy: by options, or by the members of a FILE, lists whole. It counts at the next decision.

    Whatever loosens or tightens who gets in is asked for first; `genkan policy impact` says whom it would meet.

    \b
    Examples:
      genkan policy update "MFA for everybody" --state on --yes
      genkan policy update "MFA for everybody" change.json
    """
    from genkan.service.admin import policies

    patch = document(file) if file is not None else {}
    if not isinstance(patch, dict):
        raise click.ClickException(f"{file} is no JSON object.")
    patch |= {"displayName": name} if name is not None else {}
    patch |= {"state": STATES[state]} if state is not None else {}
    if not patch:
        raise click.UsageError("Say what to change: a FILE, --name or --state.")
    found = _named(looked_at(data, tenant, _every), policy)
    question = f"Change {', '.join(patch)} of the policy {found.display_name}"
    if set(patch) != {"displayName"} and not agreed(question, yes=yes, dry_run=dry_run):
        return
    changed, remarks = done(
        data,
        tenant,
        lambda office, actor: _with_remarks(office, policies.change(office.door, actor, found.id, patch)),
    )
    if as_json:
        as_lines([changed])
    else:
        click.echo(f"Changed {changed.display_name}.")
        _as_notes(remarks)


@policy.command(context_settings=CONTEXT)
@click.argument("policy", metavar="POLICY")
@destroys
@deployment
def delete(policy: str, yes: bool, dry_run: bool, data: Path, tenant: str | None) -> None:
    """
    Delete a policy; the next decision is free of it.

    \b
    Examples:
      genkan policy delete "Require MFA" --dry-run
      genkan policy delete "Require MFA" --yes
    """
    from genkan.service.admin import policies

    found = _named(looked_at(data, tenant, _every), policy)
    if agreed(f"Delete the policy {found.display_name}, which is {found.state}", yes=yes, dry_run=dry_run):

        async def act(office: Office, actor: Actor) -> Policy | Refusal:
            return await policies.remove(office.door, actor, found.id)

        done(data, tenant, act)
        click.echo(f"Deleted {found.display_name}.")


async def _with_remarks(
    office: Office, act: Awaitable[Policy | Refusal]
) -> tuple[Policy, tuple[str, ...]] | Refusal:
    """A policy that was written, and what its author may have meant otherwise."""
    from genkan.service.admin import policies
    from genkan.service.admin.door import Refusal

    written = await act
    if isinstance(written, Refusal):
        return written
    return written, policies.remarks(office.store.directory(), written)


def _as_notes(remarks: tuple[str, ...]) -> None:
    for remark in remarks:
        click.echo(f"Note: {remark}")


async def _every(reader: Reader, _: Clock) -> tuple[Policy, ...]:
    return tuple(reader.directory().policies)


def _named(policies: tuple[Policy, ...], name: str) -> Policy:
    """The policy that is meant. Raises: `ClickException`."""
    found = [p for p in policies if name in (p.id, p.display_name)]
    if len(found) != 1:
        many = "There is no policy" if not found else "Several policies are called"
        raise click.ClickException(f"{many} {name}. Look with genkan policy list, and give an id.")
    return found[0]
