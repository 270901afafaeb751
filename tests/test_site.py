"""The documentation site has every page, and its reference every public name and nothing else."""

from __future__ import annotations

import os
import re
import zlib
from dataclasses import fields
from pathlib import Path

import pytest
import recovery_timelines
from api_reference import Reference, public_modules

from propchange import Limits
from tests.test_public_names import MEMBERS, PUBLIC

ROOT = Path(__file__).parent.parent
INDEX = (ROOT / "docs" / "index.md").read_text("utf-8")
MADE_BY_THE_BUILD = {"conformance.md", "states.md"}
OF_THE_ROOT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


def test_every_page_is_in_the_index_once() -> None:
    listed = re.findall(r"(?m)^- \[[^]]+\]\(([\w./-]+\.md)\): \S", INDEX)
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} | MADE_BY_THE_BUILD
    pages |= {f"../{name}" for name in OF_THE_ROOT}
    missing = sorted(pages - {"index.md", *listed})
    assert missing == [], "give each a line in docs/index.md: - [Title](page.md): what is in it."
    assert len(listed) == len(set(listed))


def test_every_page_in_the_index_is_there() -> None:
    listed = set(re.findall(r"\]\(([\w./-]+\.md)\)", INDEX)) - MADE_BY_THE_BUILD
    assert [name for name in sorted(listed) if not (ROOT / "docs" / name).exists()] == []


def test_the_index_lists_the_page_of_each_public_module_and_of_the_limits() -> None:
    listed = re.findall(r"\]\(reference/([\w.]+)\.rst\): \S", INDEX)
    assert sorted(listed) == sorted([*public_modules(), "propchange.Limits"])


def test_the_reference_has_the_public_modules() -> None:
    assert set(public_modules()) == set(PUBLIC), "tools/api_reference.py lists them in MODULES"


@pytest.mark.parametrize("module", PUBLIC)
def test_the_reference_has_the_public_names_of_a_module_and_no_other(
    module: str, reference: Reference
) -> None:
    assert reference.names_in(module) == set(PUBLIC[module].split())


@pytest.mark.parametrize("name", MEMBERS)
def test_the_reference_has_the_public_members_of_a_class_and_no_other(
    name: str, reference: Reference
) -> None:
    of_a_tuple = {"count", "index"}  # StatusChange is one
    assert reference.members_of(name) == set(MEMBERS[name].split()) - of_a_tuple


def test_the_picture_of_recovery_shows_the_measurements_of_the_page() -> None:
    picture = recovery_timelines.PICTURE.read_text("utf-8")
    page = recovery_timelines.PAGE.read_text("utf-8")
    assert picture == recovery_timelines.draw(page), "make pictures, after make faults"


def test_no_name_in_the_reference_is_private(reference: Reference) -> None:
    assert [name for name in reference.entries if "._" in name] == []


def test_public_docstrings_refer_to_public_names_only(reference: Reference) -> None:
    reference.pages()
    assert reference.defects == []


def test_no_signature_in_the_reference_shows_how_python_stores_it(reference: Reference) -> None:
    for page in reference.pages().values():
        assert re.findall(r"ForwardRef|<lambda>|<function|object at 0x", page) == []


def test_the_reference_has_the_value_of_each_member_that_is_a_text(reference: Reference) -> None:
    page = reference.pages()["propchange.rst"]
    assert "   .. py:attribute:: ADDRESS_GONE\n      :value: 'address-gone'\n" in page


def test_a_page_that_a_docstring_names_is_a_link(reference: Reference) -> None:
    assert ":doc:`docs/diagnosis.md </docs/diagnosis>` says" in reference.pages()["propchange.rst"]


@pytest.mark.parametrize("name", ["propchange.Service", "propchange.twisted.ControlPoint"])
def test_the_reference_has_the_arguments_of_what_a_program_makes(
    name: str, reference: Reference
) -> None:
    module, _, last = name.rpartition(".")
    assert f".. py:class:: {last}(*, " in reference.pages()[f"{module}.rst"]


def test_each_field_of_the_limits_is_in_a_group_with_its_reason(reference: Reference) -> None:
    page = reference.pages()["propchange.Limits.rst"]
    groups = re.findall(r"(?m)^(.+)\n-+$", page)
    assert len(groups) > 5
    table = page.partition(f"\n{groups[0]}\n")[2]
    reasons = re.findall(
        r"(?m)^   \* - \.\. py:attribute:: Limits\.(\w+)\n(?:.*\n)*?     - (.+)$", table
    )
    assert [name for name, _ in reasons] == [field.name for field in fields(Limits)]


def test_a_reader_finds_each_public_name_by_the_search_and_nothing_else(
    reference: Reference,
) -> None:
    """The inventory is what the search of the site, and the sites of others, look names up in."""
    path = ROOT / "build" / "site" / "objects.inv"
    if not path.exists() and not os.environ.get("CI"):
        pytest.skip("the site is not built: make docs")
    _, _, _, _, packed = path.read_bytes().split(b"\n", 4)
    rows = zlib.decompress(packed).decode().splitlines()
    found = {row.split()[0] for row in rows if row.split()[1].startswith("py:")}
    assert found == {*reference.entries, *reference.modules}
