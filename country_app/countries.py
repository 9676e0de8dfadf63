"""A country, and what is wrong with one that is sent."""

import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails, PydanticCustomError

MAX_NAME = 200
"""Characters of a name: several times the longest of ISO 3166-1."""


def _code(value: str, info: ValidationInfo) -> str:
    if not re.fullmatch(r"[A-Z]{3}", value):
        raise PydanticCustomError("code", "should be three upper-case letters from A to Z, such as AUS")
    if info.context not in (None, value):
        raise PydanticCustomError("code", "should be the code of the URL")
    return value


def _name(value: str) -> str:
    name = value.strip().upper()
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise PydanticCustomError("name", f"should be 1 to {MAX_NAME} printable characters")
    return name


class Country(BaseModel):
    """A country: its alpha-3 code and its name, which is turned to upper case."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    code: Annotated[str, AfterValidator(_code)]
    name: Annotated[str, AfterValidator(_name)]


class InvalidCountryError(Exception):
    """Report what is wrong with a country that was sent: all of it, in one line of text for each fault."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def parse_country(text: bytes, code: str | None = None) -> Country:
    """Read a country from JSON, one with the given `code` if there is one.

    Raises `InvalidCountryError`.
    """
    try:
        return Country.model_validate_json(text, context=code)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise InvalidCountryError([f"{_place(fault['loc'])}: {_wording(fault)}" for fault in faults]) from None


def _place(path: tuple[int | str, ...]) -> str:
    return ".".join(map(str, path)) or "body"


def _wording(fault: ErrorDetails) -> str:
    return {"missing": "missing", "extra_forbidden": "unknown member"}.get(fault["type"], fault["msg"])
