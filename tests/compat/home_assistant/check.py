"""Checks discovery payloads with Home Assistant's own schemas, and renders their templates.

Reads lines of JSON: ``{"payload": …, "states": [STATE, …]}``. For each it writes a line: the states
that each entity of the payload would have, or ``{"error": …}``. Runs in the environment of
lab/home_assistant_environment.py.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import json
import logging
import sys
import types
from typing import Any

# Home Assistant imports these packages at once. Its schemas use none of them.
_UNUSED = ("_cffi_backend", "bcrypt", "boto3", "cryptography", "hass_nabucasa", "jwt", "paho")


class _Unused(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes empty modules for the packages that are not there."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.partition(".")[0] in _UNUSED:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        class Module(types.ModuleType):
            def __getattr__(self, name: str) -> Any:
                if name.startswith("__"):
                    raise AttributeError(name)
                return type(name, (Exception,), {})

        return Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__path__ = []


sys.meta_path.insert(0, _Unused())
# It warns of each template that is checked outside of a running Home Assistant.
logging.disable(logging.WARNING)

from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA  # noqa: E402
from homeassistant.helpers.template import TemplateEnvironment  # noqa: E402

_TEMPLATES = TemplateEnvironment(None)


def check(payload: dict[str, Any], states: list[Any]) -> dict[str, list[str]]:
    """The state of each entity after each of ``states``, as text."""
    DEVICE_DISCOVERY_SCHEMA(json.loads(json.dumps(payload)))
    rendered = {}
    for key, component in payload["components"].items():
        options = dict(component)
        platform = options.pop("platform")
        if not options:
            continue  # it is to be removed
        module = importlib.import_module(f"homeassistant.components.mqtt.{platform}")
        known = module.DISCOVERY_SCHEMA(options)
        if unknown := set(options) - set(known):
            raise ValueError(f"{platform} has no options {unknown}")
        rendered[key] = [_render(options["value_template"], state) for state in states]
        for each in options["availability"]:
            assert _render(each["value_template"], {"state": "online"}) == "online"
            assert _render(each["value_template"], {"state": "offline"}) == "offline"
    return rendered


def _render(template: str, state: Any) -> str:
    """As Home Assistant does it: a payload that is not JSON gives no value_json."""
    values = {} if state is None else {"value_json": state}
    text: str = _TEMPLATES.from_string(template).render(value="", **values)
    return text.strip()


for line in sys.stdin:
    asked = json.loads(line)
    try:
        result: Any = check(asked["payload"], asked["states"])
    except Exception as error:  # noqa: BLE001 - the test shows whatever it is
        result = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(f"{json.dumps(result)}\n")
    sys.stdout.flush()
