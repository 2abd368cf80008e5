"""What folders may include: the diagnostic tools one way, no Boost; the host no Boost.Python."""

import os
import re
import unittest
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
DIAGNOSTICS = PROJECT / "extension" / "diagnostics"
TOOLS = ("gilcheck", "giltrace", "gilwatch")
INCLUDE = [PROJECT / "app/include", *(PROJECT / "extension").rglob("include")]
SOURCES = (".cpp", ".hpp", ".c", ".h", ".S", ".in")


def includes(folder):
    """(the file, what it includes) of each of a folder."""
    return [
        (source.relative_to(DIAGNOSTICS), included)
        for source in sorted((DIAGNOSTICS / folder).rglob("*"))
        if source.suffix in SOURCES
        for included in included_by(source)
    ]


def included_by(source):
    return re.findall(r'^ *# *include +["<](.+)[">]', source.read_text(), re.M)


def header(included, source):
    """The project's header of that name, as this source includes it; None for somebody else's."""
    candidates = [folder / included for folder in (source.parent, *INCLUDE)]
    return next((each for each in candidates if each.exists()), None)


def headers(folder):
    """By the names that an #include may give them."""
    names = set()
    for header in (DIAGNOSTICS / folder).rglob("*.h*"):
        names |= {header.name, f"handoff/{header.name}"}
    return names


class Diagnostics(unittest.TestCase):
    def test_each_tool_knows_only_itself_and_what_all_share(self):
        for tool in TOOLS:
            others = set().union(*(headers(other) for other in TOOLS if other != tool))
            found = includes(tool)
            self.assertTrue(found)
            self.assertEqual([each for each in found if each[1] in others], [], tool)

    def test_what_all_share_knows_no_tool(self):
        of_tools = set().union(*map(headers, TOOLS))
        self.assertEqual([each for each in includes("process") if each[1] in of_tools], [])

    def test_need_no_boost(self):
        for folder in ("process", *TOOLS):
            self.assertEqual([each for each in includes(folder) if "boost" in each[1]], [])


class Programs(unittest.TestCase):
    def test_can_be_started_as_the_pages_show(self):
        programs = [
            file
            for folder in (".ci", "cmake", "docs", "scripts", "tests")
            for file in (PROJECT / folder).rglob("*")
            if file.is_file() and file.read_bytes()[:2] == b"#!"
        ]
        self.assertIn(PROJECT / "cmake" / "build_boost_python.py", programs)
        self.assertEqual([each for each in programs if not os.access(each, os.X_OK)], [])


class Host(unittest.TestCase):
    def test_needs_no_boost_python(self):
        """Neither the library nor the program: it would be in the process's global scope."""
        libraries = (PROJECT / "app/CMakeLists.txt").read_text()
        names = re.findall(
            r"^(?:handoff_add_library\(host|add_executable\(handoff)\s([^)]*)\)", libraries, re.M
        )
        self.assertEqual(len(names), 2, names)
        seen, to_read = set(), [PROJECT / "app" / name for name in " ".join(names).split()]
        while to_read:
            source = to_read.pop()
            for included in included_by(source):
                self.assertFalse(included.startswith("boost/python"), f"{source}: {included}")
                its = header(included, source)
                if its is not None and its not in seen:
                    seen.add(its)
                    to_read.append(its)
        read = {its.name for its in seen}
        self.assertLessEqual({"host.hpp", "foo_module.hpp", "gilcheck.hpp"}, read)


if __name__ == "__main__":
    unittest.main()
