"""Values that are stored outside the configuration, read through the validation context."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from enforcer.secret import Secret
from enforcer.settings.external import File, ReadableFile, SecretElsewhere, Text, TextElsewhere


class Context:
    """Returns fixed values, and refuses the name `missing`."""

    def file(self, name: object) -> File:
        """Return a file of that name."""
        if name == "missing":
            raise ValueError("cannot be read: No such file or directory")
        return File(Path(str(name)), b"digest")

    def secret(self, place: object) -> Secret:
        """Return the same secret for every place."""
        if place == "missing":
            raise ValueError("is not set")
        return Secret("hunter2")

    def text(self, value: object) -> str:
        """Return the value as text."""
        return f"text of {value}"


def test_values_come_from_the_validation_context() -> None:
    """The settings themselves read no file and no environment."""
    context = Context()
    assert TypeAdapter(ReadableFile).validate_python("ca.pem", context=context) == File(Path("ca.pem"), b"digest")
    assert TypeAdapter(SecretElsewhere).validate_python({"env": "A"}, context=context) == Secret("hunter2")
    assert TypeAdapter(TextElsewhere).validate_python("a", context=context) == "text of a"


def test_an_error_of_the_context_is_a_validation_error() -> None:
    """With its message."""
    with pytest.raises(ValidationError, match="No such file"):
        TypeAdapter(ReadableFile).validate_python("missing", context=Context())
    with pytest.raises(ValidationError, match="is not set"):
        TypeAdapter(SecretElsewhere).validate_python("missing", context=Context())


def test_files_are_equal_if_path_and_content_are() -> None:
    """So that a reload notices a renewed file; the digest is in no log."""
    file = File(Path("a"), b"1")
    assert file == File(Path("a"), b"1")
    assert file != File(Path("a"), b"2")
    assert file != File(Path("b"), b"1")
    assert file.__fspath__() == "a"
    assert "digest" not in repr(file)


def test_an_empty_text_is_an_error() -> None:
    """It is usually a variable that was not replaced."""
    assert TypeAdapter(Text).validate_python("a") == "a"
    with pytest.raises(ValidationError, match="at least 1 character"):
        TypeAdapter(Text).validate_python("")


def test_the_schema_of_a_secret_has_exactly_one_place() -> None:
    """An editor marks a secret that is written as text."""
    node = TypeAdapter(SecretElsewhere).json_schema()
    assert (node["type"], set(node["properties"])) == ("object", {"file", "env"})
    assert (node["minProperties"], node["maxProperties"], node["additionalProperties"]) == (1, 1, False)
