"""Text from clients that ends up in a comparison: what no file system and no database can hold is refused."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

NO_NUL = r"^[^\u0000]*$"


def storable(text: str) -> str:
    """Raises ValueError for null characters, and for halves of characters that UTF-8 cannot write."""
    if "\0" in text:
        raise ValueError("must not hold a null character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be text in UTF-8")
    return text


Words = Annotated[
    str, Field(min_length=1, max_length=200, json_schema_extra={"pattern": NO_NUL}), AfterValidator(storable)
]
"""What is searched for: as it stands, but for the case of ASCII letters."""

NoneIfEmpty = BeforeValidator(lambda text: text or None)
"""A field of a search that was sent empty asks for nothing."""

OptionalWords = Annotated[Words | None, NoneIfEmpty]
