"""What the commands share: options, and mistakes said in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""For every command: `@click.command(context_settings=CONTEXT)`."""


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
    tenant = click.option("--tenant", default=None, help="Which tenant, where there are several.")
    return data(tenant(command))


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say an operator's mistake in one sentence and exit with 1. What is not listed here is a bug."""
    from genkan import bootstrap, settings
    from genkan.store.sealing import CannotOpen

    try:
        yield
    except (settings.BadSettings, CannotOpen, bootstrap.CannotStart) as error:
        raise click.ClickException(str(error)) from None
