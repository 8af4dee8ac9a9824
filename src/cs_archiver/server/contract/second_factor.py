"""The second factor of the own account."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field

from cs_archiver.server.contract.base import Answer, Body
from cs_archiver.services import second_factor

Code = Annotated[str, Field(max_length=64, description="The code that the app shows now.", examples=["123456"])]


class Confirmation(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "123456"}]})

    code: Code


class SecondFactor(Answer):
    enabled: bool
    recovery_codes_left: Annotated[int, Field(json_schema_extra={"minimum": 0}, examples=[10])]

    @classmethod
    def of(cls, status: second_factor.Status) -> Self:
        return cls(enabled=status.is_on, recovery_codes_left=status.recovery_codes_left)


class Enrolment(Answer):
    secret: Annotated[str, Field(description="For apps that read no address: base32, SHA-1, 6 digits, 30 seconds.")]
    uri: Annotated[str, Field(description="For an authenticator app, as an otpauth address; show it as a QR code.")]

    @classmethod
    def of(cls, begun: second_factor.Enrolment) -> Self:
        return cls(secret=begun.secret, uri=begun.address)


class RecoveryCodes(Answer):
    recovery_codes: Annotated[
        list[str], Field(description="Shown this once. Each counts once, in place of a code of the app.")
    ]
