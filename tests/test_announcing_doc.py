"""The figures of docs/announcing.md are those of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import propchange
import propchange.twisted
from propchange.core.discovery import announcements, search_answers
from propchange.core.limits import DEFAULT_LIMITS
from propchange.driver.announcing import SHORTEST_MAX_AGE
from propchange.driver.multicast_sockets import LINK_HOPS, SITE_HOPS

TEXT = (Path(__file__).parent.parent / "docs" / "announcing.md").read_text("utf-8")


def test_the_arguments_are_those_of_both_runtimes() -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", TEXT, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == {
        "announce",
        "interface",
        "exclude",
        "max_age",
        "secure_location",
        "state_directory",
        "multicast",
    }
    for host in (propchange.host, propchange.twisted.host):
        parameters = inspect.signature(host).parameters
        assert named <= parameters.keys()
        assert parameters["announce"].default is True
        assert parameters["max_age"].default == 1_800


@pytest.mark.parametrize(
    "figure",
    [
        f"at least {SHORTEST_MAX_AGE}.",
        f"up to {announcements.FIRST_DELAY:g} s at random; {announcements.SETS} times",
        "with {:g} to {:g} s between".format(*announcements.REPEAT_SECONDS),
        f"read every {DEFAULT_LIMITS.link_seconds:g} s",
        f"{announcements.GAP_SECONDS * 1000:g} ms apart",
        f"twice, in {announcements.BYEBYE_SECONDS * 3:.1f} s",
        f"{LINK_HOPS} on a link, {SITE_HOPS} in a site",
        f"MX above {search_answers.MX_MOST} counts as {search_answers.MX_MOST}",
        f"below {search_answers.LOWEST_PORT}",
        f"at most {DEFAULT_LIMITS.search_answer_ratio} times",
        f"{DEFAULT_LIMITS.search_answer_bytes_per_source // 1024} kB at once",
        f"then {DEFAULT_LIMITS.search_answer_rate_per_source // 1024} kB a second",
        f"then {DEFAULT_LIMITS.search_answer_rate // 1024} kB a second",
        f"at most every {DEFAULT_LIMITS.announced_instead_seconds:g} s",
    ],
)
def test_a_figure_is_that_of_the_code(figure: str) -> None:
    assert figure in TEXT


def test_the_rest_of_the_figures_are_those_of_the_code() -> None:
    assert announcements.REFRESH_PARTS == (0.25, 0.5)
    assert announcements.SET_SECONDS == 0.5
    assert DEFAULT_LIMITS.search_answer_bytes == 1_048_576
