"""The library's state machine, within bounds of ours."""

from __future__ import annotations

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived, ResponseReceived
from h2.exceptions import DenialOfServiceError
from h2.settings import SettingCodes
from hpack import Decoder, NeverIndexedHeaderTuple

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
    server.send_headers(1, [(b":status", b"200"), (b"x-value", value)])
    sent = server.data_to_send()
    assert value in sent
    response = next(event for event in client.receive_data(sent) if isinstance(event, ResponseReceived))
    assert dict(response.headers)[b"x-value"] == value
