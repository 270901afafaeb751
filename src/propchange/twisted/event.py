"""Another name of :mod:`propchange.cohen3`: the same module object."""

import sys

from propchange import cohen3
from propchange.cohen3 import *  # noqa: F403 - all its names, for type checkers

sys.modules[__name__] = cohen3
