"""How a token that came with the DPoP scheme is judged (RFC 9449 §7.1).

What it is worth is remembered as of any token; its proof is for one request, and is checked anew on each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from enforcer.proxy.forwarding import Kind
from enforcer.proxy.request import RequestHead
from enforcer.settings.jwt import ProofSettings
from enforcer.tokens.dpop.possession import PossessionFault, Proven
from enforcer.tokens.dpop.replay_cache import ProofState
from enforcer.tokens.introspection.response import ActiveToken
from enforcer.tokens.verifier import VerificationOutcome
from enforcer.wire.fields import OWS

if TYPE_CHECKING:
    from enforcer.proxy.judgement import Judgement
    from enforcer.proxy.peer import Peer

_PROOF: Final = int(Kind.PROOF)


class Proofs:
    """What proofs are checked by; `memory` outlasts a configuration."""

    __slots__ = ("_settings", "memory")

    def __init__(self, settings: ProofSettings, memory: ProofState) -> None:
        self._settings = settings
        self.memory = memory

    def check(
        self, head: RequestHead, peer: Peer, token: bytes, answer: ActiveToken, now: float
    ) -> Proven | PossessionFault:
        """Check the proof of a request that came from there; `now` is seconds since the epoch."""
        # Cryptography is a large import, and most tokens are bound to nothing.
        from enforcer.tokens.dpop.proof import ProofRequest, check

        shown = [value.strip(OWS) for _, value in (head.rare or {}).get(_PROOF, ())]
        request = ProofRequest(method=head.method, url=peer.url(head), token=token, address=peer.client_address(head))
        return check(shown, request, answer, self._settings, self.memory, now)


class ProofWaiter:
    """A `Waiter` for the worth of a token that came with the DPoP scheme, on behalf of its judgement."""

    __slots__ = ("_judgement", "_token")

    def __init__(self, judgement: Judgement, token: bytes) -> None:
        self._judgement = judgement
        self._token = token

    @property
    def client_address(self) -> str:
        """The client's address, by which unseen tokens are counted."""
        return self._judgement.client_address

    def on_verification(self, outcome: VerificationOutcome) -> None:
        """The outcome is known."""
        self._judgement.on_verification(outcome, self._token)
