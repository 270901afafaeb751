"""Makes the long description of the packages from README.md, at each build.

A package index shows the text without the repository, so links to files of the repository become
links to the repository in pyproject.toml. hatchling loads this module as a metadata hook.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_PICTURES = (".svg", ".png")


def long_description(readme: str, repository: str, version: str) -> str:
    """``readme`` with each link to a file of the repository made absolute: to the tag of
    ``version``, or to the branch ``main`` for a development version. A link outside of this
    repository, and one to a heading of the text itself, stay as they are."""
    revision = "main" if "dev" in version else f"v{version}"

    def absolute(link: re.Match[str]) -> str:
        before, target, after = link.groups()
        # GitHub shows a page about a file at "blob", and gives the file itself at "raw".
        way = "raw" if target.partition("#")[0].endswith(_PICTURES) else "blob"
        return f"{before}{repository}/{way}/{revision}/{target}{after}"

    markdown = r"""(\]\()(?!\w+:|#|/)([^)\s]+)(\))"""
    html = r"""((?:src|srcset|href)=")(?!\w+:|#|/)([^"\s]+)(")"""
    return re.sub(html, absolute, re.sub(markdown, absolute, readme))


class LongDescription(MetadataHookInterface):
    """The hook, which hatchling calls at each build."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Put the long description into ``metadata``."""
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = long_description(readme, metadata["urls"]["Repository"], metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
