"""Cohen3's control point and a renderer in one process, on one port, under trial, which fails a
test that leaves anything with the reactor: run by tests/compat, in the environment of Cohen3.

    python one_process.py shipped|swapped PORT
"""

from __future__ import annotations

import sys
from typing import Any

WHICH, PORT = sys.argv[1], int(sys.argv[2])

if WHICH == "swapped":
    import propchange.twisted

    propchange.twisted.install()

from coherence import base  # noqa: E402 - after install()
from fake_player import FakePlayer  # noqa: E402 - behind install()
from twisted.internet import defer, reactor, task  # noqa: E402 - behind install()
from twisted.trial import unittest  # noqa: E402 - behind install()
from twisted.trial.reporter import TreeReporter  # noqa: E402 - behind install()
from twisted.trial.runner import TestLoader, TrialRunner  # noqa: E402 - behind install()


class OneProcess(unittest.TestCase):
    def setUp(self) -> None:
        self.coherence = base.Coherence(
            {"unittest": "yes", "logmode": "error", "serverport": PORT, "controlpoint": "yes"}
        )
        self.device = self.coherence.add_plugin("FakePlayer", no_thread_needed=True)

    def tearDown(self) -> Any:
        def forget(result: Any) -> Any:
            base.Coherence._Coherence__instance = None
            return result

        return self.coherence.shutdown(force=True).addBoth(forget)

    @defer.inlineCallbacks
    def test_events_arrive_and_nothing_is_left(self) -> Any:
        volume = None
        for _ in range(100):
            yield task.deferLater(reactor, 0.05, lambda: None)
            for device in self.coherence.get_devices():
                for service in device.get_services():
                    if service.get_id().endswith("RenderingControl"):
                        volume = service.get_state_variable("Volume")
            if volume is not None and volume.value != "":
                break
        else:
            self.fail("no event has arrived")
        self.device.rendering_control_server.set_variable(0, "Volume", 33)
        for _ in range(100):
            yield task.deferLater(reactor, 0.05, lambda: None)
            if volume.value == 33:
                return
        self.fail("the change has not arrived")

    test_once_more = test_events_arrive_and_nothing_is_left


base.get_host_address = lambda: "127.0.0.1"
base.socket.gethostname = lambda: "localhost"
base.Plugins().set("FakePlayer", FakePlayer)
result = TrialRunner(TreeReporter, workingDirectory=sys.argv[3]).run(
    TestLoader().loadClass(OneProcess)
)
sys.exit(not result.wasSuccessful())
