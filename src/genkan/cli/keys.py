"""`genkan keys`: the keys that sign tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genkan.cli.common import CONTEXT, agreed, as_json, deployment, destroys, done, looked_at
from genkan.cli.showing import as_lines, as_table

if TYPE_CHECKING:
    from datetime import datetime

    from genkan.bootstrap import Clock, Office
    from genkan.service.admin.door import Actor, Refusal
    from genkan.service.admin.tenants import Rotation
    from genkan.store.tenant import Reader
    from genkan.tokens.keys import Algorithm, SigningKey


@click.group(context_settings=CONTEXT)
def keys() -> None:
    """
    The keys that sign tokens. They rotate by themselves; a server must not run while they are rotated by hand.

    \b
    Examples:
      genkan keys list
      genkan keys rotate --compromised
    """


@keys.command("list", context_settings=CONTEXT)
@deployment
@as_json
def list_(data: Path, tenant: str | None, as_json: bool) -> None:
    """
    List the signing keys: the next ones, those that sign, and those that still verify.

    \b
    Examples:
      genkan keys list
    """

    async def look(reader: Reader, clock: Clock) -> tuple[tuple[SigningKey, ...], datetime]:
        return await reader.signing_keys(), clock.now()

    found, now = looked_at(data, tenant, look)
    states = {key.kid: _state(key, found, now) for key in found}
    if as_json:
        as_lines(
            {
                "kid": key.kid,
                "algorithm": key.algorithm,
                "state": states[key.kid],
                "createdDateTime": key.created_at,
                "signsFrom": key.activates_at,
                "verifiesUntil": key.retires_at,
            }
            for key in found
        )
        return
    as_table(
        ("Key id", "Algorithm", "State", "Signs from", "Verifies until"),
        ((key.kid, key.algorithm, states[key.kid], key.activates_at, key.retires_at) for key in found),
        "There are no keys yet: the server makes them at its first start.",
    )


def _state(key: SigningKey, every: tuple[SigningKey, ...], now: datetime) -> str:
    if key.retires_at is not None and key.retires_at <= now:
        return "retired"
    if key.activates_at > now:
        return "next"
    later = (k for k in every if k.algorithm == key.algorithm and key.activates_at < k.activates_at <= now)
    return "verifies" if any(later) else "signs"


@keys.command(context_settings=CONTEXT)
@click.option(
    "--algorithm", type=click.Choice(["RS256", "ES256"]), default=None, help="Only this one. [both]"
)
@click.option(
    "--compromised", is_flag=True, help="Somebody else may have the old keys: believe them no more."
)
@destroys
@deployment
@as_json
def rotate(
    algorithm: Algorithm | None,
    compromised: bool,
    yes: bool,
    dry_run: bool,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Make new signing keys. They sign after a day, when every API has fetched them; the old ones verify until then.

    With --compromised they sign at once, and tokens of the old keys are refused from now on.

    \b
    Examples:
      genkan keys rotate --yes
      genkan keys rotate --algorithm ES256 --compromised --dry-run
    """
    from genkan.service.admin import tenants

    algorithms: tuple[Algorithm, ...] = (algorithm,) if algorithm else ("RS256", "ES256")
    names = " and ".join(algorithms)
    ends = " and refuse every token of the old ones from now on" if compromised else ""
    if not agreed(f"Make new {names} keys{ends}", yes=yes, dry_run=dry_run):
        return

    async def act(office: Office, actor: Actor) -> Rotation | Refusal:
        held = await office.store.signing_keys()
        return await tenants.rotate(office.door, actor, held, algorithms, compromised=compromised)

    made = done(data, tenant, act).made
    if as_json:
        as_lines(_line(key) for key in made)
        return
    for key in made:
        click.echo(f"{key.algorithm}  {key.kid}  signs from {key.activates_at:%Y-%m-%d %H:%M} UTC on")


def _line(key: SigningKey) -> dict[str, Any]:
    return {"kid": key.kid, "algorithm": key.algorithm, "signsFrom": key.activates_at}
