"""`python -m cs_archiver`."""

from cs_archiver.cli import run

run()
