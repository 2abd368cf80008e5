"""No static of ours is initialised by code that runs Python, imports a module, or waits.

C++ guards the initialisation of a static: a second thread that comes meanwhile waits, and it waits
with the GIL. An initialiser that runs Python code may let the GIL go, and then needs it back:
neither thread goes on. The compiler's own output says which statics have such a guard.
"""

import json
import os
import re
import subprocess
import unittest
from pathlib import Path

BUILD = Path(os.environ["BUILD_FOLDER"])

# What may have a guard, by its name without parameters, and why it runs no Python code.
# The others: a constinit pointer or flag, guarded by the GIL, that is set when it is first wanted.
ALLOWED = {
    "handoff::detail::mutexes_are_waited_for_detached": "sets a pointer, as the program is loaded",
    "handoff::detail::fork_waits::is_tied": "pthread_atfork(), as the program is loaded",
    "handoff::detail::gate_state::only::it": "makes a structure in place",
    "handoff::detail::gate_state::is_told_when_this_thread_ends::end_of_threads": "makes a key",
    "handoff::detail::fork_tie::fork_tie::is_registered": "pthread_atfork()",
    "handoff::detail::states::only": "pthread_key_create()",
    "handoff::detail::top_of_stack::top": "of each thread, so that no other waits for it",
    "handoff::gilcheck::guard::only": "allocates a mutex",
    "gilcheck_statistics::text": "an empty string, destroyed at exit",
    "handoff::detail::look::known": "an empty set, of a tool's thread",
    "handoff::detail::name_of::names": "allocates an empty table of names",
    "handoff::detail::known_addresses::only": "maps a table",
    "handoff::detail::replacements::all": "a list of functions",
    "handoff::detail::replacements_of_interpreter::all": "a list of functions",
    "handoff::detail::write_next::next": "allocates room for a finding",
    "handoff::gilcheck::how::only": "allocates the settings",
    "handoff::gilcheck::is_first_from::known": "allocates an empty set",
    "handoff::detail::stub_of::known": "allocates an empty map",
    "handoff::detail::current::only": "allocates the recording",
    "handoff::stack_signal::ask::unanswered": "allocates an empty list",
    "handoff::startup::add_module::names": "an empty list, destroyed at exit",
    "handoff::detail::failure_of::failure": "an empty string, destroyed at exit",
    "gilwatch_explain::text": "an empty string, destroyed at exit",
}
# Boost.Python's own: tables of types and their converters, by their names.
OF_BOOST = ("boost::python::converter::", "boost::python::detail::", "boost::python::objects::")


def without_parameters(name):
    """Of `a::(anonymous namespace)::f<int>(b const&)::kept`, `a::f::kept`."""
    name = name.replace("(anonymous namespace)::", "")
    name = re.sub(r"\[abi:\w+\]| const(?=::)", "", name)
    depth, kept = 0, ""
    for each in name:
        depth += each in "<({"
        kept += each if depth == 0 else ""
        depth -= each in ">)}"
    kept = re.sub(r"::(\$_\d+)?::operator(?=::)", "", kept)  # a lambda's
    return re.sub(r" const(?=::)", "", kept).rpartition(" ")[2]


def guarded(objects):
    """The statics of these object files that have a guard."""
    listed = subprocess.run(["nm", "-C", *objects], capture_output=True, text=True, check=True)
    names = re.findall(r"guard variable for (.*)", listed.stdout)
    return {name for name in names if not name.startswith(OF_BOOST)}


class Statics(unittest.TestCase):
    def test_of_ours_run_no_python_code_when_they_are_initialised(self):
        # Not whatever lies there: a source file may have gone, and its object stayed.
        compiled = json.loads((BUILD / "compile_commands.json").read_text())
        outputs = [BUILD / each["output"] for each in compiled]
        ours = (BUILD / "app", BUILD / "extension")
        objects = [each for each in outputs if set(ours) & set(each.parents) and each.exists()]
        self.assertTrue(objects)
        unknown = sorted(
            name for name in guarded(objects) if without_parameters(name) not in ALLOWED
        )
        self.assertEqual(
            unknown,
            [],
            "each of these statics is initialised when it is first reached, under a lock that "
            "other threads wait for with the GIL. If that may run Python code, import a module, or "
            "wait, it is a deadlock: make it a constinit pointer, guarded by the GIL, that is set "
            "when it is first wanted. If it cannot, say so in ALLOWED, in this file",
        )

    def test_that_run_python_code_are_found(self):
        found = {without_parameters(name) for name in guarded([Path(os.environ["GUILTY_OBJECT"])])}
        self.assertEqual(
            found,
            {
                "guilty::imported::only",
                "guilty::in_a_class::member::only",
                "guilty::in_a_template::only",
                "guilty::in_a_lambda::only",
            },
        )


if __name__ == "__main__":
    unittest.main()
