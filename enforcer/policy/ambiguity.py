"""Decides whether all readings of an ambiguous path fall under the same rule, with the same captures. Pure.

1. All readings are followed through the matcher's tries at once, only as far as a rule could tell them apart: below one
   `/**`, a path has one outcome, however many readings it has.
2. The work is bounded, whatever the client sends: a path with more readings than that is refused.
3. A reading that decodes a delimiter does not count if the app keeps the delimiter by the `encoded` of both rules: the
   one that it leads to, and that of the plainest reading. If only one has the key, the path of neither is a way around
   the other. No promise covers a dot segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from enforcer.errors import MalformedRequestError
from enforcer.policy.matcher import Matcher, Methods, Node, choose, continues_with, may_continue_with
from enforcer.policy.requirement import Requirement
from enforcer.wire.readings import CUT, SEPARATOR, TEXT, Alternative, Lattice, endings, lattices, too_many
from enforcer.wire.target import Target


class Matched(Protocol):
    """A value of a matcher: something with the requirement of a rule."""

    @property
    def requirement(self) -> Requirement | None:
        """The requirement of the rule."""


T = TypeVar("T", bound=Matched)

STATES: Final = 64
"""Maximum number of readings that are followed at once."""
STEPS: Final = 512
"""Maximum number of steps, each of one reading over one piece of the path."""
UNMATCHED: Final = b"\0"
"""Stands for a segment that no rule continues with, and for everything behind it; see `_Walk._unmatched`."""


class Reading(NamedTuple):
    """A reading as far as rules could tell it apart.

    `decoded` are the delimiters that it decodes (a bit set of `wire.readings`). `resolves`: it resolves a dot segment
    upwards. `ends_early`: the path ends at an encoded `?` or `#`, so that the query differs too.
    """

    segments: tuple[bytes, ...]
    decoded: int = 0
    resolves: bool = False
    ends_early: bool = False


class Parting(Generic[T]):
    """The result for a path whose readings part: what they lead to, None for no rule; none if they are too many."""

    __slots__ = ("values",)

    def __init__(self, values: Sequence[T | None]) -> None:
        self.values: Final = values

    def __str__(self) -> str:
        names = list(dict.fromkeys([_name(value) for value in self.values]))
        if not names:
            return "the path has too many readings"
        if len(names) == 1:
            return f"the readings of the path differ in what conditions of {names[0]} read"
        return f"the readings of the path lead to {', '.join(names[:-1])} and {names[-1]}"


def _name(value: Matched | None) -> str:
    requirement = None if value is None else value.requirement
    return "no rule" if requirement is None else f'rule "{requirement.rule.name}"'


def settle(matcher: Matcher[T], target: Target, host: bytes) -> dict[bytes | None, T | Parting[T]]:
    """Return what an ambiguous path leads to, by method, for `matcher.choose`."""
    try:
        matches = _matches(matcher, target, host)
    except MalformedRequestError:
        return {None: Parting([])}
    methods: dict[bytes | None, None] = {}
    for _, match in matches:
        methods.update(dict.fromkeys(match or ()))
    if b"GET" in methods:
        methods[b"HEAD"] = None
    settled: dict[bytes | None, T | Parting[T]] = {}
    for method in [*methods, None]:
        outcome = _outcome(matches, method or b"")
        if outcome is not None:
            settled[method] = outcome
    return settled


def compare(matcher: Matcher[T], target: Target, host: bytes, method: bytes) -> list[tuple[Reading, T | None, bool]]:
    """Return each reading of an ambiguous path, what it leads to, and whether it counts; none if they are too many."""
    try:
        matches = _matches(matcher, target, host)
    except MalformedRequestError:
        return []
    value = _chosen(matches[0][1], method)
    leads = [(reading, _chosen(match, method)) for reading, match in matches]
    return [(reading, other, _counts(reading, value, other)) for reading, other in leads]


_Matches = list[tuple[Reading, Methods[T] | None]]


def _matches(matcher: Matcher[T], target: Target, host: bytes) -> _Matches[T]:
    """Return each reading with its match; the first is the plainest, which counts always."""
    plainest = Reading(tuple(target.segments))
    others = [reading for reading in readings(matcher, target.path, host) if reading != plainest]
    return [(reading, matcher.matches(reading.segments, host)) for reading in (plainest, *others)]


def _outcome(matches: _Matches[T], method: bytes) -> T | Parting[T] | None:
    """Return what all readings that count lead to."""
    plainest, value = matches[0][0], _chosen(matches[0][1], method)
    values: list[T | None] = [value]
    for reading, match in matches[1:]:
        other = _chosen(match, method)
        if _counts(reading, value, other) and not _agree(value, plainest, other, reading):
            values.append(other)
    return Parting(values) if len(values) > 1 else value


def _counts(reading: Reading, value: Matched | None, other: Matched | None) -> bool:
    """Return whether the app may read a path in this way; `value` is what the plainest reading leads to.

    The request goes to the app of the plainest reading's rule, which has to keep the delimiter as well as the other's.
    """
    delimiters = _kept_by(value) if other is None else _kept_by(value) & _kept_by(other)
    return reading.resolves or not reading.decoded & delimiters


def _chosen(match: Methods[T] | None, method: bytes) -> T | None:
    return None if match is None else choose(match, method)


def _kept_by(value: Matched | None) -> int:
    requirement = None if value is None else value.requirement
    return 0 if requirement is None else requirement.encoded


def _agree(value: Matched | None, reading: Reading, other: Matched | None, its: Reading) -> bool:
    """Return whether two readings mean the same to the rules: the same rule, and the same values for its conditions."""
    requirement, its_requirement = (
        None if value is None else value.requirement,
        None if other is None else other.requirement,
    )
    if requirement is None or its_requirement is None:
        return requirement is its_requirement
    if requirement.rule is not its_requirement.rule or (its.ends_early and requirement.reads_query):
        return False
    return requirement.captured(reading.segments) == its_requirement.captured(its.segments)


def readings(matcher: Matcher[T], path: bytes, host: bytes) -> list[Reading]:
    """Return the readings of a path, as far as rules could tell them apart.

    Raises MalformedRequestError if there are too many.
    """
    ends = endings(path)
    if matcher.flat:
        return [Reading((b"",), decoded=bit, ends_early=True) for bit in ends]
    walk = _Walk(matcher.roots(host), ends)
    for lattice in lattices(path):
        walk.follow(lattice)
    return list(walk.readings)


class _State(NamedTuple):
    """A reading up to some piece: `segments` while a rule could continue, then the number of those `beyond`.

    `text` is that of the segment so far; `cut`: what follows in the segment is left out.
    """

    segments: tuple[bytes, ...]
    beyond: int
    text: bytes
    cut: bool
    decoded: int
    resolves: bool


class _Walk(Generic[T]):
    """Follows the readings of a path through tries."""

    def __init__(self, roots: list[Node[T]], endings_ahead: list[int]) -> None:
        self._endings = endings_ahead
        self._nodes: dict[tuple[bytes, ...], list[Node[T]]] = {(): roots}
        self._steps = 0
        self.readings: dict[Reading, None] = {}

    def follow(self, lattice: Lattice) -> None:
        """Add the readings of a lattice; raises MalformedRequestError if there are too many."""
        states = [_State((), 0, b"", False, lattice.decoded, False)]
        for piece in lattice.pieces:
            following: dict[_State, None] = {}
            for state in states:
                for alternative in piece:
                    self._steps += 1
                    for further in self._step(state, alternative):
                        if not lattice.dots and (further.beyond or further.text == UNMATCHED):
                            self._add_all_endings(further)
                        else:
                            following[further] = None
            if len(following) > STATES or self._steps > STEPS:
                raise too_many()
            states = list(following)
            if not states:
                return
        for state in states:
            self._end(state, False)

    def _step(self, state: _State, alternative: Alternative) -> list[_State]:
        """Return where a reading goes on behind a piece that is read in one way; nowhere if its path ends."""
        effect, text, decoded = alternative
        segments, beyond, before, cut, decoded_before, resolves = state
        decoded |= decoded_before
        if effect == TEXT:
            return [state if cut else _State(segments, beyond, self._joined(state, text), cut, decoded, resolves)]
        if effect == CUT:
            return [_State(segments, beyond, before, True, decoded, resolves)]
        state = _State(segments, beyond, before, cut, decoded, resolves)
        if effect == SEPARATOR:
            return self._ends_of_segment(state, False)
        self._end(state, True)
        return []

    def _end(self, state: _State, ends_early: bool) -> None:
        for end in self._ends_of_segment(state, True):
            self._add(self._unmatched(end.segments) if end.beyond else end.segments, end, ends_early)

    def _add(self, segments: tuple[bytes, ...], state: _State, ends_early: bool) -> None:
        self.readings[Reading(segments or (b"",), state.decoded, state.resolves, ends_early)] = None

    def _add_all_endings(self, state: _State) -> None:
        """Add the readings that go on from where no rule continues: they differ only in where the path ends."""
        segments = self._unmatched(state.segments)
        self._add(segments, state, False)
        for bit in self._endings:
            self.readings[Reading(segments, state.decoded | bit, state.resolves, True)] = None

    def _unmatched(self, segments: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return the segments with another one that no rule continues with.

        If `{name}` matches every text, only an empty segment is left.
        """
        return (*segments, b"" if continues_with(self._nodes[segments], UNMATCHED) else UNMATCHED)

    def _ends_of_segment(self, state: _State, last: bool) -> list[_State]:
        """Return where a reading is when its segment ends; `last`: its path ends, too."""
        text = state.text
        ends = [self._below(state, text)]
        if not text.strip(b". "):
            resolved = [_State(state.segments, state.beyond, b"", False, state.decoded, state.resolves)]
            if text not in (b"", b"."):
                resolved.append(_above(state))
            ends += resolved
            if last and text:
                ends += [self._below(place, b"") for place in resolved]
        return ends

    def _below(self, state: _State, text: bytes) -> _State:
        segments, beyond, _, _, decoded, resolves = state
        if beyond:
            return _State(segments, beyond + 1, b"", False, decoded, resolves)
        below = (*segments, text)
        nodes = self._nodes.get(below)
        if nodes is None:
            nodes = self._nodes[below] = continues_with(self._nodes[segments], text)
        if nodes:
            return _State(below, 0, b"", False, decoded, resolves)
        return _State(segments, 1, b"", False, decoded, resolves)

    def _joined(self, state: _State, text: bytes) -> bytes:
        """Return the text of a segment so far; UNMATCHED if no rule can tell it from other texts."""
        if state.text == UNMATCHED:
            return UNMATCHED
        text = state.text + text
        if text.strip(b". ") and (state.beyond or not may_continue_with(self._nodes[state.segments], text)):
            return UNMATCHED
        return text


def _above(state: _State) -> _State:
    segments, beyond, _, _, decoded, _ = state
    return _State(segments if beyond else segments[:-1], max(beyond - 1, 0), b"", False, decoded, True)
