"""Makes tokens that are nearly right, and must not count: of sessions and personal ones, with and without their key."""

import base64
import hashlib
import hmac
import json
import random
import string
import unicodedata
from collections.abc import Iterator
from typing import Any, TypeVar

import jwt

from cs_archiver.services import tokens
from tests.support.api import SECRET

_LONG = 2**20

_T = TypeVar("_T")
_ALPHABET = string.ascii_letters + string.digits + "-_"
_OTHER_KEYS = ["", "secret", "cs-archiver", SECRET[:-1], SECRET + " ", SECRET.upper(), "null", "\0" * 32, SECRET[::-1]]
_STRANGE = [
    "",
    " ",
    None,
    True,
    0,
    -1,
    1.5,
    [],
    {},
    [None],
    {"a": 1},
    "\0",
    "\ud800",
    "x" * 5000,
    10**400,
    float("inf"),
]


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def _signed(head: bytes, body: bytes, key: str, digest: str = "sha256") -> str:
    message = f"{_encoded(head)}.{_encoded(body)}"
    return f"{message}.{_encoded(hmac.digest(key.encode(), message.encode(), digest))}"


class Forger:
    """Makes tokens that are not `token`, with and without knowing the key they must be signed with."""

    def __init__(self, chance: random.Random, token: str, other: str) -> None:
        """`other` is the token of another session."""
        self.chance = chance
        self.token = token
        self.parts = token.split(".")
        self.other_parts = other.split(".")
        self.head: dict[str, Any] = jwt.get_unverified_header(token)
        self.claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})

    def mutations(self) -> Iterator[str]:
        """Without end, all kinds in turn."""
        kinds = (
            self._other_algorithm,
            self._other_header,
            self._other_claim,
            self._wrong_claim_under_the_right_key,
            self._claim_said_twice,
            self._parts_of_two_tokens,
            lambda: _other_spelling(self.chance, self.token),
            lambda: _damaged(self.chance, self.token),
            lambda: _damaged(self.chance, self.token),
        )
        while True:
            for make in kinds:
                yield make()

    def _one_of(self, *choices: _T) -> _T:
        return self.chance.choice(choices)

    def _another_key(self) -> str:
        return self._one_of(*_OTHER_KEYS, self.chance.randbytes(32).hex())

    def _other_algorithm(self) -> str:
        """Signed with what is no secret, or not signed, by every algorithm that a header can name."""
        name = self._one_of("none", "None", "NONE", "nOnE", "", "hs256", "HS256 ", "HS384", "HS512", "RS256", "ES256")
        named: Any = self._one_of(name, "PS256", "EdDSA", "ES256K", "dir", ["HS256"], *_STRANGE)
        head = _as_json({**self.head, "alg": named})
        signature = self._one_of("", self.parts[2], _encoded(b""), _encoded(b"\0" * 32), "AA")
        if self._one_of(True, False):
            digest, key = self._one_of("sha256", "sha384", "sha512"), self._another_key()
            return _signed(head, _as_json(self.claims), key, digest)
        return f"{_encoded(head)}.{self.parts[1]}.{signature}"

    def _other_header(self) -> str:
        """Headers that have made other services take a key, or nothing, from the one who asks."""
        key = self._another_key()
        additions: list[dict[str, Any]] = [
            {
                "kid": self._one_of(
                    "../../../../dev/null", "' UNION SELECT 'a' --", "/proc/sys/kernel/ostype", *_STRANGE
                )
            },
            {"jwk": {"kty": "oct", "k": _encoded(key.encode())}},
            {"jku": "https://elsewhere.test/keys"},
            {"x5u": "https://elsewhere.test/cert", "x5c": [_encoded(key.encode())]},
            {"crit": self._one_of(["exp"], ["b64"], [], "b64", *_STRANGE)},
            {"b64": False, "crit": ["b64"]},
            {"typ": self._one_of("JWE", "at+jwt", "none", *_STRANGE)},
            {"zip": "DEF"},
            {"enc": "A128GCM", "alg": "dir"},
            {"cty": "JWT"},
        ]
        return _signed(_as_json({**self.head, **self._one_of(*additions)}), _as_json(self.claims), key)

    def _wrong_value(self, name: str) -> object:
        now, some = int(self.claims["iat"]), self.chance.randrange(3600, 10**9)
        wrong: dict[str, list[object]] = {
            "iss": ["cs-archiver ", "CS-ARCHIVER", "cs-archiver\0", "elsewhere", ["cs-archiver"]],
            "aud": ["cs-archiver ", "Cs-Archiver", "elsewhere", [], ["elsewhere"], {"cs-archiver": 1}],
            "exp": [now - some, -some, 0, -(10**12), f"{now - some}", [now + some]],
            "iat": [now + some, 10**12, [now], {}],
            "sub": [f"{some}", "2", "0", "-1", "1 ", " 1", "01", "1.0", "+1", "1'", "\u0661", "root", "admin", ["1"]],
            "jti": [
                f"{some:032x}",
                "",
                "0" * 32,
                "%",
                "_" * 32,
                "' OR 1=1 --",
                self.claims["jti"].upper() + "x",
                [self.claims["jti"]],
            ],
        }
        return self.chance.choice(wrong[name])

    def _other_claim(self) -> str:
        """Claims as one would like them, under the signature of the real ones or that of another key."""
        claims = {**self.claims}
        for name in self.chance.sample(sorted(claims), self._one_of(1, 1, 2, 3)):
            claims[name] = self._one_of(self._wrong_value(name), self.chance.choice(_STRANGE))
        wishes: list[dict[str, Any]] = [{}, {"admin": True}, {"nbf": 0}, {"scope": "admin"}]
        claims |= self._one_of(*wishes)
        if self._one_of(True, False):
            return _signed(_as_json(self.head), _as_json(claims), self._another_key())
        body = self._one_of(
            _as_json(claims), _as_json([claims]), _as_json(claims) + b" ", b"\xef\xbb\xbf" + _as_json(claims)
        )
        return f"{self.parts[0]}.{_encoded(body)}.{self.parts[2]}"

    def _wrong_claim_under_the_right_key(self) -> str:
        """As if the key were known, or shared with another service: what the token says must still be right."""
        name = self.chance.choice(sorted(self.claims))
        claims = {**self.claims, name: self._wrong_value(name)}
        if self._one_of(True, False, False):
            del claims[name]
        return _signed(_as_json(self.head), _as_json(claims), SECRET)

    def _claim_said_twice(self) -> str:
        """Whichever of the two a reader takes: the right one comes first, and the signature is not ours."""
        name = self.chance.choice(sorted(self.claims))
        twice = _as_json(self.claims)[:-1] + b", " + _as_json({name: self._wrong_value(name)})[1:]
        if self._one_of(True, False):
            return _signed(_as_json(self.head), twice, SECRET)  # JSON as we read it: the last one counts
        return _signed(_as_json(self.head), twice, self._another_key())

    def _parts_of_two_tokens(self) -> str:
        mixed = [self._one_of(mine, theirs) for mine, theirs in zip(self.parts, self.other_parts, strict=True)]
        if mixed in (self.parts, self.other_parts):
            mixed = [self.other_parts[0], self.parts[1], self.other_parts[2]]
        if self._one_of(True, False):
            mixed.insert(self.chance.randrange(4), self._one_of("", "e30", self.parts[2]))
        return ".".join(mixed)


def _other_spelling(chance: random.Random, token: str) -> str:
    """What a lenient reader would take for the same: padding, the other alphabet, spaces, look-alikes."""
    at = chance.randrange(len(token) + 1)
    inserted = chance.choice(
        ["=", " ", "\t", "\n", "\r\n", "\0", "%", "+", "/", "!", ".", "\u200b", "\u00ad", "\ufeff"]
    )
    last = _ALPHABET.find(token[-1])
    spare_bits = token[:-1] + chance.choice([letter for letter in _ALPHABET if letter != _ALPHABET[last]])
    return chance.choice(
        [
            token[:at] + inserted + token[at:],
            token + "=" * chance.randrange(1, 4),
            spare_bits,
            token + chance.choice(["", ".", "&", ";", ",", "#", "?", "%00"]) + token,
            f" {token}",
            f"{token} ",
            token.swapcase(),
            token.upper(),
            "".join(chr(ord(letter) + 0xFEE0) for letter in token),  # full width: the same once normalised
            unicodedata.normalize("NFD", token[:at] + "\u00e9" + token[at:]),
            base64.b64encode(token.encode()).decode(),
            token.encode().hex(),
            token.replace("-", "+").replace("_", "/") + "=",
            json.dumps(token),
            f"Bearer {token}",
        ]
    )


def _damaged(chance: random.Random, token: str) -> str:
    at = chance.randrange(len(token))
    bits = bytearray(token.encode())
    bits[at] ^= 1 << chance.randrange(8)
    other = chance.choice([letter for letter in _ALPHABET if letter != token[at]])
    return chance.choice(
        [
            bits.decode("latin-1"),
            token[:at] + other + token[at + 1 :],
            token[:at],
            token[at + 1 :],
            token[:at] + token[at + 1 :],
            token[:at] + token[at] + token[at:],
            token[::-1],
        ]
    )


def of_a_personal_token(chance: random.Random, token: str, other: str) -> Iterator[str]:
    """Without end."""
    secret = token.removeprefix(tokens.PREFIX)
    sha256 = hashlib.sha256(token.encode())
    while True:
        yield _damaged(chance, token)
        yield _other_spelling(chance, token)
        at = chance.randrange(1, len(secret))
        yield tokens.PREFIX + secret[:at] + other.removeprefix(tokens.PREFIX)[at:]
        yield chance.choice(["CSA_", "csa-", "csa", "csa__", "", "ann_"]) + secret
        yield tokens.PREFIX + "".join(chance.choices(_ALPHABET, k=len(secret)))
        yield tokens.PREFIX + chance.choice(
            [sha256.hexdigest(), _encoded(sha256.digest()), "%", "' OR 1=1 --", "", "1"]
        )


def long_ones(token: str, personal: str) -> list[str]:
    head, body, signature = token.split(".")
    return [
        "A" * _LONG,
        "." * _LONG,
        f"{head}.{'A' * _LONG}.{signature}",
        f"{head}.{body}.{signature}{'A' * _LONG}",
        f"{'A' * _LONG}.{body}.{signature}",
        f"{_encoded(b'[' * _LONG)}.{body}.{signature}",
        _signed(_as_json({"alg": "HS256"}), b'{"a":' * (_LONG // 8), SECRET),
        tokens.PREFIX + "A" * _LONG,
        personal + "\0" * _LONG,
    ]
