"""Proof of possession: the thumbprint that the sender shows must be the one that the token is bound to."""

from typing import Any

import pytest

from enforcer.tokens.claims import read_claims
from enforcer.tokens.dpop.possession import PossessionFault, Proven, with_certificate, with_key

CERTIFICATE = {"x5t#S256": "mine"}
KEY = {"jkt": "mine"}
ODD: list[Any] = [{}, {**CERTIFICATE, **KEY}, {"x5t#S256": ""}, {"jkt": ""}, {"kid": "mine"}, "mine", True]


@pytest.mark.parametrize(
    ("confirmation", "thumbprint", "fault"),
    [
        (CERTIFICATE, "mine", None),
        (CERTIFICATE, "another", PossessionFault.CERTIFICATE),
        (CERTIFICATE, "", PossessionFault.CERTIFICATE),
        (KEY, "mine", PossessionFault.SCHEME),
        (KEY, "", PossessionFault.SCHEME),
        *((odd, shown, PossessionFault.UNKNOWN) for odd in ODD for shown in ("", "mine")),
    ],
)
def test_a_certificate_bound_token_needs_its_certificate(
    confirmation: Any, thumbprint: str, fault: PossessionFault | None
) -> None:
    """RFC 8705 §3; RFC 9449 §7.2: a key-bound token is not accepted with the Bearer scheme."""
    token = read_claims({"cnf": confirmation})
    proven = with_certificate(token, thumbprint)
    assert (None if isinstance(proven, Proven) else proven) is fault
    assert isinstance(proven, PossessionFault) or proven.token is token


@pytest.mark.parametrize(
    ("confirmation", "thumbprint", "fault"),
    [
        (KEY, "mine", None),
        (KEY, "another", PossessionFault.KEY),
        (None, "mine", PossessionFault.UNBOUND),
        (CERTIFICATE, "mine", PossessionFault.UNBOUND),
        *((odd, shown, PossessionFault.UNKNOWN) for odd in ODD for shown in ("", "mine")),
    ],
)
def test_a_key_bound_token_needs_a_proof_with_its_key(
    confirmation: Any, thumbprint: str, fault: PossessionFault | None
) -> None:
    """RFC 9449 §7.1: a proof shows nothing about a token that is not bound to a key."""
    token = read_claims({"cnf": confirmation})
    proven = with_key(token, thumbprint)
    assert (None if isinstance(proven, Proven) else proven) is fault
    assert isinstance(proven, PossessionFault) or proven.token is token
