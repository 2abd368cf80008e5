"""The documentation's site: the repository's Markdown, where it lies. `make docs` builds it."""

import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.errors import ConfigError
from sphinx.transforms import SphinxTransform

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "docs"))

# ---- what is described ---------------------------------------------------------------------------

try:
    import Foo  # noqa: F401
    import gilcheck  # noqa: F401
    import giltrace  # noqa: F401
    import gilwatch  # noqa: F401
except ImportError as error:
    raise ConfigError(
        f"{sys.executable} cannot import what the site describes: {error}; run `make docs`, and "
        "without PYTHON=…: Foo has to be built for the Python of .venv"
    ) from None

project = "Handoff"
author = "the Handoff contributors"
cmake = (PROJECT / "CMakeLists.txt").read_text()
release = version = re.search(r"project\(handoff VERSION ([\d.]+)", cmake)[1]

# ---- where it is ---------------------------------------------------------------------------------

# The sources are the whole repository, so that a link between two files is the same on a code host.
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "bench/README.md"]
exclude_patterns = [".*", "build"]
html_additional_pages = {"index": "to_index.html"}
templates_path = ["templates"]

# ---- how it is read ------------------------------------------------------------------------------

extensions = [
    "cpp_reference",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx_design",
]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
highlight_language = "none"
default_role = "code"  # in docstrings, as in Markdown
smartquotes = False
autodoc_member_order = "bysource"
nitpicky = True
nitpick_ignore_regex = [
    ("py:class", r"(asyncio|collections\.abc|os)\.\w+"),  # Python's own
    ("cpp:identifier", ".*"),  # in signatures: C++'s own, Boost's, template parameters
]
cpp_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"Handoff {version}"
html_static_path = ["static"]
html_css_files = ["handoff.css"]
html_copy_source = False
html_show_copyright = False


class PromptsAreTests(SphinxTransform):
    """Has the doctest builder run what a code host knows how to show: ```pycon, in docs/."""

    default_priority = 500

    def apply(self) -> None:
        if not self.env.docname.startswith("docs/"):
            return
        for block in self.document.findall(nodes.literal_block):
            if block.get("language") == "pycon":
                block["testnodetype"] = "doctest"
                block["groups"] = ["default"]


def setup(app):
    app.add_transform(PromptsAreTests)
