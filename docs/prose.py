"""Lints the English of the pages, and of the public headers' comments. `make style` runs it.

    python docs/prose.py [FILE…]

Harper checks the grammar and, by rules of the project's own, the word list of docs/prose.toml. Its
wheel on PyPI has the program in it; vale's, and its npm package, download theirs from elsewhere.
Whether the list works is checked each time: each rule must find its own wrong example, and must not
find the right one.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
HARPER = Path(sys.executable).with_name("harper")
RULES: dict[str, Any] = tomllib.loads((PROJECT / "docs/prose.toml").read_text())
OFF: list[str] = RULES.pop("off")  # of Harper's own; all its others check the pages

PAGES = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), PROJECT / "bench/README.md"]
HEADERS = [
    header
    for folder in ("app", "extension")
    for header in PROJECT.glob(f"{folder}/**/include/handoff/**/*.hpp")
    if "detail" not in header.parts
]

PAGE, CODE = ".md", ".cpp"  # Harper knows a language by a file's ending


def pack(folder: Path) -> Path:
    """The word list as a pack of rules, one file each, as Harper loads it."""
    name = folder / "handoff.weirpack"
    with zipfile.ZipFile(name, "w") as rules:
        about = {
            "author": "Handoff",
            "version": "1",
            "license": "BSL-1.0",
            "description": "docs/prose.toml",
        }
        rules.writestr("manifest.json", json.dumps(about))
        for rule, of in RULES.items():
            says = of["message"].replace('"', "'")
            text = f'expr main {of["words"]}\nlet message "{says}"\nlet description "{says}"\n'
            rules.writestr(f"{rule}.weir", text + 'let kind "Style"\nlet becomes ""\n')
    return name


def right_here(rule: str, text: str, start: int) -> bool:
    """Whether the word before makes right what the rule has found."""
    before = text[:start].split()
    return bool(before) and before[-1].lower() in RULES.get(rule, {}).get("unless_after", ())


def findings(texts: dict[str, str]) -> Iterator[tuple[str, int, str, str, str]]:
    """What is found in texts, by their names: name, line, rule, what is there, message."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in texts]
        for file, text in zip(files, texts.values(), strict=True):
            file.write_text(text)
        options = (
            "lint",
            "--format",
            "json",
            "--quiet",
            "--dialect",
            "uk",
            "--ignore",
            ",".join(OFF),
        )
        command = [HARPER, "--no-color", *options, "--weirpacks", pack(Path(folder)), *files]
        outcome = subprocess.run(command, capture_output=True, text=True)
        try:
            found = json.loads(outcome.stdout)
        except ValueError:
            sys.exit(f"{HARPER} failed, exit code {outcome.returncode}: {outcome.stderr}")
    if {each["file"] for each in found} != set(texts):
        sys.exit(f"{HARPER} did not read all files: {outcome.stderr}")
    for each in found:
        file = each["file"]
        for lint in each["lints"]:
            rule = lint["rule"]
            if rule not in RULES and not file.endswith(PAGE):
                continue
            if not right_here(rule, texts[file], lint["span"]["char_start"]):
                yield file, lint["line"], rule, lint["matched_text"], lint["message"]


def examples() -> dict[str, str]:
    """Each rule's examples, as texts to be linted."""
    return {
        f"{rule}.{kind}{PAGE}": of[kind]
        for rule, of in RULES.items()
        for kind in ("wrong", "right")
    }


def main(arguments: list[str]) -> int:
    given = {Path(each).resolve() for each in arguments}
    names = {
        f"{number}{kind}": file
        for kind, files in ((PAGE, PAGES), (CODE, HEADERS))
        for number, file in enumerate(files)
        if not given or file in given
    }
    shown = examples()
    wrong = []
    tripped = set()
    for name, line, rule, matched, message in findings(
        shown | {name: file.read_text() for name, file in names.items()}
    ):
        if name not in shown:
            place = f"{names[name].relative_to(PROJECT)}:{line}"
            wrong.append(f"{place}: {' '.join(matched.split())!r}: {message} [{rule}]")
        elif name.startswith(f"{rule}."):
            tripped.add(name)
    for rule in RULES:
        if f"{rule}.wrong{PAGE}" not in tripped:
            wrong.append(f"docs/prose.toml: [{rule}] does not find its wrong example")
        if f"{rule}.right{PAGE}" in tripped:
            wrong.append(f"docs/prose.toml: [{rule}] finds its right example")
    print(*sorted(wrong), sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
