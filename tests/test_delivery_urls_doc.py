"""docs/delivery-urls.md says of each delivery URL what the publisher does."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import OnLink
from propchange.core.publisher.callback_guard import CALLBACK_POLICIES, judge_callbacks
from propchange.core.wire.messages import Endpoint
from propchange.errors import RemoteProtocolError

_PAGE = (Path(__file__).parent.parent / "docs" / "delivery-urls.md").read_text("utf-8")
_ROWS = re.findall(r"^\| ([\d.]+) \| `(\S+)` \| (\w+) \| (\w+) \| (\w+) \|$", _PAGE, re.MULTILINE)


def test_the_page_has_rows_of_each_policy() -> None:
    header = next(line for line in _PAGE.splitlines() if line.startswith("| SUBSCRIBE comes"))
    assert re.findall(r'`"(\S+)"`', header) == list(CALLBACK_POLICIES)
    for column in range(2, 5):
        assert {row[column] for row in _ROWS} == {"called", "refused"}


@pytest.mark.clause("CSX-01")
@pytest.mark.parametrize("row", _ROWS, ids=lambda row: f"{row[1]} from {row[0]}")
def test_what_is_called_and_what_is_refused_is_as_the_page_says(row: tuple[str, ...]) -> None:
    peer, url, *said = row
    for policy, expected in zip(CALLBACK_POLICIES, said, strict=True):
        try:
            judge_callbacks(
                (url,),
                peer=Endpoint(peer, 50_000),
                local=Endpoint("192.168.1.2", 8123),
                on_link=(OnLink(ip_network("192.168.1.0/24")),),
                own_hosts={"192.168.1.2", "10.7.0.2"},
                policy=policy,
                lenient=False,
                limits=DEFAULT_LIMITS,
            )
            done = "called"
        except RemoteProtocolError:
            done = "refused"
        assert done == expected, policy
