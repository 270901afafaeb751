"""What several standard services have: kinds of state variables, instances of a call."""

from __future__ import annotations

from propchange.core.values.state_variables import StateVariable
from propchange.errors import ActionError
from propchange.upnp.instances import ServiceInstance
from propchange.upnp.service import Service
from propchange.upnp.tied_action import ARGUMENT_TYPE


def argument_type(name: str, allowed: str = "") -> StateVariable[str]:
    """The variable A_ARG_TYPE_``name``, a string that only describes arguments of actions.
    ``allowed`` is a list of words."""
    return StateVariable(
        "string", allowed=allowed.split() or None, evented=False, name=f"{ARGUMENT_TYPE}{name}"
    )


def indirect(
    initial: str | None = None, allowed: str = "", name: str | None = None
) -> StateVariable[str]:
    """A string that is evented through LastChange. ``allowed`` is a list of words."""
    options = allowed.split() or None
    return StateVariable(
        "string", initial=initial, allowed=options, evented="LastChange", name=name
    )


def called_instance(service: Service, instance_id: int, code: int) -> ServiceInstance:
    """The instance ``instance_id``. Raises ActionError with ``code`` for an invalid one."""
    try:
        return service.instance(instance_id)
    except LookupError:
        raise ActionError(code, "Invalid InstanceID") from None
