"""How commands show things: tables for people, one JSON object in each line for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click


def as_lines(objects: Iterable[Any]) -> None:
    """Print each object as one line of JSON."""
    import msgspec

    for one in objects:
        click.echo(msgspec.json.encode(one))


def as_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], nothing: str) -> None:
    """Print rows below the names of their columns; `nothing` where there are none."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = [[Text(words(value)) for value in row] for row in rows]
    if not shown:
        click.echo(nothing)
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=number == 0)
    for row in shown:
        table.add_row(*row)
    _print(table)


def as_facts(facts: Mapping[str, Any]) -> None:
    """Print what is known of one thing, a line for each fact; facts without a value are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        if value not in (None, "", (), []):
            table.add_row(Text(name, style="bold"), Text(words(value), overflow="fold"))
    _print(table)


def _print(table: Any) -> None:
    """Print to standard output: as wide as the terminal, and without a limit where there is none."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 500
    console = Console(width=width, highlight=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def words(value: Any) -> str:
    """Write a value as people read it. What could move the cursor or hide text is made visible (LOG-06)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, tuple | list):
        return ", ".join(map(words, value))
    from genkan.engine.story import printable

    return printable(str(value))
