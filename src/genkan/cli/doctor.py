"""`genkan doctor`: the effective settings, and whether messages can leave."""

from __future__ import annotations

import os
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
@click.option("--to", default=None, metavar="ADDRESS", help="Send a test message to this address or number.")
@click.option("--provider", default=None, metavar="NAME", help="Send it by this provider only.")
def doctor(config: Path | None, to: str | None, provider: str | None) -> None:
    """
    Find what keeps messages from arriving.

    Shows the effective settings (secrets masked), reaches every mail relay, and looks up SPF, DMARC and DKIM. With --to
    it sends a test message and shows the conversation. Exits with 1 when something is wrong.

    \b
    Examples:
      genkan doctor                                    look at everything, send nothing
      genkan doctor --config genkan.toml               the same, with the settings of this file
      genkan doctor --to you@example.com               send a test e-mail by every relay
      genkan doctor --to +447812345678 --provider sms  send a test text message by the provider named sms
    """
    from genkan import bootstrap, settings
    from genkan.delivery.doctor import Finding

    looks = {
        "title": ("", {"bold": True}),
        "good": ("  ✓ ", {"fg": "green"}),
        "bad": ("  ✗ ", {"fg": "red"}),
        "note": ("  · ", {}),
        "heard": ("    ", {"dim": True}),
    }

    def say(found: Finding) -> None:
        mark, style = looks[found.kind]
        if found.kind == "title":
            click.echo()
        click.echo(click.style(f"{mark}{found.text}", **style))  # type: ignore[arg-type]

    with one_sentence():
        effective = settings.read(os.environ, {"config": config})
        if to is None:
            click.echo(click.style("Settings", bold=True))
            shown = settings.shown(effective)
            width = max(len(name) for name, _ in shown)
            for name, value in shown:
                click.echo(f"  {name:{width}}  {value}")
        is_well = bootstrap.examine_delivery(effective, to, provider, say)
    click.echo()
    if not is_well:
        click.echo("Something is wrong: see the lines marked ✗.")
        raise SystemExit(1)
    click.echo("All is well.")
