"""Print events of a thermometer, with Twisted.

usage: python twisted_watch.py DESCRIPTION_URL [NUMBER]

Ends after NUMBER events, 3 if it is left out. Status changes go to the standard error output.
"""

import sys

from twisted.internet import defer, task

from propchange import Event, StatusChange
from propchange.twisted import ControlPoint


async def main(description_url: str, count: int) -> None:
    enough: defer.Deferred[None] = defer.Deferred()

    def show(event: Event) -> None:
        print(event.seq, dict(event.changes), subscription.values["Temperature"], flush=True)
        if event.seq == count - 1:
            enough.callback(None)

    def say(change: StatusChange) -> None:
        print(change, file=sys.stderr)  # for example "deaf: …", with the reason

    control_point = ControlPoint()
    control_point.listen(interface="127.0.0.1")
    device = await control_point.device(description_url)
    # Renews, resubscribes, retries.
    subscription = device["Thermometer"].subscribe(show, on_status=say)
    await enough
    await control_point.close()


if len(sys.argv) < 2:
    sys.exit(__doc__)
task.react(lambda _: defer.ensureDeferred(main(sys.argv[1], int([*sys.argv, "3"][2]))))
