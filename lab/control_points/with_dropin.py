"""Run a program with propchange beneath async-upnp-client:

    python with_dropin.py PROGRAM ARGUMENT …

The program is not changed: ``install()`` has run before its first import.
"""

from __future__ import annotations

import runpy
import sys

from propchange.dropin import async_upnp_client

async_upnp_client.install()
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
