"""The deviations of peers that the code asks about, and which of them are accepted.

A deviation is *survived* in any case: the peer gets the documented status and no other peer is
harmed. It is *accepted* when the message is used as if it were right. The judges ask
:func:`accepts` by role and name, so changing a row here changes what happens.

Most deviations are accepted or refused by the way a parser is written, and no code asks about
them. Their rows stand beside the bytes that show them, in ``tests/vectors``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

Role = Literal["publisher", "subscriber", "device", "control-point"]
"""The side that reads a message: of eventing, the publisher or the subscriber; of actions, the
device or the control point."""


class Tolerance(NamedTuple):
    """One deviation, for one role.

    ``role`` is the side that reads the message. ``accepted``: the message is used. ``result`` is
    the effect of ``accepted``. ``source`` is the broken rule, or the clause that describes the
    deviation.
    """

    name: str
    role: Role
    deviation: str
    accepted: bool
    result: str
    source: str


_AS_ABSENT = "as if TIMEOUT were absent"
_OF_ACTIONS: tuple[Role, ...] = ("device", "control-point")

# fmt: off
_ROWS: tuple[Tolerance, ...] = (
    Tolerance("timeout-case", "publisher", "TIMEOUT: second-300", True,
              "300 s are asked for", "§12"),
    Tolerance("timeout-decimal", "publisher", "TIMEOUT: Second-1800.0", False,
              _AS_ABSENT, "§12, AMB-7"),
    Tolerance("timeout-clock", "publisher", "TIMEOUT: Second-0:30:00", False,
              _AS_ABSENT, "§12, AMB-7"),
    Tolerance("timeout-bare", "publisher", "TIMEOUT: 300", False, _AS_ABSENT, "SUB-20, AMB-7"),
    Tolerance("nt-missing", "publisher", "SUBSCRIBE without NT", False, "412", "§12, SUB-72"),
    Tolerance("nt-propchange", "publisher", "NT: upnp:propchange", False, "412", "§12, SUB-72"),
    Tolerance("timeout-case", "subscriber", "TIMEOUT: second-300", True,
              "300 s are granted", "§12"),
    Tolerance("timeout-decimal", "subscriber", "TIMEOUT: Second-1800.0", True,
              "1800 s are granted", "§12"),
    Tolerance("timeout-clock", "subscriber", "TIMEOUT: Second-0:30:00", True,
              "1800 s are granted", "§12"),
    Tolerance("timeout-bare", "subscriber", "TIMEOUT: 300", True, "300 s are granted", "§12"),
    Tolerance("seq-missing", "subscriber", "NOTIFY without SEQ", True,
              "the event passes, gaps are not seen", "§12, RSP-04"),
    Tolerance("chunked-quoted", "subscriber", 'TRANSFER-ENCODING: "chunked"', True,
              "the body is read as chunked", "NOT-06"),
    Tolerance("accepted-statevar-underscore", "subscriber", "ACCEPTED_STATEVAR", True,
              "read as ACCEPTED-STATEVAR", "AMB-3"),
    # XML of event messages, LastChange and descriptions. A user reads the deviation and the result
    # as a problem (:mod:`.mending`).
    Tolerance("xml-encoding", "subscriber", "bytes that are not of the declared encoding", True,
              "read as windows-1252, or as U+FFFD", "XML-10"),
    Tolerance("xml-declaration", "subscriber",
              "an XML declaration that is misplaced, malformed or wrong", True,
              "ignored", "XML-10"),
    Tolerance("xml-before", "subscriber", "something before the document", True,
              "ignored", "XML-10"),
    Tolerance("xml-behind", "subscriber", "something behind the root element", True,
              "ignored", "XML-10"),
    Tolerance("xml-ampersand", "subscriber", "an & that is not escaped", True,
              "read as text", "XML-04"),
    Tolerance("xml-less-than", "subscriber", "a < or ]]> that is not escaped", True,
              "read as text", "XML-04"),
    Tolerance("xml-html-entity", "subscriber", "a reference of HTML, such as &nbsp;", True,
              "read as its character", "XML-04"),
    Tolerance("xml-character", "subscriber", "a character that XML cannot carry", True,
              "read as U+FFFD", "XML-04"),
    Tolerance("xml-surrogates", "subscriber", "a character written as two surrogates", True,
              "read as the character", "XML-04"),
    Tolerance("xml-attribute", "subscriber",
              "an attribute that is repeated, or without quotes or white space", True,
              "read", "XML-10"),
    Tolerance("xml-end-tag", "subscriber", "an end tag with another prefix or in another case",
              True, "read as that of its element", "XML-09"),
    Tolerance("xml-comment", "subscriber",
              "a comment or processing instruction that is not well-formed", True,
              "ignored", "XML-05"),
    Tolerance("xml-namespace", "subscriber", "a namespace that is not declared", True,
              "elements are read by their local names", "XML-07"),
    # Calls of actions. A device never guesses an argument, so it does not read a replaced
    # character or one of two texts. What is accepted is read as in an answer.
    Tolerance("xml-encoding", "device", "bytes that are not of the declared encoding", False,
              "400", "XML-10"),
    Tolerance("xml-character", "device", "a character that XML cannot carry", False,
              "400", "XML-04"),
    *(
        Tolerance(name, role, deviation, True, result, source)
        for name, deviation, result, source in (
            ("soap-case", "an element of SOAP in another case", "read", "UDA 2.0 §3.1.1"),
            ("soap-namespace", "an element of SOAP in another namespace", "read",
             "UDA 2.0 §3.1.1"),
            ("soap-1.2", "an envelope of SOAP 1.2", "read as one of SOAP 1.1", "UDA 2.0 §3.1.1"),
            ("soap-nested", "an argument that is XML instead of text", "read as its text",
             "UDA 2.0 §3.1.1"),
        )
        for role in _OF_ACTIONS
    ),
    Tolerance("soap-envelope", "device", "a call without an envelope or a Body", False,
              "400", "UDA 2.0 §3.1.1"),
    Tolerance("soap-second", "device", "several elements or no element in the Body", False,
              "400", "UDA 2.0 §3.1.1"),
    Tolerance("soap-must-understand", "device", "a header that must be understood", False,
              "400", "SOAP 1.1 §4.2.3"),
    Tolerance("soap-repeated", "device", "an argument that occurs twice", False,
              "402", "UDA 2.0 §3.1.1"),
    Tolerance("soap-mixed", "device", "an argument with text and elements", False,
              "402", "UDA 2.0 §3.1.1"),
    # Answers to calls, and faults.
    Tolerance("soap-envelope", "control-point", "an answer without an envelope or a Body", True,
              "read", "UDA 2.0 §3.1.1"),
    Tolerance("soap-empty", "control-point", "an answer without an element in its Body", True,
              "read as an answer without arguments", "UDA 2.0 §3.1.1"),
    Tolerance("soap-second", "control-point", "a second element in the Body", True,
              "ignored", "UDA 2.0 §3.1.1"),
    Tolerance("soap-response-name", "control-point",
              "an answer that is not named after the action", True,
              "read as the answer", "UDA 2.0 §3.1.1"),
    Tolerance("soap-repeated", "control-point", "an argument that occurs twice", True,
              "the first is read", "UDA 2.0 §3.1.1"),
    Tolerance("soap-mixed", "control-point", "an argument with text and elements", True,
              "the text is read", "UDA 2.0 §3.1.1"),
)
# fmt: on

TOLERANCES: Mapping[tuple[Role, str], Tolerance] = MappingProxyType(
    {(row.role, row.name): row for row in _ROWS}
)
"""Every row, by role and name."""


def accepts(role: Role, name: str) -> bool:
    """Whether ``role`` uses a message with the deviation ``name``. Raises ``KeyError`` for a
    deviation that is not in the table."""
    return TOLERANCES[role, name].accepted
