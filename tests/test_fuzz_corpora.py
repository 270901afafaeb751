"""Each input that fuzzing started from or has found means no fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz.targets import TARGETS

FUZZ = Path(__file__).parents[1] / "fuzz"


def inputs(target: str) -> list[Path]:
    folders = (FUZZ / "corpus" / target, FUZZ / "regressions" / target)
    return sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir())


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_of_the_corpus_is_a_fault(target: str) -> None:
    for path in inputs(target):
        try:
            TARGETS[target](path.read_bytes())
        except BaseException as error:
            error.add_note(f"the input is {path}")
            raise


def test_each_target_has_a_corpus_of_small_files_and_no_other_has_one() -> None:
    for folder in (FUZZ / "corpus", FUZZ / "regressions"):
        assert {path.name for path in folder.iterdir()} <= TARGETS.keys()
    for target in TARGETS:
        sizes = [path.stat().st_size for path in inputs(target)]
        assert len(sizes) > 4
        assert max(sizes) < 4_096


@pytest.mark.parametrize("target", TARGETS)
def test_no_bytes_at_all_are_no_fault(target: str) -> None:
    TARGETS[target](b"")
