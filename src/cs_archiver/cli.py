"""The command line: parse, call, return an exit code."""

import gc
import logging
import os
import sys
import threading
from importlib import import_module

import click

from cs_archiver import __version__, early_signals

_COMMANDS = {
    "check-config": "configuration:check_config",
    "config": "configuration:config_group",
    "db": "db:db",
    "demo": "demo:demo",
    "doctor": "doctor:doctor",
    "globus-sandbox": "globus_sandbox:globus_sandbox",
    "notify-child": "notify:notify_child",
    "notify-test": "notify:notify_test",
    "openapi": "openapi:openapi",
    "pause": "pause:pause",
    "resume": "pause:resume",
    "serve": "serve:serve",
    "systemd-unit": "systemd_unit:systemd_unit",
    "user": "user:user",
}
"""Where each command is, in `commands`."""


class Commands(click.Group):
    """Imports only the command that is called: the service takes a second of a processor to import, most take none."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(f"cs_archiver.commands.{module}"), name)
        return command


def run() -> None:
    """The program: `main`, and then its end, even while a thread still waits for a NAS that may never answer."""
    # Until the work begins (commands.common.run): what is imported stays, and to look for garbage in it takes a fifth
    # of the time.
    gc.disable()
    if sys.argv[1:2] == ["serve"]:
        early_signals.expect()
    try:
        main()
    except SystemExit as end:
        logging.shutdown()  # ends the threads that write the log
        if threading.active_count() > 1:  # daemons too: the threads of an executor are joined whatever they are
            sys.stdout.flush()
            os._exit(int(end.code or 0))
        raise


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cs-archiver")
def main() -> None:
    """Moves finished folders from a NAS to Globus, and deletes only what is proven stored."""
