"""`genkan backup`, `restore`, `tenant export` and `import`: all of a tenant in a file that opens by its own key."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genkan.cli.common import (
    CONTEXT,
    actor,
    agreed,
    as_json,
    database,
    deployment,
    destroys,
    journal,
    one_sentence,
)
from genkan.cli.showing import as_facts, as_lines, as_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from genkan.store.carrying import Bearing, Carried, Contents
    from genkan.store.sealed_file import Lock, Opener

A_FILE = click.Path(path_type=Path, dir_okay=False)

IDENTITY = click.option(
    "--identity",
    type=A_FILE,
    default=None,
    help="The private key that the file was made for.",
)
PASSPHRASE = click.option(
    "--passphrase-file",
    type=A_FILE,
    envvar="GENKAN_PASSPHRASE_FILE",
    default=None,
    help="Its first line is the passphrase. [asked for]",
)


RECIPIENT = click.option(
    "--recipient",
    type=A_FILE,
    default=None,
    help="The public key of who may read it, in place of a passphrase.",
)
STOPPED = click.option(
    "--stopped",
    is_flag=True,
    help="Nobody has used the tenants since the file was made, so codes on paper are still good.",
)
REPLAY = click.option(
    "--replay",
    type=A_FILE,
    multiple=True,
    help="A journal, which tells what was done since; give those of all nodes. [GENKAN_JOURNAL]",
)
FILE = click.argument("file", type=A_FILE)


@click.command(context_settings=CONTEXT)
@FILE
@RECIPIENT
@PASSPHRASE
@click.option("--verify", is_flag=True, help="Write nothing: read FILE to its end and say what is in it.")
@IDENTITY
@deployment
@as_json
def backup(
    file: Path,
    recipient: Path | None,
    passphrase_file: Path | None,
    verify: bool,
    identity: Path | None,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Write everything of all tenants into FILE, encrypted. Servers may run meanwhile.

    The master key is not in it, and neither opens without the other: keep them in two places. Make a pair of keys with
    openssl, as docs/operations/backup.md tells, and keep the private one away from here.

    \b
    Examples:
      genkan backup nightly.backup --recipient backup.pub
      genkan backup shop.backup --tenant shop --passphrase-file /run/secrets/backup
      genkan backup nightly.backup --verify --identity backup.key
    """
    from genkan import bootstrap

    if (recipient is not None and verify) or (identity is not None and not verify):
        raise click.UsageError(
            "Give --recipient or a passphrase to write, --identity or a passphrase to --verify."
        )
    with one_sentence():
        if verify:
            found = bootstrap.contents(file, _opener(identity, passphrase_file))
        else:
            lock, place = _lock(file, recipient, passphrase_file), database()
            with _progress() as told:
                found = asyncio.run(bootstrap.back_up(data, file, lock, tenant, place, told))
    if as_json:
        as_lines(_lines(found))
        return
    click.echo(f"{'Read' if verify else 'Wrote'} {file}, {file.stat().st_size:,} bytes.")
    _show(found)


@click.command(context_settings=CONTEXT)
@FILE
@IDENTITY
@PASSPHRASE
@click.option(
    "--replace", is_flag=True, help="In the place of tenants that are there: what came since is lost."
)
@STOPPED
@REPLAY
@click.option(
    "--master-key-lost",
    "key_is_lost",
    is_flag=True,
    help="For good: leave behind what is sealed under it, and begin with a new one.",
)
@destroys
@deployment
@as_json
def restore(
    file: Path,
    identity: Path | None,
    passphrase_file: Path | None,
    replace: bool,
    stopped: bool,
    replay: tuple[Path, ...],
    key_is_lost: bool,
    yes: bool,
    dry_run: bool,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Put the tenants of a backup into a folder or database that has none of them. Its master key has to be there.

    Everybody signs in anew. What a journal tells is done again: accounts are held, methods and secrets gone, codes on
    paper spent. Without one that is whole all codes on paper are worthless, unless you say --stopped.

    \b
    Examples:
      genkan restore nightly.backup --identity backup.key --dry-run
      genkan restore nightly.backup --identity backup.key --replay node1.journal --replay node2.journal
      genkan restore shop.backup --tenant shop --replace --yes
    """
    _put(
        file,
        identity,
        passphrase_file,
        data,
        tenant,
        stopped=stopped,
        replay=replay,
        as_json=as_json,
        replace=replace,
        key_is_lost=key_is_lost,
        yes=yes,
        dry_run=dry_run,
    )


@click.command(context_settings=CONTEXT)
@click.argument("name")
@FILE
@RECIPIENT
@PASSPHRASE
@deployment
@as_json
def export(
    name: str,
    file: Path,
    recipient: Path | None,
    passphrase_file: Path | None,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Write the tenant NAME into FILE, to move it to a deployment with another master key. Stop its servers first.

    Its signing keys come with it: who opens FILE can sign tokens in its name. Delete it once the tenant has moved.

    \b
    Examples:
      genkan tenant export shop shop.tenant --recipient other.pub
    """
    from genkan import bootstrap

    if tenant not in (None, name):
        raise click.UsageError("--tenant is not for this: the tenant to export is NAME.")
    with one_sentence():
        lock, place = _lock(file, recipient, passphrase_file), database()
        with _progress() as told:
            found = asyncio.run(bootstrap.back_up(data, file, lock, name, place, told, moves=True))
    if as_json:
        as_lines(_lines(found))
        return
    click.echo(f"Wrote {file}, {file.stat().st_size:,} bytes.")
    _show(found)


@click.command("import", context_settings=CONTEXT)
@FILE
@IDENTITY
@PASSPHRASE
@STOPPED
@REPLAY
@deployment
@as_json
def import_(
    file: Path,
    identity: Path | None,
    passphrase_file: Path | None,
    stopped: bool,
    replay: tuple[Path, ...],
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Put a tenant that was exported elsewhere into this deployment, which may keep its tenants in files or in PostgreSQL.

    People keep their ids, passwords and methods, and tokens of before are still verified. Everybody signs in anew.

    \b
    Examples:
      genkan tenant import shop.tenant --identity other.key --stopped
      genkan tenant import shop.tenant --identity other.key --database postgresql://genkan@db.example/genkan
    """
    _put(
        file,
        identity,
        passphrase_file,
        data,
        tenant,
        stopped=stopped,
        replay=replay,
        as_json=as_json,
        moves=True,
    )


def _put(
    file: Path,
    identity: Path | None,
    passphrase_file: Path | None,
    data: Path,
    tenant: str | None,
    *,
    stopped: bool,
    replay: tuple[Path, ...],
    as_json: bool,
    moves: bool = False,
    key_is_lost: bool = False,
    replace: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> None:
    """Put what is in a file into a deployment, and say what came of it."""
    from genkan import bootstrap
    from genkan.engine.aftermath import Since
    from genkan.store.journal import told

    def since(bearing: Bearing) -> Since:
        return Since(is_whole=True) if stopped else told(journals, bearing.id, bearing.at)

    if (identity is not None and passphrase_file is not None) or (stopped and replay):
        raise click.UsageError("Give --identity or a passphrase, and --replay or --stopped.")
    kept = journal()
    journals = replay or ((kept,) if kept is not None and kept.exists() else ())
    with one_sentence():
        opener, place = _opener(identity, passphrase_file), database()
        found = bootstrap.contents(file, opener)
        names = ", ".join(f"{c.bearing.name} of {c.bearing.at:%Y-%m-%d %H:%M} UTC" for c in found.tenants)
        only = f", of it only {tenant}" if tenant else ""
        instead = " in the place of what is there, which is lost" if replace else ""
        without = ", without its signing keys and secrets" if key_is_lost else ""
        asks = replace or dry_run or key_is_lost
        if asks and not agreed(f"Restore {names}{only}{instead}{without}", yes=yes, dry_run=dry_run):
            return
        done = asyncio.run(
            bootstrap.restore(
                data,
                file,
                opener,
                actor(),
                tenant=tenant,
                database=place,
                replace=replace,
                moves=moves,
                key_is_lost=key_is_lost,
                since=since,
            )
        )
    if as_json:
        as_lines(_line(carried) | {"frozen": held} for carried, held in done)
        return
    for carried, held in done:
        _show_one(carried)
        if held:
            click.echo(f"\nFrozen, because of an emergency: {', '.join(held)}")
    paper = (
        "Codes on paper are as they were."
        if not key_is_lost and all(since(c.bearing).is_whole for c, _ in done)
        else "Codes on paper are worthless."
    )
    click.echo(f"\nEverybody signs in anew. {paper} Start the server.")


def _show(found: Contents) -> None:
    opening = found.opening
    click.echo(f"Made {opening.at:%Y-%m-%d %H:%M} UTC by Genkan {opening.version}, schema {opening.schema}.")
    for carried in found.tenants:
        _show_one(carried)


def _show_one(carried: Carried) -> None:
    bearing, borne = carried.bearing, carried.borne
    click.echo()
    as_facts(
        {
            "Tenant": bearing.name,
            "Id": bearing.id,
            "As of": f"{bearing.at:%Y-%m-%d %H:%M:%S} UTC",
            "Checksum of accounts": borne.accounts,
        }
    )
    click.echo()
    rows = [(name, f"{count:,}") for name, count in borne.counts.items() if count]
    as_table(("Table", "Rows"), rows, "It is empty.")


def _lines(found: Contents) -> Iterator[dict[str, Any]]:
    opening = found.opening
    for carried in found.tenants:
        yield {"version": opening.version, "schema": opening.schema, **_line(carried)}


def _line(carried: Carried) -> dict[str, Any]:
    bearing, borne = carried.bearing, carried.borne
    return {
        "tenant": bearing.name,
        "id": bearing.id,
        "at": bearing.at,
        "accounts": borne.accounts,
        "counts": borne.counts,
    }


def _lock(file: Path, recipient: Path | None, passphrase_file: Path | None) -> Lock:
    """Whom a new file is for. Raises: `ClickException`, `CannotOpen`, `UsageError`."""
    from genkan.store.sealed_file import Recipient

    if recipient is not None and passphrase_file is not None:
        raise click.UsageError("Give --recipient or a passphrase.")
    if file.exists():
        raise click.ClickException(f"There is a file {file} already. Name another, or move it away.")
    lock: Lock = Recipient.read(recipient) if recipient else _passphrase(passphrase_file, is_new=True)
    return lock


def _opener(identity: Path | None, passphrase_file: Path | None) -> Opener:
    from genkan.store.sealed_file import Identity

    return Identity.read(identity) if identity is not None else _passphrase(passphrase_file, is_new=False)


def _passphrase(file: Path | None, *, is_new: bool) -> Any:
    """The passphrase in a file, or as it is typed. Raises: `ClickException`, `CannotOpen`."""
    from genkan.store.sealed_file import Passphrase

    if file is not None:
        try:
            text = file.read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise click.ClickException(
                f"The passphrase in {file} cannot be read: {why}. Give another file."
            ) from None
    elif sys.stdin.isatty():
        text = click.prompt("Passphrase", hide_input=True, confirmation_prompt=is_new)
    else:
        others = "--recipient" if is_new else "--identity"
        raise click.ClickException(
            f"Nobody is there to be asked for a passphrase: give {others} or --passphrase-file."
        )
    return Passphrase(text)


class _progress:  # noqa: N801 - it is used as a function is.
    """Says on a terminal how far it is; elsewhere nothing."""

    def __enter__(self) -> Callable[[str, int], None]:
        return self._told

    def __exit__(self, *_: object) -> None:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", nl=False, err=True)

    def _told(self, table: str, rows: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{table}: {rows:,}", nl=False, err=True)
