"""What the commands share: options, and mistakes said in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""For every command: `@click.command(context_settings=CONTEXT)`."""


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say an operator's mistake in one sentence and exit with 1. What is not listed here is a bug."""
    from genkan import bootstrap, settings
    from genkan.store.sealing import CannotOpen

    try:
        yield
    except (settings.BadSettings, CannotOpen, bootstrap.CannotStart) as error:
        raise click.ClickException(str(error)) from None
