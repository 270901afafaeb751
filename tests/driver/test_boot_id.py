"""BOOTID of a device, from one start to the next."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from propchange.driver.boot_id import LARGEST_BOOT_ID, BootId

UDN = "uuid:00000000-0000-0000-0000-00000000000a"
NOW = 1_800_000_000.0
SECONDS = 1_800_000_000 - 1_735_689_600


def at(seconds: float) -> Callable[[], float]:
    return lambda: seconds


def start(folder: Path, seconds: float = NOW, *, udn: str = UDN, end: bool = True) -> int:
    boot_id = BootId(udn, folder, clock=at(seconds))
    number = boot_id.begin()
    if end:
        boot_id.end()
    return number


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.bootid"))


@pytest.mark.parametrize("clock", [[NOW, NOW], [NOW, NOW + 90], [NOW, 0.0], [0.0, 0.0], [0, NOW]])
@pytest.mark.clause("CP-13")
def test_each_start_of_a_device_has_a_higher_bootid(tmp_path: Path, clock: list[float]) -> None:
    numbers = [start(tmp_path / "new", each) for each in clock]
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= 1


@pytest.mark.clause("CP-13")
def test_each_change_of_the_addresses_raises_it(tmp_path: Path) -> None:
    boot_id = BootId(UDN, tmp_path, clock=at(NOW))
    numbers = [boot_id.current, boot_id.rise(), boot_id.rise()]
    assert numbers == [SECONDS, SECONDS + 1, SECONDS + 2]
    assert (boot_id.current, boot_id.begin()) == (numbers[-1], numbers[-1])
    boot_id.end()
    assert start(tmp_path) == SECONDS + 3


def test_two_devices_have_numbers_of_their_own(tmp_path: Path) -> None:
    for udn in (UDN, "uuid:another/../with:what*a?file|name", "uuid:" + "x" * 300):
        assert start(tmp_path, 0.0, udn=udn) == 1
        assert start(tmp_path, 0.0, udn=udn) == 2
    assert len(files(tmp_path)) == 3
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 4096, b"seven announced", b"7", b"99999999999 gone\n", b"-7 gone", b"\xff\xfe",
     b"4294967296 gone\n", b"7 gone\n" + b"x" * 10_000_000],
)  # fmt: skip
def test_a_file_without_a_number_is_written_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    start(tmp_path)
    files(tmp_path)[0].write_bytes(content)
    assert start(tmp_path, NOW + 5) == SECONDS + 5
    assert "has no BOOTID" in caplog.text
    assert start(tmp_path, NOW + 5) == SECONDS + 6


def test_a_folder_that_cannot_be_made_is_said_once_and_the_time_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    boot_id = BootId(UDN, tmp_path / "file" / "below", clock=at(NOW))
    assert boot_id.begin() == SECONDS
    assert boot_id.crashed
    assert boot_id.rise() == SECONDS + 1
    boot_id.end()
    assert [record.message for record in caplog.records if "not kept" in record.message] == [
        caplog.records[0].message
    ]
    assert "state_directory" in caplog.text


def test_a_folder_that_cannot_be_written_is_said_once_and_the_number_rises(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(tmp_path, 0.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    boot_id = BootId(UDN, tmp_path, clock=at(0.0))
    assert [boot_id.begin(), boot_id.rise(), boot_id.rise()] == [2, 3, 4]
    boot_id.end()
    assert caplog.text.count("No space left") == 1


def test_a_file_that_cannot_be_read_counts_as_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start(tmp_path, 0.0)
    files(tmp_path)[0].unlink()
    (tmp_path / f"{UDN.replace(':', '%3A')}.bootid").mkdir()
    assert start(tmp_path, NOW) == SECONDS
    assert len(caplog.records) == 1


def test_a_home_that_nobody_knows_is_survived(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unknown(*_: object, **__: object) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_state_path", unknown)
    assert BootId(UDN, clock=at(NOW)).current == SECONDS
    assert "home directory" in caplog.text


def test_the_default_folder_is_where_the_platform_keeps_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    boot_id = BootId(UDN)
    boot_id.begin()
    boot_id.end()
    assert len(list(tmp_path.rglob("*.bootid"))) == 1


def test_after_the_highest_number_counting_begins_anew(tmp_path: Path) -> None:
    start(tmp_path)
    files(tmp_path)[0].write_text(f"{LARGEST_BOOT_ID - 1} gone\n")
    assert [start(tmp_path) for _ in range(3)] == [LARGEST_BOOT_ID, SECONDS, SECONDS + 1]
    files(tmp_path)[0].write_text(f"{LARGEST_BOOT_ID} gone\n")
    assert start(tmp_path, 0.0) == 1
    assert start(tmp_path / "2100", 4_102_444_800.0) == 1  # the seconds no longer fit


def test_a_crash_is_known_at_the_next_start(tmp_path: Path) -> None:
    first = BootId(UDN, tmp_path, clock=at(NOW))
    first.begin()
    assert not first.crashed  # it was never announced before
    first.end()
    second = BootId(UDN, tmp_path, clock=at(NOW))
    second.begin()
    assert not second.crashed  # it has said goodbye
    code = (
        "import os, sys; from pathlib import Path; from propchange.driver.boot_id import BootId;"
        "BootId(sys.argv[1], Path(sys.argv[2])).begin(); os._exit(9)"
    )
    second.end()
    subprocess.run([sys.executable, "-c", code, UDN, str(tmp_path)], check=False, timeout=30)
    third = BootId(UDN, tmp_path, clock=at(NOW))
    third.begin()
    assert third.crashed
    third.end()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such lock")
def test_a_second_program_with_the_same_udn_is_warned_of_and_does_not_count_as_a_crash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (BootId(UDN, tmp_path, clock=at(NOW)) for _ in range(2))
    numbers = [first.begin(), second.begin(), first.rise(), second.rise()]
    assert numbers == [SECONDS, SECONDS + 1, SECONDS + 2, SECONDS + 3]
    assert not second.crashed
    assert caplog.text.count("another program") == 1
    second.end()
    first.end()


def test_programs_that_start_at_the_same_time_have_different_numbers(tmp_path: Path) -> None:
    def one(_: int) -> int:
        return BootId(UDN, tmp_path, clock=at(NOW)).begin()

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(one, range(8)))
    assert sorted(numbers) == list(range(SECONDS, SECONDS + 8))


def test_a_folder_that_another_program_keeps_locked_delays_no_start(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert start(tmp_path) == SECONDS
    os.close(handle)
