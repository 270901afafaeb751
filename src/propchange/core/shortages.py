"""The errors of a machine that has no room for another socket."""

from __future__ import annotations

import errno

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""The errno values of a machine that has no file descriptor or no memory for another socket."""
