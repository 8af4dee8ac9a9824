"""What a sandbox is made of: which folders are collections, who may sign in, how fast it copies."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cs_archiver.errors import ConfigError

DEMO_CLIENT_ID = "c5a2c41f-0000-4000-8000-00000000c11e"
DEMO_CLIENT_SECRET = "sandbox-only-no-secret"  # noqa: S105  (opens nothing but a loopback sandbox)


@dataclass(frozen=True, slots=True)
class CollectionTraits:
    """What a collection says of itself in its endpoint document, and what follows from it.

    `gcp_connected` false makes listings answer 502 and running tasks fault until it is true again;
    `disable_verify` drops every checksum of tasks that touch the collection, `force_verify` adds
    them; a GCSv5 mapped collection that is not high assurance wants the data_access consent.
    """

    display_name: str = ""
    entity_type: str = "GCP_mapped_collection"
    gcp_connected: bool = True
    gcp_paused: bool = False
    disable_verify: bool = False
    force_verify: bool = False
    force_encryption: bool = False
    high_assurance: bool = False

    @property
    def is_personal(self) -> bool:
        return self.entity_type.startswith("GCP_")

    @property
    def needs_data_access_consent(self) -> bool:
        return self.entity_type == "GCSv5_mapped_collection" and not self.high_assurance


def _demo_client() -> dict[str, str]:
    return {DEMO_CLIENT_ID: DEMO_CLIENT_SECRET}


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Settings of one sandbox; raises ConfigError for a host that is not loopback.

    `collections`: collection UUID -> folder. `clients`: client id -> secret. `port` 0 takes a free
    one. `rate_bytes_per_second` is shared by all running tasks, None copies as fast as the disk
    does. `fault_retry_seconds`: how long a task that met a fault waits before it tries again.
    """

    collections: Mapping[str, Path]
    clients: Mapping[str, str] = field(default_factory=_demo_client)
    host: str = "127.0.0.1"
    port: int = 0
    rate_bytes_per_second: int | None = None
    max_active_tasks: int = 3
    traits: Mapping[str, CollectionTraits] = field(default_factory=dict)
    fault_retry_seconds: float = 0.5

    def __post_init__(self) -> None:
        if not is_loopback(self.host):
            raise ConfigError(
                f"sandbox host: {self.host!r} is not a loopback address; "
                "the sandbox trusts everyone who reaches it, so use 127.0.0.1, ::1 or localhost"
            )
        if self.rate_bytes_per_second is not None and self.rate_bytes_per_second <= 0:
            raise ConfigError("sandbox rate_bytes_per_second: expected a number above 0, or none for no limit")
        if self.max_active_tasks < 1:
            raise ConfigError("sandbox max_active_tasks: expected 1 or more")

    @property
    def address(self) -> str:
        """The host as one address: a name would listen on several, each with a port of its own."""
        return "127.0.0.1" if self.host == "localhost" else self.host


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def environment(url: str) -> dict[str, str]:
    """The variables that point an unmodified globus-sdk or globus-cli at the sandbox at `url`."""
    root = url.rstrip("/") + "/"
    return {"GLOBUS_SDK_SERVICE_URL_AUTH": root, "GLOBUS_SDK_SERVICE_URL_TRANSFER": root}
