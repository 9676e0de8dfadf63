"""The addresses of a name, with a clock that the test sets."""

from __future__ import annotations

from socket import AF_INET, AF_INET6

from enforcer.wire.dialing.address_list import MAX_ADDRESSES, Address, AddressList, alternate

A6, B6 = (Address(AF_INET6, (f"2001:db8::{number}", 80, 0, 0)) for number in (1, 2))
A4, B4, C4 = (Address(AF_INET, (f"192.0.2.{number}", 80)) for number in (1, 2, 3))


def listed(*addresses: Address) -> AddressList:
    """Return the list of a name that was resolved at 0, used for 5 s; a failed address is last for 30 s."""
    result = AddressList(5.0, 30.0)
    result.update(addresses, 0.0)
    return result


def test_the_families_alternate_and_ipv6_is_first() -> None:
    """RFC 8305 §4. Within a family the resolver's order stays, and a repetition is one address."""
    assert alternate([A4, B4, A6, C4, A4, B6]) == (A6, A4, B6, B4, C4)
    assert alternate([A4, B4]) == (A4, B4)


def test_a_name_has_a_bounded_number_of_addresses() -> None:
    """A name server may send thousands."""
    assert len(alternate([Address(AF_INET, (f"192.0.2.{number}", 80)) for number in range(250)])) == MAX_ADDRESSES


def test_a_name_is_resolved_again_after_the_lifetime_of_its_addresses() -> None:
    """Before the first time, there are none."""
    addresses = AddressList(5.0, 30.0)
    assert addresses.is_empty
    assert addresses.needs_resolving(0.0)
    addresses.update([A4], 0.0)
    assert [addresses.needs_resolving(now) for now in (0.0, 4.9, 5.0)] == [False, False, True]


def test_the_last_addresses_stay_if_the_name_cannot_be_resolved() -> None:
    """The next connection tries to resolve it again."""
    addresses = listed(A4)
    addresses.update([], 6.0)
    assert addresses.in_order(6.0) == [A4]
    assert addresses.needs_resolving(6.0)


def test_an_address_that_failed_is_last_for_a_while() -> None:
    """Or until it accepts a connection."""
    addresses = listed(A6, A4, B4)
    addresses.record_failure(A6, 1.0)
    assert addresses.in_order(30.9) == [A4, B4, A6]
    assert addresses.in_order(31.0) == [A6, A4, B4]
    addresses.record_failure(A4, 40.0)
    addresses.record_success(A4)
    assert addresses.in_order(40.0) == [A6, A4, B4]


def test_if_all_addresses_failed_the_order_is_the_first_one() -> None:
    """None is left out: the server may be back."""
    addresses = listed(A6, A4)
    for address in (A4, A6):
        addresses.record_failure(address, 0.0)
    assert addresses.in_order(1.0) == [A6, A4]


def test_a_failure_is_forgotten_with_its_address() -> None:
    """An address that the name no longer has takes no memory, and is not remembered as failed when it returns."""
    addresses = listed(A4, B4)
    addresses.record_failure(A4, 0.0)
    addresses.update([B4], 5.0)
    addresses.record_failure(A4, 5.0)
    addresses.update([A4, B4], 10.0)
    assert addresses.in_order(10.0) == [A4, B4]
