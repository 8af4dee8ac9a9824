"""The settings as frozen models: each key with its type, bounds, default and environment variable."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from cs_archiver.errors import ConfigError
from cs_archiver.setting_types import (
    AbsolutePath,
    AlwaysTrue,
    CollectionPath,
    Gigabytes,
    Interval,
    KeyMismatch,
    LocalFile,
    NamePatterns,
    OptionalCollectionPath,
    OptionalServiceUrl,
    OptionalUuid,
    OptionalWebAddress,
    RetryLimit,
    Secret,
    SigningKey,
    SqliteUrl,
    SubFolder,
    Text,
    Threads,
    TrustedPeers,
    Variable,
)

GB = 1024**3


class Section(BaseModel):
    """One table of config.toml. Raises pydantic's ValidationError, which never shows the refused value."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Server(Section):
    host: Annotated[Text, Variable("HOST")] = "0.0.0.0"  # noqa: S104  the dashboard is for the whole network
    port: Annotated[int, Field(ge=1, le=65535), Variable("PORT")] = 8000
    public_url: Annotated[OptionalWebAddress, Variable("PUBLIC_URL")] = ""
    tls_certificate: LocalFile = ""
    tls_key: LocalFile = ""
    trusted_proxies: TrustedPeers = ()

    @model_validator(mode="after")
    def _certificate_with_its_key(self) -> Self:
        if bool(self.tls_certificate) is not bool(self.tls_key):
            given, missing = ("tls_certificate", "tls_key") if self.tls_certificate else ("tls_key", "tls_certificate")
            raise KeyMismatch(missing, f"a file, as there is a {given}")
        if self.tls_certificate and self.public_url.startswith("http://"):
            raise KeyMismatch("public_url", "an address that begins with https://, as there is a tls_certificate")
        return self


class Database(Section):
    url: SqliteUrl = "sqlite:////storage/cs_archiver.db"
    pool_size: Annotated[int, Field(ge=1, le=100)] = 10

    @property
    def path(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))


class Jwt(Section):
    """`secret_key` holds what stands in `secret_key_file`, if that is given; empty: a key is made and kept."""

    secret_key: SigningKey = SecretStr("")
    secret_key_file: LocalFile = ""
    algorithm: Literal["HS256"] = "HS256"
    access_token_expire_minutes: Annotated[int, Field(ge=1, le=525_600)] = 1440


class Security(Section):
    admin_initial_password: Annotated[Secret, Variable("ADMIN_INITIAL_PASSWORD")] = SecretStr("")
    argon2_time_cost: Annotated[int, Field(ge=1, le=100)] = 3
    argon2_memory_kib: Annotated[int, Field(ge=1024, le=4_194_304)] = 65536
    argon2_parallelism: Annotated[int, Field(ge=1, le=64)] = 4


class Qnap(Section):
    base_path: AbsolutePath = Path("/mnt/qnap/CitySpace Tech Team")
    timeout_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 20.0


class Storage(Section):
    base_path: AbsolutePath = Path("/storage")
    temp_path: SubFolder = Path("temp")
    archives_path: SubFolder = Path("archives")
    failed_path: SubFolder = Path("failed")
    failed_keep_days: Annotated[float, Field(ge=0, le=36_500)] = 30.0

    @property
    def temp_dir(self) -> Path:
        return self.base_path / self.temp_path

    @property
    def archives_dir(self) -> Path:
        return self.base_path / self.archives_path

    @property
    def failed_dir(self) -> Path:
        return self.base_path / self.failed_path

    @model_validator(mode="after")
    def _apart_and_below(self) -> Self:
        if self.base_path not in self.archives_dir.parents:
            raise KeyMismatch("archives_path", "a folder below [storage] base_path, which is what Globus shows")
        folders = {
            "temp_path": self.temp_dir,
            "archives_path": self.archives_dir,
            "failed_path": self.failed_dir,
        }
        for key, folder in folders.items():
            others = [other for name, other in folders.items() if name != key]
            if folder == self.base_path or any(folder in (other, *other.parents) for other in others):
                raise KeyMismatch(key, "a folder of its own, in which no other folder of [storage] lies")
        return self


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


class Retry(Section):
    compression: Annotated[RetryLimit, Variable("MAX_COMPRESSION_RETRIES")] = 3
    upload: Annotated[RetryLimit, Variable("MAX_UPLOAD_RETRIES")] = 5
    connection_error: Annotated[RetryLimit, Variable("MAX_CONNECTION_ERROR_RETRIES")] = 10
    delay_seconds: Interval = 30.0


class Upload(Section):
    task_timeout_hours: Annotated[float, Field(ge=0.0001, le=8760)] = 12.0
    task_deadline_hours: Annotated[float, Field(ge=0, le=8760)] = 0.0
    task_poll_interval_seconds: Interval = 60.0


class Copy(Section):
    small_below_gb: Gigabytes = 1.0
    medium_below_gb: Gigabytes = 100.0
    large_below_gb: Gigabytes = 1000.0
    threads: Threads = 4

    @property
    def small_below_bytes(self) -> int:
        return int(self.small_below_gb * GB)

    @property
    def medium_below_bytes(self) -> int:
        return int(self.medium_below_gb * GB)

    @property
    def large_below_bytes(self) -> int:
        return int(self.large_below_gb * GB)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.medium_below_gb < self.small_below_gb:
            raise KeyMismatch("medium_below_gb", "no less than [copy] small_below_gb")
        if self.large_below_gb < self.medium_below_gb:
            raise KeyMismatch("large_below_gb", "no less than [copy] medium_below_gb")
        return self


class Compression(Section):
    mode: Literal["fast", "store"] = "fast"
    size_estimate_ratio: Annotated[float, Field(ge=0.01, le=2)] = 0.7


class Verification(Section):
    recheck: Literal["hash", "metadata"] = "hash"
    size_tolerance_percent: Annotated[float, Field(ge=0, le=10)] = 1.0
    compare_again: bool = True


class DiskSpace(Section):
    min_free_gb: Annotated[Gigabytes, Variable("MIN_FREE_SPACE_GB")] = 10.0
    check_interval_seconds: Interval = 60.0


class Discovery(Section):
    threads: Threads = 16
    marker_patterns: NamePatterns = (".archived", "*-ARCHIVED-TO-GLOBUS.txt")
    litter_patterns: NamePatterns = (".@__thumb", "@eaDir", ".DS_Store", "Thumbs.db", "._*")


class Log(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    file: LocalFile = "/var/log/cs-archiver/app.log"
    max_bytes: Annotated[int, Field(ge=1024, le=1024**4)] = 104_857_600
    max_age_days: Annotated[int, Field(ge=1, le=36_500)] = 30
    max_total_bytes: Annotated[int, Field(ge=1024, le=1024**4)] = 1_073_741_824

    @property
    def path(self) -> Path | None:
        return Path(self.file) if self.file else None

    @model_validator(mode="after")
    def _holds_a_few_files(self) -> Self:
        if not self.max_bytes <= self.max_total_bytes <= 1000 * self.max_bytes:
            raise KeyMismatch("max_total_bytes", "from 1 to 1000 times [log] max_bytes")
        return self


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the settings come from, so that a wrong one can be pointed at: the file and the variables in use."""

    file: str = "config.toml"
    variables: frozenset[str] = frozenset()

    def wrong(self, section: str, key: str, expected: str, found: str = "") -> ConfigError:
        """The error of one key; `found` is shown as it is, so it must be printable and no secret."""
        but_found = f", found {found}" if found else ""
        variable = variable_of(section, key)
        source = f" (from {variable})" if variable in self.variables else ""
        return ConfigError(f"{self.file}: [{section}] {key}: expected {expected}{but_found}{source}")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set; hand on the narrow section, not the whole."""

    server: Server = field(default_factory=Server)
    database: Database = field(default_factory=Database)
    jwt: Jwt = field(default_factory=Jwt)
    security: Security = field(default_factory=Security)
    qnap: Qnap = field(default_factory=Qnap)
    storage: Storage = field(default_factory=Storage)
    globus: Globus = field(default_factory=Globus)
    retry: Retry = field(default_factory=Retry)
    upload: Upload = field(default_factory=Upload)
    copy: Copy = field(default_factory=Copy)
    compression: Compression = field(default_factory=Compression)
    verification: Verification = field(default_factory=Verification)
    disk_space: DiskSpace = field(default_factory=DiskSpace)
    discovery: Discovery = field(default_factory=Discovery)
    log: Log = field(default_factory=Log)
    origin: Origin = field(default_factory=Origin, compare=False, repr=False)

    @property
    def source_base_path(self) -> str:
        """The path under which the source collection shows `storage.base_path`."""
        return self.globus.source_base_path or str(self.storage.base_path)


SECTIONS: dict[str, type[Section]] = {
    section.name: section.type
    for section in fields(Settings)
    if isinstance(section.type, type) and issubclass(section.type, Section)
}


def variable_of(section: str, key: str) -> str:
    """The environment variable that overrides the key."""
    metadata = SECTIONS[section].model_fields[key].metadata
    named = [item.name for item in metadata if isinstance(item, Variable)]
    return named[0] if named else f"{section}_{key}".upper()
