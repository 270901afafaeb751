"""The classes of the standard services at our control point, and renderers of other makes."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def use(start, network, peers_folder):
    """``use(url)`` starts the control point on the renderer at ``url``: the program."""

    def use(url):
        program = peers_folder / "use_classes.py"
        return start(*network.prefix, sys.executable, program, network.address, url)

    return use


def problems(program):
    assert isinstance(program.read("volume")["volume"], int)
    assert [program.read("volume")["volume"] for _ in range(2)] == [33, 44]
    assert program.read("state")["state"] in ("STOPPED", "NO_MEDIA_PRESENT")
    assert program.read("current")["current"] == "0"
    return [program.read("problems")["problems"] for _ in range(3)]


def test_rygel_is_known_by_the_classes_of_the_standard_services(rygel, use):
    assert problems(use(rygel.description_url)) == [[], [], []]


def test_gmediarender_lacks_required_actions_and_works_as_far_as_it_fits(gmediarender, use):
    assert problems(use(gmediarender.description_url)) == [
        ["RenderingControl: the device has no action SelectPreset"],
        ["AVTransport: the device has no action Next, Previous"],
        [],
    ]
