"""The declarations in the class of a service: its type, its serviceId, its state variables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.propertyset import check_variable_name

_TYPE = re.compile(r"urn:([^:\s]+):service:([^:\s]+):[0-9]+")


def default_service_id(service_type: str) -> str:
    """The serviceId of a service whose type occurs once in a device:
    ``urn:upnp-org:serviceId:Name`` for a standard type and ``urn:<domain>:serviceId:Name`` for a
    vendor's (UDA 2.0 §2.3). Raises ``ValueError`` for a text that is no service type."""
    found = _TYPE.fullmatch(service_type)
    if found is None:
        raise ValueError(
            f"{service_type!r} is not the type of a service: "
            "it looks like urn:example-org:service:Thermometer:1"
        )
    domain, name = found.groups()
    return f"urn:{'upnp-org' if domain == 'schemas-upnp-org' else domain}:serviceId:{name}"


def check_service_id(service_id: str) -> str:
    """``service_id``. Raises ValueError if it cannot be a serviceId."""
    if not re.fullmatch(r"\S+", service_id):
        raise ValueError(f"{service_id!r} is not a serviceId: it must be a URI")
    return service_id


_PATH_SEGMENT = re.compile(r"[A-Za-z0-9._~!$'()*+,;=:@-]{1,255}")


def check_path(path: str, what: str) -> str:
    """``path`` without a slash in front. Raises TypeError or ValueError if it cannot be the path of
    a URL of a device; ``what`` says which."""
    if not isinstance(path, str):
        raise TypeError(f"{what}_path is a str such as 'Light/{what}', not {path!r}")
    segments = path.removeprefix("/").split("/")
    if not are_path_segments(segments):
        raise ValueError(
            f"{path!r} cannot be the {what}_path: it is a path such as 'Light/{what}', without "
            "a query, escapes, empty segments and segments of dots"
        )
    return "/".join(segments)


def are_path_segments(segments: Sequence[str]) -> bool:
    """Whether ``segments`` are a path without a query, escapes, empty segments and segments of
    dots, and not too long."""
    usable = all(_PATH_SEGMENT.fullmatch(each) and each.strip(".") for each in segments)
    return usable and len("/".join(segments)) <= _PATH_CHARACTERS


_PATH_CHARACTERS = 512
"""Characters of a path. Some control points keep URLs of 1,024 bytes, with the host in front."""


def declared_variables(
    cls: type, without: frozenset[str], reserved: frozenset[str]
) -> dict[str, StateVariable[Any]]:
    """Wire name -> state variable, of the class ``cls`` and its ancestors. ``without`` are wire
    names of inherited variables that it leaves out, ``reserved`` the names of attributes that no
    variable may have. Raises TypeError for such a name, and for two variables with one name."""
    attributes: dict[str, StateVariable[Any]] = {}
    for ancestor in reversed(cls.__mro__):
        for attribute, value in vars(ancestor).items():
            if isinstance(value, StateVariable):
                if attribute in reserved:
                    raise TypeError(
                        f"{attribute!r} is a name of Service itself: call the attribute something "
                        f"else and give the StateVariable a name="
                    )
                older = attributes.get(attribute)
                if older is not None and older.name == value.name:
                    value.inherit_eventing(older)
                attributes[attribute] = value
            else:
                attributes.pop(attribute, None)
    variables: dict[str, StateVariable[Any]] = {}
    for attribute, variable in attributes.items():
        if variable.name in without and attribute not in vars(cls):
            continue
        check_variable_name(variable.name)
        if variable.name in variables:
            raise TypeError(
                f"two variables of {cls.__name__} are called {variable.name}: "
                f"give {attribute} another name="
            )
        variables[variable.name] = variable
    return variables


_LONG_NAME = 8
"""Least letters of a name in which one other letter is a misspelling, and not another name."""


def is_misspelt(name: str, known: str) -> bool:
    """Whether ``name`` is ``known`` with another case, other underscores, or one letter missing,
    doubled, exchanged with the next, or in a long name another one. A name that has all of
    ``known`` in it, such as a plural, or that differs in a digit, is another name."""
    one, other = (each.lower().replace("_", "") for each in (name, known))
    if one == other:
        return True
    if known in name or abs(len(one) - len(other)) > 1:
        return False
    while one and other and one[0] == other[0]:
        one, other = one[1:], other[1:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    if (one + other).isdigit() or len(one + other) > 4:
        return False
    if len(one) == len(other) == 1:
        return len(known) >= _LONG_NAME
    return len(one + other) == 1 or one == other[::-1]
