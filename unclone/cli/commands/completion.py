"""``unclone completion``: the script that teaches a shell this command."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from unclone.cli.output_options import debug_option, quiet_option

EPILOG = """\b
Examples:
  unclone completion bash > ~/.local/share/bash-completion/completions/unclone
  unclone completion zsh > "${fpath[1]}/_unclone"
  unclone completion fish > ~/.config/fish/completions/unclone.fish
"""


@click.command("completion", epilog=EPILOG)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@quiet_option
@debug_option
@click.pass_context
def command(ctx: click.Context, /, shell: str, quiet: bool) -> None:  # noqa: ARG001, FBT001 (there is nothing to silence)
    """Print the completion script for SHELL."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"no completion exists for {shell}")
    click.echo(found(ctx.find_root().command, {}, "unclone", "_UNCLONE_COMPLETE").source())
