"""Fails if a release would go wrong: tools/release_check.py REPOSITORY TAG.

The repository is that of pyproject.toml, the tag is the version, the changelog has the version, and
no news is left in changelog.d.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def complaints(repository: str, tag: str, root: Path = ROOT) -> list[str]:
    """What has to be mended before the release of ``tag`` from ``repository``."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version, expected = project["version"], project["urls"]["Repository"]
    news = sorted(path.name for path in (root / "changelog.d").iterdir())
    news.remove("README.md")
    found = []
    if repository != expected:
        found.append(f"this is {repository}; [project.urls] in pyproject.toml names {expected}")
    if tag != f"v{version}":
        found.append(f"the tag is {tag}; the version in pyproject.toml is {version}")
    if f"\n## {version} (" not in (root / "CHANGELOG.md").read_text(encoding="utf-8"):
        found.append(f"CHANGELOG.md has no {version}: towncrier build --version {version}")
    if news:
        found.append(f"changelog.d still has news: {', '.join(news)}")
    return found


if __name__ == "__main__":
    found = complaints(sys.argv[1], sys.argv[2])
    print("\n".join(found) or "ready")
    sys.exit(bool(found))
