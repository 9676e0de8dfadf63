"""What a request was allowed by, so that what goes on for long can be judged again by a newer snapshot."""

from __future__ import annotations

from typing import NamedTuple

from enforcer.policy.decision import Allow, decide
from enforcer.policy.matcher import choose
from enforcer.proxy.refusals import Refusal
from enforcer.proxy.snapshot import Route, Snapshot
from enforcer.tokens.bearer import NoToken


class Standing(NamedTuple):
    """A forwarded request: `target` is in origin form, `route` and `permit` are what it was forwarded by."""

    method: bytes
    target: bytes
    host: bytes
    route: Route
    permit: Allow

    def refused_by(self, snapshot: Snapshot) -> Refusal | None:
        """Return how a snapshot would refuse the request, by what its token was worth; None where it allows it."""
        target, methods = snapshot.locate(self.target, self.host)
        route = None if methods is None else choose(methods, self.method)
        if route is None:
            route = snapshot.without_rule(self.method)
        answer = self.permit.answer
        # What one authorization server says of a token is nothing to a rule that asks another.
        if answer is None or not route.verifier.takes(answer, self.route.verifier):
            verdict = decide(route.requirement, NoToken.MISSING, target.segments, 0.0, route.reports)
        else:
            # As of a time when the token was valid: whether its end is that of a stream, is a setting of its own.
            verdict = decide(route.requirement, answer, target.segments, answer.not_before, route.reports, self.permit)
        return None if isinstance(verdict, Allow) else route.refusals.bearer[verdict.reason]
