"""Runs in a process of its own: loads apprise, and sends one message or says which URLs it does not understand.

In the service itself apprise would take 42 MB for good, and a server that never ends its answer all the rest.
Started by its path where there is a Python, and by the command `notify-child` in the single file.
"""

import json
import logging
import os
import re
import resource
import sys
from typing import Any

_MOST_MEMORY_BYTES = 512 * 1024**2
_SHORTEST_SECRET = 5


def main(descriptor: int) -> int:
    """Does what the JSON in this open file asks for; gives back the exit code, 0 when it was done."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    with open(descriptor, "rb") as stream:
        task = json.load(stream)
    os.environ.update(task["environ"])
    if "message" not in task:
        print(json.dumps(_not_understood(task["urls"])))  # noqa: T201  the answer
        return 0
    (url,) = task["urls"]
    reasons = _Reasons()
    logging.basicConfig(level=logging.WARNING, handlers=[reasons])
    try:
        sent = _send(url, task["message"])
    except Exception as error:  # noqa: BLE001  its text and its traceback may have the URL
        reasons.lines.append(f"apprise failed with {type(error).__name__}")
        sent = False
    sys.stderr.write("\n".join(_without_secrets(line, url) for line in reasons.lines))
    return 0 if sent else 1


class _Reasons(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _not_understood(urls: list[str]) -> list[int]:
    import apprise

    logging.disable()
    return [number for number, url in enumerate(urls) if apprise.Apprise.instantiate(url, asset=_asset()) is None]


def _send(url: str, message: dict[str, str]) -> bool:
    import apprise

    service = apprise.Apprise(asset=_asset())
    service.add(url)
    sent = service.notify(
        title=message["subject"],
        body=message["body"],
        notify_type=apprise.NotifyType(message["tone"]),
        body_format=apprise.NotifyFormat.TEXT,
    )
    return bool(sent)


def _asset() -> Any:
    import apprise

    return apprise.AppriseAsset(
        app_id="CS Archiver",
        app_desc="CS Archiver",
        app_url="",
        image_url_mask="",  # the pictures would come from a server of somebody else
        image_url_logo="",
        async_mode=False,
    )


def _without_secrets(line: str, url: str) -> str:
    """Whatever stands behind the scheme of the URL may be one, but for the host, which helps to find the fault."""
    scheme, _, rest = url.partition("://")
    host = rest.rpartition("@")[2].partition("/")[0] if "@" in rest or "." in rest else ""
    for part in sorted(re.split(r"[/@:?&=,]", rest), key=len, reverse=True):
        if len(part) >= _SHORTEST_SECRET and part not in host and part != scheme:
            line = line.replace(part, "****")
    return line


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
