"""Every setting can be given in the file and in the environment, and every wrong one is named in one line."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import SecretStr, ValidationError

from cs_archiver import config
from cs_archiver.config import check_folders, existing_database, load
from cs_archiver.errors import ConfigError, NeedsOperator
from cs_archiver.sections.access import Database, Jwt
from cs_archiver.sections.packing import Copy
from cs_archiver.sections.places import Storage
from cs_archiver.sections.sending import Globus
from cs_archiver.settings import SECTIONS, Settings, variable_of

SOURCE = "11111111-1111-1111-1111-111111111111"
DESTINATION = "22222222-2222-2222-2222-222222222222"
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_file_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "etc" / "config.toml")


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return file


def value_of(settings: Settings, section: str, key: str) -> object:
    value = getattr(getattr(settings, section), key)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def test_defaults_hold_without_file_and_environment() -> None:
    assert load(None, {}) == Settings()


def test_the_file_in_etc_is_read_when_it_is_there() -> None:
    config.DEFAULT_FILE.parent.mkdir()
    config.DEFAULT_FILE.write_text("[server]\nport = 9001\n")
    assert load(None, {}).server.port == 9001


def test_a_file_overrides_defaults_and_the_environment_overrides_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, '[server]\nport = 9001\nhost = "127.0.0.1"\n')
    settings = load(file, {"PORT": "9002"})
    assert (settings.server.port, settings.server.host) == (9002, "127.0.0.1")


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    file = written(tmp_path, "[server]\nport = 9001\n")
    assert load(file, {"PORT": "", "LOG_FILE": ""}).server.port == 9001
    assert load(file, {"PORT": "", "LOG_FILE": ""}).log.file == Settings().log.file


class Override(NamedTuple):
    variable: str
    section: str
    key: str
    text: str
    value: object


OVERRIDES = [
    # The environment of the PRD, section 7.1, in its order.
    Override("DATABASE_URL", "database", "url", "sqlite:///./cs_archiver.db", "sqlite:///./cs_archiver.db"),
    Override("JWT_SECRET_KEY", "jwt", "secret_key", KEY, KEY),
    Override("JWT_ALGORITHM", "jwt", "algorithm", "HS256", "HS256"),
    Override("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "jwt", "access_token_expire_minutes", "60", 60),
    Override("QNAP_BASE_PATH", "qnap", "base_path", "/mnt/nas/My Team", Path("/mnt/nas/My Team")),
    Override("STORAGE_BASE_PATH", "storage", "base_path", "/data", Path("/data")),
    Override("STORAGE_TEMP_PATH", "storage", "temp_path", "/storage/t", Path("/storage/t")),
    Override("STORAGE_ARCHIVES_PATH", "storage", "archives_path", "/storage/a", Path("/storage/a")),
    Override("STORAGE_FAILED_PATH", "storage", "failed_path", "/storage/f", Path("/storage/f")),
    Override("GLOBUS_CLIENT_ID", "globus", "client_id", SOURCE, SOURCE),
    Override("GLOBUS_CLIENT_SECRET", "globus", "client_secret", "hush", "hush"),
    Override("GLOBUS_SOURCE_ENDPOINT", "globus", "source_endpoint", SOURCE, SOURCE),
    Override("GLOBUS_DESTINATION_ENDPOINT", "globus", "destination_endpoint", DESTINATION, DESTINATION),
    Override("GLOBUS_DESTINATION_BASE_PATH", "globus", "destination_base_path", "/~/archive", "/~/archive"),
    Override("MAX_COMPRESSION_RETRIES", "retry", "compression", "0", 0),
    Override("MAX_UPLOAD_RETRIES", "retry", "upload", "6", 6),
    Override("MAX_CONNECTION_ERROR_RETRIES", "retry", "connection_error", "11", 11),
    Override("RETRY_DELAY_SECONDS", "retry", "delay_seconds", "0.5", 0.5),
    Override("UPLOAD_TASK_TIMEOUT_HOURS", "upload", "task_timeout_hours", "24", 24.0),
    Override("UPLOAD_TASK_POLL_INTERVAL_SECONDS", "upload", "task_poll_interval_seconds", "15", 15.0),
    Override("MIN_FREE_SPACE_GB", "disk_space", "min_free_gb", "20.5", 20.5),
    Override("COMPRESSION_SIZE_ESTIMATE_RATIO", "compression", "size_estimate_ratio", "1.1", 1.1),
    Override("LOG_LEVEL", "log", "level", "DEBUG", "DEBUG"),
    Override("LOG_FILE", "log", "file", "app.log", "app.log"),
    # What is named beyond it.
    Override("HOST", "server", "host", "127.0.0.1", "127.0.0.1"),
    Override("PORT", "server", "port", "80", 80),
    Override("PUBLIC_URL", "server", "public_url", "https://a.example.org:8443", "https://a.example.org:8443"),
    Override("SERVER_TRUSTED_PROXIES", "server", "trusted_proxies", '["192.0.2.7"]', ("192.0.2.7",)),
    Override("PUBLIC_URL", "server", "public_url", "http://a.example.org/b/c.d", "http://a.example.org/b/c.d"),
    Override("ADMIN_INITIAL_PASSWORD", "security", "admin_initial_password", "pass word", "pass word"),
    Override("GLOBUS_SOURCE_BASE_PATH", "globus", "source_base_path", "/here", "/here"),
    Override("COMPRESSION_MODE", "compression", "mode", "store", "store"),
    Override("GLOBUS_SDK_SERVICE_URL_AUTH", "globus", "service_url_auth", "http://[::1]:9/", "http://[::1]:9/"),
    Override("GLOBUS_SDK_SERVICE_URL_TRANSFER", "globus", "service_url_transfer", "http://h/t/", "http://h/t/"),
    Override("DISK_SPACE_CHECK_INTERVAL_SECONDS", "disk_space", "check_interval_seconds", "5", 5.0),
    Override("DISCOVERY_MARKER_PATTERNS", "discovery", "marker_patterns", '["*.done"]', ("*.done",)),
    Override("GLOBUS_VERIFY_CHECKSUM", "globus", "verify_checksum", "true", True),
]


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda override: override.variable)
def test_a_variable_overrides_its_key_and_nothing_else(override: Override) -> None:
    settings = load(None, {override.variable: override.text})
    changed = {
        (section, key)
        for section, model in SECTIONS.items()
        for key in model.model_fields
        if value_of(settings, section, key) != value_of(Settings(), section, key)
    }
    assert value_of(settings, override.section, override.key) == override.value
    assert changed <= {(override.section, override.key)}
    assert variable_of(override.section, override.key) == override.variable


def test_no_two_keys_share_a_variable() -> None:
    names = [variable_of(section, key) for section, model in SECTIONS.items() for key in model.model_fields]
    assert len(names) == len(set(names))


class Bad(NamedTuple):
    text: str
    message: str


BAD_FILES = [
    Bad("[server]\nport = \n", "expected TOML in UTF-8: Invalid value (at line 2, column 8)"),
    Bad("[servr]\n", 'unknown section "servr": did you mean "server"?'),
    Bad("[zzz]\n", 'unknown section "zzz": expected one of server, database, jwt'),
    Bad("port = 80\n", 'unknown key outside the sections "port": expected one of server,'),
    Bad('jwt = "very secret"\n', "[jwt]: expected a section with keys"),
    Bad("[server]\nprot = 80\n", '[server]: unknown key "prot": did you mean "port"?'),
    Bad('[server]\nzzz = 1\n"a\\nb" = 1', "[server]: unknown key"),
    Bad('[server]\nport = "80"\n', '[server] port: expected a whole number from 1 to 65535, found "80"'),
    Bad("[server]\nport = 80.0\n", "[server] port: expected a whole number from 1 to 65535, found 80.0"),
    Bad("[server]\nport = true\n", "[server] port: expected a whole number from 1 to 65535, found true"),
    Bad("[server]\nport = 0\n", "[server] port: expected a whole number from 1 to 65535, found 0"),
    Bad("[server]\nport = 2026-01-02\n", '[server] port: expected a whole number from 1 to 65535, found "2026-'),
    Bad("[server]\nhost = 2026-01-02\n", '[server] host: expected text in quotes, found "2026-01-02"'),
    Bad('[server]\nhost = " "\n', '[server] host: expected text in UTF-8 that is not empty, found " "'),
    Bad('[server]\nport = "a\\nb\\u0007"\n', 'found "a\\nb\\u0007"'),
    Bad(f'[server]\nport = "{"x" * 200}"\n', "xxx..."),
    Bad('[server]\npublic_url = "archiver.example.org"\n', "[server] public_url: expected an address such as"),
    Bad('[server]\ntls_key = "/k"\n', "[server] tls_certificate: expected a file, as there is a tls_key"),
    Bad('[server]\ntls_certificate = "/c"\n', "[server] tls_key: expected a file, as there is a tls_certificate"),
    Bad('[server]\ntls_key = "/k"\ntls_certificate = "/c"\npublic_url = "http://a.example.org"',
        "[server] public_url: expected an address that begins with https://, as there is"),
    Bad('[server]\ntrusted_proxies = "10.0.0.1"\n', "[server] trusted_proxies: expected a list of texts such as"),
    Bad('[server]\ntrusted_proxies = ["proxy"]\n', "[server] trusted_proxies: expected addresses and networks"),
    Bad('[server]\ntrusted_proxies = ["10.0.0.1/8"]\n', "[server] trusted_proxies: expected addresses and networks"),
    Bad('[server]\ntrusted_proxies = ["::/0"]\n', "[server] trusted_proxies: expected addresses and networks"),
    Bad('[server]\npublic_url = "https://a.example.org/"\n', "[server] public_url: expected an address such as"),
    Bad('[server]\npublic_url = "https://a.example.org/x/../y"\n', "[server] public_url: expected an address such as"),
    Bad('[server]\npublic_url = "https://a.example.org/{x}"\n', "[server] public_url: expected an address such as"),
    Bad("[database]\npool_size = 0\n", "[database] pool_size: expected a whole number from 1 to 100, found 0"),
    Bad('[jwt]\nalgorithm = "none"\n', '[jwt] algorithm: expected "HS256", found "none"'),
    Bad('[politeness]\ncopy_hours = "22-6"\n', '[politeness] copy_hours: expected nothing, or hours of the day'),
    Bad('[politeness]\nupload_hours = "06:00-06:00"\n', "[politeness] upload_hours: expected nothing, or hours"),
    Bad("[politeness]\nnice = 20\n", "[politeness] nice: expected a whole number from 0 to 19, found 20"),
    Bad("[qnap]\nbase_path = 5\n", "[qnap] base_path: expected a path in quotes, found 5"),
    Bad('[qnap]\nbase_path = "mnt/qnap"\n', "[qnap] base_path: expected an absolute path"),
    Bad('[qnap]\nbase_path = ""\n', "[qnap] base_path: expected an absolute path"),
    Bad('[qnap]\nbase_path = "/a\\u0000b"\n', "[qnap] base_path: expected an absolute path"),
    Bad('[storage]\nbase_path = "/a/../b"\n', "[storage] base_path: expected an absolute path"),
    Bad('[storage]\ntemp_path = "../x"\n', "[storage] temp_path: expected a path, absolute or below"),
    Bad('[storage]\ntemp_path = ""\n', "[storage] temp_path: expected a path, absolute or below"),
    Bad('[storage]\ntemp_path = "archives"\n', "[storage] temp_path: expected a folder of its own"),
    Bad('[storage]\nfailed_path = "archives/f"\n', "[storage] archives_path: expected a folder of its own"),
    Bad('[storage]\nfailed_path = "/storage"\n', "[storage] failed_path: expected a folder of its own"),
    Bad('[storage]\narchives_path = "/a"\n', "[storage] archives_path: expected a folder below"),
    Bad('[globus]\nclient_id = "me"\n', '[globus] client_id: expected a UUID such as'),
    Bad('[globus]\ndestination_base_path = "a"\n', "[globus] destination_base_path: expected a path in the coll"),
    Bad('[globus]\nsource_base_path = "/a/../b"\n', "[globus] source_base_path: expected nothing, or a path"),
    Bad("[globus]\nverify_checksum = false\n", "[globus] verify_checksum: expected true, since nothing"),
    Bad("[globus]\nverify_checksum = 1\n", "[globus] verify_checksum: expected true or false, found 1"),
    Bad('[globus]\nsync_level = "all"\n', 'expected "exists" or "size" or "mtime" or "checksum", found "all"'),
    Bad('[globus]\nservice_url_auth = "file:///x"\n', "[globus] service_url_auth: expected an address such as"),
    Bad("[retry]\nupload = -1\n", "[retry] upload: expected a whole number from 0 to 1000, found -1"),
    Bad("[retry]\ndelay_seconds = 0\n", "[retry] delay_seconds: expected a number from 0.01 to 86400, found 0"),
    Bad("[upload]\ntask_timeout_hours = inf\n", "[upload] task_timeout_hours: expected a number from 0.0001"),
    Bad("[upload]\ntask_timeout_hours = nan\n", "[upload] task_timeout_hours: expected a number from 0.0001"),
    Bad("[copy]\nsmall_below_gb = 200\n", "[copy] medium_below_gb: expected no less than [copy] small_below_gb"),
    Bad("[copy]\nlarge_below_gb = 9\n", "[copy] large_below_gb: expected no less than [copy] medium"),
    Bad("[compression]\nsize_estimate_ratio = 0\n", "expected a number from 0.01 to 2, found 0"),
    Bad("[verification]\nsize_tolerance_percent = 11\n", "expected a number from 0 to 10, found 11"),
    Bad('[discovery]\nmarker_patterns = ".x"\n', "[discovery] marker_patterns: expected a list of texts such as"),
    Bad("[discovery]\nmarker_patterns = [1]\n", "[discovery] marker_patterns: expected a list of texts such as"),
    Bad('[discovery]\nlitter_patterns = ["a/b"]\n', "[discovery] litter_patterns: expected patterns of file"),
    Bad('[discovery]\nlitter_patterns = [""]\n', "[discovery] litter_patterns: expected patterns of file"),
    Bad('[log]\nlevel = "info"\n', 'expected "DEBUG" or "INFO" or "WARNING" or "ERROR", found "info"'),
    Bad("[log]\nmax_total_bytes = 1024\n", "[log] max_total_bytes: expected from 1 to 1000 times [log] max_bytes"),
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_FILES, ids=lambda bad: ascii(bad.text[:60]))
def test_a_wrong_file_is_refused_in_one_line_that_names_the_key(bad: Bad, tmp_path: Path) -> None:
    file = written(tmp_path, bad.text)
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    assert str(caught.value).startswith(f"{file}: ")
    assert bad.message in str(caught.value)
    assert str(caught.value).isprintable()
    assert "(from " not in str(caught.value)


BAD_VARIABLES = [
    ("PORT", "80x", '[server] port: expected a whole number from 1 to 65535, found "80x" (from PORT)'),
    ("HOST", "a\udcff", '[server] host: expected text in UTF-8 that is not empty, found "a\\udcff" (from HOST)'),
    ("QNAP_BASE_PATH", "/a\udcff", "[qnap] base_path: expected an absolute path in UTF-8"),
    ("MAX_UPLOAD_RETRIES", "many", '[retry] upload: expected a whole number from 0 to 1000, found "many"'),
    ("MIN_FREE_SPACE_GB", "nan", "[disk_space] min_free_gb: expected a number from 0 to 1000000000"),
    ("GLOBUS_VERIFY_CHECKSUM", "no", "[globus] verify_checksum: expected true, since nothing is deleted"),
    ("GLOBUS_VERIFY_CHECKSUM", "maybe", "[globus] verify_checksum: expected true or false"),
    ("DISCOVERY_MARKER_PATTERNS", ".a,.b", "[discovery] marker_patterns: expected a list of texts such as"),
    ("DISCOVERY_MARKER_PATTERNS", "[\"\udcff\"]", "[discovery] marker_patterns: expected a list of texts such as"),
    ("STORAGE_TEMP_PATH", "archives", '[storage] temp_path: expected a folder of its own'),
]  # fmt: skip


@pytest.mark.parametrize(("variable", "text", "message"), BAD_VARIABLES)
def test_a_wrong_variable_is_refused_in_one_line_that_names_it(variable: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {variable: text})
    assert str(caught.value).startswith(f"config.toml: {message}")
    assert str(caught.value).endswith(f"(from {variable})")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hush-hush@localhost/cs_archiver",
        "sqlite+aiosqlite:////hush-hush.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:////",
        "sqlite:///:memory:",
        "sqlite:////hush-hush?mode=ro",
        "/storage/hush-hush.db",
    ],
)
def test_another_database_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"\[database\] url: expected sqlite:///relative/path or") as caught:
        load(None, {"DATABASE_URL": url})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("variable", ["PUBLIC_URL", "GLOBUS_SDK_SERVICE_URL_AUTH"])
@pytest.mark.parametrize("secret", ["hush", "hush:hu/sh", "h@ush:hush"])
def test_an_address_is_refused_without_showing_the_password_in_it(variable: str, secret: str) -> None:
    with pytest.raises(ConfigError, match=r"found \"https://\.\.\.@a\.example\.org\"") as caught:
        load(None, {variable: f"https://{secret}@a.example.org"})
    assert "hu" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///./a.db", "a.db"), ("sqlite:////var/a.db", "/var/a.db"), ("sqlite:///a.db", "a.db")],
)
def test_the_path_of_the_database_is_relative_or_absolute_by_its_slashes(url: str, path: str) -> None:
    assert Database(url=url).path == Path(path)


@pytest.mark.parametrize("content", [b"\xff[server]\n", b"[server]\nport = 1\nport = 2\n", b"a = " + b"[" * 9999])
def test_a_file_that_is_no_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="expected TOML in UTF-8"):
        load(file, {})


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: expected a configuration file, found nothing"):
        load(tmp_path / "none.toml", {})
    with pytest.raises(ConfigError, match="expected a readable file: Is a directory"):
        load(tmp_path, {})
    odd = tmp_path / "a\nb.toml"
    with pytest.raises(ConfigError) as caught:
        load(odd, {})
    assert str(caught.value).isprintable()


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    for name, text in (("key", KEY + "\n"), ("secret", "hush\n")):
        (tmp_path / name).touch(0o640)
        (tmp_path / name).write_text(text)
    variables = {
        "JWT_SECRET_KEY_FILE": str(tmp_path / "key"),
        "GLOBUS_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
    }
    settings = load(None, variables)
    assert settings.jwt.secret_key.get_secret_value() == KEY
    assert settings.globus.client_secret.get_secret_value() == "hush"


def test_a_secret_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    cases = {
        "none": "expected a readable file, found",
        "folder": "Is a directory",
        "empty": "expected a file that holds the secret, found",
        "short": "expected a file that holds at least 32 bytes",
        "binary": "expected a file of text in UTF-8, found",
        "open": 'expected a file that only its owner and group may read (chmod o= on it), found "',
    }
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "short").write_text("hush-hush")
    (tmp_path / "binary").write_bytes(b"\xff" * 40)
    for path in tmp_path.iterdir():
        path.chmod(0o700)
    (tmp_path / "open").write_text(KEY)
    for name, message in cases.items():
        with pytest.raises(ConfigError) as caught:
            load(None, {"JWT_SECRET_KEY_FILE": str(tmp_path / name)})
        assert str(caught.value).startswith("config.toml: [jwt] secret_key_file: ")
        assert message in str(caught.value)
        assert str(caught.value).endswith("(from JWT_SECRET_KEY_FILE)")
        assert "hush" not in str(caught.value)


def test_a_secret_is_given_once_only(tmp_path: Path) -> None:
    file = written(tmp_path, f'[globus]\nclient_secret_file = "{tmp_path}/secret"\n')
    with pytest.raises(ConfigError, match=r"\[globus\] client_secret_file: expected either this or client_secret, not"):
        load(file, {"GLOBUS_CLIENT_SECRET": "hush"})


def test_no_secret_is_shown_anywhere(tmp_path: Path) -> None:
    variables = {
        "JWT_SECRET_KEY": KEY,
        "GLOBUS_CLIENT_SECRET": "hush-hush",
        "ADMIN_INITIAL_PASSWORD": "whisper",
    }
    text = repr(load(None, variables))
    assert not any(secret in text for secret in variables.values())
    for toml in ('[jwt]\nsecret_key = "hush"\n', "[jwt]\nsecret_key = ['hush']\n", 'jwt = "hush"\n'):
        with pytest.raises(ConfigError) as caught:
            load(written(tmp_path, toml), {})
        assert "hush" not in str(caught.value)
        assert "hush" not in str(caught.value.__cause__)


def test_a_collection_is_never_its_own_destination() -> None:
    same = SOURCE.replace("1", "a")
    variables = {"GLOBUS_SOURCE_ENDPOINT": same, "GLOBUS_DESTINATION_ENDPOINT": same.upper()}
    with pytest.raises(ConfigError, match=r"\[globus\] destination_endpoint: expected another collection than"):
        load(None, variables)


def test_settings_cannot_be_changed_or_extended() -> None:
    with pytest.raises(ValidationError):
        Jwt.model_validate({"secret": "hush"})
    with pytest.raises(ValidationError):
        setattr(Settings().server, "port", 1)  # noqa: B010  mypy refuses the plain assignment


def test_derived_values_follow_their_keys() -> None:
    assert Storage().archives_dir == Path("/storage/archives")
    assert Storage(temp_path=Path("/storage/x")).temp_dir == Path("/storage/x")
    assert Storage(failed_path=Path("f")).failed_dir == Path("/storage/f")
    sizes = Copy(small_below_gb=0.5, medium_below_gb=2, large_below_gb=3)
    assert (sizes.small_below_bytes, sizes.medium_below_bytes, sizes.large_below_bytes) == (
        2**29,
        2**31,
        3 * 2**30,
    )
    assert not Globus().is_custom_service
    assert Globus(service_url_transfer="http://127.0.0.1:9000").is_custom_service
    assert Settings().source_base_path == "/storage"
    assert Settings(globus=Globus(source_base_path="/gcp")).source_base_path == "/gcp"
    assert Settings().log.path == Path("/var/log/cs-archiver/app.log")
    assert Settings(log=Settings().log.model_copy(update={"file": ""})).log.path is None


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    for name in ("nas", "storage", "db", "log"):
        (tmp_path / name).mkdir()
    return {
        "QNAP_BASE_PATH": f"{tmp_path}/nas",
        "STORAGE_BASE_PATH": f"{tmp_path}/storage",
        "DATABASE_URL": f"sqlite:///{tmp_path}/db/a.db",
        "LOG_FILE": f"{tmp_path}/log/app.log",
        "GLOBUS_CLIENT_ID": SOURCE,
        "GLOBUS_CLIENT_SECRET": "hush",
        "GLOBUS_SOURCE_ENDPOINT": SOURCE,
        "GLOBUS_DESTINATION_ENDPOINT": DESTINATION,
    }


def test_folders_that_are_all_there_pass(environment: dict[str, str]) -> None:
    check_folders(load(None, environment))


@pytest.mark.parametrize(
    "variable",
    ["GLOBUS_CLIENT_ID", "GLOBUS_CLIENT_SECRET", "GLOBUS_SOURCE_ENDPOINT", "GLOBUS_DESTINATION_ENDPOINT"],
)
def test_what_globus_needs_must_be_given(variable: str, environment: dict[str, str]) -> None:
    key = variable.removeprefix("GLOBUS_").lower()
    settings = load(None, environment | {variable: ""})
    with pytest.raises(ConfigError) as caught:
        check_folders(settings)
    assert str(caught.value) == f"config.toml: [globus] {key}: expected a value, here or in {variable}, found nothing"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("QNAP_BASE_PATH", "{}/none", '[qnap] base_path: expected an existing folder, found none at "{}/none"'),
        ("QNAP_BASE_PATH", "{}/file", '[qnap] base_path: expected an existing folder, found none at "{}/file"'),
        ("STORAGE_BASE_PATH", "{}/none", 'base_path: expected an existing folder, found none at "{}/none"'),
        ("STORAGE_BASE_PATH", "{}/nas", "[storage] base_path: expected a folder apart from [qnap]"),
        ("STORAGE_BASE_PATH", "{}/nas/below", "[storage] base_path: expected a folder apart from [qnap]"),
        ("STORAGE_BASE_PATH", "{}/link", "[storage] base_path: expected a folder apart from [qnap]"),
        ("QNAP_BASE_PATH", "{}/storage/failed", "[storage] base_path: expected a folder apart from [qnap]"),
        ("STORAGE_TEMP_PATH", "{}/storage/file", "[storage] temp_path: expected an existing folder, found none"),
        ("STORAGE_FAILED_PATH", "{}/nas/f", "[storage] failed_path: expected a folder apart from [qnap]"),
        ("STORAGE_TEMP_PATH", "/dev/shm/t", "[storage] temp_path: expected a folder on the file system of"),
        ("DATABASE_URL", "sqlite:///{}/none/a.db", 'url: expected an existing folder, found none at "{}/none"'),
        ("DATABASE_URL", "sqlite:///{}/nas", "[database] url: expected a file, found a folder at"),
        ("DATABASE_URL", "sqlite:///{}/nas/a.db", "[database] url: expected a file outside [qnap] base_path"),
        ("LOG_FILE", "{}/none/app.log", '[log] file: expected an existing folder, found none at "{}/none"'),
        ("LOG_FILE", "{}/nas/below/app.log", "[log] file: expected a file outside [qnap] base_path"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_used_is_named(
    variable: str, value: str, message: str, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "nas" / "below").mkdir()
    (tmp_path / "storage" / "failed").mkdir()
    (tmp_path / "storage" / "file").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nas")
    settings = load(None, environment | {variable: value.format(tmp_path)})
    with pytest.raises(ConfigError) as caught:
        check_folders(settings)
    assert message.format(tmp_path) in str(caught.value)
    assert str(caught.value).isprintable()


def test_the_variable_that_named_a_missing_folder_is_shown(environment: dict[str, str]) -> None:
    settings = load(None, environment | {"QNAP_BASE_PATH": "/none/such"})
    with pytest.raises(ConfigError, match=r'none at "/none/such" \(from QNAP_BASE_PATH\)$'):
        check_folders(settings)


@pytest.fixture
def closed_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        folder = Path(parent) / "closed"
        folder.mkdir(mode=0o555)
        yield folder


@contextmanager
def an_ordinary_user() -> Iterator[None]:
    """The modes of files mean nothing to root, who may run these tests."""
    users = os.getresuid()
    if os.geteuid() == 0:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(*users)


@pytest.mark.parametrize("variable", ["STORAGE_BASE_PATH", "DATABASE_URL", "LOG_FILE"])
def test_a_folder_that_cannot_be_written_to_is_named(
    variable: str, closed_folder: Path, environment: dict[str, str]
) -> None:
    anywhere = tempfile.gettempdir()
    open_places = {
        "QNAP_BASE_PATH": "/usr",
        "STORAGE_BASE_PATH": anywhere,
        "DATABASE_URL": f"sqlite:///{anywhere}/a.db",
        "LOG_FILE": f"{anywhere}/app.log",
    }
    closed = {variable: open_places[variable].replace(anywhere, str(closed_folder))}
    settings = load(None, environment | open_places | closed)
    with (
        an_ordinary_user(),
        pytest.raises(ConfigError, match=rf"a folder this user may write to, .*\(from {variable}\)$"),
    ):
        check_folders(settings)


def test_a_folder_that_may_not_be_looked_at_is_not_called_missing(
    closed_folder: Path, environment: dict[str, str]
) -> None:
    closed_folder.chmod(0o600)
    settings = load(None, environment | {"QNAP_BASE_PATH": f"{closed_folder}/nas"})
    with an_ordinary_user(), pytest.raises(ConfigError, match=r'nas": Permission denied \(from QNAP_BASE_PATH\)$'):
        check_folders(settings)


@pytest.mark.parametrize("closed", ["folder", "file"])
def test_the_database_of_another_user_is_not_called_missing(
    closed: str, closed_folder: Path, environment: dict[str, str]
) -> None:
    database = closed_folder / "a.db"
    database.touch(mode=0o600 if closed == "file" else 0o666)
    closed_folder.chmod(0o755 if closed == "file" else 0o600)
    settings = load(None, environment | {"DATABASE_URL": f"sqlite:///{database}"})
    with an_ordinary_user(), pytest.raises(NeedsOperator, match="run this as the user of the service"):
        existing_database(settings)


def test_a_nas_folder_that_cannot_be_read_is_named(closed_folder: Path, environment: dict[str, str]) -> None:
    closed_folder.chmod(0o311)
    settings = load(None, environment | {"QNAP_BASE_PATH": str(closed_folder)})
    with (
        an_ordinary_user(),
        pytest.raises(ConfigError, match=r"\[qnap\] base_path: expected a folder this user may read, found"),
    ):
        check_folders(settings)
