"""LastChange, the variable through which the AV services event all others: reading and writing.

AVTransport and RenderingControl (AVTransport:1 §5, RenderingControl:1 §5)::

    <Event xmlns="urn:schemas-upnp-org:metadata-1-0/RCS/">
      <InstanceID val="0"><Volume channel="Master" val="20"/></InstanceID>
    </Event>

ContentDirectory:3 uses the same name for another format, a log of changes of objects::

    <StateEvent xmlns="urn:schemas-upnp-org:av:cds-event">
      <objMod objID="7" updateID="31" stUpdate="0"/>
    </StateEvent>
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.values.data_types import DATA_TYPES, shown
from propchange.core.values.merging import Fold, FoldedChange
from propchange.core.wire.mending import read_tree
from propchange.core.wire.propertyset import check_variable_name
from propchange.core.wire.xml import (
    Element,
    check_carried,
    quote_attribute,
    unescape_text,
)
from propchange.errors import RemoteProtocolError

AVT = "urn:schemas-upnp-org:metadata-1-0/AVT/"
"""The namespace of AVTransport's LastChange."""
RCS = "urn:schemas-upnp-org:metadata-1-0/RCS/"
"""The namespace of RenderingControl's LastChange."""
CDS_EVENT = "urn:schemas-upnp-org:av:cds-event"
"""The namespace of ContentDirectory's LastChange."""

MASTER = "Master"
"""The channel that stands for all channels."""

# The plain form, see parse_plain_lastchange(). No value has a tab or a line end, since an XML
# parser turns those of an attribute into blanks.
_PLAIN_VALUE = r"[ !#-%'-;=?-~]*(?:&(?:amp|lt|gt|quot|apos);[ !#-%'-;=?-~]*)*"
_PLAIN_VARIABLE = (
    r"<([A-Za-z_][A-Za-z0-9_.-]*)(?: channel=\"([ !#-%'-;=?-~]+)\")? "
    rf'val="({_PLAIN_VALUE})" ?/>'
)
_PLAIN_BEGIN = re.compile(r"<Event xmlns=\"([!#-%'-;=?-~]+)\">[ \t\r\n]*")
_PLAIN_INSTANCE = re.compile(
    r'<InstanceID val="([0-9]{1,9})">[ \t\r\n]*'
    rf"(?:{_PLAIN_VARIABLE}[ \t\r\n]*)+</InstanceID>[ \t\r\n]*"
)
_PLAIN_VARIABLES = re.compile(_PLAIN_VARIABLE)
_PLAIN_END = "</Event>"
_PROBLEMS = 8
# A text of our own may have any length.
_OWN = replace(DEFAULT_LIMITS, xml_elements=sys.maxsize)


def is_master(channel: str | None) -> bool:
    """Whether ``channel`` stands for all channels: it is Master or None."""
    return channel is None or channel.lower() == "master"


class LastChangeEntry(NamedTuple):
    """One variable of one instance. ``text`` is its value. ``channel`` is the channel of a
    per-channel variable such as Volume, else None (LC-04).

    An entry with an empty ``variable`` stands for an instance without variables. In the
    ContentDirectory format ``instance`` is None, ``variable`` is objAdd, objMod, objDel or stDone,
    ``channel`` is the objID, ``attributes`` has all attributes, and ``text`` is the element as XML.
    """

    instance: int | None
    variable: str
    channel: str | None
    text: str
    attributes: tuple[tuple[str, str], ...] = ()


class LastChange(NamedTuple):
    """The contents of a LastChange. ``is_log``: it has the ContentDirectory format. ``problems``
    has sentences about the first parts that could not be read and are left out. ``mended`` has a
    sentence for each kind of deviation that was mended."""

    namespace: str
    is_log: bool
    entries: tuple[LastChangeEntry, ...]
    problems: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()


def parse_lastchange(text: str, limits: Limits = DEFAULT_LIMITS) -> LastChange:
    """Read the value of a LastChange.

    Lenient: any namespace and prefix (LC-03), ``val`` and ``channel`` in any case, a value as the
    text of the element, variables outside of an InstanceID (they count as instance 0), a text that
    is escaped once too often, and the deviations that :mod:`propchange.core.wire.mending` mends.
    Left out are an InstanceID that is no number, a change of a ContentDirectory whose name is no
    XML name, and a variable whose name is too long. A variable that occurs twice is twice in the
    result; the later value counts.

    Raises RemoteProtocolError with status 400 for a text in neither format.
    """
    plain = parse_plain_lastchange(text, limits)
    if plain is not None:
        return plain
    root, mended = _parse(text, limits)
    is_log = root.name == "StateEvent"
    if not is_log and root.name != "Event":
        raise RemoteProtocolError(f"{shown(root.name)} is no LastChange", status=400)
    entries: list[LastChangeEntry] = []
    problems: list[str] = []
    for child in root.children:
        if is_log:
            try:
                entries.append(_read_change(child))
            except ValueError as error:
                _note(problems, str(error))
        elif child.name.lower() != "instanceid":
            entries += _read_variables(0, [child], problems, limits)
        else:
            number = _attribute(child, "val") or ""
            try:
                instance = DATA_TYPES["ui4"].parse(number)
            except ValueError:
                _note(problems, f"{shown(number)} is no InstanceID")
                continue
            if child.children:
                entries += _read_variables(instance, child.children, problems, limits)
            else:
                entries.append(LastChangeEntry(instance, "", None, ""))
    return LastChange(root.namespace, is_log, tuple(entries), tuple(problems), mended)


def parse_plain_lastchange(text: str, limits: Limits) -> LastChange | None:
    """A LastChange in the form that nearly every AV device sends; None for any other text. That
    form is ASCII and has no namespace prefix. Each value is the attribute ``val`` of an element of
    its own. The attribute ``channel`` may stand before it.

    The expressions exclude what expat refuses or reads differently. This saves 25 of the 32 us that
    reading two variables takes.
    """
    begin = _PLAIN_BEGIN.match(text) if text.isascii() else None
    if begin is None or limits.xml_depth < 3:
        return None
    position = begin.end()
    count = 2  # elements and attributes, with those of Event
    longest_name = limits.variable_name_characters
    entries: list[LastChangeEntry] = []
    while (found := _PLAIN_INSTANCE.match(text, position)) is not None:
        instance = int(found[1])
        position = found.end()
        count += 2
        for name, channel, value in _PLAIN_VARIABLES.findall(text, found.end(1), position):
            count += 3 if channel else 2
            if len(name) + len(channel) > longest_name:
                return None
            if "&" in value:
                value = unescape_text(value)
            # As LastChangeEntry(…), which takes twice as long.
            entry = (instance, name, channel or None, value, ())
            entries.append(tuple.__new__(LastChangeEntry, entry))
    if not entries or text[position:] != _PLAIN_END or count > limits.xml_elements:
        return None
    return LastChange(begin[1], False, tuple(entries))


def _parse(text: str, limits: Limits) -> tuple[Element, tuple[str, ...]]:
    text = text.strip(" \t\r\n\0\ufeff")
    if text.startswith("&lt;"):
        text = unescape_text(text)
    # The text is decoded already. Its declaration may name another encoding.
    if text.startswith("<?xml"):
        text = text.partition(">")[2]
    return read_tree(text.encode("utf-8", "surrogatepass"), limits)


def _note(problems: list[str], problem: str) -> None:
    if len(problems) < _PROBLEMS:
        problems.append(problem)


def _read_change(element: Element) -> LastChangeEntry:
    """One change of the ContentDirectory format. Raises ValueError for an element that cannot be
    written again: expat accepts ``x:1``, whose local name is no XML name."""
    attributes = tuple(element.attributes.items())
    identity = _attribute(element, "objid") or ""
    written = _element(element.name, attributes)
    return LastChangeEntry(None, element.name, identity, written, attributes)


def _read_variables(
    instance: int, elements: Sequence[Element], problems: list[str], limits: Limits
) -> list[LastChangeEntry]:
    """The values of one instance, except those whose name and channel are too long."""
    entries = []
    for element in elements:
        name, channel = element.name, _attribute(element, "channel")
        if len(name) + len(channel or "") > limits.variable_name_characters:
            _note(problems, f"{shown(name)} or its channel has too long a name")
            continue
        value = _attribute(element, "val")
        text = element.text.strip() if value is None else value
        entries.append(LastChangeEntry(instance, name, channel, text))
    return entries


def _attribute(element: Element, name: str) -> str | None:
    attributes = element.attributes
    if name in attributes:
        return attributes[name]
    # A prefix has no meaning of its own.
    named = ((key.rpartition(":")[2].lower(), value) for key, value in attributes.items())
    return next((value for key, value in named if key == name), None)


def format_lastchange(namespace: str, entries: Iterable[LastChangeEntry]) -> str:
    """The value of a LastChange with ``entries``. It has the ContentDirectory format if
    ``namespace`` is :data:`CDS_EVENT`, else the format of the AV services, with one element per
    instance (LC-03).

    Raises ValueError for a variable whose name is no XML name, and for a text with characters that
    XML 1.0 cannot carry.
    """
    if namespace == CDS_EVENT:
        inside = "".join(_element(entry.variable, entry.attributes) for entry in entries)
        return f'<StateEvent xmlns="{CDS_EVENT}">{inside}</StateEvent>'
    instances: list[tuple[int | None, list[str]]] = []
    parts_of: dict[int | None, list[str]] = {}
    for instance, variable, channel, text, _ in entries:
        parts = parts_of.get(instance)
        if parts is None or not variable:
            # An instance that was removed and added again has two elements, the first empty.
            parts = parts_of[instance] = []
            instances.append((instance, parts))
        if variable:
            attributes = [] if channel is None else [("channel", channel)]
            attributes.append(("val", text))
            parts.append(_element(variable, attributes))
        else:
            del parts_of[instance]
    inside = "".join(
        f'<InstanceID val="{instance}">{"".join(parts)}</InstanceID>'
        for instance, parts in instances
    )
    return f'<Event xmlns="{_quoted("namespace", namespace)}">{inside}</Event>'


def _element(name: str, attributes: Iterable[tuple[str, str]]) -> str:
    check_variable_name(name)
    inside = "".join(f' {key}="{_quoted(name, value)}"' for key, value in attributes)
    return f"<{name}{inside}/>"


def _quoted(name: str, text: str) -> str:
    check_carried(text, name)
    return quote_attribute(text)


class LastChangeFold(Fold):
    """Merges LastChange by (instance, name, channel), in ``namespace``; with :data:`CDS_EVENT` by
    (kind of change, object). The initial event has the state of all instances (LC-07).

    An InstanceID without variables removes that instance.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.has_state = namespace != CDS_EVENT
        self._read: tuple[str, Sequence[FoldedChange]] = ("", ())

    def read(self, text: str) -> Sequence[FoldedChange]:
        """:meth:`Fold.read`."""
        # The same text is read several times in a row. It saves 21 of the 50 us of an assignment.
        known, changes = self._read
        if text != known:
            try:
                found = parse_lastchange(text, _OWN)
            except RemoteProtocolError as error:
                raise ValueError(f"not a LastChange: {error.args[0]}") from None
            changes = [
                (entry[:3], entry) if entry.variable else ((entry.instance,), None)
                for entry in found.entries
            ]
            self._read = (text, changes)
        return changes

    def write(self, changes: Iterable[FoldedChange]) -> str:
        """:meth:`Fold.write`."""
        return format_lastchange(
            self.namespace,
            (
                LastChangeEntry(key[0], "", None, "") if entry is None else entry  # type: ignore[arg-type] # the instance
                for key, entry in changes
            ),
        )

    def __repr__(self) -> str:
        return f"LastChangeFold({self.namespace!r})"
