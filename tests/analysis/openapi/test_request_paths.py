"""The requests that paths of operations and of rules have in common."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from enforcer.analysis.openapi.request_paths import RequestPath
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

    some_texts = {reached([text]) for text in SHORT if Matcher([(pattern("/a"), 1)]) and belongs(path, text)}
    samples = {reached(sample) for sample in path.samples(matcher.roots(b""), filler)}
    assert some_texts <= samples
    assert all(belongs(path, sample[0]) for sample in path.samples(matcher.roots(b""), filler))


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
