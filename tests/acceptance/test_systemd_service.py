"""The whole service under a manager like systemd: ready when it answers, alive while it runs, and told when it ends."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

from tests.support.service import NOWHERE, Place, environment


def test_systemd_hears_of_a_life_from_ready_to_stopping(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(50)
        variables = environment(Place(tmp_path / "place").make(), NOWHERE)
        service = subprocess.Popen(
            [sys.executable, "-m", "cs_archiver", "serve"],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(sys.path),
                "NOTIFY_SOCKET": address,
                "WATCHDOG_USEC": "200000",
                **variables,
            },
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            heard = until(manager, "READY=1")
            assert not any("STOPPING=1" in lines for lines in heard)
            with urlopen(f"http://127.0.0.1:{variables['PORT']}/api/health", timeout=30) as answer:
                assert answer.status == 200
            heard += until(manager, "WATCHDOG=1")
            heard += until(manager, "WATCHDOG=1")
            if not any("STATUS=0 in hand, 0 waiting" in lines for lines in heard):
                until(manager, "STATUS=0 in hand, 0 waiting")
            service.send_signal(signal.SIGTERM)
            assert "EXTEND_TIMEOUT_USEC=120000000" in until(manager, "STOPPING=1")[-1]
            assert service.wait(30) == 0
        finally:
            service.kill()
            service.wait()


def until(manager: socket.socket, line: str) -> list[list[str]]:
    """Everything heard up to the message with this line."""
    heard: list[list[str]] = []
    while not heard or line not in heard[-1]:
        heard.append(manager.recv(4096).decode().splitlines())
    return heard
