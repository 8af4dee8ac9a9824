"""The unmodified globus-cli, from its own virtual environment, pointed at a sandbox."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cs_archiver.sandbox import DEMO_CLIENT_ID, DEMO_CLIENT_SECRET, environment

PROGRAM = Path(__file__).parents[2] / ".venv-globus-cli" / "bin" / "globus"
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Finished:
    """What one call of the CLI left behind."""

    exit_code: int
    output: str
    errors: str

    @property
    def document(self) -> Any:
        return json.loads(self.output)


@dataclass(frozen=True, slots=True)
class GlobusCli:
    """Calls the CLI as the demo client, with `home` in place of the user's own."""

    url: str
    home: Path

    def __call__(self, *arguments: str) -> Finished:
        """Runs one command to its end; blocking, so call it in a thread."""
        finished = subprocess.run(
            [str(PROGRAM), *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        return Finished(finished.returncode, finished.stdout, finished.stderr)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "NO_PROXY": "127.0.0.1",
            "GLOBUS_CLI_INTERACTIVE": "0",
            "GLOBUS_CLI_CLIENT_ID": DEMO_CLIENT_ID,
            "GLOBUS_CLI_CLIENT_SECRET": DEMO_CLIENT_SECRET,
            **environment(self.url),
        }
