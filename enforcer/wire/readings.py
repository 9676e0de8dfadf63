"""The readings of a path: what parsers make of the bytes that they treat differently. Pure.

| bytes | readings | parsers, in the order of the readings |
| --- | --- | --- |
| `%2F` | a byte of its segment; a slash | Go's `EscapedPath`, GitLab; nginx, WSGI, Java's `getPath` |
| `\\` and `%5C` | a byte; a slash | RFC 3986; WHATWG URL in browsers and Node, IIS |
| `;` and `%3B` | a byte; the rest of the segment is left out | RFC 3986; servlet containers, Python's `urlparse` |
| `%3F`, `%23` | a byte; the path ends here | parsers that split first; parsers that decode first |
| `%25` before two hexadecimal digits | `%`; decoded again | RFC 3986; chains of proxies, Tomcat behind httpd |
| `//` | an empty segment; one slash | RFC 3986; nginx `merge_slashes`, Go's `path.Clean` |
| `//host/` at the beginning, also encoded | segments; an authority | servers; Python's `urlsplit`, WHATWG URL |
| `/./`, `/../`, also encoded or with spaces | segments; resolved | routers that only split; RFC 3986 §5.2.4 |
| encoded control characters | bytes; left out | RFC 3986; apps that trim texts |
| bytes that are not UTF-8 | bytes; left out; U+FFFD; the ASCII of an overlong encoding | Go; lax decoders; Java; IIS |

A path becomes one `Lattice` for each number of decodings. In a lattice each piece has its alternatives, so that it also
has the readings of parsers that treat two equal bytes differently. `policy.ambiguity` follows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from enforcer.errors import MalformedRequestError
from enforcer.wire.target import decode

DECODINGS: Final = 3
"""Maximum number of decodings that are followed; a path that can be decoded more often has too many readings."""

TEXT: Final = 0  # the text is a part of its segment
SEPARATOR: Final = 1  # the segment ends
CUT: Final = 2  # the rest of the segment is left out
END: Final = 3  # the path ends

SLASH: Final = 1
BACKSLASH: Final = 2
SEMICOLON: Final = 4
QUESTION_MARK: Final = 8
HASH: Final = 16
PERCENT: Final = 32
OTHER: Final = 64
DELIMITERS: Final = {
    "slash": SLASH,
    "backslash": BACKSLASH,
    "semicolon": SEMICOLON,
    "question_mark": QUESTION_MARK,
    "hash": HASH,
    "percent": PERCENT,
}
"""Delimiters that an app may keep as bytes of a segment, by the name that a rule's `encoded` has for each."""


class Alternative(NamedTuple):
    """One way to read a piece: `effect`, its `text`, and the delimiters that are `decoded` in this way (a bit set)."""

    effect: int
    text: bytes
    decoded: int


Piece = tuple[Alternative, ...]


class Lattice(NamedTuple):
    """The pieces of a path behind its first slash, and the delimiters that are decoded in all of its readings.

    `dots`: some reading may have a dot segment.
    """

    pieces: Iterator[Piece]
    decoded: int
    dots: bool


_RAW_SLASH: Final = 0  # stands for a slash that was sent as such; encoded NULs are refused
_SPECIAL: Final = re.compile(rb"[/\\;?#\x00-\x1f\x7f]|[\x80-\xff]+")
_DOTS: Final = re.compile(rb"(?:\A|[^!-\"$-.0-:<->@-\[\]-~])[. ]+(?:\Z|[^!-\"$-.0-:<->@-\[\]-~])")
_ESCAPE: Final = re.compile(rb"%[0-9A-Fa-f]{2}")
_AUTHORITIES: Final = (
    (re.compile(rb"\x00[^\x00]*"), 0),
    (re.compile(rb"[\x00/][^\x00/]*"), SLASH),
    (re.compile(rb"[\x00\\]+[^\x00\\]*"), BACKSLASH),
    (re.compile(rb"[\x00/\\]+[^\x00/\\]*"), SLASH | BACKSLASH),
)
"""An authority behind the first slash, as Python and as WHATWG URL find it, each before and after the path is decoded.

With the delimiters that end it if they are decoded, as bits."""
_C1_CONTROL: Final = re.compile(rb"\xc2[\x80-\x9f]")
_OVERLONG: Final = re.compile(
    rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80\x81][\x80-\xbf]|\xf0\x80[\x80\x81][\x80-\xbf]"
    rb"|\xf8\x80\x80[\x80\x81][\x80-\xbf]|\xfc\x80\x80\x80[\x80\x81][\x80-\xbf]"
)
_OVERLONG_DOT: Final = re.compile(rb"(?:\xc0|\xe0\x80|\xf0\x80\x80|\xf8\x80\x80\x80|\xfc\x80\x80\x80\x80)[\xa0\xae]")
"""An overlong encoding of a dot or a space; a dot segment may consist of nothing else."""
_LEFT_OUT: Final = Alternative(TEXT, b"", 0)


_ENDINGS: Final = (
    (QUESTION_MARK, re.compile(rb"%3[Ff]")),
    (HASH, re.compile(rb"%23")),
    (PERCENT, re.compile(rb"%25")),
    (OTHER, re.compile(rb"%(?:[Cc]0|[Ee]0%80|[Ff]0%80|[Ff][89A-Fa-f])")),
)


def endings(path: bytes) -> list[int]:
    """Return the delimiters at which a path may end early, as bits: its query then is another one."""
    return [bit for bit, sent in _ENDINGS if sent.search(path) is not None]


def lattices(path: bytes) -> Iterator[Lattice]:
    """Yield the readings of a path that `target.read_path` accepts.

    Raises MalformedRequestError if the path can be decoded more often than DECODINGS, or contains an encoded NUL then.
    """
    text = decode(path[1:].replace(b"/", b"%00"))
    decoded = 0
    for _ in range(DECODINGS):
        yield Lattice(_pieces(text), decoded, _may_have_dots(text))
        for rest, delimiters in _behind_authority(text):
            yield Lattice(_pieces(rest), decoded | delimiters, _may_have_dots(rest))
        if _ESCAPE.search(text) is None:
            return
        if b"%00" in text:
            break
        text = _ESCAPE.sub(_unescaped, text)
        decoded = PERCENT
    raise too_many()


def too_many() -> MalformedRequestError:
    """Return the error of a path with more readings than are followed."""
    return MalformedRequestError("request target", "the path has too many readings")


def _behind_authority(text: bytes) -> Iterable[tuple[bytes, int]]:
    """Return the rest of a path behind an authority, in each reading, with the delimiters that the reader decodes."""
    readings: dict[tuple[bytes, int], None] = {}  # in order, so that equal paths have equal texts in the log
    for authority, delimiters in _AUTHORITIES:
        match = authority.match(text)
        if match is None:
            continue
        end = match.end()
        left_out = text[: end + 1]
        decoded = delimiters & ((SLASH if b"/" in left_out else 0) | (BACKSLASH if b"\\" in left_out else 0))
        readings[text[end + 1 :], decoded] = None
        for delimiter, bit in ((b"?", QUESTION_MARK), (b"#", HASH)):
            if delimiter in left_out:
                readings[b"", decoded | bit] = None
    return readings


def _unescaped(match: re.Match[bytes]) -> bytes:
    return decode(match[0])


def _pieces(text: bytes) -> Iterator[Piece]:
    end = 0
    for match in _SPECIAL.finditer(text):
        start = match.start()
        if start > end:
            yield (Alternative(TEXT, text[end:start], 0),)
        if text[start] < 0x80:
            yield _ALTERNATIVES[text[start]]
        else:
            yield from _beyond_ascii(match[0])
        end = match.end()
    if end < len(text):
        yield (Alternative(TEXT, text[end:], 0),)


def _of_byte(byte: int) -> Piece:
    unchanged = Alternative(TEXT, bytes((byte,)), 0)
    if byte == _RAW_SLASH:
        return (Alternative(SEPARATOR, b"", 0),)
    if byte == 0x2F:
        return unchanged, Alternative(SEPARATOR, b"", SLASH)
    if byte == 0x5C:
        return unchanged, Alternative(SEPARATOR, b"", BACKSLASH)
    if byte == 0x3B:
        return unchanged, Alternative(CUT, b"", SEMICOLON)
    if byte == 0x3F:
        return unchanged, Alternative(END, b"", QUESTION_MARK)
    if byte == 0x23:
        return unchanged, Alternative(END, b"", HASH)
    return (unchanged, _LEFT_OUT) if byte < 0x20 or byte == 0x7F else (unchanged,)


_ALTERNATIVES: Final = [_of_byte(byte) for byte in range(0x80)]


def _may_have_dots(text: bytes) -> bool:
    return _DOTS.search(text) is not None or _OVERLONG_DOT.search(text) is not None


def _beyond_ascii(run: bytes) -> Iterator[Piece]:
    try:
        run.decode("utf-8")
    except UnicodeDecodeError:
        end = 0
        for match in _OVERLONG.finditer(run):
            if match.start() > end:
                yield _of_run(run[end : match.start()])
            sequence, end = match[0], match.end()
            byte = (sequence[-2] & 1) << 6 | sequence[-1] & 0x3F
            stands_for = _ALTERNATIVES[byte] if byte else (Alternative(END, b"", OTHER),)
            read = [Alternative(effect, text, OTHER if decoded else 0) for effect, text, decoded in stands_for]
            yield (*_of_run(sequence), *read)
        if end < len(run):
            yield _of_run(run[end:])
    else:
        yield _of_run(run)


def _of_run(run: bytes) -> Piece:
    """Return the readings of bytes beyond ASCII; a lax decoder leaves out only what is not UTF-8, not the rest."""
    texts = [run, run.decode("utf-8", "ignore").encode(), run.decode("utf-8", "replace").encode()]
    texts += [_C1_CONTROL.sub(b"", text) for text in texts]
    return tuple([Alternative(TEXT, text, 0) for text in dict.fromkeys(texts)])
