"""The documentation: its links on a code host, and the site that `make docs` builds of it."""

import html.parser
import os
import re
import subprocess
import sys
import tomllib
import unittest
import urllib.parse
import zlib
from pathlib import Path

from host import InFolder, environment, finish, start

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = os.environ["PYTHON_PACKAGES"]
TOOLS = os.environ.get("HANDOFF_TOOLS", "")  # a Python that has what `make test-all` installs
FILES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), PROJECT / "bench/README.md"]
# What is not read as Markdown: a block of code, and code within a line.
CODE = re.compile(r"^(`{3,}).*?^\1$|`[^`\n]+`", re.MULTILINE | re.DOTALL)

# Some of each kind that the C++ reference has.
NAMES = (
    *("handoff::gil_acquire", "handoff::gil_acquire::gil_acquire", "handoff::gil_gate::grace"),
    *("handoff::interpreter::options::stop_grace", "handoff::gil_held", "handoff::without_gil"),
    *(
        "handoff::callback::operator()",
        "handoff::when_full::drop_oldest",
        "handoff::spdlog_sink_mt",
    ),
    *("handoff::gilcheck::start", "HANDOFF_PYTHON_MODULE"),
)


def tools_lack_foo():
    """Whether Foo is built for another Python than the tools'."""
    code = "import sys; print(sys.implementation.cache_tag)"
    tag = subprocess.run([TOOLS, "-c", code], capture_output=True, text=True, check=True).stdout
    return tag.strip() != sys.implementation.cache_tag


def headings(file):
    """What a code host calls a file's headings in a link."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", file.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(file):
    """The addresses in a file, inline and as definitions."""
    text = CODE.sub("", file.read_text())
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"^\[.+\]: (\S+)$", text, re.MULTILINE)


class Files(unittest.TestCase):
    def test_each_link_leads_to_a_file_and_a_heading(self):
        seen = 0
        for file in FILES:
            for link in links(file):
                with self.subTest(file=file.name, link=link):
                    to = urllib.parse.urlsplit(link)
                    if to.scheme:
                        continue
                    seen += 1
                    target = (file.parent / to.path).resolve() if to.path else file
                    self.assertTrue(target.exists(), f"{target} is not there")
                    if to.fragment:
                        self.assertIn(to.fragment, headings(target))
        self.assertGreater(seen, 50)

    def test_the_badges_are_true(self):
        readme = (PROJECT / "README.md").read_text()
        said = set(re.findall(r"\[!\[(.+)\]\(https://img.shields.io/badge/(\S+)-\w+\)\]", readme))
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
        rows = re.findall(
            r"^\| \S+ \| 3\.(\d+) \|", (PROJECT / "docs/matrix.md").read_text(), re.MULTILINE
        )
        pythons = [f"3.{minor}" for minor in sorted({int(minor) for minor in rows})]
        standard = re.search(r"cxx_std_(\d+)", (PROJECT / "cmake/HandoffFlags.cmake").read_text())
        self.assertEqual(project["requires-python"], f">={pythons[0]}")
        self.assertEqual(
            said,
            {
                ("Python " + ", ".join(pythons), "Python-" + "_%7C_".join(pythons)),
                (f"C++{standard[1]}", f"C%2B%2B-{standard[1]}"),
                (
                    f"License {project['license']}",
                    "license-" + project["license"].replace("-", "--"),
                ),
            },
        )

    def test_the_citation_is_of_this_version(self):
        citation = (PROJECT / "CITATION.cff").read_text()
        cmake = (PROJECT / "CMakeLists.txt").read_text()
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
        version = re.search(r"project\(handoff VERSION ([\d.]+)", cmake)[1]
        self.assertIn(f"\nversion: {version}\nlicense: {project['license']}\n", citation)
        self.assertIn(f'- name: "{project["authors"][0]["name"]}"\n', citation)

    def test_the_readme_is_short(self):
        self.assertLessEqual(len((PROJECT / "README.md").read_text().splitlines()), 150)

    def test_the_reference_has_each_public_header(self):
        pages = (PROJECT / "docs/reference_cpp").glob("*.md")
        described = [
            header
            for page in pages
            for header in re.findall(r"^\.\. header:: (\S+)$", page.read_text(), re.MULTILINE)
        ]
        public = {
            header.relative_to(
                next(folder for folder in header.parents if folder.name == "include")
            )
            for folder in ("app", "extension")
            for header in (PROJECT / folder).glob("**/include/handoff/**/*.hpp")
            if "detail" not in header.parts
            and re.search(
                r"^(namespace handoff(?!::detail)|#define HANDOFF_)",
                header.read_text(),
                re.MULTILINE,
            )
        }
        self.assertEqual(sorted(described), sorted(header.as_posix() for header in public))

    def test_each_message_of_the_troubleshooting_is_in_the_sources(self):
        page = (PROJECT / "docs/troubleshooting.md").read_text()
        ours = page.partition("\n## Messages of Python, Boost.Python and C++\n")[0]
        messages = re.findall(r"^\*\*`(.+?)`\*\*", ours, re.MULTILINE)
        self.assertGreater(len(messages), 80)
        sources = written()
        for message in messages:
            for part in message.split("…"):
                with self.subTest(message=message, part=part):
                    self.assertTrue(part.strip(' .,:;()?"') in sources)  # assertIn would print all

    def test_the_troubleshooting_has_each_message_that_ends_a_build(self):
        page = (PROJECT / "docs/troubleshooting.md").read_text()
        said = re.findall(r"`(.+?)`\*\*", page)
        parts = [part.strip() for message in said for part in message.split("…") if part.strip()]
        files = [PROJECT / "CMakeLists.txt", *(PROJECT / "cmake").glob("Handoff*.cmake")]
        texts = [PROJECT / "CMakeLists.txt", *files]
        fatal = [
            text
            for file in dict.fromkeys(texts)
            for text in re.findall(
                r'message\(FATAL_ERROR\s+"(.*?)"\)', joined(file.read_text()), re.S
            )
        ]
        self.assertGreater(len(fatal), 5)
        for text in fatal:
            with self.subTest(text):
                self.assertTrue(any(len(part) > 12 and part in text for part in parts), text)

    def test_the_front_page_shows_the_report_of_the_crash_page(self):
        block = r"^```console\n(gilcheck: .*?)^```"
        pages = [(PROJECT / "docs" / name).read_text() for name in ("index.md", "crash.md")]
        shown = re.search(block, pages[0], re.MULTILINE | re.DOTALL)[1]
        self.assertIn(shown, pages[1])

    def test_each_page_is_reached_from_the_front_page(self):
        index = (PROJECT / "docs/index.md").read_text()
        trees = "".join(re.findall(r"^```\{toctree\}\n(.*?)^```", index, re.MULTILINE | re.DOTALL))
        listed = set(re.findall(r"^(?:.*<)?([\w./]+)>?$", trees, re.MULTILINE))
        pages = {page.stem for page in (PROJECT / "docs").glob("*.md")} - {"index"}
        self.assertEqual(pages - listed, set())


def joined(text):
    """Source text, with string literals that follow one another as one."""
    return re.sub(r'(?<!\\)"\s*\n?\s*[rf]{0,2}"', "", text).replace('\\"', '"')


def written():
    """All that the libraries, the tools and the build may say."""
    folders = [PROJECT / "app", PROJECT / "extension", PROJECT / "cmake"]
    kinds = {".cpp", ".hpp", ".py", ".cmake", ".in", ".txt"}
    files = [file for folder in folders for file in folder.glob("**/*") if file.suffix in kinds]
    texts = [file.read_text() for file in [PROJECT / "CMakeLists.txt", *files] if file.is_file()]
    return joined("\n".join(texts))


class Page(html.parser.HTMLParser):
    """What a page links to, and the places within it that may be linked to."""

    def __init__(self, file):
        super().__init__()
        self.links, self.places = [], {""}
        self.feed(file.read_text())

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.places.add(known.get("id"))
        self.links += [known[name] for name in ("href", "src") if known.get(name)]


@unittest.skipIf(not TOOLS, "needs Sphinx: `make test-all`")
@unittest.skipIf(TOOLS and tools_lack_foo(), "Foo is built for another Python than the tools'")
class Site(InFolder):
    def build(self, builder):
        arguments = ("--quiet", "--fail-on-warning", "--keep-going", "--conf-dir", PROJECT / "docs")
        outcome = finish(
            start(
                *(TOOLS, "-m", "sphinx", "--builder", builder, *arguments, PROJECT, self.folder),
                env=environment(PYTHONPATH=PACKAGES),
                cwd=self.folder,
            )
        )
        self.assertEqual(outcome.code, 0, outcome)

    def test_builds_without_a_warning_and_each_link_leads_somewhere(self):
        self.build("html")
        pages = {file: Page(file) for file in self.folder.rglob("*.html")}
        self.assertIn(self.folder / "index.html", pages)
        self.assertIn(self.folder / "README.html", pages)
        for file, page in pages.items():
            for link in page.links:
                to = urllib.parse.urlsplit(link)
                target = (file.parent / urllib.parse.unquote(to.path)).resolve()
                if to.scheme:
                    continue
                with self.subTest(page=file.relative_to(self.folder).as_posix(), link=link):
                    target = target if to.path else file
                    self.assertTrue(target.exists(), f"{target} is not there")
                    if target in pages:
                        self.assertIn(to.fragment, pages[target].places)

    def test_has_each_public_name_in_its_index(self):
        self.build("html")
        inventory = (self.folder / "objects.inv").read_bytes().split(b"\n", 4)[4]
        names = set(re.findall(r"^(\S+) (?:cpp|c):", zlib.decompress(inventory).decode(), re.M))
        for name in NAMES:
            with self.subTest(name):
                self.assertIn(name, names)

    def test_its_examples_do_what_they_show(self):
        self.build("doctest")
        summary = (self.folder / "output.txt").read_text()
        self.assertGreater(int(re.search(r"(\d+) tests?\n", summary)[1]), 10, summary)
