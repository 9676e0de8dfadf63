"""The library's state machine, within bounds of ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, ResponseReceived
from h2.exceptions import DenialOfServiceError, FlowControlError, ProtocolError, StreamClosedError
from h2.settings import SettingCodes
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PriorityFrame,
    RstStreamFrame,
    WindowUpdateFrame,
)

from enforcer.wire.http2.frames import FRAME
from enforcer.wire.http2.state_machine import CONNECTION_WINDOW, BoundedConnection

HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]


def pair() -> tuple[BoundedConnection, H2Connection]:
    """Return a server with small limits, and a client that has its settings."""
    server = BoundedConnection(client_side=False, streams=2, window=70_000, head=1000, fields=10)
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    return server, client


def test_the_limits_are_announced() -> None:
    """In the first SETTINGS, and by the first credit for the connection."""
    _, client = pair()
    settings = client.remote_settings
    assert settings[SettingCodes.MAX_CONCURRENT_STREAMS] == 2
    assert settings[SettingCodes.INITIAL_WINDOW_SIZE] == 70_000
    assert settings[SettingCodes.MAX_HEADER_LIST_SIZE] == 1000
    assert client.outbound_flow_control_window == CONNECTION_WINDOW


def test_a_client_that_does_not_know_the_limit_yet_keeps_its_connection() -> None:
    """Each stream over the limit is refused by itself; and what is closed is forgotten."""
    server = BoundedConnection(client_side=False, streams=2, window=70_000, head=1000, fields=10)
    client = H2Connection(H2Configuration(client_side=True))
    client.initiate_connection()
    for number in range(1, 41, 2):
        client.send_headers(number, HEAD, end_stream=True)
        events = server.receive_data(client.data_to_send())
        assert any(isinstance(event, RequestReceived) for event in events)
        server.reset_stream(number)
    assert len(server.streams) <= 6


def test_a_section_of_many_short_fields_is_not_decoded() -> None:
    """A byte is enough for a field, and decoding one takes as long as reading a hundred bytes."""
    server, client = pair()
    client.send_headers(1, [*HEAD, *[("x", "")] * 20], end_stream=True)
    with pytest.raises(DenialOfServiceError):
        server.receive_data(client.data_to_send())


def test_a_client_cannot_make_the_encoder_remember_more() -> None:
    """SETTINGS_HEADER_TABLE_SIZE may permit any size, which would be ours to hold."""
    server, client = pair()
    client.update_settings({SettingCodes.HEADER_TABLE_SIZE: 2**30})
    server.receive_data(client.data_to_send())
    assert server.encoder.header_table_size == 4096
    client.update_settings({SettingCodes.HEADER_TABLE_SIZE: 100})
    server.receive_data(client.data_to_send())
    assert server.encoder.header_table_size == 100


@pytest.mark.parametrize("client_side", [False, True])
def test_secrets_stay_out_of_the_table_of_repeated_fields(*, client_side: bool) -> None:
    """In both directions: other streams share the table, and could guess the values (RFC 7541 §7.1)."""
    secrets = [
        *((b"authorization", b"Bearer x"), (b"cookie", b"a=b"), (b"dpop", b"p"), (b"set-cookie", b"c=d")),
        *((b"www-authenticate", b"Negotiate x"), (b"dpop-nonce", b"n"), (b"sec-websocket-protocol", b"token.x")),
    ]
    machine = BoundedConnection(client_side=client_side, streams=2, window=70_000, head=1000, fields=10)
    decoder = Decoder()
    decoded = list(decoder.decode(machine.encoder.encode([*secrets, (b"x-name", b"value")]), raw=True))
    assert decoded == [*secrets, (b"x-name", b"value")]
    assert [field[0] for field in decoded if isinstance(field, NeverIndexedHeaderTuple)] == [
        name for name, _ in secrets
    ]
    assert list(decoder.header_table.dynamic_entries) == [(b"x-name", b"value")]


def test_values_are_sent_as_they_are() -> None:
    """Without the Huffman code, which the library computes for half a millisecond if a token is long."""
    server, client = pair()
    client.send_headers(1, HEAD, end_stream=True)
    server.receive_data(client.data_to_send())
    value = b"token-" * 100
    server.send_section(1, [(b":status", b"200"), (b"x-value", value)], ends=False)
    sent = server.data_to_send()
    assert value in sent
    response = next(event for event in client.receive_data(sent) if isinstance(event, ResponseReceived))
    assert dict(response.headers)[b"x-value"] == value


BLOCK = Encoder().encode(HEAD)  # without fields of the dynamic table, except as additions to it
TRAILERS = Encoder().encode([("grpc-status", "0")])
ENDS, WHOLE = "END_STREAM", "END_HEADERS"
SEQUENCES: dict[str, list[Frame]] = {
    "request": [HeadersFrame(1, BLOCK, flags=[WHOLE, ENDS])],
    "body": [HeadersFrame(1, BLOCK, flags=[WHOLE]), DataFrame(1, b"ab"), DataFrame(1, b"c", flags=[ENDS])],
    "empty body": [HeadersFrame(1, BLOCK, flags=[WHOLE]), DataFrame(1, b"", flags=[ENDS])],
    "padding": [HeadersFrame(1, BLOCK, flags=[WHOLE]), DataFrame(1, b"ab", pad_length=9, flags=["PADDED", ENDS])],
    "padded head": [HeadersFrame(1, BLOCK, pad_length=3, flags=[WHOLE, "PADDED"])],
    "trailers": [HeadersFrame(1, BLOCK, flags=[WHOLE]), HeadersFrame(1, TRAILERS, flags=[WHOLE, ENDS])],
    "trailers that do not end": [HeadersFrame(1, BLOCK, flags=[WHOLE]), HeadersFrame(1, TRAILERS, flags=[WHOLE])],
    "priority": [HeadersFrame(1, BLOCK, depends_on=0, flags=[WHOLE, "PRIORITY"])],
    "priority of itself": [HeadersFrame(1, BLOCK, depends_on=1, flags=[WHOLE, "PRIORITY"])],
    "continuation": [HeadersFrame(1, BLOCK[:2]), ContinuationFrame(1, BLOCK[2:], flags=[WHOLE])],
    "credit": [HeadersFrame(1, BLOCK, flags=[WHOLE]), WindowUpdateFrame(0, 9), WindowUpdateFrame(1, 9)],
    "too much credit": [HeadersFrame(1, BLOCK, flags=[WHOLE]), WindowUpdateFrame(1, 2**31 - 1)],
    "too much credit for all": [WindowUpdateFrame(0, 2**31 - 1)],
    "credit for no stream": [WindowUpdateFrame(7, 9)],
    "body of no stream": [DataFrame(7, b"ab")],
    "body behind the end": [HeadersFrame(1, BLOCK, flags=[WHOLE, ENDS]), DataFrame(1, b"ab")],
    "head behind the end": [HeadersFrame(1, BLOCK, flags=[WHOLE, ENDS]), HeadersFrame(1, BLOCK, flags=[WHOLE])],
    "lower stream": [HeadersFrame(7, BLOCK, flags=[WHOLE]), HeadersFrame(5, BLOCK, flags=[WHOLE])],
    "even stream": [HeadersFrame(2, BLOCK, flags=[WHOLE])],
    "body behind a reset": [HeadersFrame(1, BLOCK, flags=[WHOLE]), RstStreamFrame(1), DataFrame(1, b"ab")],
    "reset of no stream": [RstStreamFrame(7)],
    "reset of a forgotten stream": [HeadersFrame(7, BLOCK, flags=[WHOLE]), RstStreamFrame(5)],
    "more than the window": [HeadersFrame(1, BLOCK, flags=[WHOLE]), *[DataFrame(1, bytes(FRAME))] * 5],
    "not compressed": [HeadersFrame(1, b"\xff\xff", flags=[WHOLE])],
    "too many fields": [HeadersFrame(1, b"\x82" * 30, flags=[WHOLE])],
    "no fields": [HeadersFrame(1, b"", flags=[WHOLE])],
    "other length": [HeadersFrame(1, BLOCK + b"\x5c\x013", flags=[WHOLE]), DataFrame(1, b"ab", flags=[ENDS])],
    "no length": [HeadersFrame(1, BLOCK + b"\x5c\x01x", flags=[WHOLE])],
    "interim request": [HeadersFrame(1, b"\x08\x03100", flags=[WHOLE])],
    "priority frame": [PriorityFrame(3, depends_on=1)],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_frame_means_the_same_whoever_parses_it(name: str) -> None:
    """The same events, errors and frames as if the library had parsed each one."""

    def outcome(take: Callable[[BoundedConnection, Frame, bytes], list[Event]]) -> list[object]:
        server, _ = pair()
        server.data_to_send()
        seen: list[object] = []
        for frame in SEQUENCES[name]:
            try:
                seen += [(type(event), str(vars(event))) for event in take(server, frame, frame.serialize())]
            except ProtocolError as error:
                cause = error.__cause__ is not None
                seen.append((type(error), cause, server.is_fault_of_stream(frame.stream_id, frame.type or 0, error)))
                break
        return [*seen, server.data_to_send(), server.inbound_flow_control_window]

    def parsed_here(server: BoundedConnection, frame: Frame, data: bytes) -> list[Event]:
        return server.receive(frame.type or 0, data[4], frame.stream_id, data)

    assert outcome(parsed_here) == outcome(lambda server, _, data: server.receive_data(data))


def test_a_large_section_has_several_frames() -> None:
    """None is larger than any peer takes; the first says whether the stream ends (RFC 9113 §6.10)."""
    server, client = pair()
    client.send_headers(1, HEAD, end_stream=True)
    server.receive_data(client.data_to_send())
    fields = [(b":status", b"200"), (b"x-a", b"a" * FRAME), (b"x-b", b"b" * FRAME)]
    server.send_section(1, fields, ends=True)
    client.decoder.max_header_list_size = 2**20
    response, ended = client.receive_data(server.data_to_send())
    assert isinstance(response, ResponseReceived)
    assert [tuple(field) for field in response.headers] == fields
    assert response.stream_ended is ended


def test_a_body_takes_up_the_windows_and_no_more() -> None:
    """Those of the stream and of the connection; a body that is sent behind the end is an error too."""
    server, client = pair()
    client.send_headers(1, HEAD, end_stream=True)
    server.receive_data(client.data_to_send())
    server.send_section(1, [(b":status", b"200")], ends=False)
    for size in (FRAME, FRAME, FRAME, FRAME - 1):
        server.send_body(1, bytes(size), ends=False)
    assert server.local_flow_control_window(1) == 0
    with pytest.raises(FlowControlError):
        server.send_body(1, b"x", ends=True)
    server.send_body(1, b"", ends=True)
    events = client.receive_data(server.data_to_send())
    assert sum(len(event.data or b"") for event in events if isinstance(event, DataReceived)) == 65_535
    assert client.streams[1].closed
    with pytest.raises(StreamClosedError):
        server.send_body(1, b"", ends=True)


def test_the_response_to_head_has_the_length_of_a_body_that_does_not_come() -> None:
    """The state machine of a client knows the method."""
    client = BoundedConnection(client_side=True, streams=2, window=70_000, head=1000, fields=10)
    server = H2Connection(H2Configuration(client_side=False))
    server.initiate_connection()
    client.send_section(
        1, [(b":method", b"HEAD"), *[(b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]], ends=True
    )
    server.receive_data(client.data_to_send())
    client.receive_data(server.data_to_send())
    server.send_headers(1, [(":status", "200"), ("content-length", "5")])
    server.send_data(1, b"", end_stream=True)
    assert [type(event).__name__ for event in client.receive_data(server.data_to_send())] == [
        "ResponseReceived", "DataReceived", "StreamEnded",
    ]  # fmt: skip
