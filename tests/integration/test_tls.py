"""The service with a certificate of its own, spoken to by a real TLS client that trusts this certificate alone."""

import asyncio
import logging
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http.cookies import SimpleCookie
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from cs_archiver import app
from cs_archiver.errors import ConfigError
from cs_archiver.tls import tls_context
from tests.support.certificates import Pair, planted
from tests.support.service import NOWHERE, PASSWORD, Place, settings_of

CREDENTIALS = {"username": "admin", "password": PASSWORD, "cookie": True}


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return planted(tmp_path / "tls")


def _variables(pair: Pair) -> dict[str, str]:
    return {"SERVER_TLS_CERTIFICATE": str(pair.certificate), "SERVER_TLS_KEY": str(pair.key)}


@asynccontextmanager
async def _serving(place: Place, pair: Pair, **more: str) -> AsyncIterator[URL]:
    settings = settings_of(place, NOWHERE, **_variables(pair), **more)
    async with app.running(settings) as (address, _workers):
        yield URL(address)


def _client(pair: Pair, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=pair.certificate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what is tried here
        for name, version in versions.items():
            setattr(context, name, version)
    return context


async def test_the_service_says_https_and_speaks_it(place: Place, pair: Pair) -> None:
    async with _serving(place, pair) as address, aiohttp.ClientSession() as session:
        assert address.scheme == "https"
        async with session.get(address / "api/health", ssl=_client(pair)) as response:
            assert response.status == 200
            assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


async def test_over_own_tls_the_cookie_is_of_https_and_lets_pages_in(place: Place, pair: Pair) -> None:
    jar = aiohttp.DummyCookieJar()
    context = _client(pair)
    async with _serving(place, pair) as address, aiohttp.ClientSession(cookie_jar=jar) as session:
        async with session.post(address / "api/auth/login", json=CREDENTIALS, ssl=context) as response:
            assert response.status == 200
            (morsel,) = SimpleCookie(response.headers["Set-Cookie"]).values()
        assert (morsel.key, morsel["secure"], morsel["path"], morsel["domain"]) == ("__Host-csa", True, "/", "")
        own = {"Cookie": f"__Host-csa={morsel.value}", "Origin": str(address.origin())}
        async with session.ws_connect(address / "ws/jobs", headers=own, ssl=context) as socket:
            assert (await socket.receive_json())["type"] == "snapshot"
        elsewhere = {**own, "Origin": str(address.with_scheme("http").origin())}
        async with session.post(address / "api/auth/logout", headers=elsewhere, ssl=context) as response:
            assert response.status == 403
        async with session.post(address / "api/auth/logout", headers=own, ssl=context) as response:
            assert response.status == 204


async def test_plain_http_is_not_answered(place: Place, pair: Pair) -> None:
    async with _serving(place, pair) as address:
        reader, writer = await asyncio.open_connection(address.host, address.port)
        writer.write(b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
    assert b"HTTP/1" not in answer


async def _version_spoken(address: URL, context: ssl.SSLContext) -> str:
    _reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    spoken: str = writer.get_extra_info("ssl_object").version()
    writer.close()
    await writer.wait_closed()
    return spoken


async def test_only_tls_1_2_and_1_3_are_spoken_the_newest_first(place: Place, pair: Pair) -> None:
    async with _serving(place, pair) as address:
        assert await _version_spoken(address, _client(pair)) == "TLSv1.3"
        older = _client(pair, maximum_version=ssl.TLSVersion.TLSv1_2)
        assert await _version_spoken(address, older) == "TLSv1.2"
        too_old = _client(pair, minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        too_old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await _version_spoken(address, too_old)


@pytest.mark.parametrize("weak", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-NULL-SHA", "AECDH-AES128-SHA"])
async def test_weak_ciphers_are_refused(place: Place, pair: Pair, weak: str) -> None:
    context = _client(pair, maximum_version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(f"{weak}:@SECLEVEL=0")
    async with _serving(place, pair) as address:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await _version_spoken(address, context)


def test_every_cipher_keeps_what_was_said_secret_when_the_key_is_lost_later(place: Place, pair: Pair) -> None:
    context = tls_context(settings_of(place, NOWHERE, **_variables(pair)))
    assert context is not None
    ciphers = context.get_ciphers()
    assert len(ciphers) > 3
    assert {cipher["kea"] for cipher in ciphers} == {"kx-any", "kx-ecdhe"}  # any: TLS 1.3, ephemeral always
    assert all(cipher["aead"] for cipher in ciphers)
    assert "auth-null" not in {cipher["auth"] for cipher in ciphers}
    assert min(cipher["strength_bits"] for cipher in ciphers) >= 128


async def test_a_client_that_trusts_other_authorities_only_is_not_deceived(place: Place, pair: Pair) -> None:
    other = planted(place.root / "other")
    async with _serving(place, pair) as address, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(address / "api/health", ssl=_client(other))


async def test_the_public_address_is_told_where_there_is_one(place: Place, pair: Pair) -> None:
    async with _serving(place, pair, PUBLIC_URL="https://archiver.test") as address:
        assert str(address) == "https://archiver.test"


def test_a_certificate_out_of_its_time_is_warned_of(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late = planted(tmp_path / "late", begins=timedelta(days=-2), ends=timedelta(days=-1))
    early = planted(tmp_path / "early", begins=timedelta(days=1), ends=timedelta(days=2))
    for pair in (late, early):
        caplog.clear()
        assert tls_context(settings_of(place, NOWHERE, **_variables(pair))) is not None
        assert f"clients will refuse the certificate {pair.certificate}" in caplog.text
    caplog.clear()
    tls_context(settings_of(place, NOWHERE, **_variables(planted(tmp_path / "sound"))))
    assert caplog.text == ""


def test_without_a_certificate_there_is_no_tls(place: Place) -> None:
    assert tls_context(settings_of(place, NOWHERE)) is None


def _refusal(place: Place, pair: Pair) -> str:
    with pytest.raises(ConfigError) as caught:
        settings_of(place, NOWHERE, **_variables(pair))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_cannot_be_used_are_named(place: Place, pair: Pair, tmp_path: Path) -> None:
    other = planted(tmp_path / "other")
    locked = planted(tmp_path / "locked", passphrase=b"hush")
    junk, missing = tmp_path / "junk.pem", tmp_path / "missing.pem"
    junk.write_text("no certificate")
    junk.chmod(0o600)
    for changed, key, what in (
        (pair._replace(certificate=junk), "tls_certificate", "a certificate in PEM"),
        (pair._replace(certificate=missing), "tls_certificate", "No such file"),
        (pair._replace(certificate=tmp_path), "tls_certificate", "Is a directory"),
        (pair._replace(certificate=pair.key), "tls_certificate", "a certificate in PEM"),
        (pair._replace(key=junk), "tls_key", "the key in PEM"),
        (pair._replace(key=missing), "tls_key", "No such file"),
        (pair._replace(key=other.key), "tls_key", "key values mismatch"),
        (locked, "tls_key", "without a passphrase"),
    ):
        message = _refusal(place, changed)
        assert f"[server] {key}: expected" in message, changed
        assert what in message, changed
        assert message.endswith(f"(from SERVER_{key.upper()})"), changed


@pytest.mark.parametrize(
    ("mode", "is_fine"), [(0o600, True), (0o400, True), (0o640, True), (0o644, False), (0o602, False)]
)
def test_a_key_that_everybody_may_read_is_refused(place: Place, pair: Pair, mode: int, *, is_fine: bool) -> None:
    pair.key.chmod(mode)
    if is_fine:
        settings_of(place, NOWHERE, **_variables(pair))
    else:
        assert f"with the mode {mode:o}" in _refusal(place, pair)


async def test_what_is_no_tls_leaves_no_error_in_the_log(
    place: Place, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    async with _serving(place, pair) as address:
        for rubbish in (b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"\x16\x03\x01\xff\xff" + bytes(64)):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(rubbish)
            writer.write_eof()
            async with asyncio.timeout(20):
                await reader.read()
            writer.close()
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
