"""BOOTID of a root device, kept in a file from one start of the program to the next.

BOOTID must rise whenever the device joins the network or its addresses change (UDA 2.0 §1.2.2,
CP-13). A control point learns from it that its subscriptions are void. The next number is the one
in the file plus one, or the seconds since the beginning of 2025 if those are more. So BOOTID rises
if the file is lost, and if the clock is wrong, but not if both happen.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from propchange.driver.reporting import logger_named

if TYPE_CHECKING:
    from pathlib import Path  # takes 1 ms and 0.6 MB to import

if sys.platform != "win32":
    import fcntl

LARGEST_BOOT_ID = 2**31 - 1
"""BOOTID has 31 bits (UDA 2.0 §1.2.2)."""

_BEGINNING = 1_735_689_600
"""The beginning of 2025 on the clock of the system. Seconds since then fit 31 bits until 2093."""

_RECORD = re.compile(r"([0-9]{1,10}) (announced|gone)\s*")
_RECORD_BYTES = 64
_LOCK_ATTEMPTS = 20
_LOCK_SECONDS = 0.002

_logger = logger_named("propchange.discovery")


class _Record(NamedTuple):
    """The last BOOTID, and whether the device was announced with it and has not said goodbye."""

    number: int
    announced: bool


class BootId:
    """BOOTID of the root device ``udn``. Call :meth:`begin` when the device joins the network,
    :meth:`rise` when its addresses change, and :meth:`end` when it has said goodbye.

    ``folder`` has one small file for each device. None: a folder of propchange where the platform
    keeps the state of programs. If the folder cannot be read or written, a warning says so once,
    and the number is the seconds since the beginning of 2025. ``clock`` returns the seconds since
    1970.
    """

    def __init__(
        self, udn: str, folder: Path | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._udn = udn
        self._folder = folder
        self._clock = clock
        self._number = 0
        self._warned = False
        self._lock: int | None = None
        self.crashed = False
        """Whether the device was announced before and has not said goodbye since. True also if that
        is unknown."""

    @property
    def current(self) -> int:
        """The present number. The first call calls :meth:`begin`."""
        return self._number or self.begin()

    def begin(self) -> int:
        """The number for a new start; later calls return the same. If the file cannot be used, the
        number is the time."""
        if self._number:
            return self._number
        with self._files() as file:
            alone = self._take_lock(file)
            record = self._read(file)
            self.crashed = alone and record is not None and record.announced
            self._advance(file, record)
            if not alone:
                _logger.warning(
                    "another program of this machine announces the device %s too; give one of "
                    "them another UDN",
                    self._udn,
                )
        return self._number

    def rise(self) -> int:
        """The next number, which is higher. After the highest number of 31 bits it is a lower one:
        a control point takes any other number for a restart (CP-09)."""
        with self._files() as file:
            self._advance(file, self._read(file))
        return self._number

    def end(self) -> None:
        """The device has said goodbye on the network, or was never announced."""
        if self._number:
            with self._files() as file:
                self._write(file, announced=False)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _advance(self, file: Path | None, record: _Record | None) -> None:
        last = max(self._number, record.number if record is not None else 0)
        self._number = _next_number(last, int(self._clock()) - _BEGINNING)
        self._write(file, announced=True)

    # --- the file ---

    @contextlib.contextmanager
    def _files(self) -> Iterator[Path | None]:
        """The file, with the folder locked against other programs. None if the folder cannot be
        used."""
        from pathlib import Path

        try:
            folder = _default_folder() if self._folder is None else Path(self._folder)
            folder.mkdir(parents=True, exist_ok=True)
            handle = _locked(folder)
        except (OSError, RuntimeError) as error:  # RuntimeError: nobody knows the home directory
            self._warn(error)
            yield None
            return
        try:
            yield folder / f"{quote(self._udn, safe='')[:200]}.bootid"
        finally:
            if handle is not None:
                os.close(handle)

    def _read(self, file: Path | None) -> _Record | None:
        """The record of the file; None without a file. If the file cannot be read, the device
        counts as announced."""
        if file is None:
            return _Record(0, announced=True)
        try:
            with file.open("rb") as opened:
                text = opened.read(_RECORD_BYTES).decode("ascii", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn(error)
            return _Record(0, announced=True)
        match = _RECORD.fullmatch(text)
        if match is None or int(match[1]) > LARGEST_BOOT_ID:
            _logger.warning("%s has no BOOTID; it is written anew", file)
            return _Record(0, announced=True)
        return _Record(int(match[1]), match[2] == "announced")

    def _write(self, file: Path | None, *, announced: bool) -> None:
        """Replace the whole file, without a sync of the disk: if a power failure destroys the file,
        the clock makes the number rise."""
        if file is None:
            return
        fresh = file.with_name(f"{file.name}.{os.getpid()}")
        try:
            fresh.write_text(f"{self._number} {'announced' if announced else 'gone'}\n", "ascii")
            fresh.replace(file)
        except OSError as error:
            self._warn(error)
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)

    def _take_lock(self, file: Path | None) -> bool:
        """Lock a second file until :meth:`end`. False: another program, or another device of this
        program, has locked it. Windows has no such lock."""
        if file is None or sys.platform == "win32":
            return True
        with contextlib.suppress(OSError):
            handle = os.open(file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                return not isinstance(error, BlockingIOError)
            self._lock = handle
        return True

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning(
                "BOOTID of %s is not kept (%s); it is the time instead: give a state_directory "
                "that can be written",
                self._udn,
                error,
            )


def _next_number(last: int, seconds: int) -> int:
    """The number after ``last``, at a time ``seconds`` after the beginning of 2025."""
    in_time = seconds if 1 <= seconds <= LARGEST_BOOT_ID else 1
    if last >= LARGEST_BOOT_ID:
        return in_time
    return max(last + 1, in_time)


def _default_folder() -> Path:
    # Imported here: a device that announces nothing needs no folder.
    from platformdirs import user_state_path

    return user_state_path("propchange", appauthor=False)


def _locked(folder: Path) -> int | None:
    """A handle that locks ``folder`` until it is closed. None: the system has no such lock, or
    another program has had it for too long."""
    if sys.platform == "win32":
        return None
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_SECONDS)
        except OSError:
            break
        else:
            return handle
    os.close(handle)
    return None
