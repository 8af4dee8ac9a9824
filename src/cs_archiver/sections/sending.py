"""Settings of the way to Globus, and of what follows a failed attempt."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from cs_archiver.sections.section import Section
from cs_archiver.setting_types import (
    AlwaysTrue,
    CollectionPath,
    Interval,
    KeyMismatch,
    LocalFile,
    OptionalCollectionPath,
    OptionalServiceUrl,
    OptionalUuid,
    RetryLimit,
    Secret,
    Variable,
)


class Globus(Section):
    """`client_secret` holds what stands in `client_secret_file`, if that is given."""

    client_id: OptionalUuid = ""
    client_secret: Secret = SecretStr("")
    client_secret_file: LocalFile = ""
    source_endpoint: OptionalUuid = ""
    destination_endpoint: OptionalUuid = ""
    source_base_path: OptionalCollectionPath = ""
    destination_base_path: CollectionPath = "/"
    verify_checksum: AlwaysTrue = True
    sync_level: Literal["exists", "size", "mtime", "checksum"] = "checksum"
    external_checksum: Literal["SHA256", "none"] = "SHA256"
    http_timeout_seconds: Annotated[float, Field(ge=0.1, le=600)] = 20.0
    service_url_auth: Annotated[OptionalServiceUrl, Variable("GLOBUS_SDK_SERVICE_URL_AUTH")] = ""
    service_url_transfer: Annotated[OptionalServiceUrl, Variable("GLOBUS_SDK_SERVICE_URL_TRANSFER")] = ""

    @property
    def is_custom_service(self) -> bool:
        return bool(self.service_url_auth or self.service_url_transfer)

    @model_validator(mode="after")
    def _two_collections(self) -> Self:
        # Sent to where it already lies, an archive would verify, and then the only copy would be deleted.
        if self.destination_endpoint and self.destination_endpoint == self.source_endpoint:
            raise KeyMismatch("destination_endpoint", "another collection than [globus] source_endpoint")
        return self


class Upload(Section):
    task_timeout_hours: Annotated[float, Field(ge=0.0001, le=8760)] = 12.0
    task_deadline_hours: Annotated[float, Field(ge=0, le=8760)] = 0.0
    task_poll_interval_seconds: Interval = 60.0


class Retry(Section):
    compression: Annotated[RetryLimit, Variable("MAX_COMPRESSION_RETRIES")] = 3
    upload: Annotated[RetryLimit, Variable("MAX_UPLOAD_RETRIES")] = 5
    connection_error: Annotated[RetryLimit, Variable("MAX_CONNECTION_ERROR_RETRIES")] = 10
    delay_seconds: Interval = 30.0
