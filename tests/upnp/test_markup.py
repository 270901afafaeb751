from __future__ import annotations

from typing import Any

import pytest

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.xml import parse_tree
from propchange.errors import DescriptionError
from propchange.upnp.markup import check_text, child_text, parse_root, spec_version, text_element


@pytest.mark.parametrize(
    ("uda", "major", "minor"), [("1.0", "1", "0"), ("1.1", "1", "1"), ("2.0", "2", "0")]
)
def test_the_spec_version_is_that_of_the_architecture(uda: str, major: str, minor: str) -> None:
    element = parse_tree(spec_version(uda).encode(), DEFAULT_LIMITS)
    assert [(child.name, child.text) for child in element.children] == [
        ("major", major),
        ("minor", minor),
    ]


def test_an_architecture_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no UPnP Device Architecture '3.0'; known: 1.0, 1.1"):
        spec_version("3.0")


def test_markup_in_a_text_is_escaped() -> None:
    assert text_element("a", "<&>\r") == "<a>&lt;&amp;&gt;&#13;</a>"


@pytest.mark.parametrize("text", ["", "Küche\t\r\n", "\U0001f321"])
def test_a_text_that_xml_can_carry_is_given_back(text: str) -> None:
    assert check_text(text, "x") == text


@pytest.mark.parametrize("text", ["\0", "a\x1b", "\ud800", "\uffff"])
def test_a_text_that_xml_cannot_carry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"the name holds .*, which XML 1\.0 cannot carry"):
        check_text(text, "the name")


def test_a_text_must_be_a_str() -> None:
    wrong: Any = b"x"
    with pytest.raises(TypeError, match="the name must be a str, not bytes"):
        check_text(wrong, "the name")


def test_the_text_of_a_child_is_found_in_the_name_space_of_its_parent_first() -> None:
    root = parse_tree(
        b"<a xmlns='urn:a' xmlns:v='urn:v'><v:n> vendor's </v:n><n>\n ours </n><v:m>only</v:m></a>",
        DEFAULT_LIMITS,
    )
    assert child_text(root, "n") == "ours"
    assert child_text(root, "m") == "only"
    assert child_text(root, "o") == ""


def test_a_document_that_is_not_well_formed_is_told_in_words() -> None:
    with pytest.raises(DescriptionError, match=r"^it cannot be read: malformed XML: .*$"):
        parse_root(b"<a><b></a>", DEFAULT_LIMITS, "it", "a")


def test_a_document_beyond_the_limits_cannot_be_read() -> None:
    with pytest.raises(DescriptionError, match="too many elements"):
        parse_root(b"<a><b/><b/></a>", Limits(xml_elements=2), "it", "a")


def test_another_outermost_element_is_told_by_name() -> None:
    with pytest.raises(DescriptionError, match="its outermost element is 'html', not 'scpd'"):
        parse_root(b"<html/>", DEFAULT_LIMITS, "it", "scpd")
    root, problems = parse_root(b"<s:scpd xmlns:s='x'/>", DEFAULT_LIMITS, "it", "scpd")
    assert (root.name, problems) == ("scpd", ())
