"""Actions: names and values of arguments, both ways, at both ends."""

from __future__ import annotations

import pytest

from propchange import ActionError, StateVariable
from propchange.upnp.actions import Action, Argument, ErrorCode

VOLUME = StateVariable("ui2", name="Volume", minimum=0, maximum=100, step=5)
CHANNEL = StateVariable("string", name="A_ARG_TYPE_Channel", allowed=["Master", "LF"])
SET_VOLUME = Action(
    "SetVolume",
    (
        Argument("Channel", "in", CHANNEL),
        Argument("DesiredVolume", "in", VOLUME),
        Argument("NowVolume", "out", VOLUME, retval=True),
    ),
)


def test_in_arguments_are_written_in_the_order_of_the_description() -> None:
    texts = SET_VOLUME.write_inputs({"DesiredVolume": 30, "Channel": "LF"})
    assert list(texts.items()) == [("Channel", "LF"), ("DesiredVolume", "30")]
    assert SET_VOLUME.read_inputs(texts) == {"Channel": "LF", "DesiredVolume": 30}


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ({"Channel": "LF"}, ErrorCode.INVALID_ARGUMENTS),
        ({"Channel": "LF", "DesiredVolume": "5", "More": ""}, ErrorCode.INVALID_ARGUMENTS),
        ({"Channel": "LF", "DesiredVolume": "loud"}, ErrorCode.INVALID_ARGUMENTS),
        ({"Channel": "LF", "DesiredVolume": "105"}, ErrorCode.VALUE_OUT_OF_RANGE),
        ({"Channel": "Sub", "DesiredVolume": "5"}, ErrorCode.VALUE_OUT_OF_RANGE),
        ({"Channel": "LF", "DesiredVolume": "7"}, ErrorCode.VALUE_INVALID),
    ],
)
def test_a_call_that_does_not_fit_has_the_error_code_of_uda(texts: dict[str, str], code: int):
    with pytest.raises(ActionError) as caught:
        SET_VOLUME.read_inputs(texts)
    assert caught.value.code == code
