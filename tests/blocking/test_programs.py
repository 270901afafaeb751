"""Whole programs: Ctrl-C, the end of the interpreter, and loops that do not answer."""

from __future__ import annotations

import signal
import subprocess

import pytest

from tests.blocking.conftest import Start
from tests.blocking.devices import Hosted, RawDevice

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(signal, "SIGKILL"), reason="Windows has no signals for another process"
    ),
]

WATCH = """
with ControlPoint(**own) as point:
    for event in point.device(url)["Thermometer"].subscribe():
        print(event.seq, flush=True)
"""

GET = """
with ControlPoint(**own) as point:
    subscription = point.device(url)["Thermometer"].subscribe()
    while True:
        print(subscription.get(timeout=3_600).seq, flush=True)
"""


def ended(program: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit status and standard error."""
    _, errors = program.communicate(timeout=30)
    return program.returncode, errors


@pytest.mark.parametrize("text", [WATCH, GET], ids=["for", "get"])
def test_ctrl_c_unsubscribes_and_ends_the_program(device: Hosted, start: Start, text: str) -> None:
    program = start(text, device.url)
    assert program.stdout is not None
    assert program.stdout.readline() == "0\n"
    program.send_signal(signal.SIGINT)
    status, errors = ended(program)
    assert status == -signal.SIGINT
    assert errors.count("Traceback") == 1
    assert errors.endswith("KeyboardInterrupt\n")
    assert device.methods == ["GET", "GET", "SUBSCRIBE", "UNSUBSCRIBE"]


def test_a_second_ctrl_c_does_not_wait_for_the_device(raw_device: RawDevice, start: Start) -> None:
    raw_device.answers["UNSUBSCRIBE"] = None
    text = WATCH.replace("**own", "**own, limits=Limits(unsubscribe_seconds=3_600)")
    program = start(text, raw_device.url)
    raw_device.wait_for("SUBSCRIBE")
    program.send_signal(signal.SIGINT)
    raw_device.wait_for("UNSUBSCRIBE")
    program.send_signal(signal.SIGINT)
    status, errors = ended(program)
    assert status == -signal.SIGINT
    assert "Task was destroyed" not in errors
    assert "Exception ignored" not in errors


def test_ctrl_c_ends_a_subscribe_that_is_not_answered(raw_device: RawDevice, start: Start) -> None:
    raw_device.answers["SUBSCRIBE"] = None
    program = start(WATCH, raw_device.url)
    raw_device.wait_for("SUBSCRIBE")
    program.send_signal(signal.SIGINT)
    status, errors = ended(program)
    assert status == -signal.SIGINT
    assert errors.count("Traceback") == 1


def test_ctrl_c_ends_a_program_that_hosts_a_device(start: Start) -> None:
    program = start("""
from propchange import Device, Service, StateVariable
class Switch(Service, type="urn:example-org:service:Switch:1"):
    on = StateVariable("boolean", initial=False)
with host(Device("W", services=[Switch()]), announce=False) as hosted:
    print(hosted.port, flush=True)
    hosted.subscribed()
""")
    assert program.stdout is not None
    assert program.stdout.readline()
    program.send_signal(signal.SIGINT)
    status, errors = ended(program)
    assert status == -signal.SIGINT
    assert errors.count("Traceback") == 1


@pytest.mark.parametrize(
    ("handler", "status"), [("point.close()", 0), ("sys.exit(3)", 3)], ids=["close", "exit"]
)
def test_the_handler_of_another_signal_ends_the_program(
    device: Hosted, start: Start, handler: str, status: int
) -> None:
    text = f"signal.signal(signal.SIGTERM, lambda *_: {handler})\n{WATCH}"
    program = start(text, device.url)
    assert program.stdout is not None
    assert program.stdout.readline() == "0\n"
    program.send_signal(signal.SIGTERM)
    assert ended(program) == (status, "")
    assert device.methods[-1] == "UNSUBSCRIBE"


OPEN = """
point = ControlPoint(**own).open()
subscription = point.device(url)["Thermometer"].subscribe()
subscription.get(timeout=20)
"""


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("1 // 0", 1),
        ("threading.Thread(target=lambda: (time.sleep(0.2), point.fetch(url))).start()", 0),
        ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT),
    ],
    ids=["end", "exit", "exception", "thread", "ctrl-c"],
)
def test_a_program_that_closes_nothing_unsubscribes_at_its_end(
    device: Hosted, start: Start, end: str, status: int
) -> None:
    assert ended(start(OPEN + end, device.url))[0] == status
    assert device.methods.count("UNSUBSCRIBE") == 1
    assert device.hosted.subscriptions == ()


def test_the_end_of_a_program_does_not_wait_for_a_silent_device(
    raw_device: RawDevice, start: Start
) -> None:
    raw_device.answers["UNSUBSCRIBE"] = None
    text = OPEN.replace("subscription.get(timeout=20)", "")
    assert ended(start(text, raw_device.url)) == (0, "")


def test_a_function_that_blocks_the_loop_does_not_keep_the_program_from_ending(
    start: Start,
) -> None:
    text = """
from propchange import Device, Service, StateVariable
class Switch(Service, type="urn:example-org:service:Switch:1"):
    on = StateVariable("boolean", initial=False)
hosted = host(Device("W", services=[Switch()]), announce=False).open()
threading.Thread(target=hosted.run, args=(time.sleep, 3_600), daemon=True).start()
time.sleep(0.1)
"""
    assert ended(start(text)) == (0, "")


def test_a_poll_that_does_not_end_does_not_keep_the_program_from_ending(
    raw_device: RawDevice, start: Start
) -> None:
    raw_device.answers["SUBSCRIBE"] = 503
    text = """
begun = threading.Event()
def poll():
    begun.set()
    time.sleep(3_600)
with ControlPoint(**own) as point:
    point.device(url)["Thermometer"].subscribe(wait=False, poll=poll, poll_interval=0.01)
    begun.wait()
"""
    assert ended(start(text, raw_device.url)) == (0, "")


def test_a_forked_child_ends_by_itself_and_leaves_the_subscription(
    device: Hosted, start: Start
) -> None:
    text = (
        OPEN
        + """
child = os.fork()
if child == 0:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
print(subscription.status.value, flush=True)
time.sleep(3_600)
"""
    )
    program = start(text, device.url)
    assert program.stdout is not None
    assert program.stdout.readline() == "active\n"
    assert len(device.hosted.subscriptions) == 1
    program.send_signal(signal.SIGINT)
    assert ended(program)[0] == -signal.SIGINT
    assert device.hosted.subscriptions == ()
