"""Finds what ships beside the code - web/, schema.sql, config.toml - in a checkout, a wheel or the single file."""

from pathlib import Path


def resource(name: str) -> Path:
    """The path of a shipped file or folder; using it fails with the path in the message if it is missing."""
    return _root(Path(__file__).resolve().parent) / name


def _root(package: Path) -> Path:
    # An editable install leaves a stale copy in site-packages: only the one beside this very file counts.
    bundled = package / "_bundled"
    return bundled if bundled.is_dir() else package.parent.parent
