"""The documentation's site: the repository's Markdown, where it lies. `make docs` builds it."""

import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx.errors import ConfigError
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

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
    "sphinx_copybutton",
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
copybutton_prompt_text = r"\$ |>>> |\.\.\. "  # only what follows a prompt is copied
copybutton_prompt_is_regexp = True
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


class PagesHaveTitles(SphinxPostTransform):
    """Has a link whose text is a file's name, as a code host shows it, show the page's title."""

    default_priority = 500

    def run(self, **_: object) -> None:
        for link in self.document.findall(nodes.reference):
            text = link.astext()
            page = "docs/" + text.removesuffix(".md")
            if text.endswith(".md") and page in self.env.titles:
                link.children = [nodes.inline(text=self.env.titles[page].astext())]


def setup(app):
    app.add_transform(PromptsAreTests)
    app.add_post_transform(PagesHaveTitles)
