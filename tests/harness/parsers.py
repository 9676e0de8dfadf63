"""Models of real parsers of paths, and every mixture of their readings.

Each model takes a path as sent, and returns its decoded segments, None if the parser refuses it. The vectors in
`tests/wire/reading_vectors.json` come from the real parsers, and hold the models against them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes, urlparse, urlsplit

Parser = Callable[[bytes], list[bytes] | None]


def _split(path: bytes) -> list[bytes]:
    return path.removeprefix(b"/").split(b"/")


def _resolved(segments: list[bytes], *, merge: bool) -> list[bytes]:
    """Remove dot segments (RFC 3986 §5.2.4); with `merge` also empty ones."""
    resolved: list[bytes] = []
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment in (b".", b".."):
            if segment == b"..":
                del resolved[-1:]
            if last:
                resolved.append(b"")
        elif segment or last or not merge:
            resolved.append(segment)
    return resolved


def plain(path: bytes) -> list[bytes] | None:
    """Split, then decode each segment: routers on the encoded path."""
    return [unquote_to_bytes(segment) for segment in _split(path)]


def urllib_split(path: bytes) -> list[bytes] | None:
    """Python: `urlsplit`, which knows authorities, then `unquote`, as in WSGI."""
    try:
        return _split(unquote_to_bytes(urlsplit(path).path or b"/"))
    except ValueError:
        return None


def urllib_parse(path: bytes) -> list[bytes] | None:
    """Python: `urlparse`, which also cuts the parameters of the last segment."""
    try:
        return _split(unquote_to_bytes(urlparse(path).path or b"/"))
    except ValueError:
        return None


def yarl(path: bytes) -> list[bytes] | None:
    """Python: yarl and aiohttp decode `%2F` only in segments, and resolve dots before that."""
    return [unquote_to_bytes(segment) for segment in _resolved(_split(path), merge=False)]


def go_clean(path: bytes) -> list[bytes] | None:
    """Go: `url.ParseRequestURI`, then `path.Clean` of the decoded path, with its last slash, as in `http.ServeMux`."""
    decoded = unquote_to_bytes(path)
    cleaned = posixpath.normpath(decoded.decode("latin-1")).encode("latin-1")
    cleaned = b"/" + cleaned.lstrip(b"/")
    return _split(cleaned + b"/" if decoded.endswith(b"/") and cleaned != b"/" else cleaned)


def go_bare(path: bytes) -> list[bytes] | None:
    """Go: the same without the last slash."""
    return _split(b"/" + posixpath.normpath(unquote_to_bytes(path).decode("latin-1")).encode("latin-1").lstrip(b"/"))


def whatwg(path: bytes) -> list[bytes] | None:
    """Node: `new URL(path, "http://app").pathname`, decoded."""
    path = path.replace(b"\\", b"/")
    authority = re.match(rb"//+([^/]*)", path)
    if authority is not None:
        if not re.fullmatch(rb"[A-Za-z0-9.-]+", authority[1]):
            return None
        path = path[authority.end() :] or b"/"
    segments = [re.sub(rb"(?i)%2e", b".", segment) if _is_dots(segment) else segment for segment in _split(path)]
    return _split(unquote_to_bytes(b"/" + b"/".join(_resolved(segments, merge=False))))


def _is_dots(segment: bytes) -> bool:
    return re.fullmatch(rb"(?i)(?:\.|%2e){1,2}", segment) is not None


def servlet(path: bytes) -> list[bytes] | None:
    """Java: a servlet container leaves path parameters out, decodes, and normalizes."""
    bare = re.sub(rb";[^/]*", b"", path)
    return _resolved(_split(unquote_to_bytes(bare).replace(b"\\", b"/")), merge=True)


def java_uri(path: bytes) -> list[bytes] | None:
    """Java: `new URI(…).normalize().getPath()`, which merges slashes; what it refuses is left out here."""
    return _split(unquote_to_bytes(b"/" + b"/".join(_resolved(_split(path), merge=True))))


def nginx(path: bytes) -> list[bytes] | None:
    """nginx: decodes, merges slashes, resolves dots, and refuses what leads above the root."""
    if re.search(rb"%(?![0-9A-Fa-f]{2})|%00|[\x00-\x20\x7f]", path):
        return None
    depth = 0
    segments = _split(unquote_to_bytes(path))
    for segment in segments:
        if segment == b"..":
            depth -= 1
        elif segment not in (b"", b"."):
            depth += 1
        if depth < 0:
            return None
    return _resolved(segments, merge=True)


def twice(path: bytes) -> list[bytes] | None:
    """Two proxies, each of which decodes."""
    return _resolved(_split(unquote_to_bytes(unquote_to_bytes(path))), merge=True)


PARSERS: list[Parser] = [
    *(plain, urllib_split, urllib_parse, yarl, go_clean, go_bare, whatwg, servlet, java_uri, nginx, twice)
]


def mixed_readings(path: bytes) -> Iterator[list[bytes]]:
    """Yield readings with every choice for each delimiter: kept or decoded, merged, cut and resolved or not.

    The bytes are decoded once; a path has few delimiters, or the readings are many.
    """
    tokens = re.findall(rb"%[0-9A-Fa-f]{2}|.", path[1:], re.DOTALL)
    yield from _mixed(tokens, 0, [], b"", False)


def _mixed(tokens: list[bytes], index: int, segments: list[bytes], text: bytes, cut: bool) -> Iterator[list[bytes]]:
    if index == len(tokens):
        for ended in _ended(segments, text, last=True):
            yield ended
        return
    token = tokens[index]
    byte = unquote_to_bytes(token)
    if token == b"/" or byte in (b"/", b"\\"):
        for ended in _ended(segments, text, last=False):
            yield from _mixed(tokens, index + 1, ended, b"", False)
    if token == b"/":
        return
    if byte == b";":
        yield from _mixed(tokens, index + 1, segments, text, True)
    if token.startswith(b"%") and byte in (b"?", b"#"):
        yield from _ended(segments, text, last=True)
    yield from _mixed(tokens, index + 1, segments, text if cut else text + byte, cut)


def _ended(segments: list[bytes], text: bytes, *, last: bool) -> Iterator[list[bytes]]:
    yield [*segments, text]
    if text in (b"", b"."):
        yield [*segments, b""] if last else segments
    elif text == b"..":
        yield [*segments[:-1], b""] if last else segments[:-1]
