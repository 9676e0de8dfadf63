"""Values stored outside the configuration: secrets, and files that settings name.

pydantic's validation context (`config.documents.sources.Sources`) supplies them: this room itself reads no file and no
environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from enforcer.secret import Secret


@dataclass(frozen=True, slots=True)
class File:
    """A file that another library reads.

    Two are equal if path and content are equal, so that a reload notices a renewed file. `digest` is empty if the
    configuration is only checked, on a machine that does not have the file.
    """

    path: Path
    digest: bytes = field(repr=False)

    @property
    def is_missing(self) -> bool:
        return not self.digest

    def __fspath__(self) -> str:
        return str(self.path)


_PLACE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "description": "File that holds the value, and nothing else."},
        "env": {"type": "string", "description": "Environment variable that holds the value."},
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}

Text = Annotated[str, Field(min_length=1)]
ReadableFile = Annotated[File, PlainValidator(lambda name, info: info.context.file(name), json_schema_input_type=str)]
SecretElsewhere = Annotated[
    Secret, PlainValidator(lambda place, info: info.context.secret(place)), WithJsonSchema(_PLACE)
]
TextElsewhere = Annotated[
    str,
    PlainValidator(lambda value, info: info.context.text(value)),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, _PLACE]}),
]
