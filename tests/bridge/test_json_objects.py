"""What anybody may have written to the store: read as an object, or as an empty one."""

from __future__ import annotations

import pytest

from propchange.bridge.claims import ClaimValue
from propchange.bridge.json_objects import json_object, member_object
from propchange.bridge.leases import LeaseValue

NO_OBJECTS = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b"\xff\xfe{}",
    "a list": b"[1]",
    "a number": b"1",
    "nested too deeply": b"[" * 100_000,
    "an object nested too deeply": b'{"session":' * 100_000,
}


@pytest.mark.parametrize("payload", NO_OBJECTS.values(), ids=NO_OBJECTS)
def test_a_value_that_is_no_object_is_a_lease_and_a_claim_of_nobody(payload: bytes) -> None:
    assert json_object(payload) == {}
    assert LeaseValue.from_bytes(payload).session == ""
    assert ClaimValue.from_bytes(payload).session == ""


def test_members_of_other_types_are_left_empty() -> None:
    payload = b'{"session": 1, "collector": null, "term": true, "tried": "a", "devices": "2"}'
    claim, lease = ClaimValue.from_bytes(payload), LeaseValue.from_bytes(payload)
    assert (claim.session, claim.collector, claim.term, claim.tried) == ("", "", 0, ())
    assert (lease.session, lease.devices) == ("", 0)


def test_a_member_that_is_no_object_has_no_members() -> None:
    assert member_object({"a": 1}) == {"a": 1}
    assert member_object([1]) == member_object(None) == {}
