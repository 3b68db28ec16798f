"""`genkan explain`: one sign-in told as a story."""

from __future__ import annotations

from pathlib import Path

import click

from genkan.cli.common import CONTEXT, as_json, deployment, looked_at


@click.command(context_settings=CONTEXT)
@click.argument("correlation_id")
@deployment
@as_json
def explain(correlation_id: str, data: Path, tenant: str | None, as_json: bool) -> None:
    """
    Tell one sign-in as a story: what was asked, what was proven, and which policy wanted what, and why.

    Every answer of the server carries the correlation id, as `correlation_id` in an error and as the header
    `client-request-id`. The server may go on running.

    \b
    Example:
      genkan explain 9b1e4c1d-0000-4000-8000-000000000001
    """
    from uuid import UUID

    import msgspec

    from genkan.engine.story import Story, as_text
    from genkan.service.inquiry import stories

    try:
        wanted = str(UUID(correlation_id.strip()))
    except ValueError:
        raise click.ClickException(f"{correlation_id} is no correlation id: those are GUIDs.") from None

    told: tuple[Story, ...] = looked_at(data, tenant, lambda reader, _: stories(reader, wanted))
    if not told:
        raise click.ClickException(
            f"Nothing is known of {correlation_id}. Give the correlation id of an answer as it is; "
            "the sign-in log is kept for a time only."
        )
    click.echo(msgspec.json.encode(told) if as_json else as_text(told))
