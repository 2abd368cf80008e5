"""The C++ reference: directive `header`, which shows what a public header declares.

Doxygen reads the headers. Sphinx's own C++ domain shows what Doxygen found, so each name is in the
index and in the search. The comments are read here: they are plain text in columns, neither
Doxygen's markup nor Markdown.

    .. header:: handoff/gil/acquire.hpp
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from xml.etree import ElementTree

from docutils import nodes
from sphinx import addnodes
from sphinx.errors import ConfigError
from sphinx.util.docutils import SphinxDirective

PROJECT = Path(__file__).resolve().parent.parent

# ---- the headers, and what Doxygen says of them --------------------------------------------------

SETTINGS = """
INPUT                = {folder}/headers
STRIP_FROM_PATH      = {folder}/headers
OUTPUT_DIRECTORY     = {folder}
RECURSIVE            = YES
FILE_PATTERNS        = *.hpp
EXTRACT_ALL          = YES
EXCLUDE_SYMBOLS      = handoff::detail handoff::detail::* boost boost::* std spdlog spdlog::*
MARKDOWN_SUPPORT     = NO
AUTOLINK_SUPPORT     = NO
MACRO_EXPANSION      = YES
EXPAND_ONLY_PREDEF   = YES
PREDEFINED           = HANDOFF_OF_ONE_THREAD=
GENERATE_HTML        = NO
GENERATE_LATEX       = NO
GENERATE_XML         = YES
XML_PROGRAMLISTING   = NO
QUIET                = YES
WARNINGS             = NO
"""


def public_headers() -> dict[str, Path]:
    """Those that are installed and are for use, as they are included: handoff/gil/acquire.hpp."""
    return {
        Path(*header.parts[header.parts.index("include") + 1 :]).as_posix(): header
        for folder in ("app", "extension")
        for header in sorted(PROJECT.glob(f"{folder}/**/include/handoff/**/*.hpp"))
        if "detail" not in header.parts
    }


def with_raw_comments(header: str) -> str:
    """The header, with comments that Doxygen hands on as they are written."""
    lines, inside = [], False
    for line in header.splitlines():
        is_comment = re.match(r"\s*///", line) is not None
        if is_comment != inside:
            lines.append("/// \\verbatim" if is_comment else "/// \\endverbatim")
        inside = is_comment
        lines.append(line)
    return "\n".join(lines) + "\n"


@dataclass
class Declaration:
    """A class, a function and so on, with its members; `directive` is the one of Sphinx for it."""

    directive: str
    signature: str
    comment: str
    line: int
    members: list["Declaration"] = field(default_factory=list)


def text_of(element: ElementTree.Element | None) -> str:
    return " ".join("".join(element.itertext()).split()) if element is not None else ""


def comment_of(element: ElementTree.Element) -> str:
    raw = "".join(text.text or "" for text in element.findall("detaileddescription//verbatim"))
    return "\n".join(re.sub(r"^\s*/// ?", "", line) for line in raw.strip("\n").splitlines())


def template_of(element: ElementTree.Element) -> str:
    parameters = element.find("templateparamlist")
    if parameters is None:
        return ""
    each = []
    for parameter in parameters:
        name = text_of(parameter.find("declname"))
        default = text_of(parameter.find("defval"))
        each.append(f"{text_of(parameter.find('type'))} {name}".strip())
        each[-1] += f" = {default}" if default else ""
    return f"template<{', '.join(each)}> "


def member(element: ElementTree.Element, scope: str) -> Declaration | None:
    """What a memberdef is; None for what nobody calls."""
    kind, name = element.get("kind"), text_of(element.find("name"))
    arguments = text_of(element.find("argsstring"))
    type_of = re.sub(r"\[\[.*?\]\] *", "", text_of(element.find("type")))
    comment = comment_of(element)
    if element.get("prot") == "private" or arguments.endswith("delete"):
        return None
    if not comment and (name.startswith("~") or re.match(r"\(detail::\w+\)", arguments)):
        return None
    if kind == "define":
        names = [text_of(each) for each in element.findall("param/defname")]
        directive, signature = "c:macro", name + (f"({', '.join(names)})" if names else "")
    elif kind == "enum":
        directive = "cpp:enum-class" if element.get("strong") == "yes" else "cpp:enum"
        signature = scope + name
    elif kind == "typedef":
        directive, signature = "cpp:type", f"{template_of(element)}{scope}{name} = {type_of}"
    elif kind in ("variable", "function", "friend"):
        directive = "cpp:var" if kind == "variable" else "cpp:function"
        if "->" in arguments or (kind == "friend" and not arguments):
            return None  # a deduction guide, a friend that is a class
        value = text_of(element.find("initializer")) if kind == "variable" else ""
        arguments = re.sub(r" ?= ?default$", "", arguments) + (f" {value}" if value else "")
        words = [
            template_of(element).strip(),
            "static" if element.get("static") == "yes" else "",
            "explicit" if element.get("explicit") == "yes" else "",
            re.sub(r"^(static|inline|explicit) ", "", type_of),
            scope + name + arguments,
        ]
        signature = " ".join(word for word in words if word)
    else:
        return None
    line = int(element.find("location").get("line"))
    found = Declaration(directive, signature, comment, line)
    for value in element.findall("enumvalue"):
        name = text_of(value.find("name"))
        found.members.append(Declaration("cpp:enumerator", name, comment_of(value), 0))
    return found


def declarations(folder: Path) -> dict[str, list[Declaration]]:
    """What each header declares, in its order, as far as it is for use."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, header in public_headers().items():
        copy = folder / "headers" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(with_raw_comments(header.read_text()))
    (folder / "Doxyfile").write_text(SETTINGS.format(folder=folder))
    try:
        subprocess.run(["doxygen", folder / "Doxyfile"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"Doxygen, which reads the headers: {error}") from None
    compounds = {
        compound.get("id"): compound
        for file in (folder / "xml").glob("*.xml")
        for compound in ElementTree.parse(file).iter("compounddef")
    }

    def class_(compound: ElementTree.Element, name: str) -> Declaration:
        signature = f"{template_of(compound)}{name}".replace("< ", "<").replace(" >", ">")
        bases = [
            text_of(base)
            for base in compound.findall("basecompoundref")
            if base.get("prot") == "public" and "detail" not in text_of(base)
        ]
        signature += f" : public {', public '.join(bases)}" if bases else ""
        line = int(compound.find("location").get("line"))
        found = Declaration(f"cpp:{compound.get('kind')}", signature, comment_of(compound), line)
        members = [member(each, "") for each in compound.iter("memberdef")]
        for inner in compound.findall("innerclass"):
            if inner.get("prot") == "public":
                nested = compounds[inner.get("refid")]
                members.append(class_(nested, text_of(inner).rpartition("::")[2]))
        found.members = sorted(filter(None, members), key=lambda each: each.line)
        return found

    nested = {
        inner.get("refid")
        for compound in compounds.values()
        if compound.get("kind") in ("class", "struct")
        for inner in compound.findall("innerclass")
    }
    of_file: dict[str, list[Declaration]] = {name: [] for name in public_headers()}
    for key, compound in compounds.items():
        kind, name = compound.get("kind"), text_of(compound.find("compoundname"))
        if kind in ("class", "struct") and key not in nested:
            of_file[compound.find("location").get("file")].append(class_(compound, name))
        elif kind in ("namespace", "file"):
            for each in compound.iter("memberdef"):
                if (each.get("kind") == "define") != (kind == "file"):
                    continue  # of a file only the macros: the rest is in its namespaces
                found = member(each, f"{name}::" if kind == "namespace" else "")
                if found is not None and (found.comment or kind == "namespace"):
                    of_file[each.find("location").get("file")].append(found)
    for found in of_file.values():
        found.sort(key=lambda each: each.line)
    return of_file


# ---- the comments --------------------------------------------------------------------------------

FIELD = re.compile(r"([A-Z]\w*(?: \w+)?): +(\S.*)")


def dedented(lines: list[str]) -> list[str]:
    least = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return [line[least:] for line in lines]


def by_language(parts: list[str]) -> Iterator[tuple[str, str]]:
    """Parts of a block in columns: a table, or code; neighbours of one kind as one."""
    languages = ["cpp" if re.search(r"[;{]\s*(//.*)?$", each, re.M) else "none" for each in parts]
    for language, group in groupby(zip(languages, parts, strict=True), key=itemgetter(0)):
        yield language, "\n\n".join(part for _, part in group)


class Comment:
    """A comment as nodes: paragraphs, tables and code in columns, fields, headed parts."""

    def __init__(self, known: dict[str, str]):
        self.known = known  # the names that are linked, and to what
        names = "|".join(sorted(map(re.escape, known), key=len, reverse=True))
        self.tokens = re.compile(rf"`([^`]+)`|(?<![\w:])(?:handoff::)?({names})\b(\(\))?")

    def inline(self, text: str) -> list[nodes.Node]:
        made, end = [], 0
        for found in self.tokens.finditer(text):
            made.append(nodes.Text(text[end : found.start()]))
            end = found.end()
            shown = found[1] or found[0]
            code = nodes.literal(shown, shown)
            if found[2] and "_" in found[2]:
                to = {"refdomain": "cpp", "reftype": "any", "reftarget": self.known[found[2]]}
                code = addnodes.pending_xref("", code, refexplicit=True, refdoc="", **to)
            elif found[2]:
                code = nodes.Text(shown)  # as likely an English word
            made.append(code)
        return [*made, nodes.Text(text[end:])]

    def paragraph(self, lines: list[str]) -> nodes.paragraph:
        text = " ".join(line.strip() for line in lines)
        return nodes.paragraph(text, "", *self.inline(text))

    def blocks(self, lines: list[str]) -> Iterator[nodes.Node]:
        lines = [*lines, ""]
        at = 0

        def taken(belongs) -> list[str]:
            nonlocal at
            begin = at
            at += 1
            while at < len(lines) and belongs(lines[at]):
                at += 1
            return lines[begin:at]

        fields = None
        while at < len(lines):
            line = lines[at]
            following = lines[at + 1] if at + 1 < len(lines) else ""
            if not line.strip():
                at += 1
                continue
            if line.startswith("    "):
                text = dedented(taken(lambda of: not of.strip() or of.startswith("    ")))
                for language, part in by_language("\n".join(text).strip("\n").split("\n\n")):
                    yield nodes.literal_block(part, part, language=language, force=True)
            elif found := FIELD.match(line):
                rest = taken(lambda of: of.startswith(" "))[1:]
                if fields is None:
                    yield (fields := nodes.field_list())
                body = nodes.field_body("", self.paragraph([found[2], *rest]))
                fields += nodes.field("", nodes.field_name(found[1], found[1]), body)
                continue
            elif re.match(r" {1,3}\S", following) and not line.startswith((" ", "- ")):
                at += 1
                inner = taken(lambda of: not of.strip() or of.startswith(" "))
                term = nodes.term(line, "", *self.inline(line))
                item = nodes.definition_list_item("", term, nodes.definition())
                item[1].extend(self.blocks(dedented(inner)))
                yield nodes.definition_list("", item)
            elif line.lstrip().startswith("- "):
                indent = " " * (len(line) - len(line.lstrip()) + 2)
                item = taken(lambda of, indent=indent: of.startswith(indent))
                item[0] = item[0].lstrip()[2:]
                yield nodes.bullet_list("", nodes.list_item("", self.paragraph(item)))
            else:
                yield self.paragraph(taken(lambda of: of.strip() and not FIELD.match(of)))
            fields = None


# ---- the directives ------------------------------------------------------------------------------


class HeaderComment(SphinxDirective):
    """The comment of a declaration, which {header} has put aside."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        comment = self.env.app.handoff_comments[int(self.arguments[0])]
        found = list(Comment(self.env.app.handoff_names).blocks(comment.splitlines()))
        for reference in (each for node in found for each in node.findall(addnodes.pending_xref)):
            reference["refdoc"] = self.env.docname
        return found


class Header(SphinxDirective):
    """What a header declares."""

    required_arguments = 1

    def shown(self, declaration: Declaration, indent: str) -> Iterator[str]:
        yield f"{indent}.. {declaration.directive}:: {declaration.signature}"
        yield ""
        if declaration.comment:
            comments = self.env.app.handoff_comments
            yield f"{indent}   .. header-comment:: {len(comments)}"
            yield ""
            comments.append(declaration.comment)
        for each in declaration.members:
            yield from self.shown(each, indent + "   ")

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if not self.env.app.handoff_declarations.get(name):
            raise self.error(f"there is no public header {name} that declares something")
        self.env.note_dependency(str(public_headers()[name]))
        text = f"#include <{name}>"
        include = nodes.literal_block(text, text, language="cpp")
        found = [
            line
            for each in self.env.app.handoff_declarations[name]
            for line in self.shown(each, "")
        ]
        return [include, *self.parse_text_to_nodes("\n".join(found))]


def read_headers(app) -> None:
    folder = Path(app.doctreedir) / "doxygen"
    app.handoff_declarations = declarations(folder)
    app.handoff_comments = []
    app.handoff_names = {}
    for found in app.handoff_declarations.values():
        for each in found:
            name = re.search(r"handoff::(\w+(?:::\w+)*)", each.signature)
            if name and each.directive.startswith("cpp:"):
                app.handoff_names.setdefault(name[1].rpartition("::")[2], f"handoff::{name[1]}")


def setup(app):
    app.connect("builder-inited", read_headers)
    app.add_directive("header", Header)
    app.add_directive("header-comment", HeaderComment)
    return {"parallel_read_safe": False}
