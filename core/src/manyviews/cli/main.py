"""The command line. A command's module is imported when it is asked for, and what it works with when it runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from manyviews.errors import UserError

COMMANDS = (
    "pretrain",
    "evaluate",
    "checkpoints",
    "embed",
    "finetune",
    "predict",
    "show-views",
    "report",
    "plugins",
    "describe",
    "matrix",
    "curate",
    "new-plugin",
    "check-plugin",
    "runs",
    "sweep",
    "doctor",
    "demo",
)
INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 + SIGINT, as shells have it."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"manyviews.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from manyviews.plugins.suggest import did_you_mean

            raise click.UsageError(f"there is no command `{args[0]}`.{did_you_mean(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


def _version(ctx: click.Context, parameter: click.Parameter, given: bool) -> None:
    if given:
        from manyviews.plugins.versions import core_version

        click.echo(f"manyviews {core_version()}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version and exit."
)
def commands() -> None:
    """Pretrain encoders without labels, on any kind of data.

    An error that you can mend is told in at most three lines, with exit status 2; MANYVIEWS_TRACEBACK=1 shows where it
    was raised.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    try:
        status = commands.main(arguments, prog_name="manyviews", standalone_mode=False)
    except UserError as error:
        if os.environ.get("MANYVIEWS_TRACEBACK") == "1":
            raise
        click.echo(f"Error: {error}", err=True)
        return 2
    except click.ClickException as error:
        click.echo(_told(error), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    return status if isinstance(status, int) else 0


def _told(error: click.ClickException) -> str:
    """click's complaint in two lines; a group without a command is its help."""
    message = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None and message == context.get_help():
        return message
    return f"Error: {message}" + (f"\n  `{context.command_path} --help` says how to use it" if context else "")


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())
