"""`genkan user import`: people from other systems."""

from __future__ import annotations

import io
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from genkan.cli.common import CONTEXT, as_json, deployment, done
from genkan.cli.showing import as_lines

if TYPE_CHECKING:
    from genkan.bootstrap import Office
    from genkan.intake.formats import Choices, Format, Person, Refused
    from genkan.service.admin.door import Actor
    from genkan.service.importing import Outcome

FORMATS = ["csv", "jsonl", "auth0", "cognito", "firebase", "keycloak", "entra"]
SHOWN = 5
"""Lines named of each reason."""


@click.command("import", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option("--from", "source", type=click.Choice(FORMATS), required=True, help="Who wrote the file.")
@click.option("--dry-run", is_flag=True, help="Only say what would come of it.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Write every record that was refused or trimmed to this file, as JSON Lines.",
)
@click.option(
    "--unproven",
    type=click.Choice(["code", "keep", "refuse"]),
    default="code",
    help="Addresses that were never proven: their owners sign in by a code first, keep their password as it is, "
    "or stay out. [code]",
)
@click.option(
    "--no-password",
    type=click.Choice(["code", "reset"]),
    default="code",
    help="People without a password hash: they sign in by codes, or set a password by “forgot password”. [code]",
)
@click.option(
    "--bad-hash",
    type=click.Choice(["refuse", "drop"]),
    default="refuse",
    help="Hashes that cannot be kept: their owners stay out, or come in without a password. [refuse]",
)
@click.option(
    "--map", "renamed", multiple=True, metavar="FIELD=PROPERTY", help="As user_metadata.plan=extension_plan."
)
@click.option(
    "--firebase-hashing",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="File with the project's password hash parameters, as the Firebase console shows them.",
)
@deployment
@as_json
def import_(
    file: Path,
    source: Format,
    dry_run: bool,
    report: Path | None,
    unproven: str,
    no_password: str,
    bad_hash: str,
    renamed: tuple[str, ...],
    firebase_hashing: Path | None,
    data: Path,
    tenant: str | None,
    as_json: bool,
) -> None:
    """
    Bring people from another system, with their passwords where the file has hashes of them.

    FILE is what the other system exports; `-` reads standard input. A record that cannot be taken is refused with its
    line and a reason, and keeps nobody else out; the command then ends with 1. A run that was cut off is simply
    started anew: whom it has brought is known again.

    \b
    Examples:
      genkan user import users.csv --from csv --dry-run
      genkan user import auth0.json --from auth0 --report refused.jsonl
      genkan user import users.json --from firebase --firebase-hashing hash_config.txt
      genkan user import realm.json --from keycloak --map attributes.plan=extension_plan
    """
    from genkan.intake.formats import people
    from genkan.intake.records import NotReadable
    from genkan.service.importing import Source, bring

    tally = Tally()
    choices = _choices(unproven, no_password, bad_hash, renamed, firebase_hashing)

    async def act(office: Office, actor: Actor) -> None:
        with (
            _lines(file) as (lines, progress),
            _writing(report) as write,
            _showing(tally, progress, as_json) as show,
        ):
            found: Iterable[Person | Refused] = people(source, lines, choices)
            origin = Source(name=source, key=office.import_key)
            async for outcomes in bring(office.door, actor, origin, found, writes=not dry_run):
                for outcome in outcomes:
                    tally.count(outcome)
                    if write is not None and (outcome.refused or outcome.notes):
                        write(outcome)
                show()

    try:
        done(data, tenant, act)
    except NotReadable as error:
        if tally.read:
            _say(tally, dry_run, report, as_json)
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        _say(tally, dry_run, report, as_json)
        raise click.ClickException("It was stopped. Start it anew to bring the others.") from None
    _say(tally, dry_run, report, as_json)
    if tally.refused:
        raise click.exceptions.Exit(1)


class Tally:
    """How many records came to what, and the first lines of each reason."""

    def __init__(self) -> None:
        self.added = self.known = self.refused = 0
        self.reasons: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.lines: dict[str, list[int]] = {}
        self.began = time.monotonic()

    @property
    def read(self) -> int:
        return self.added + self.known + self.refused

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.read / max(time.monotonic() - self.began, 0.001)

    def count(self, outcome: Outcome) -> None:
        if outcome.refused:
            self.refused += 1
        elif outcome.is_known:
            self.known += 1
        else:
            self.added += 1
        for counter, reason in [
            *([(self.reasons, outcome.refused)] if outcome.refused else []),
            *((self.notes, note) for note in outcome.notes),
        ]:
            same = _class_of(reason)
            counter[same] += 1
            lines = self.lines.setdefault(same, [])
            if len(lines) < SHOWN:
                lines.append(outcome.line)


def _class_of(reason: str) -> str:
    """A reason without what is different in each line."""
    if reason.startswith("line ") and reason.endswith(" has the same address or username"):
        return "an earlier line has the same address or username"
    return reason


def _say(tally: Tally, dry_run: bool, report: Path | None, as_json: bool) -> None:
    """Say what came of the import."""
    if as_json:
        reasons, notes = (
            [
                {"reason": reason, "count": count, "lines": tally.lines[reason]}
                for reason, count in many.most_common()
            ]
            for many in (tally.reasons, tally.notes)
        )
        as_lines(
            [
                {
                    "dryRun": dry_run,
                    "added": tally.added,
                    "known": tally.known,
                    "refused": tally.refused,
                    "reasons": reasons,
                    "leftBehind": notes,
                }
            ]
        )
        return
    would, took = ("would be ", "") if dry_run else ("", f" in {time.monotonic() - tally.began:,.0f} s")
    click.echo(
        f"{tally.read:,} read{took}: {tally.added:,} {would}added, {tally.known:,} were here already, "
        f"{tally.refused:,} {would}refused."
    )
    for title, many in (("Refused, because", tally.reasons), ("Taken, but", tally.notes)):
        if many:
            click.echo(f"\n{title}")
        for reason, count in many.most_common():
            lines = ", ".join(f"{line:,}" for line in tally.lines[reason])
            more = ", …" if count > len(tally.lines[reason]) else ""
            click.echo(f"  {count:>9,}  {reason}\n             line {lines}{more}")
    if report is not None:
        click.echo(f"\nEvery one of them is in {report}.")
    elif tally.refused > SHOWN or sum(tally.notes.values()) > SHOWN:
        click.echo("\nEvery one of them: the same command with --report FILE.")
    if tally.refused and not dry_run:
        click.echo("Correct those lines and import the file again: who is here already is left as they are.")


def _choices(
    unproven: Any, no_password: Any, bad_hash: Any, renamed: tuple[str, ...], firebase_hashing: Path | None
) -> Choices:
    from genkan.intake.formats import Choices
    from genkan.intake.formats import firebase_hashing as read_hashing
    from genkan.intake.records import NotReadable
    from genkan.service.admin.people import ATTRIBUTES

    names: dict[str, str] = {}
    for text in renamed:
        field, equals, name = text.partition("=")
        if not equals or not (name in ATTRIBUTES or name.startswith("extension_")):
            raise click.UsageError(
                f"--map wants FIELD=PROPERTY, and not {text}. A property is extension_… or one of: "
                f"{', '.join(sorted(ATTRIBUTES))}."
            )
        names[field] = name
    hashing = None
    if firebase_hashing is not None:
        try:
            hashing = read_hashing(firebase_hashing.read_text(encoding="utf-8", errors="replace"))
        except NotReadable as error:
            raise click.ClickException(str(error)) from None
    return Choices(
        unproven=unproven,
        no_password=no_password,
        bad_hash=bad_hash,
        renamed=names,
        properties=frozenset(ATTRIBUTES),
        firebase=hashing,
    )


@contextmanager
def _lines(file: Path) -> Iterator[tuple[Iterator[str], Callable[[], float]]]:
    """The lines of a file, and what part of it they have come to."""
    stream: IO[str]
    if str(file) == "-":
        with io.TextIOWrapper(
            sys.stdin.buffer, encoding="utf-8", errors="surrogateescape", newline=""
        ) as stream:
            yield iter(stream), lambda: 0.0
        return
    with file.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        size, read = max(file.stat().st_size, 1), 0

        def lines() -> Iterator[str]:
            nonlocal read
            for line in stream:
                read += len(line)
                yield line

        yield lines(), lambda: min(read / size, 1.0)


@contextmanager
def _writing(report: Path | None) -> Iterator[Callable[[Outcome], None] | None]:
    """A way to write outcomes to the report, where there is to be one."""
    if report is None:
        yield None
        return
    import msgspec

    with report.open("wb") as stream:

        def write(outcome: Outcome) -> None:
            said = {"line": outcome.line, "record": outcome.number}
            more = {"refused": outcome.refused} if outcome.refused else {"leftBehind": outcome.notes}
            stream.write(msgspec.json.encode(said | more) + b"\n")

        yield write


@contextmanager
def _showing(tally: Tally, progress: Callable[[], float], as_json: bool) -> Iterator[Callable[[], None]]:
    """A way to show how far it is: a bar on a terminal, and else nothing."""
    if as_json or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        BarColumn(),
        TextColumn(
            "{task.percentage:>3.0f} %  {task.fields[people]:,} people, {task.fields[rate]:,.0f} a second"
        ),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("import", total=1.0, people=0, rate=0.0)
    with bar:
        yield lambda: bar.update(task, completed=progress(), people=tally.read, rate=tally.rate)
