"""What names and types in advertisements mean."""

from __future__ import annotations

import pytest

from propchange.core.discovery.advertisement import type_fits, udn_key

RENDERER = "urn:schemas-upnp-org:device:MediaRenderer:2"


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (RENDERER, True),
        ("MediaRenderer", True),
        ("urn:schemas-upnp-org:device:MediaRenderer:1", True),
        ("urn:schemas-upnp-org:device:MediaRenderer:3", False),
        ("urn:schemas-upnp-org:device:MediaRenderer:x", False),
        ("urn:schemas-upnp-org:service:MediaRenderer:1", False),
        ("MediaRenderer:1", True),
        ("MediaRenderer:2", True),
        ("MediaRenderer:3", False),
        ("MediaRenderer:", False),
        ("device:MediaRenderer:1", False),
        ("Renderer:1", False),
        ("mediarenderer", False),
        ("Renderer", False),
        ("", False),
    ],
)
def test_a_type_fits_what_is_wanted_in_that_or_a_later_version(wanted: str, fits: bool) -> None:
    assert type_fits(RENDERER, wanted) is fits


def test_two_spellings_of_a_udn_have_one_key() -> None:
    assert udn_key("uuid:AB ") == udn_key("UUID:ab")
