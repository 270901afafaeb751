"""What is in an event message, with the name and the manners of Cohen3's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from propchange.cohen3.dispatcher import Logger
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.propertyset import parse_propertyset

__all__ = ["Event"]


class Event(dict[str, str], Logger):
    """An event message: variable -> text.

    ``elements`` is a parsed propertyset, anything with the ``findall`` of ElementTree; ``raw`` its
    bytes, which are parsed when there are no ``elements``. A SID in bytes becomes a str.
    Raises RemoteProtocolError when ``raw`` alone is given and is no propertyset.
    """

    logCategory = "event"
    ns: ClassVar[str] = "urn:schemas-upnp-org:event-1-0"

    def __init__(
        self, sid: str | bytes, elements: Any = None, raw: bytes | str | None = None
    ) -> None:
        super().__init__()
        self._sid = sid.decode("latin-1") if isinstance(sid, bytes) else sid
        self.raw = raw
        if elements is not None:
            self.from_elements(elements)
        elif raw is not None:
            body = raw.encode() if isinstance(raw, str) else raw
            self.update(parse_propertyset(body, DEFAULT_LIMITS))

    @classmethod
    def of(cls, sid: str, raw: bytes, pairs: Iterable[tuple[str, str]]) -> Event:
        """An event whose ``raw`` has been parsed already."""
        event = cls.__new__(cls)
        dict.__init__(event, pairs)
        event._sid = sid
        event.raw = raw
        return event

    def get_sid(self) -> str:
        """The SID, a str."""
        return self._sid

    def from_elements(self, elements: Any) -> None:
        """Take over the variables of a parsed propertyset."""
        properties = elements.findall(f"{{{self.ns}}}property")
        if not properties:
            self.warning("an event without properties of the right namespace")
            properties = elements.findall("property")
        for one in properties:
            for variable in one:
                if isinstance(variable.tag, str):  # neither a comment nor an instruction
                    self[variable.tag.rpartition("}")[2]] = variable.text or ""
