"""`cs-archiver notify-test`: whether notifications arrive, from the host; and the child that sends each."""

import sys
from pathlib import Path

import click

from cs_archiver.commands.common import EXIT_FAILED, config_option, read_settings, run
from cs_archiver.services.notify import apprise_child
from cs_archiver.services.notify.apprise_notifier import CHILD_COMMAND, require_usable
from cs_archiver.services.notify.life import notifications_of
from cs_archiver.services.notify.notifications import Tested
from cs_archiver.settings import Settings


@click.command("notify-test")
@config_option
def notify_test(config_file: Path | None) -> None:
    """Send a test to every place that notifications go to, and say what came of each."""
    tested = run(_test(read_settings(config_file)))
    for place in tested:
        click.echo(f"{place.name}: sent" if place.error is None else f"{place.name}: failed: {place.error}")
    if any(place.error for place in tested):
        sys.exit(EXIT_FAILED)


@click.command(CHILD_COMMAND, hidden=True)
@click.argument("descriptor", type=int)
def notify_child(descriptor: int) -> None:
    """What the service starts to send one message, where there is no Python beside it."""
    sys.exit(apprise_child.main(descriptor))


async def _test(settings: Settings) -> list[Tested]:
    if not settings.notify.targets:
        raise settings.origin.wrong("notify", "urls", "URLs to send a test to", "nothing")
    await require_usable(settings)
    return await notifications_of(settings).test()
