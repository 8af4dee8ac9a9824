"""`cs-archiver check-config` and `config show`: whether the settings can be used, and where each comes from."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from cs_archiver import config
from cs_archiver.commands.common import EXIT_CONFIG, config_option, end, read_settings, run
from cs_archiver.errors import ConfigError
from cs_archiver.services.notify.apprise_notifier import require_usable
from cs_archiver.services.shown_settings import Shown, shown_settings
from cs_archiver.settings import Settings


@click.command("check-config")
@config_option
def check_config(config_file: Path | None) -> None:
    """Check the configuration without starting or changing anything.

    Where it cannot be used, one line names the key, and the exit code is 2.
    """
    settings = read_settings(config_file)
    error = _why_not_usable(settings)
    if error is not None:
        end(error, EXIT_CONFIG)
    run(require_usable(settings))
    click.echo("The configuration is fine.")


def _why_not_usable(settings: Settings) -> ConfigError | None:
    """On a thread, which a NAS that hangs may keep: the end of the program does not wait for it."""
    found: list[ConfigError] = []

    def check() -> None:
        try:
            config.check_folders(settings)
        except ConfigError as error:
            found.append(error)

    thread = threading.Thread(target=check, daemon=True)
    thread.start()
    thread.join(settings.qnap.timeout_seconds)
    if thread.is_alive():
        expected = f"a folder that answers within {settings.qnap.timeout_seconds:g} s"
        return settings.origin.wrong("qnap", "base_path", expected, json.dumps(str(settings.qnap.base_path)))
    return found[0] if found else None


@click.group("config")
def config_group() -> None:
    """The configuration."""


@config_group.command("show")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@config_option
def show(config_file: Path | None, *, as_json: bool) -> None:
    """Print every setting with its value and where that comes from; secrets stay hidden."""
    settings = shown_settings(read_settings(config_file))
    click.echo(_document(settings) if as_json else _text(settings))


def _document(settings: Sequence[Shown]) -> str:
    return json.dumps([setting._asdict() for setting in settings], indent=2)


def _text(settings: Sequence[Shown]) -> str:
    lines: list[str] = []
    section = ""
    for setting in settings:
        if setting.section != section:
            section = setting.section
            lines += [*([""] if lines else []), f"[{section}]"]
        value = setting.value if setting.is_secret else json.dumps(setting.value, ensure_ascii=False)
        where = f" {setting.where}" if setting.where else ""
        lines.append(f"{f'{setting.key} = {value}':<60}  # {setting.source.replace('_', ' ')}{where}")
    return "\n".join(lines)
