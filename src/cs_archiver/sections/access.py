"""Settings of who reaches the service, and what it keeps of them."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from cs_archiver.sections.section import Section
from cs_archiver.setting_types import (
    KeyMismatch,
    LocalFile,
    OptionalWebAddress,
    Secret,
    SigningKey,
    SqliteUrl,
    Text,
    TrustedPeers,
    Variable,
)


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
    url: SqliteUrl = "sqlite:////var/lib/cs-archiver/cs_archiver.db"
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
    admins_need_second_factor: bool = False
    session_idle_minutes: Annotated[int, Field(ge=0, le=525_600)] = 480
    argon2_time_cost: Annotated[int, Field(ge=1, le=100)] = 3
    argon2_memory_kib: Annotated[int, Field(ge=1024, le=4_194_304)] = 65536
    argon2_parallelism: Annotated[int, Field(ge=1, le=64)] = 4
