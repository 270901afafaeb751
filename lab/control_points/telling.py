"""What the control points have in common. All of them are started alike,

    python follow_….py DESCRIPTION-URL DURATION

and follow the service Bench of that device until their stdin ends. DURATION in seconds is what
they ask for; they renew what is granted for longer as if it were that. They write

    {"event": {variable: value}, "seq": …, "initial": …}  each event
    {"status": …, "cause": …, "why": …}                   what the library tells its application
"""

from __future__ import annotations

import json
import sys

__all__ = ["tell"]


def tell(**told: object) -> None:
    # One write: SoCo tells from several threads.
    sys.stdout.write(json.dumps(told, default=str) + "\n")
    sys.stdout.flush()
