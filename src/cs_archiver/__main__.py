"""`python -m cs_archiver`."""

from cs_archiver.cli import main

main()
