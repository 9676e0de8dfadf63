"""A country, and the validation of one that a client sent."""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

MAX_NAME = 200
"""Largest number of characters in a name: several times the longest in ISO 3166-1."""


def _code(value: str, info: ValidationInfo) -> str:
    if not re.fullmatch(r"[A-Z]{3}", value):
        raise PydanticCustomError("code", "should be three upper-case letters from A to Z, such as AUS")
    if info.context not in (None, value):
        raise PydanticCustomError("code", "should be the code in the URL")
    return value


def _name(value: str) -> str:
    name = value.strip().upper()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise PydanticCustomError("name", f"should be 1 to {MAX_NAME} printable characters")
    return name


class Country(BaseModel):
    """A country: its alpha-3 code and its name, which is converted to upper case."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    code: Annotated[str, AfterValidator(_code)]
    name: Annotated[str, AfterValidator(_name)]


class InvalidCountryError(Exception):
    """A country that is not valid; `problems` contains one line of text for each error."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def parse_country(text: bytes, code: str | None = None) -> Country:
    """Read a country from JSON; `code` is the code that it must have, None: any.

    Raises `InvalidCountryError`.
    """
    try:
        return Country.model_validate_json(text, context=code)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        raise InvalidCountryError([f"{_path(detail['loc'])}: {_message(detail)}" for detail in details]) from None


def _path(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "body"


def _message(details: ErrorDetails) -> str:
    return {"missing": "missing", "extra_forbidden": "unknown member"}.get(details["type"], details["msg"])
