"""The deviations of peers, and which of them are accepted.

A deviation is *survived* in any case: the peer gets the documented status and nobody else is
harmed. It is *accepted* when the message is used as if it were right. The rows below decide
which; the code that reads messages asks :func:`accepts` by role and name, so that this table is
what happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

__all__ = ["TOLERANCES", "Role", "Tolerance", "accepts"]

Role = Literal["publisher", "subscriber"]


class Tolerance(NamedTuple):
    """One deviation, as one role meets it.

    ``role`` is the side that reads the message. ``accepted`` says whether the message is used;
    ``switch`` names the policy field that changes this, or is empty. ``result`` is what happens
    with ``accepted`` as it stands; ``source`` is the rule that is broken, or the place in the
    clause list that tells of the deviation.
    """

    name: str
    role: Role
    deviation: str
    accepted: bool
    result: str
    source: str
    switch: str = ""


_ROWS: tuple[Tolerance, ...] = (
    # --- what a publisher meets ---
    Tolerance(
        "timeout-case", "publisher", "TIMEOUT: second-300", True, "300 s are asked for", "§12"
    ),
    Tolerance(
        "timeout-decimal",
        "publisher",
        "TIMEOUT: Second-1800.0",
        False,
        "as if TIMEOUT were absent",
        "§12, AMB-7",
    ),
    Tolerance(
        "timeout-clock",
        "publisher",
        "TIMEOUT: Second-0:30:00",
        False,
        "as if TIMEOUT were absent",
        "§12, AMB-7",
    ),
    Tolerance(
        "timeout-bare",
        "publisher",
        "TIMEOUT: 300",
        False,
        "as if TIMEOUT were absent",
        "SUB-20, AMB-7",
    ),
    Tolerance(
        "timeout-infinite",
        "publisher",
        "TIMEOUT: Second-infinite",
        False,
        "as if TIMEOUT were absent",
        "SUB-22",
    ),
    Tolerance("nt-missing", "publisher", "SUBSCRIBE without NT", False, "412", "§12, SUB-72"),
    Tolerance("nt-propchange", "publisher", "NT: upnp:propchange", False, "412", "§12, SUB-72"),
    Tolerance(
        "callback-bare", "publisher", "one CALLBACK URL without < >", False, "412", "§12, SUB-14"
    ),
    Tolerance(
        "callback-repeated",
        "publisher",
        "CALLBACK in several header lines",
        True,
        "read as one list, then counted",
        "AMB-12",
    ),
    Tolerance(
        "callback-commas",
        "publisher",
        "commas between the URLs of CALLBACK",
        True,
        "ignored",
        "AMB-12",
    ),
    Tolerance(
        "callback-some-bad",
        "publisher",
        "a CALLBACK of which only some URLs may be called",
        False,
        "412",
        "CSX-03",
        "lenient_callbacks",
    ),
    Tolerance(
        "callback-off-link",
        "publisher",
        "a CALLBACK that leads off the network of the SUBSCRIBE",
        False,
        "412",
        "CSX-01",
        "callbacks",
    ),
    Tolerance(
        "foreign-host",
        "publisher",
        "a HOST that is not the address of the connection",
        False,
        "400",
        "§9.2",
        "hosts",
    ),
    Tolerance(
        "renewal-with-callback",
        "publisher",
        "a renewal that carries CALLBACK or NT",
        False,
        "400",
        "§12, REN-07",
    ),
    Tolerance("renewal-late", "publisher", "a renewal after expiry", False, "412", "§12, REN-08"),
    Tolerance(
        "request-body", "publisher", "SUBSCRIBE with a body", True, "the body is ignored", "AMB-13"
    ),
    Tolerance(
        "trailing-nul",
        "publisher",
        "a NUL at the end of a header value",
        False,
        "400",
        "§12, SUB-75",
    ),
    Tolerance(
        "answer-http-1.0",
        "publisher",
        "an HTTP/1.0 answer to NOTIFY",
        True,
        "counts as any answer",
        "§12",
    ),
    Tolerance(
        "answer-200-unknown-sid",
        "publisher",
        "200 for a SID that the subscriber does not know",
        True,
        "the subscription lives until it expires",
        "§12, FAIL-04",
    ),
    Tolerance(
        "answer-none",
        "publisher",
        "no answer to NOTIFY at all",
        True,
        "the message is abandoned, the subscription stays",
        "§12, FAIL-03, FAIL-04",
    ),
    # --- what a subscriber meets ---
    Tolerance(
        "timeout-case", "subscriber", "TIMEOUT: second-300", True, "300 s are granted", "§12"
    ),
    Tolerance(
        "timeout-decimal", "subscriber", "TIMEOUT: Second-1800.0", True, "1800 s are granted", "§12"
    ),
    Tolerance(
        "timeout-clock", "subscriber", "TIMEOUT: Second-0:30:00", True, "1800 s are granted", "§12"
    ),
    Tolerance("timeout-bare", "subscriber", "TIMEOUT: 300", True, "300 s are granted", "§12"),
    Tolerance(
        "timeout-infinite",
        "subscriber",
        "TIMEOUT: Second-infinite",
        True,
        "never expires",
        "SUB-46, CP-05",
    ),
    Tolerance(
        "timeout-missing",
        "subscriber",
        "an answer without TIMEOUT",
        True,
        "the duration that was asked for",
        "§12, CP-05",
    ),
    Tolerance(
        "sid-without-uuid", "subscriber", "a SID without uuid:", True, "used as it is", "§12"
    ),
    Tolerance(
        "sid-changed", "subscriber", "a new SID on renewal", True, "it is adopted", "§12, REN-12"
    ),
    Tolerance(
        "initial-event-early",
        "subscriber",
        "the initial event before the answer to SUBSCRIBE",
        True,
        "held until the answer",
        "§12, SUB-59",
    ),
    Tolerance(
        "renewal-404",
        "subscriber",
        "404 instead of 412 to a renewal",
        True,
        "a fresh subscription",
        "§12, REN-12",
    ),
    Tolerance(
        "seq-missing",
        "subscriber",
        "NOTIFY without SEQ",
        True,
        "the event passes, gaps are not seen",
        "§12, RSP-04",
    ),
    Tolerance("seq-junk", "subscriber", "a SEQ that is no number", False, "400", "RSP-04"),
    Tolerance(
        "seq-leading-zeros", "subscriber", "SEQ: 007", True, "the zeros are ignored", "SEQ-06"
    ),
    Tolerance(
        "seq-always-0",
        "subscriber",
        "SEQ 0 in every message",
        True,
        "events pass, gap repair is off",
        "§12, CP-02",
    ),
    Tolerance(
        "seq-not-spent",
        "subscriber",
        "SEQ not incremented after a failed message",
        True,
        "events pass, the loss is not seen",
        "§12, SEQ-07",
    ),
    Tolerance(
        "accepted-statevar-underscore",
        "subscriber",
        "ACCEPTED_STATEVAR",
        True,
        "read as ACCEPTED-STATEVAR",
        "AMB-3",
    ),
    Tolerance(
        "content-type",
        "subscriber",
        "text/xml without charset, or another type",
        True,
        "the body decides",
        "§12, NOT-04",
    ),
    Tolerance(
        "chunked-quoted",
        "subscriber",
        'TRANSFER-ENCODING: "chunked" in quotes',
        False,
        "400",
        "NOT-06",
    ),
    Tolerance(
        "body-trailing-nul",
        "subscriber",
        "NULs or white space after the propertyset",
        True,
        "ignored",
        "XML-10",
    ),
    Tolerance(
        "property-several",
        "subscriber",
        "several variables in one property",
        True,
        "all are read",
        "§12, XML-10",
    ),
    Tolerance(
        "last-change-nested",
        "subscriber",
        "LastChange as nested XML",
        True,
        "read as its text",
        "§12, XML-10",
    ),
    Tolerance(
        "last-change-escaped-twice",
        "subscriber",
        "LastChange escaped once too often",
        True,
        "read as if escaped once",
        "XML-10",
    ),
    Tolerance(
        "last-change-ampersand",
        "subscriber",
        "an ampersand in LastChange that is not escaped",
        True,
        "read as an ampersand",
        "LC-08",
    ),
    Tolerance(
        "last-change-instance",
        "subscriber",
        "an InstanceID in LastChange that is no number",
        True,
        "the other instances are read, and it is told as an outcome",
        "LC-03",
    ),
    Tolerance(
        "last-change-malformed",
        "subscriber",
        "a LastChange that cannot be read",
        True,
        "given as text and told as an outcome",
        "LC-03",
    ),
    Tolerance(
        "variable-unknown",
        "subscriber",
        "a variable that the SCPD does not have",
        True,
        "given as text",
        "§12, XML-06",
    ),
    Tolerance(
        "duration-short",
        "subscriber",
        "a grant of 300 s or less",
        True,
        "renewed in time",
        "§12, SUB-47",
    ),
    Tolerance(
        "foreign-host",
        "subscriber",
        "a HOST that is neither the address of the connection nor that in CALLBACK",
        False,
        "400",
        "§9.2",
        "hosts",
    ),
    Tolerance(
        "foreign-source",
        "subscriber",
        "an event from another address than the device's",
        True,
        "told as an outcome",
        "§12",
        "require_device_source",
    ),
)

TOLERANCES: Mapping[tuple[Role, str], Tolerance] = MappingProxyType(
    {(row.role, row.name): row for row in _ROWS}
)
"""Every row, by role and name."""


def accepts(role: Role, name: str) -> bool:
    """Whether ``role`` uses a message with the deviation ``name`` when no policy field says
    otherwise. Raises ``KeyError`` for a deviation that is not in the table."""
    return TOLERANCES[role, name].accepted
