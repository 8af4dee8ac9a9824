"""A loopback service that speaks the part of Globus that globus-sdk and globus-cli use."""

from cs_archiver.sandbox.faults import FaultScript, Operation
from cs_archiver.sandbox.server import RecordedRequest, Sandbox
from cs_archiver.sandbox.settings import (
    DEMO_CLIENT_ID,
    DEMO_CLIENT_SECRET,
    CollectionTraits,
    SandboxSettings,
    environment,
)

__all__ = [
    "DEMO_CLIENT_ID",
    "DEMO_CLIENT_SECRET",
    "CollectionTraits",
    "FaultScript",
    "Operation",
    "RecordedRequest",
    "Sandbox",
    "SandboxSettings",
    "environment",
]
