"""Values of each data type, through a call of a hosted device and back, over sockets."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.values.data_types import DATA_TYPES
from propchange.core.values.state_variables import StateVariable
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.machine import Interfaces, Machine
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.upnp.action_methods import action
from propchange.upnp.device import Device
from propchange.upnp.service import Service

_EAST = timezone(timedelta(hours=5, minutes=30))

VALUES: dict[str, list[Any]] = {
    **{
        name: [known.minimum, 0, 1, known.maximum]
        for name, known in DATA_TYPES.items()
        if known.python_type is int and known.minimum is not None
    },
    "int": [-(2**31), 0, 2**63],
    "r4": [0.0, -1.5, 3.4028234663852886e38, 1.1754943508222875e-38, 0.1],
    "r8": [0.0, -0.1, 1e308, 5e-324, math.pi],
    "number": [0.0, -0.1, 1e308],
    "float": [0.0, -0.1, 1e308],
    "fixed.14.4": [Decimal(0), Decimal("-99999999999999.9999"), Decimal("0.0001")],
    "char": ["x", "é", "<", "&", "\U0001f600"],
    "string": [
        "",
        " ",
        " a ",
        "a\tb\nc\rd\r\ne",
        "<&>\"'",
        "]]>",
        "&amp;",
        "é\u2028\U0001f600",
        '<DIDL-Lite xmlns="x"><item id="1">&amp;</item></DIDL-Lite>',
        "x" * 100_000,
    ],
    "uri": ["", "http://192.0.2.1/a?b=c&d=%20#e"],
    "date": [date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)],
    "dateTime": list(map(datetime.fromisoformat, ("2024-02-29T23:59:59", "0001-01-01"))),
    "dateTime.tz": [
        datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
        datetime(2024, 1, 1, tzinfo=_EAST),
    ],
    "time": [time(0, 0), time(23, 59, 59)],
    "time.tz": [time(0, 0, tzinfo=UTC), time(23, 59, 59, tzinfo=_EAST)],
    "boolean": [True, False],
    "bin.base64": [b"", b"\0\xff", bytes(range(256)) * 10],
    "bin.hex": [b"", b"\0\xff", bytes(range(256))],
    "uuid": [UUID(int=0), UUID("12345678-1234-5678-9abc-def012345678")],
}
"""Values of each data type, at its bounds and those that are hard to write."""


class RemoteDevice(DescribedDevice[DescribedService]):
    _service_type = DescribedService


def echo_service(seen: list[Any]) -> Service:
    """A service with an action for each data type, which returns its argument."""

    def echo(variable: StateVariable[Any]) -> Any:
        def function(value: Any) -> Any:
            seen.append(value)
            return value

        decorate: Any = action(
            name=f"Echo{variable.name}",
            arguments={"value": variable},
            returns={"Result": variable},
            retval=True,
        )
        return decorate(function)

    variables = [
        StateVariable.of(name, name=f"Of{name.replace('.', '')}", evented=False) for name in VALUES
    ]
    return Service(
        type="urn:example-org:service:Echo:1",
        variables=variables,
        actions=[echo(variable) for variable in variables],
    )


def test_the_round_trips_have_values_of_every_data_type() -> None:
    assert set(DATA_TYPES) == set(VALUES)


def cases() -> Iterator[tuple[str, Any]]:
    for name, values in VALUES.items():
        for value in values:
            yield name, value


async def test_a_value_of_each_data_type_comes_back_as_it_was_sent(driven: Any) -> None:
    seen: list[Any] = []
    bench = Device("Bench", services=[echo_service(seen)])
    driver = SubscriberDriver(
        driven.runtime,
        SubscriberPolicy(),
        limits=DEFAULT_LIMITS,
        interfaces=Interfaces(),
        machine=Machine(),
    )
    async with driven.host(bench, interface="127.0.0.1", announce=False) as hosted:
        await driven.run(driver.open("127.0.0.1", (0,)))
        try:
            url = hosted.description_url
            device = await driven.run(driver.device(RemoteDevice, url, None, None))
            (service,) = device.services
            for name, value in cases():
                called = f"EchoOf{name.replace('.', '')}"
                result = await driven.run(service._call(called, (), {"Value": value}))
                assert result == {"Result": value}, name
                assert type(result["Result"]) is type(value), name
                assert seen.pop() == value
                assert seen == []
                if isinstance(value, datetime | time):
                    assert result["Result"].utcoffset() == value.utcoffset()
        finally:
            await driven.run(driver.close())


@pytest.mark.parametrize("text", ["a\0b", "\x0b", "\ufffe", "\ud800"])
def test_a_character_that_xml_cannot_carry_is_refused_before_anything_is_sent(text: str) -> None:
    with pytest.raises(ValueError, match="string"):
        StateVariable("string", name="A").check(text)
