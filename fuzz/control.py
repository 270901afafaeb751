"""The target of requests to a controlURL."""

from __future__ import annotations

from typing import Any

from propchange import Service, StateVariable
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.values.data_types import DATA_TYPES
from propchange.core.wire.messages import Endpoint, Request
from propchange.errors import ActionError
from propchange.upnp.action_methods import action
from propchange.upnp.actions import ErrorCode
from propchange.upnp.control import ActionCall, Control
from propchange.upnp.soap import parse_answer

_SERVICE = "urn:x:service:X:2"
_HERE = Endpoint("192.0.2.1", 80)
_METHODS = ("POST", "M-POST", "GET")
_REFUSED = {400, 403, 405, 415, 510}
_CODES = {
    ErrorCode.INVALID_ACTION,
    ErrorCode.INVALID_ARGUMENTS,
    ErrorCode.VALUE_INVALID,
    ErrorCode.VALUE_OUT_OF_RANGE,
}


class _Typed(Service, type=_SERVICE):
    number = StateVariable("i4", minimum=-10, maximum=10, step=5)
    choice = StateVariable("string", allowed=["a", "b"], initial="a")

    @action
    def set_number(self, number: int) -> None:
        pass

    @action
    def set_choice(self, choice: str) -> None:
        pass


def _every_type() -> Service:
    make: Any = StateVariable  # its overloads want a literal
    variables = [
        make(name, name=f"V{number}", evented=False) for number, name in enumerate(DATA_TYPES)
    ]
    functions = {}
    for each in variables:

        @action(name=f"Set{each.name}", arguments={"value": each})
        def take(value: object) -> None:
            pass

        functions[each.name] = take
    return Service(type=_SERVICE, variables=variables, actions=list(functions.values()))


_SERVICES = (_Typed(), _every_type())
_CONTROL = Control(PublisherPolicy(), lambda: b"")


def control(data: bytes) -> None:
    """A request to a controlURL. The first byte chooses the method and the service, the lines up to
    the first empty one are header fields beside HOST, and the rest is the body. It is refused, or
    answered with an error of UDA, or its values fit their variables."""
    kind = data[0] if data else 0
    head, _, body = data[1:].partition(b"\n\n")
    pairs = [(b"HOST", str(_HERE).encode())]
    for line in head.split(b"\n"):
        name, _, value = line.partition(b":")
        pairs.append((name, value.strip()))
    method = _METHODS[kind % len(_METHODS)]
    request = Request(method, "/control", pairs, body, peer=_HERE, local=_HERE)
    answer = _CONTROL.judge(request, _SERVICES[kind // len(_METHODS) % len(_SERVICES)])
    if isinstance(answer, ActionCall):
        for each in answer.action.inputs:
            value = answer.inputs[each.name]
            assert repr(each.variable.check(value)) == repr(value)  # NaN equals nothing
        assert _CONTROL.answer(answer, None).status == 200
        return
    if answer.status != 500:
        assert answer.status in _REFUSED
        assert answer.body == b""
        return
    code = 0
    try:
        parse_answer(answer.body, 500, "")
    except ActionError as error:
        code = error.code
    assert code in _CODES
