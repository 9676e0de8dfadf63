"""The requests that paths of operations and of rules have in common."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from enforcer.analysis.openapi.request_paths import RequestPath, filler_for, request_target
from enforcer.policy.matcher import Matcher, RequestPattern
from enforcer.policy.templates import Path

ALPHABET = b"abz"
SHORT = [b"", *(bytes(letters) for length in (1, 2, 3, 4) for letters in product(ALPHABET, repeat=length))]
fixed = st.text("ab", max_size=2)
document_segment = st.lists(fixed, min_size=1, max_size=3).map("{x}".join)
rule_segment = st.builds("{}{{x}}{}".format, fixed, fixed) | st.text("ab", min_size=1, max_size=3)
rule = rule_segment.map(lambda segment: f"/{segment}") | st.just("/**")


def pattern(text: str) -> RequestPattern:
    return RequestPattern(Path.parse(text), (), None)


@given(document_segment.filter(bool), st.lists(rule, min_size=1, max_size=4, unique=True))
def test_no_rule_that_matches_a_request_of_the_path_is_missed(segment: str, rules: list[str]) -> None:
    """The samples reach every rule that some text does, and no other."""
    path = RequestPath.parse(f"/{segment}")
    matcher = Matcher((pattern(text), text) for text in rules)
    filler = b"z"

    def reached(segments: list[bytes]) -> str | None:
        return matcher.find(segments, b"GET", b"")

    some_texts = {reached([text]) for text in SHORT if belongs(path, text)}
    samples = {reached(sample) for sample in path.samples(matcher.roots(b""), filler)}
    assert some_texts <= samples
    assert all(belongs(path, sample[0]) for sample in path.samples(matcher.roots(b""), filler))


def test_a_document_of_repeated_letters_takes_bounded_time() -> None:
    """The number of ways through the tries does not grow with the power of the depth."""
    path = RequestPath.parse("/".join(["", *["a" * 30 + "{x}" + "a" * 30] * 12]))
    matcher = Matcher([(pattern("/".join(["", *["a" * 20 + f"{{x{n}}}" + "a" * 20 for n in range(12)]])), 1)])
    assert 0 < len([*path.samples(matcher.roots(b""), b"z")]) < 100_000


def test_a_filler_is_in_no_path() -> None:
    """Not even percent-encoded, so that no rule can tell it from other characters."""
    first = filler_for([])
    others = filler_for([f"/{first.decode()}", "/%E4%B8%81"])
    assert others not in (first, b"\xe4\xb8\x81")
    assert request_target([b"a b", others]).startswith("/a%20b/%E4%B8")


def belongs(path: RequestPath, text: bytes) -> bool:
    """Return whether a segment is one of the path's, by trying each division of it."""
    (texts,) = path.segments
    return divides(list(texts), text)


def divides(texts: list[bytes], text: bytes) -> bool:
    first, *others = texts
    if not text.startswith(first):
        return False
    left = text[len(first) :]
    if not others:
        return not left
    return any(divides(others, left[length:]) for length in range(1, len(left) + 1))
