"""The readings of a path: those of real parsers are among them, and models agree with the real parsers."""

from __future__ import annotations

import json
from pathlib import Path as File
from typing import Any

import pytest
from harness.parsers import PARSERS
from harness.policies import policy

from enforcer.errors import MalformedRequestError
from enforcer.policy.ambiguity import Parting, settle
from enforcer.policy.matcher import Matcher, RequestPattern, choose
from enforcer.policy.templates import Path
from enforcer.wire.readings import DECODINGS, TEXT, lattices
from enforcer.wire.target import parse

VECTORS: dict[str, dict[str, str | None]] = json.loads((File(__file__).parent / "parsers/vectors.json").read_text())
"""The readings of real parsers, as `parsers/generate.py` wrote them."""
MODELS = {parser.__name__: parser for parser in PARSERS}
WIDE, NARROW = policy({"path": "/**", "public": True}, {"path": "/x", "scopes": ["x"]}).entries


def segments_of(reading: str) -> list[bytes]:
    """Return the segments of a reading in the vectors."""
    return bytes.fromhex(reading).removeprefix(b"/").split(b"/")


@pytest.mark.parametrize("path", VECTORS)
def test_what_a_real_parser_reads_is_among_the_readings(path: str) -> None:
    """A rule for exactly that reading is never overlooked beside one for every path."""
    try:
        target = parse(path.encode())
    except MalformedRequestError:
        return
    readings = {name: reading for name, reading in VECTORS[path].items() if reading is not None}
    for name, reading in readings.items():
        if not target.ambiguous:
            # Whether a path without its last slash is the same is a matter of the app: see the warning `weaker_around`.
            assert name == "go_bare" or segments_of(reading) == target.segments
            continue
        patterns = [(Path((), True, {}), WIDE), (Path(tuple(segments_of(reading)), False, {}), NARROW)]
        matcher = Matcher((RequestPattern(pattern, (), None), value) for pattern, value in patterns)
        match = choose(settle(matcher, target, b""), b"GET")
        assert match is NARROW or (isinstance(match, Parting) and NARROW in match.values), name


@pytest.mark.parametrize("name", ["urllib_split", "urllib_parse", "go_bare", "whatwg", "nginx"])
def test_a_model_reads_as_the_real_parser_does(name: str) -> None:
    """The models stand for the real parsers in tests with arbitrary paths."""
    for path, readings in VECTORS.items():
        reading = readings[name]
        if reading is not None:
            assert MODELS[name](path.encode()) == segments_of(reading), path


def test_nginx_forwards_what_is_accepted() -> None:
    """Below one rule for every path, only fragments and encoded line breaks are refused in addition."""
    for path, readings in VECTORS.items():
        if readings["nginx"] is not None:
            parse(path.encode())


@pytest.mark.parametrize(
    ("path", "count"), [(b"/a", 1), (b"/%25", 1), (b"/%2541", 2), (b"/%252541", 3), (b"//a", 2), (b"//a\\%2541", 6)]
)
def test_a_path_has_a_lattice_for_each_number_of_decodings(path: bytes, count: int) -> None:
    """And for each place where an authority at its beginning may end."""
    assert len(list(lattices(path))) == count


def test_a_path_that_is_encoded_too_often_has_too_many_readings() -> None:
    """Nothing is guessed about the innermost one; nor about a NUL that only the second decoding shows."""
    for path in (b"/%" + b"25" * DECODINGS + b"41", b"/%2500"):
        with pytest.raises(MalformedRequestError, match="too many readings"):
            list(lattices(path))


def test_a_piece_without_ambiguity_has_one_text() -> None:
    """Encoded bytes are decoded, except for delimiters."""
    (lattice,) = lattices(b"/caf%C3%A9%20a+b/%7Ex")
    pieces: list[Any] = [[alternative[:2] for alternative in piece] for piece in lattice.pieces]
    assert [piece[0] for piece in pieces if piece[0][0] == TEXT] == [
        (TEXT, b"caf"),
        (TEXT, "é".encode()),
        (TEXT, b" a+b"),
        (TEXT, b"~x"),
    ]
    assert all(len(piece) == 1 for piece in pieces)
    assert not lattice.dots
