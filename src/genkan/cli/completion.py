"""`genkan completion`: let a shell complete the commands."""

from __future__ import annotations

import click

from genkan.cli.common import CONTEXT


@click.command(context_settings=CONTEXT)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """
    Print what makes a shell complete commands and options.

    \b
    Examples:
      genkan completion bash > ~/.local/share/bash-completion/completions/genkan
      genkan completion zsh  > ~/.zfunc/_genkan       with ~/.zfunc in fpath
      genkan completion fish > ~/.config/fish/completions/genkan.fish
    """
    from click.shell_completion import get_completion_class

    complete = get_completion_class(shell)
    if complete is None:
        raise click.ClickException(f"{shell} cannot be completed for.")
    click.echo(complete(context.find_root().command, {}, "genkan", "_GENKAN_COMPLETE").source())
