"""`genkan serve`: production."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from genkan.cli.common import CONTEXT, one_sentence


@click.command(context_settings=CONTEXT)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Settings file. [GENKAN_CONFIG]",
)
@click.option("--host", default=None, help="Address to listen on. [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), default=None, help="Port to listen on. [8400]")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder of the databases. [.genkan]",
)
@click.option(
    "--database",
    default=None,
    metavar="URL",
    help="PostgreSQL's address, where tenants are to lie there and any number of processes serve them.",
)
@click.option(
    "--seed",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="File of the tenant that a new deployment begins with.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=None,
    help="How many processes serve, with --database. SIGHUP replaces one after the other. [1]",
)
@click.option("--inherited", default="", hidden=True, help="What a worker is told by its parent.")
def serve(
    config: Path | None,
    host: str | None,
    port: int | None,
    data: Path | None,
    database: str | None,
    seed: Path | None,
    workers: int | None,
    inherited: str,
) -> None:
    """
    Serve the tenants of a folder, or of a PostgreSQL database, to the world.

    Messages leave by the providers that the settings name; try those first with genkan doctor. Refuses to start with
    settings that nobody should run with, and says what to do.

    \b
    Examples:
      genkan serve --config genkan.toml                     everything else is in the file
      genkan serve --data /var/lib/genkan --seed shop.toml  a new deployment begins with the tenant of shop.toml
      genkan serve --config genkan.toml --workers 4         four processes, where the file names a PostgreSQL
    """
    from genkan import bootstrap, settings

    given = {
        "config": config,
        "host": host,
        "port": port,
        "data": data,
        "database": database,
        "seed": seed,
        "workers": workers,
    }

    def read() -> settings.Settings:
        return settings.read(os.environ, given)

    with one_sentence():
        found = read()
        if inherited or found.workers == 1:
            bootstrap.run_production(found, inherited)
        else:
            options = [f"--{name}={value}" for name, value in given.items() if value is not None]
            command = [sys.executable, "-m", "genkan", "serve", *options, "--inherited"]
            sys.exit(bootstrap.run_workers(found, command, read))
