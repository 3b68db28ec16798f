"""What `--help` says of every command: examples that could be typed, and a way to look before one destroys."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from genkan.cli import main


def commands(
    command: click.Command = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, by the words that it is called by."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
    else:
        yield path, command


EVERY = [pytest.param(path, command, id=" ".join(path)) for path, command in commands()]


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_each_command_shows_examples_of_itself_that_could_be_typed(
    path: tuple[str, ...], command: click.Command
) -> None:
    said = inspect.cleandoc(command.help or "")
    shown = re.search(r"^ *Examples?:\n(.*)", said, re.MULTILINE | re.DOTALL)
    assert shown
    examples = re.findall(r"^ *genkan (.+?)(?: {3,}.*| *[|>].*)?$", shown[1], re.MULTILINE)
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    mine = [words for words in map(shlex.split, examples) if tuple(words[: len(path)]) == path]
    assert mine
    for words in mine:
        given = {word.partition("=")[0] for word in words[len(path) :] if re.match(r"--?[a-z]", word)}
        assert given <= options | {"-h", "--help"}, words


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_what_asks_first_can_be_answered_beforehand_and_tried_without_a_change(
    path: tuple[str, ...], command: click.Command
) -> None:
    names = {parameter.name for parameter in command.params}
    assert ("yes" in names) <= ("dry_run" in names)
    if path[-1] in ("delete", "remove-secret", "rotate", "sign-out", "reset-password"):
        assert {"yes", "dry_run"} <= names
