"""What the commands share: options, and mistakes said in one sentence."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from genkan.bootstrap import Clock, Office
    from genkan.service.admin.door import Actor, Refusal
    from genkan.store.tenant import Reader

T = TypeVar("T")

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""For every command: `@click.command(context_settings=CONTEXT)`."""


SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
"""What the letters of a span stand for."""

Command = TypeVar("Command", bound=Callable[..., Any])

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def deployment(command: Command) -> Command:
    """`--data` and `--tenant`: which deployment, and which of its tenants."""
    data = click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(".genkan"),
        envvar="GENKAN_DATA",
        help="Folder of the databases. [.genkan]",
    )
    database = click.option(
        "--database",
        envvar="GENKAN_DATABASE",
        metavar="URL",
        expose_value=False,
        is_eager=True,
        callback=_remember,
        help="PostgreSQL's address, where the tenants are there; the folder has the master key.",
    )
    journal = click.option(
        "--journal",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="GENKAN_JOURNAL",
        expose_value=False,
        is_eager=True,
        callback=_remember_journal,
        hidden=True,
    )
    tenant = click.option("--tenant", default=None, help="Which tenant, where there are several.")
    return data(database(tenant(journal(command))))


def database() -> str:
    """What `--database` says; empty where the tenants are files."""
    return str(click.get_current_context().meta.get("genkan.database") or "")


def journal() -> Path | None:
    """Where the journal is kept (`GENKAN_JOURNAL`); None where none is."""
    found: Path | None = click.get_current_context().meta.get("genkan.journal")
    return found


def _remember_journal(context: click.Context, _: click.Parameter, value: Path | None) -> None:
    context.meta["genkan.journal"] = value


def _remember(context: click.Context, _: click.Parameter, value: str | None) -> None:
    context.meta["genkan.database"] = value


def destroys(command: Command) -> Command:
    """`--yes` and `--dry-run`: for what cannot simply be undone."""
    dry = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
    yes = click.option("--yes", "-y", is_flag=True, help="Do not ask first.")
    return yes(dry(command))


def agreed(question: str, *, yes: bool, dry_run: bool) -> bool:
    """Ask before something is destroyed; False where it is only to be said what would be."""
    if dry_run:
        click.echo(f"Would {question[:1].lower()}{question[1:]}. Nothing was changed.")
        return False
    if not yes:
        if not sys.stdin.isatty():
            raise click.ClickException(
                f"Nobody is there to be asked: {question}? Say so beforehand with --yes."
            )
        click.confirm(f"{question}?", abort=True)
    return True


def looked_at(data: Path, tenant: str | None, look: Callable[[Reader, Clock], Coroutine[Any, Any, T]]) -> T:
    """What somebody sees who looks into a tenant's database; a server may own it."""
    from genkan import bootstrap

    place = database()

    async def run() -> T:
        async with bootstrap.looking_into(data, tenant, place) as (reader, clock):
            return await look(reader, clock)

    with one_sentence():
        return asyncio.run(run())


def actor() -> Actor:
    """Who is at the keyboard, as the log names them."""
    import getpass
    import uuid

    from genkan.service.admin.door import Actor

    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container may have no name for its user
        name = "operator"
    return Actor(id=name, name=name, kind="operator", correlation_id=str(uuid.uuid4()))


def done(
    data: Path, tenant: str | None, act: Callable[[Office, Actor], Coroutine[Any, Any, T | Refusal]]
) -> T:
    """What an act at a tenant's door came to. A refusal ends the command with its sentence."""
    from genkan import bootstrap

    place, kept = database(), journal()

    async def run() -> T | Refusal:
        async with bootstrap.administering(data, tenant, place, kept) as office:
            return await act(office, actor())

    with one_sentence():
        answer = asyncio.run(run())
    return accepted(answer)


def accepted(answer: T | Refusal) -> T:
    """What an act made. Raises: `ClickException` with the sentence of a refusal."""
    from genkan.service.admin.door import Refusal

    if isinstance(answer, Refusal):
        is_name = answer.code == "ObjectConflict"
        raise click.ClickException(
            "Somebody has this address, username or id already." if is_name else answer.text
        )
    return answer


def document(file: Path) -> Any:
    """The JSON of a file, or of standard input where it is called `-`. Raises: `ClickException`."""
    import msgspec

    try:
        return msgspec.json.decode(sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes())
    except msgspec.DecodeError as error:
        raise click.ClickException(f"{file} is not JSON: {error}.") from None


def moment(text: str, now: datetime) -> datetime:
    """A time: `7d` ago, or a date."""
    if span := re.fullmatch(r"(\d{1,5})([mhdw])", text):
        return now - timedelta(**{SPANS[span[2]]: int(span[1])})
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise click.ClickException(
            f"{text} is no time: write 12h, 7d or 4w for so long ago, or a date as 2026-11-01."
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=now.tzinfo)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say an operator's mistake in one sentence and exit with 1. What is not listed here is a bug."""
    from genkan import bootstrap, settings
    from genkan.engine.transaction import StoreUnavailable
    from genkan.store.sealing import CannotOpen

    try:
        yield
    except (settings.BadSettings, CannotOpen, bootstrap.CannotStart) as error:
        raise click.ClickException(str(error)) from None
    except StoreUnavailable as error:
        raise click.ClickException(
            f"The database cannot be used now: {error}. See to it that its disk is not full, and try again."
        ) from None
