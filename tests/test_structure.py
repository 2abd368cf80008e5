"""What the folders of the diagnostic tools may include: one way, and no Boost."""

import re
import unittest
from pathlib import Path

DIAGNOSTICS = Path(__file__).resolve().parent.parent / "extension" / "diagnostics"
TOOLS = ("gilcheck", "giltrace", "watchdog")
SOURCES = (".cpp", ".hpp", ".c", ".h", ".S", ".in")


def includes(folder):
    """(the file, what it includes) of each of a folder."""
    return [
        (source.relative_to(DIAGNOSTICS), included)
        for source in sorted((DIAGNOSTICS / folder).rglob("*"))
        if source.suffix in SOURCES
        for included in re.findall(r'^ *# *include +["<](.+)[">]', source.read_text(), re.M)
    ]


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


if __name__ == "__main__":
    unittest.main()
