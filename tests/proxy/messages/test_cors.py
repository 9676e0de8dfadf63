"""CORS: which web pages may read our own responses, and what a preflight is answered."""

from __future__ import annotations

import asyncio

import h11
import pytest
from harness.dataplane import DataPlane

from enforcer.errors import SettingsError
from enforcer.proxy.messages.cors import Cors
from enforcer.proxy.messages.head import RequestHead
from enforcer.proxy.messages.responses import OwnResponse, Refusal
from enforcer.settings.cors import CorsSettings

WEB = "https://web.example.org"
REFUSAL = Refusal(401, "an access token is needed", challenges=("Bearer",))


def head(*fields: tuple[str, str], method: str = "GET") -> RequestHead:
    lines = [piece for name, value in fields for piece in (name.encode(), b": ", value.encode(), b"\r\n")]
    return RequestHead(method.encode(), b"/", b"app", lines)


def fields_of(response: OwnResponse) -> dict[str, str]:
    """Read a response with another HTTP/1.1."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(response.render(b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n", close=False, head_only=False))
    event = client.next_event()
    assert isinstance(event, h11.Response)
    return {name.decode(): value.decode() for name, value in event.headers}


def test_a_refused_call_of_a_page_has_a_grpc_status() -> None:
    """gRPC-Web comes from pages only, which could neither read the refusal nor tell it from a broken network."""

    async def script() -> bytes:
        plane = DataPlane(cors={"origins": [WEB]})
        call = [
            b"POST /api/Call HTTP/1.1",
            b"Host: app",
            b"Origin: " + WEB.encode(),
            b"Content-Type: application/grpc-web+proto",
            b"Content-Length: 5",
            b"",
            b"\0\0\0\0\0",
        ]
        outcome = await plane.run([b"\r\n".join(call)])
        plane.close()
        assert outcome.faults == []
        return outcome.answered

    answered = asyncio.run(script())
    assert answered.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web\r\nGrpc-Status: 16\r\n")
    assert f"Access-Control-Allow-Origin: {WEB}\r\n".encode() in answered


@pytest.mark.parametrize(
    ("origins", "origin", "permitted"),
    [
        ((WEB,), WEB, WEB),
        ((WEB,), "https://WEB.example.org:443", WEB),
        (("https://WEB.example.org:443",), WEB, WEB),
        ((WEB, "http://localhost:3000"), "http://localhost:3000", "http://localhost:3000"),
        (("*",), WEB, "*"),
        (("*",), "null", "*"),
        ((WEB,), "https://web.example.org.evil.example", None),
        ((WEB,), "http://web.example.org", None),
        ((WEB,), "null", None),
        ((WEB,), "", None),
    ],
)
def test_the_pages_of_the_named_origins_may_read_our_responses(
    origins: tuple[str, ...], origin: str, permitted: str | None
) -> None:
    """With its challenge, Retry-After and request id; it depends on Origin, so that caches keep it apart."""
    response = Cors(CorsSettings(origins=origins)).readable(REFUSAL, head(("Origin", origin)))
    fields = fields_of(response)
    assert fields.get("access-control-allow-origin") == permitted
    assert fields["www-authenticate"] == "Bearer"
    assert response.status == 401
    assert response.body == REFUSAL.body
    if permitted is not None:
        assert fields["vary"] == "Origin"
        assert fields["access-control-expose-headers"] == (
            "WWW-Authenticate, Retry-After, X-Request-Id, Grpc-Status, Grpc-Message"
        )
        assert "access-control-allow-credentials" not in fields


def test_a_request_of_no_page_gets_the_same_response_as_without_cors() -> None:
    """Nothing is made for it; two Origin fields are of no browser."""
    cors = Cors(CorsSettings(origins=(WEB,)))
    assert cors.readable(REFUSAL, head()) is REFUSAL
    assert cors.readable(REFUSAL, head(("Origin", WEB), ("Origin", WEB))) is REFUSAL


def test_a_response_for_every_page_stays_as_it_is() -> None:
    """The metadata of a resource: browsers reject two permissions."""
    public = OwnResponse(200, ("Access-Control-Allow-Origin: *",), b"{}")
    assert Cors(CorsSettings(origins=(WEB,))).readable(public, head(("Origin", WEB))) is public


def test_cookies_are_permitted_only_if_they_are_configured() -> None:
    """Fetch §3.3.4."""
    response = Cors(CorsSettings(origins=(WEB,), credentials=True)).readable(REFUSAL, head(("Origin", WEB)))
    assert fields_of(response)["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize(
    ("asked", "permitted"),
    [
        ("authorization, content-type", "authorization, content-type"),
        ("Authorization", "authorization"),
        ("", None),
        ("a b", None),
        ("a,\x00", None),
    ],
)
def test_a_preflight_is_answered_with_what_it_asks_for(asked: str, permitted: str | None) -> None:
    """Whether the request itself is allowed is decided when it comes."""
    cors = Cors(CorsSettings(origins=(WEB,), max_age=60.0))
    request = head(("Origin", WEB), ("Access-Control-Request-Headers", asked), method="OPTIONS")
    fields = fields_of(cors.readable(cors.answer(request, b"PUT"), request))
    assert fields["access-control-allow-origin"] == WEB
    assert fields["access-control-allow-methods"] == "PUT"
    assert fields["access-control-max-age"] == "60"
    assert fields.get("access-control-allow-headers") == permitted


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"origins": ("https://web.example.org/x",)}, ("origins", 0)),
        ({"origins": ("*", WEB)}, ("origins", 0)),
        ({"origins": ("*",), "credentials": True}, ("origins", 0)),
        ({"credentials": True}, ("credentials",)),
    ],
)
def test_settings_that_no_browser_accepts_are_errors(settings: dict[str, object], path: tuple[str | int, ...]) -> None:
    """Or that would let every page use the cookies of people."""
    with pytest.raises(SettingsError) as error:
        CorsSettings(**settings)  # type: ignore[arg-type]
    assert list(error.value.errors) == [path]
