"""SOAP 1.1 messages of actions: calls, answers and faults, both ways (UDA 2.0 §3.1.1, §3.2).

What is written has exactly the form of UDA. What peers send is read leniently. A device never
guesses an argument: a call with two meanings is refused. A control point reads from an answer what
it can, since the action has run already; each deviation becomes a problem.

Each deviation that is looked for is a row of :mod:`propchange.core.tolerance`, with the role
``device`` for calls and ``control-point`` for answers. Prefixes, attributes, CDATA, headers and the
order of arguments have no meaning, so they are no deviations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.tolerance import Role, accepts
from propchange.core.values.data_types import shown
from propchange.core.wire.mending import problem, read_leniently
from propchange.core.wire.nested_values import read_nested_values
from propchange.core.wire.propertyset import check_variable_name
from propchange.core.wire.xml import (
    FORBIDDEN,
    Element,
    check_carried,
    escape_text,
    parse_tree,
    quote_attribute,
    unescape_text,
)
from propchange.errors import ActionError, RemoteProtocolError
from propchange.upnp.actions import ErrorCode

SOAP_NAMESPACE = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_1_2_NAMESPACE = "http://www.w3.org/2003/05/soap-envelope"
CONTROL_NAMESPACE = "urn:schemas-upnp-org:control-1-0"

_CLAUSE = "UDA 2.0 §3.1.1"
_OPEN = (
    f'<?xml version="1.0"?>\n<s:Envelope xmlns:s="{SOAP_NAMESPACE}" '
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
)
_CLOSE = "</s:Body></s:Envelope>"
_PADDING = b"\0 \t\r\n"
_ERROR_CODE = re.compile(r"[ \t\r\n]*+([+-]?[0-9]{1,9})(?![0-9])")
# The plain form: see _parse_plain for what these expressions must not match.
_PLAIN_BYTES = 16_384
_PLAIN_PREFIX = "[A-WYZa-wyz][A-Za-z0-9_-]{0,30}"
_PLAIN_NAME = "[A-Za-z_][A-Za-z0-9_.-]{0,254}"
_PLAIN_DECLARES = r'xmlns:\1="http://schemas\.xmlsoap\.org/soap/envelope/"'
_PLAIN_ENCODES = r'\1:encodingStyle="http://schemas\.xmlsoap\.org/soap/encoding/"'
_PLAIN_OPEN = re.compile(
    r'(?:<\?xml version="1\.0"(?: encoding="(?:utf-8|UTF-8)")?\?>[ \t\r\n]*)?'
    rf"<({_PLAIN_PREFIX}):Envelope "
    rf"(?:{_PLAIN_DECLARES}(?: {_PLAIN_ENCODES})?|{_PLAIN_ENCODES} {_PLAIN_DECLARES})>[ \t\r\n]*"
    r"<\1:Body>[ \t\r\n]*"
    rf"<({_PLAIN_PREFIX}):({_PLAIN_NAME}) xmlns:\2=\"([!#-%'-;=?-~]*)\">[ \t\r\n]*"
)
_PLAIN_ARGUMENT = re.compile(
    rf"<({_PLAIN_NAME})>([\t\n -%'-;=?-~]*(?:&(?:amp|lt|gt|quot|apos);[\t\n -%'-;=?-~]*)*)"
    r"</\1>[ \t\r\n]*"
)
_PLAIN_CLOSE = re.compile(
    rf"</({_PLAIN_PREFIX}):({_PLAIN_NAME})>[ \t\r\n]*"
    rf"</({_PLAIN_PREFIX}):Body>[ \t\r\n]*</\3:Envelope>[ \t\r\n]*\Z"
)
_UDA_FAULTSTRING = "UPnPError"
"""The faultstring that UDA gives to every fault. It does not describe the error."""


class Call(NamedTuple):
    """A call as a device reads it.

    ``service_type`` is the namespace of the action's element; "" without one. ``texts`` maps the
    names of the arguments to their texts, in the order of the message. ``problems`` has a sentence
    for each deviation that was accepted.
    """

    action: str
    service_type: str
    texts: dict[str, str]
    problems: tuple[str, ...]


class Answer(NamedTuple):
    """The answer to a call as a control point reads it: the texts of the out arguments by name, in
    the order of the message, and a sentence for each deviation."""

    texts: dict[str, str]
    problems: tuple[str, ...]


# --- writing ---


def build_call(service_type: str, action_name: str, texts: Mapping[str, str]) -> bytes:
    """The body of a POST that calls an action (UDA 2.0 §3.1.1), in UTF-8.

    Raises ValueError for a name that is no XML name, and for a text with a character that XML 1.0
    cannot carry.
    """
    return _build(service_type, action_name, texts)


def build_answer(service_type: str, action_name: str, texts: Mapping[str, str]) -> bytes:
    """The body of the answer with status 200 to a call (UDA 2.0 §3.1.1). Raises as
    :func:`build_call`."""
    return _build(service_type, f"{action_name}Response", texts)


def _build(service_type: str, name: str, texts: Mapping[str, str]) -> bytes:
    check_carried(service_type, "the service type")
    check_variable_name(name)
    parts = [_OPEN, f'<u:{name} xmlns:u="{quote_attribute(service_type)}">']
    for argument, text in texts.items():
        check_variable_name(argument)
        check_carried(text, argument)
        parts.append(f"<{argument}>{escape_text(text)}</{argument}>")
    parts += (f"</u:{name}>", _CLOSE)
    return "".join(parts).encode()


def build_fault(code: int, description: str) -> bytes:
    """The body of the answer with status 500 to a call that failed (UDA 2.0 §3.2.5). A character
    of ``description`` that XML 1.0 cannot carry becomes U+FFFD, so that there is always a fault."""
    text = escape_text(FORBIDDEN.sub("\ufffd", description))
    return (
        f"{_OPEN}<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring>"
        f'<detail><UPnPError xmlns="{CONTROL_NAMESPACE}"><errorCode>{code:d}</errorCode>'
        f"<errorDescription>{text}</errorDescription></UPnPError></detail></s:Fault>{_CLOSE}"
    ).encode()


# --- the header SOAPACTION ---


def format_soapaction(service_type: str, action_name: str) -> bytes:
    """The value of SOAPACTION for a call. Raises ValueError for a character beyond ASCII, a control
    character or a quotation mark."""
    value = f"{service_type}#{action_name}"
    if not value.isascii() or not value.isprintable() or '"' in value:
        raise ValueError(f"{value!r} cannot be a SOAPACTION ({_CLAUSE})")
    return b'"%b"' % value.encode("ascii")


def parse_soapaction(value: bytes) -> tuple[str, str]:
    """The service type and the name of the action in a SOAPACTION. Lenient: single quotation marks,
    one of them alone, or none. Raises ValueError for anything else."""
    text = value.decode("latin-1").strip(" \t\"'")
    service_type, _, action = text.rpartition("#")
    service_type, action = service_type.strip(), action.strip()
    if not service_type or not action or not text.isprintable():
        raise ValueError(f"SOAPACTION is no service type with an action: {shown(text)}")
    return service_type, action


# --- reading ---


class _Message:
    """A SOAP message, as the side ``role`` reads it."""

    def __init__(self, body: bytes, role: Role, limits: Limits) -> None:
        self._role: Role = role
        self._limits = limits
        self._problems: dict[str, None] = {}
        self._document = body
        undeclared: set[str] = set()

        def read(document: bytes) -> Element:
            self._document = document
            return parse_tree(document, limits, undeclared)

        self.root, mended = read_leniently(body, read, limits)
        for name in ("xml-encoding", "xml-character"):
            if role == "device" and not accepts(role, name) and problem(name) in mended:
                raise RemoteProtocolError(
                    f"the call cannot be read with certainty: {problem(name)}", status=400
                )
        self._problems.update(dict.fromkeys(mended))
        if undeclared:
            self._problems[problem("xml-namespace")] = None

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(self._problems)

    def note(self, name: str) -> None:
        """Note the deviation ``name``. Raises RemoteProtocolError if the role does not accept
        it."""
        self._problems[problem(name, self._role)] = None

    def is_soap(self, element: Element, name: str) -> bool:
        """Whether ``element`` is the element ``name`` of SOAP. Its deviations are noted."""
        if element.name.lower() != name.lower():
            return False
        if element.name != name:
            self.note("soap-case")
        if element.namespace == SOAP_1_2_NAMESPACE:
            self.note("soap-1.2")
        elif element.namespace != SOAP_NAMESPACE:
            missing = problem("xml-namespace")
            if element.namespace or missing not in self._problems:
                self.note("soap-namespace")
        return True

    def read_arguments(
        self, element: Element, level: int, siblings: list[Element]
    ) -> dict[str, str]:
        """The texts of the children of ``element``, by name. ``siblings`` are all elements of the
        ``level`` of ``element``, in the order of the document."""
        count, most = len(element.children), self._limits.action_arguments
        if count > most:
            sentence = f"there are {count} arguments, and at most {most} are read"
            if self._role == "device":
                raise ActionError(ErrorCode.INVALID_ARGUMENTS, sentence)
            raise RemoteProtocolError(sentence)
        texts: dict[str, str] = {}
        nested = False
        for child in element.children:
            if child.name in texts:
                self._deviates("soap-repeated", child.name)
                continue
            texts[child.name] = child.text
            if child.children:
                nested = nested or not child.text.strip()
                self._deviates("soap-mixed" if child.text.strip() else "soap-nested", child.name)
        if nested:
            place = next(n for n, each in enumerate(siblings) if each is element)
            found = read_nested_values(self._document, level + 1, self._limits)
            # The first of a repeated argument is read, so it is the last to be stored.
            texts |= {each.name: each.text for each in reversed(found) if each.parent == place}
        return texts

    def _deviates(self, name: str, argument: str) -> None:
        """Note a deviation of an argument. Raises ActionError 402 if the role does not accept
        it."""
        if not accepts(self._role, name):
            what = "occurs twice" if name == "soap-repeated" else "has text and elements"
            raise ActionError(ErrorCode.INVALID_ARGUMENTS, f"the argument {shown(argument)} {what}")
        self.note(name)


def _parse_plain(body: bytes, limits: Limits) -> tuple[str, str, dict[str, str]] | None:
    """The name, the namespace and the texts of the element in the Body, of a message in the plain
    form. None for any other message.

    Most programs send the plain form: ASCII, an envelope of SOAP 1.1 without a header, one element
    with a prefix of its own in the Body, texts without markup. Regular expressions read it in a
    fifth of the time of a parser. They must not match a message that expat refuses or reads
    differently, or in which anything deviates. So they exclude a carriage return in a text, which
    expat makes a line feed, ``>``, which could end ``]]>``, and prefixes that begin with x, since
    some of those are reserved. A message that does not match in full goes to expat, so a wrong
    guess costs time, not correctness.
    """
    if len(body) > _PLAIN_BYTES or not body.isascii() or limits.xml_depth < 4:
        return None
    message = body.decode("ascii")
    match = _PLAIN_OPEN.match(message)
    if match is None:
        return None
    opened = match[2], match[3], match[1]
    namespace = match[4]
    texts: dict[str, str] = {}
    end = match.end()
    while (match := _PLAIN_ARGUMENT.match(message, end)) is not None:
        name, text = match.groups()
        if name in texts:
            return None
        texts[name] = unescape_text(text) if "&" in text else text
        end = match.end()
    match = _PLAIN_CLOSE.match(message, end)
    # Besides the arguments there are three elements and three attributes at most.
    count = len(texts)
    if (
        match is None
        or match.groups() != opened
        or count > limits.action_arguments
        or count + 6 > limits.xml_elements
    ):
        return None
    return opened[1], namespace, texts


def parse_call(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Call:
    """Read the call of an action (UDA 2.0 §3.1.1). The caller compares it with SOAPACTION.

    Lenient, see the module's docstring; no argument is guessed. Raises RemoteProtocolError with
    status 400 for anything but a call, and :exc:`ActionError` with the code 402 for arguments that
    occur twice, that have text and elements, or that are more than ``limits.action_arguments``.
    """
    plain = _parse_plain(body, limits)
    return _parse_call(body, limits) if plain is None else Call(*plain, ())


def _parse_call(body: bytes, limits: Limits) -> Call:
    """:func:`parse_call` for a message in any form."""
    message = _Message(body, "device", limits)
    root = message.root
    if not message.is_soap(root, "Envelope"):
        raise _unreadable(f"the call is no envelope of SOAP: {shown(root.name)}")
    parts = root.children
    bodies = [part for part in parts if message.is_soap(part, "Body")]
    if len(bodies) != 1:
        raise _unreadable(f"the envelope of the call has {len(bodies)} elements Body, not one")
    for part in parts:
        if message.is_soap(part, "Header"):
            _check_headers(part)
    if len(bodies[0].children) != 1:
        found = len(bodies[0].children)
        raise _unreadable(f"the Body of the call has {found} elements, not one")
    (action,) = bodies[0].children
    siblings = [each for part in parts for each in part.children]
    texts = message.read_arguments(action, 3, siblings)
    return Call(action.name, action.namespace.strip(), texts, message.problems)


def _unreadable(message: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, status=400, clause=_CLAUSE)


def _check_headers(headers: Element) -> None:
    for header in headers.children:
        for key, value in header.attributes.items():
            if key.rpartition(":")[2] == "mustUnderstand" and value.strip() in ("1", "true"):
                raise RemoteProtocolError(
                    f"the header {shown(header.name)} of the call must be understood, and is not",
                    status=400,
                    clause="SOAP 1.1 §4.2.3",
                )


def parse_answer(
    body: bytes, status: int, action_name: str, limits: Limits = DEFAULT_LIMITS
) -> Answer:
    """Read the answer with the HTTP ``status`` to a call of ``action_name`` (UDA 2.0 §3.2).

    Lenient, see the module's docstring. Raises :exc:`ActionError` for a fault, whatever the status;
    its code is 501 if the device names none. Raises RemoteProtocolError for anything else that is
    no answer, and for a status that is not 2xx without a fault.
    """
    succeeded = 200 <= status < 300
    plain = _parse_plain(body, limits) if succeeded else None
    if plain is not None and plain[0] == f"{action_name}Response":
        return Answer(plain[2], ())
    return _parse_answer(body, status, action_name, limits)


def _parse_answer(body: bytes, status: int, action_name: str, limits: Limits) -> Answer:
    """:func:`parse_answer` for a message in any form."""
    succeeded = 200 <= status < 300
    if succeeded and not body.strip(_PADDING):
        return Answer({}, (problem("soap-empty", "control-point"),))
    try:
        message = _Message(body, "control-point", limits)
        content = _find_content(message, action_name)
        if content is not None and _is_fault(content.element):
            raise _action_error(content.element)
        if succeeded:
            return _read_answer(message, content, action_name)
    except RemoteProtocolError as error:
        if succeeded:
            raise RemoteProtocolError(
                f"the answer to {action_name} cannot be read: {error.args[0]}", clause=_CLAUSE
            ) from error
    raise RemoteProtocolError(
        f"{action_name} was answered with the status {status}, without a fault that says why",
        clause="UDA 2.0 §3.2.5",
    )


class _Content(NamedTuple):
    """The element of an answer that is the response or the fault. ``level`` is its level, 1 for the
    root element, and ``siblings`` are all elements of that level."""

    element: Element
    level: int
    siblings: list[Element]


def _find_content(message: _Message, action_name: str) -> _Content | None:
    """The response or the fault. None if the envelope has no such element."""
    root = message.root
    response = f"{action_name}Response"
    if not message.is_soap(root, "Envelope"):
        if root.name != response and not _is_fault(root):
            raise RemoteProtocolError(f"it is no envelope of SOAP: {shown(root.name)}")
        message.note("soap-envelope")
        return _Content(root, 1, [root])
    siblings, level = [each for part in root.children for each in part.children], 3
    bodies = [part for part in root.children if message.is_soap(part, "Body")]
    candidates = [each for part in bodies for each in part.children]
    if not bodies:
        message.note("soap-envelope")
        siblings, level = root.children, 2
        candidates = [part for part in siblings if not message.is_soap(part, "Header")]
    if not candidates:
        return None
    if len(candidates) > 1:
        message.note("soap-second")
    faults = (each for each in candidates if _is_fault(each))
    responses = (each for each in candidates if each.name == response)
    return _Content(next(faults, None) or next(responses, candidates[0]), level, siblings)


def _read_answer(message: _Message, content: _Content | None, action_name: str) -> Answer:
    if content is None:
        message.note("soap-empty")
        return Answer({}, message.problems)
    if content.element.name != f"{action_name}Response":
        message.note("soap-response-name")
    texts = message.read_arguments(*content)
    return Answer(texts, message.problems)


def _is_fault(element: Element) -> bool:
    return element.name.lower() in ("fault", "upnperror")


def _action_error(fault: Element) -> ActionError:
    """The error that a fault describes. Its parts are found in any namespace, case and place."""
    found: dict[str, str] = {}
    for element in _all_below(fault):
        text = element.text.strip()
        if text:
            found.setdefault(element.name.lower(), text)
    description = found.get("errordescription", "")
    code = found.get("errorcode", "")
    number = _ERROR_CODE.match(code)
    if number is not None:
        return ActionError(int(number[1]), description)
    # "text" is the faultstring of SOAP 1.2.
    reason = found.get("faultstring") or found.get("text", "")
    parts = (code, description or (reason if reason != _UDA_FAULTSTRING else ""))
    return ActionError(ErrorCode.ACTION_FAILED, ": ".join(part for part in parts if part))


def _all_below(element: Element) -> Iterator[Element]:
    """Everything inside of ``element``, in the order of the document."""
    for child in element.children:
        yield child
        yield from _all_below(child)
