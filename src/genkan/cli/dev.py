"""`genkan dev`: development mode."""

from __future__ import annotations

import os
from pathlib import Path

import click

from genkan.cli.common import CONTEXT, one_sentence


@click.command(context_settings=CONTEXT)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=None,
    help="Port to listen on; 0 picks a free one. [8400]",
)
@click.option("--host", default=None, hidden=True, help="Loopback address to listen on.")
@click.option(
    "--data", type=click.Path(path_type=Path), default=None, help="Folder of the database. [.genkan]"
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON when ready, and nothing else, on stdout."
)
@click.option(
    "--tls", is_flag=True, default=None, help="Serve https with a certificate from a local throw-away CA."
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default=None, help="[info]"
)
def dev(
    port: int | None,
    host: str | None,
    data: Path | None,
    as_json: bool,
    tls: bool | None,
    log_level: str | None,
) -> None:
    """
    Development mode: a seeded demo tenant, an inbox for e-mail and SMS, a clock that can be moved.

    Listens on loopback only. Everything lives in one folder: delete it to start afresh.

    \b
    Examples:
      genkan dev                          start on http://localhost:8400
      genkan dev --port 0 --json          for tests: a free port, and one line of JSON when ready
      genkan dev --data /tmp/demo --tls   another folder, and https
    """
    # Imported here so that `--help` and `--version` answer at once.
    from genkan import bootstrap, settings

    given = {"port": port, "host": host, "data": data, "tls": tls, "log_level": log_level}
    with one_sentence():
        bootstrap.run_development(settings.read(os.environ, given), as_json=as_json)
