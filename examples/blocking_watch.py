"""Print the events of a thermometer, without asyncio. Give the URL of its description."""

import sys

from propchange.blocking import ControlPoint

if len(sys.argv) < 2:
    sys.exit(__doc__)

with ControlPoint() as control_point:
    device = control_point.device(sys.argv[1])
    subscription = device["Thermometer"].subscribe()
    for event in subscription:  # renews, resubscribes, repairs gaps
        print(event.seq, dict(event.changes), subscription.values["Temperature"], flush=True)
