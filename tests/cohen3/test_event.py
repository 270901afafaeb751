"""Event, the dispatcher, the logger, and install()."""

from __future__ import annotations

import logging
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from propchange import cohen3 as event
from propchange.cohen3.dispatcher import BindError, EventDispatcher, Logger
from propchange.errors import RemoteProtocolError

NAMES = (
    "Event",
    "EventProtocol",
    "EventServer",
    "EventSubscriptionServer",
    "NotificationProtocol",
    "send_notification",
    "subscribe",
    "unsubscribe",
)


def test_the_eight_names_are_there() -> None:
    assert all(callable(getattr(event, name)) for name in NAMES)


def test_the_log_categories_are_those_of_the_page() -> None:
    assert event.EventServer.logCategory == "event_server"
    assert event.EventSubscriptionServer.logCategory == "event_subscription_server"
    assert event.Event.logCategory == "event"
    assert event.EventProtocol.logCategory == "event_protocol"
    assert event.NotificationProtocol.logCategory == "notification_protocol"


# --- Event ---


def test_an_event_is_a_dict_made_of_elements(messages: Any) -> None:
    one = event.Event(b"uuid:one", ET.fromstring(messages.body), raw=messages.body)
    assert isinstance(one, dict)
    assert one == {"Volume": "30", "Mute": "0"}
    assert one.get_sid() == "uuid:one"
    assert one.raw == messages.body
    assert one.ns == "urn:schemas-upnp-org:event-1-0"


def test_raw_alone_is_parsed_too(messages: Any) -> None:
    assert event.Event("uuid:one", raw=messages.body) == {"Volume": "30", "Mute": "0"}
    assert event.Event("uuid:one", raw=messages.body.decode())["Mute"] == "0"


def test_an_event_without_elements_and_raw_is_empty() -> None:
    one = event.Event("uuid:one")
    assert (one, one.raw) == ({}, None)


def test_raw_that_is_no_propertyset_raises() -> None:
    with pytest.raises(RemoteProtocolError):
        event.Event("uuid:one", raw=b"<junk")


def test_elements_without_a_namespace_are_read_and_a_value_may_be_empty() -> None:
    tree = ET.fromstring("<propertyset><property><!-- x --><A/><B>1</B></property></propertyset>")
    assert event.Event("uuid:one", tree) == {"A": "", "B": "1"}


# --- the dispatcher ---


class Dispatcher(EventDispatcher):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []
        self.register_event("happened", "other")

    def on_happened(self, *args: object, **kwargs: object) -> None:
        self.told.append(("own", args, kwargs))


def test_listeners_are_called_in_order_with_what_is_dispatched() -> None:
    one = Dispatcher()
    one.bind(happened=lambda *args, **kwargs: one.told.append(("bound", args, kwargs)))
    one.dispatch_event("happened", 1, two=2)
    assert one.told == [("own", (1,), {"two": 2}), ("bound", (1,), {"two": 2})]


def test_something_true_ends_the_chain() -> None:
    one = Dispatcher()
    told: list[int] = []
    one.bind(other=lambda: told.append(1) or True)
    one.bind(other=lambda: told.append(2))
    one.dispatch_event("other")
    assert told == [1]


def test_an_unbound_listener_is_not_called() -> None:
    one = Dispatcher()
    listener = one.told.append
    one.bind(other=listener)
    one.unbind(other=listener)
    one.bind(other=listener)
    one.unbind_all("other")
    one.dispatch_event("other", 1)
    assert one.told == []


def test_a_listener_may_unbind_itself() -> None:
    one = Dispatcher()

    def once() -> None:
        one.told.append("once")
        one.unbind(other=once)

    one.bind(other=once)
    one.bind(other=lambda: one.told.append("after"))
    one.dispatch_event("other")
    one.dispatch_event("other")
    assert one.told == ["once", "after", "after"]


def test_what_is_not_there_cannot_be_bound_or_unbound() -> None:
    one = Dispatcher()
    with pytest.raises(BindError):
        one.bind(missing=print)
    with pytest.raises(BindError):
        one.unbind(missing=print)
    with pytest.raises(BindError):
        one.unbind(other=print)
    with pytest.raises(KeyError):
        one.dispatch_event("missing")


def test_a_listener_that_raises_is_logged_and_the_next_is_called(caplog: Any) -> None:
    one = Dispatcher()

    def broken() -> None:
        raise ValueError("on purpose")

    one.bind(other=broken)
    one.bind(other=lambda: one.told.append("next"))
    one.dispatch_event("other")
    assert one.told == ["next"]
    assert "on purpose" in caplog.text


def test_the_logger_logs_at_each_level_to_its_category(caplog: Any) -> None:
    one = Logger()
    with caplog.at_level(logging.DEBUG, "default"):
        for name in ("debug", "info", "msg", "warning", "warn", "error", "critical", "fatal"):
            getattr(one, name)("%s", name)
        one.log(logging.INFO, "log")
        try:
            raise ValueError("on purpose")
        except ValueError:
            one.exception("caught")
    assert {record.name for record in caplog.records} == {"default"}
    levels = [record.levelname for record in caplog.records]
    assert levels == [
        *("DEBUG", "INFO", "INFO", "WARNING", "WARNING", "ERROR", "CRITICAL", "CRITICAL"),
        *("INFO", "ERROR"),
    ]
    assert "ValueError: on purpose" in caplog.text


# --- install() ---


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_install_puts_the_module_in_the_place_of_cohen3s() -> None:
    program = (
        "import sys, types\n"
        "for name in ('coherence', 'coherence.upnp', 'coherence.upnp.core'):\n"
        "    module = sys.modules[name] = types.ModuleType(name)\n"
        "    module.__path__ = []\n"
        "from propchange.twisted import install\n"
        "install()\n"
        "install()\n"
        "from coherence.upnp.core import event\n"
        "from coherence.upnp.core.event import EventServer\n"
        "import propchange.twisted.event\n"
        "print(event is propchange.twisted.event, EventServer.__module__)\n"
    )
    assert run(program) == "True propchange.cohen3.event_server"


def test_install_works_where_cohen3_is_not_installed() -> None:
    program = (
        "import sys\n"
        "from propchange.twisted import install\n"
        "install()\n"
        "print(sys.modules['coherence.upnp.core.event'].__name__)\n"
    )
    assert run(program) == "propchange.cohen3"


def test_install_says_so_when_cohen3s_own_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    from propchange.twisted import install

    monkeypatch.setitem(sys.modules, "coherence.upnp.core.event", object())  # type: ignore[arg-type] # anything
    with pytest.raises(RuntimeError, match="before the first import of coherence"):
        install()


def test_importing_installs_no_reactor() -> None:
    program = (
        "import sys, propchange.twisted, propchange.twisted.event\n"
        "print('twisted.internet.reactor' in sys.modules)\n"
    )
    assert run(program) == "False"


def test_an_install_that_fails_leaves_the_modules_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: str) -> None:
        raise AttributeError("on purpose")

    monkeypatch.delitem(sys.modules, event._REPLACED, raising=False)
    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(AttributeError):
        event.install()
    assert event._REPLACED not in sys.modules
