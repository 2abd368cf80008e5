"""Other people's Boost.Python modules with every binding fast: whether they give what they give.

Usage: rebound.py BUILD LIBRARY HEADERS… [--boost-python FOLDER [--names NAME…]] [--imath FOLDER]
           [--methods COUNT]

- Boost.Python's own tests, FOLDER being its libs/python/test: every module that a test there
  imports is built twice, as it is and with rebound.hpp, and the test is run with each.
- A class of COUNT methods, each with a signature of its own: only its size is compared.
- Imath's PyImath, FOLDER being Imath's source: a graphics library with small methods in great
  number, which was why it was chosen. Both builds run its own test.

The two runs have to give the same exit code and output. What does not compile as it is says
nothing. LIBRARY: our source file. HEADERS: our include folders. In Debian: `apt-get source
boost1.74 imath`. The machine code of a module is what it has when it is linked, with our library.

Exit code 1 if something differs, with what.
"""

import argparse
import itertools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROCESSORS = len(os.sched_getaffinity(0))
SIDES = ("plain", "fast")
# What the tests' build gives to a module besides the source of its name.
MORE_SOURCES = {"map_indexing_suite_ext": ("int_map_indexing_suite", "a_map_indexing_suite")}
COMPILER = os.environ.get("CXX", "c++")
# Of 2003 to 2019: not for today's warnings.
OPTIONS = ("-std=c++20", "-O2", "-fPIC", "-fvisibility=hidden", "-w", "-DNDEBUG")


def with_calls_rebound(source):
    """def(…) and python::def(…) as rebound_def(…), but not .def(…)."""
    source = re.sub(r"using ([\w:]*)python::def;", r"\g<0> using \1python::rebound_def;", source)
    return re.sub(r"(?<![.\w>])def(?=\s*\()(?!\s*\(\s*\))", "rebound_def", source)


class BuildError(Exception):
    """What did not compile or run."""


def call(command, **options):
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        **options,
    )
    return done.returncode, done.stdout


def object_file(source, folder, options):
    """The object file that a source is compiled to."""
    made = folder / f"{source.stem}.o"
    python = "-isystem", sysconfig.get_path("include")
    code, said = call([COMPILER, *OPTIONS, *python, *options, "-c", source, "-o", made])
    if code != 0:
        raise BuildError(said)
    return made


def compiled_library(source, build, headers):
    """The object file of our own source."""
    build.mkdir(parents=True, exist_ok=True)
    return object_file(source, build, [f"-I{each}" for each in headers])


def compiled(side, source, objects, headers):
    """The object file of another project's source."""
    text = source.read_text(errors="replace")
    options = [f"-I{source.parent}"]
    copy = objects / source.name
    if side == "fast":
        text = with_calls_rebound(text)
        options += ["-include", HERE / "rebound.hpp", *(f"-I{each}" for each in headers)]
    copy.write_text(text)
    return object_file(copy, objects, options)


def machine_code(*files):
    """Bytes."""
    _, sizes = call(["size", *files])
    return sum(int(line.split()[0]) for line in sizes.splitlines()[1:])


def build_module(side, name, sources, folder, library, headers):
    """Builds a module into a folder. Seconds of the compiler, and bytes of machine code."""
    objects = folder / f"{name}.objects"
    objects.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    files = [compiled(side, source, objects, headers) for source in sources]
    seconds = time.monotonic() - begin
    module = folder / f"{name}.so"
    boost_python = f"boost_python{sys.version_info.major}{sys.version_info.minor}"
    if side == "fast":
        files.append(library)
    code, said = call([COMPILER, "-shared", *files, f"-l{boost_python}", "-o", module])
    if code != 0:
        raise BuildError(said)
    return seconds, machine_code(module)


def outcome(side, test, folder):
    """Exit code and output of a test, without what tells one run or one build from another."""
    copy = folder / test.name
    shutil.copy(test, copy)
    variables = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    code, said = call([sys.executable, copy.name], cwd=folder, env=variables, timeout=120)
    said = re.sub(r"0x[0-9a-f]+|\bin [0-9.]+s\b", "…", said).replace(f"/{side}/", "/…/")
    return code, said


def boost_pythons_tests(folder, build, library, headers, names):
    modules = {}
    for source in sorted(folder.glob("*.cpp")):
        found = re.search(r"BOOST_PYTHON_MODULE\(\s*(\w+)\s*\)", source.read_text(errors="replace"))
        if found:
            name = found[1]
            more = (folder / f"{each}.cpp" for each in MORE_SOURCES.get(name, ()))
            modules[name] = (source, *more)
    tests = {}
    for test in sorted(folder.glob("*.py")):
        imported = set(re.findall(r"(?:from|import)\s+(\w+)", test.read_text(errors="replace")))
        if wanted := imported & modules.keys():
            tests[test] = wanted
    if names:
        tests = {test: wanted for test, wanted in tests.items() if test.stem in names}

    wanted = sorted(set().union(*tests.values()))
    built = {}
    with ThreadPoolExecutor(PROCESSORS) as pool:
        for name in wanted:
            for side in SIDES:
                built[name, side] = pool.submit(
                    build_module, side, name, modules[name], build / side, library, headers
                )
    failures = {key: each.exception() for key, each in built.items() if each.exception()}
    bad = 0
    for name in wanted:
        if (name, "fast") in failures and (name, "plain") not in failures:
            bad += 1
            print(f"{name} does not compile with fast bindings:\n{failures[name, 'fast']}"[:4000])
    unfit = {name for name, side in failures if side == "plain"}
    if unfit:
        print(f"not with this compiler: {', '.join(sorted(unfit))}")

    ran = passed = 0
    for test, its in tests.items():
        if its & {name for name, _ in failures}:
            continue
        ran += 1
        plain, fast = (outcome(side, test, build / side) for side in SIDES)
        passed += plain[0] == 0
        if plain != fast:
            bad += 1
            print(f"{test.name} differs: plain, exit code {plain[0]}:\n{plain[1]}")
            print(f"fast, exit code {fast[0]}:\n{fast[1]}")
    both = [name for name in wanted if not {(name, side) for side in SIDES} & failures.keys()]
    time_of, size_of = (
        {side: sum(built[name, side].result()[index] for name in both) for side in SIDES}
        for index in (0, 1)
    )
    print(
        f"Boost.Python's tests: {ran} ran ({passed} of them passed as they are), {bad} differ; "
        f"{len(both)} modules: machine code {size_of['fast'] / size_of['plain']:.2f} ×, "
        f"compile time {time_of['fast'] / time_of['plain']:.2f} ×"
    )
    return bad


def source_with_methods(count):
    """A module with one class, and no two of its methods of one type."""
    results = {"void": "", "int": "return 1;", "double": "return 1;", "std::string": "return {};"}
    parameters = ("int", "double", "bool", "std::string const&", "thing const&")
    signatures = (
        (result, chosen)
        for length in range(4)
        for chosen in itertools.product(parameters, repeat=length)
        for result in results
    )
    lines = ["#include <boost/python.hpp>", "#include <string>", "struct thing {"]
    bound = []
    for number, (result, chosen) in enumerate(itertools.islice(signatures, count)):
        body = f"++value; {results[result]}"
        lines.append(f"    {result} m{number}({', '.join(chosen)}) {{ {body} }}")
        bound.append(f'        .def("m{number}", &thing::m{number})')
    lines += ["    int value = 0;", "};", "BOOST_PYTHON_MODULE(methods) {"]
    lines += ['    boost::python::class_<thing>("thing")', *bound, "    ;", "}", ""]
    return "\n".join(lines)


def size_of_methods(count, build, library, headers):
    """Compares the size of a module with that many methods, of which nothing is called."""
    source = build / "methods.cpp"
    source.write_text(source_with_methods(count))
    plain, fast = (
        build_module(side, "methods", [source], build / side, library, headers) for side in SIDES
    )
    print(
        f"{count} methods: machine code {fast[1] / plain[1]:.2f} × ({plain[1]} and {fast[1]} "
        f"bytes), compile time {fast[0] / plain[0]:.2f} ×"
    )


def imath(folder, build, library, headers):
    """Builds PyImath on both sides, and runs its test."""
    results = {}
    for side in SIDES:
        copy, made = build / side / "imath", build / side / "imath.build"
        shutil.rmtree(made, ignore_errors=True)  # both times are of whole builds
        if not copy.exists():
            shutil.copytree(folder, copy)
        # In the language that our headers are in. CMake tries the compiler without what is only for
        # a Release.
        options = ["-DPYTHON=ON", "-DBUILD_TESTING=ON", "-DCMAKE_BUILD_TYPE=Release"]
        options.append("-DCMAKE_CXX_STANDARD=20")
        flags = ["-O2 -DNDEBUG -w"]
        if side == "fast":
            for source in (copy / "src/python").rglob("*"):
                if source.suffix in (".cpp", ".h"):
                    source.write_text(with_calls_rebound(source.read_text()))
            flags += [f"-include {HERE / 'rebound.hpp'}", *(f"-I{each}" for each in headers)]
            flags.append(f"-I{sysconfig.get_path('include')}")
            # As in the sources that have the most arguments, which include Boost.Python later.
            flags.append("-DBOOST_PYTHON_MAX_ARITY=17")
            options.append(f"-DCMAKE_CXX_STANDARD_LIBRARIES={library}")
        options.append(f"-DCMAKE_CXX_FLAGS_RELEASE={' '.join(flags)}")
        begin = time.monotonic()
        for command in (
            ["cmake", "-S", copy, "-B", made, *options],
            ["cmake", "--build", made, "--parallel", PROCESSORS, "--target", "imath_python3"],
        ):
            code, said = call(command)
            if code != 0:
                raise BuildError(f"{side}: {said[-6000:]}")
        seconds = time.monotonic() - begin
        code, said = call(["ctest", "--test-dir", made, "-R", "PyImathTest", "--output-on-failure"])
        libraries = [*made.rglob("imath.so"), *made.rglob("libPyImath*.so")]
        results[side] = code, seconds, machine_code(*libraries)
        print(f"PyImath, {side}: {'passed' if code == 0 else said}")
    plain, fast = (results[side] for side in SIDES)
    print(
        f"PyImath: machine code {fast[2] / plain[2]:.2f} ×, build time {fast[1] / plain[1]:.2f} ×"
    )
    return plain[0] != fast[0]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("headers", type=Path, nargs="+")
    parser.add_argument("--boost-python", type=Path)
    parser.add_argument("--imath", type=Path)
    parser.add_argument("--names", nargs="*", default=[])
    parser.add_argument("--methods", type=int, default=0)
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    headers = [each.resolve() for each in arguments.headers]
    library = compiled_library(arguments.library.resolve(), build, headers)
    bad = 0
    if arguments.methods:
        size_of_methods(arguments.methods, build, library, headers)
    if arguments.boost_python:
        bad += boost_pythons_tests(
            arguments.boost_python.resolve(), build, library, headers, set(arguments.names)
        )
    if arguments.imath:
        bad += imath(arguments.imath.resolve(), build, library, headers)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
