"""
The command line: reads what was typed, builds what `bootstrap` knows to build, and says what happened.

One file for each noun; `common` is what they share. A file imports no more than click and `common` at its top, so that
`--help` and `--version` answer at once. An operator's mistake ends in one sentence and a non-zero exit, never in a
traceback.
"""

from __future__ import annotations

import click

from genkan import __version__
from genkan.cli.app import app
from genkan.cli.approval import approval
from genkan.cli.backup import backup, export, import_, restore
from genkan.cli.common import CONTEXT
from genkan.cli.completion import completion
from genkan.cli.dev import dev
from genkan.cli.doctor import doctor
from genkan.cli.explain import explain
from genkan.cli.group import group
from genkan.cli.keys import keys
from genkan.cli.logs import logs
from genkan.cli.policy_store import policy
from genkan.cli.serve import serve
from genkan.cli.signals import signals
from genkan.cli.tenant import tenant
from genkan.cli.user import user


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, "-V", "--version", message="genkan %(version)s")
def main() -> None:
    """
    Genkan signs people in through your app's own screens, and decides on the server which factors they need.

    \b
    Try it:   genkan dev
    """


for _command in (
    dev,
    serve,
    doctor,
    tenant,
    app,
    user,
    group,
    policy,
    keys,
    backup,
    restore,
    signals,
    approval,
    logs,
    explain,
    completion,
):
    main.add_command(_command)
tenant.add_command(export)
tenant.add_command(import_)
