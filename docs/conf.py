"""The documentation site: `make docs` builds it into build/site.

The pages are the Markdown files of the repository, read where they are, so that their links work
on GitHub too. `docs/index.md` lists them, and each of its headings is a part of the navigation.
The API reference is made by `tools/api_reference.py`. Nothing is fetched from the network.
"""

import re
import sys
from pathlib import Path

from sphinx import addnodes
from sphinx.util import logging

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import api_reference  # noqa: E402 - it is in tools

project = "propchange"
author = "propchange contributors"
project_copyright = author
root_doc = "docs/index"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
include_patterns = [
    "docs/**",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "changelog.d/README.md",
    "benchmarks/RESULTS.md",
    "fuzz/README.md",
]
# Sphinx looks for pages in every other folder.
exclude_patterns = [
    each.name
    for each in ROOT.iterdir()
    if each.is_dir() and each.name not in {"docs", "benchmarks", "changelog.d", "fuzz"}
] + ["benchmarks/native", "benchmarks/peers", "benchmarks/documents", "fuzz/work"]

myst_heading_anchors = 5
highlight_language = "none"  # a block without a language is a shell command or an output

nitpicky = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "propchange"
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]

logger = logging.getLogger("propchange")


def write_reference(app):
    """Write the pages of the API reference, and complain about references to what is private."""
    app.api_reference = api_reference.write()
    for defect in sorted(set(app.api_reference.defects)):
        logger.warning("%s", defect)


def list_as_toctrees(app, docname, source):
    """Each list of pages in the index becomes a part of the navigation, under its heading."""
    if docname != root_doc:
        return
    parts = re.split(r"(?m)^(?=## )", source[0])
    for number, part in enumerate(parts):
        heading = re.match(r"## (.+)", part)
        pages = re.findall(r"(?m)^- \[[^]]+\]\(([^)#:]+)\)", part)
        if heading and pages:
            listed = "\n".join(page.removesuffix(".md").removesuffix(".rst") for page in pages)
            parts[number] += (
                f"\n```{{toctree}}\n:hidden:\n:caption: {heading[1]}\n\n{listed}\n```\n"
            )
    source[0] = "".join(parts)


def link_types(app, doctree):
    """A name in a signature becomes a link if it is public, and stays plain otherwise: a name of
    Python or of a library. A build fetches nothing, so it has no inventory of theirs."""
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node.get("refdomain") != "py":
            continue
        module = node.get("py:module") or ""
        cls = f"{module}.{node['py:class']}" if node.get("py:class") else ""
        known = app.api_reference.find(node["reftarget"], module, cls)
        if known is None:
            node.replace_self(node.children)
        else:
            node["reftarget"] = known
            node["reftype"] = "mod" if known in app.api_reference.modules else "obj"
            node["refspecific"] = False


def lead_to_index(app, exception):
    """The site begins in its own folder."""
    if exception is None and app.builder.format == "html":
        page = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html">'
        page += '<a href="docs/index.html">propchange</a>\n'
        (Path(app.outdir) / "index.html").write_text(page, "utf-8")


def setup(app):
    """Called by Sphinx."""
    app.connect("builder-inited", write_reference)
    app.connect("source-read", list_as_toctrees)
    app.connect("doctree-read", link_types)
    app.connect("build-finished", lead_to_index)
    return {"parallel_read_safe": True}
