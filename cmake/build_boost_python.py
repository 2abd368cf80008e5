#!/usr/bin/env python3
"""Builds Boost.Python for a Python that no distribution has one for, from Debian's source.

Usage: build_boost_python.py PYTHON [--prefix FOLDER] [--source TARBALL] [--jobs N]

PYTHON is the interpreter; FOLDER, by default that Python's own prefix, is where Boost goes: its
headers, libboost_python3XX.so, and the CMake package that `find_package(Boost)` finds, and that
Handoff's build looks for beside the Python. TARBALL is Debian's boost1.92_1.92.0.orig.tar.xz, which
is downloaded (92 MB) and checked unless it is given. Boost 1.92 is the first that a free-threaded
Python can use. It takes cmake, a C++ compiler and some minutes.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

VERSION = "1.92.0"
ARCHIVE = f"boost1.92_{VERSION}.orig.tar.xz"
MIRROR = os.environ.get("MIRROR") or "http://deb.debian.org/debian"
# Source: Debian's signed Sources index of sid.
SHA256 = "f98e838499c9fafc6adf7294d9e071bc0f63fd05efdfd91eb73d7cc2f27f1b6a"
# Boost.Python, and what Handoff and its tests use of the others.
LIBRARIES = "python;asio;circular_buffer;container;intrusive;mpl;smart_ptr"
FACTS = "import sys, sysconfig; print(sys.base_prefix, sysconfig.get_config_var('Py_GIL_DISABLED'))"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("python", help="the interpreter that Boost.Python is for")
    parser.add_argument("--prefix", help="where it goes; by default beside that Python")
    parser.add_argument("--source", help=f"{ARCHIVE}, downloaded already")
    parser.add_argument("--jobs", default=str(os.cpu_count() or 1), help="compilers at a time")
    return parser.parse_args()


def download(to):
    """The archive, whole and unchanged."""
    url = f"{MIRROR}/pool/main/b/boost1.92/{ARCHIVE}"
    try:
        with urllib.request.urlopen(url) as reply, to.open("wb") as file:
            shutil.copyfileobj(reply, file)
    except (urllib.error.URLError, OSError) as failed:
        sys.exit(
            f"{url} cannot be had ({failed}): MIRROR=… names another mirror of Debian's,"
            f" or download {ARCHIVE} and give it with --source"
        )
    return to


def check(archive):
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{archive} is not {ARCHIVE}: its SHA-256 is {found}, and should be {SHA256}")


def main():
    chosen = arguments()
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is needed, and is not on PATH (apt-get install cmake g++)")
    try:
        told = subprocess.run([chosen.python, "-I", "-c", FACTS], capture_output=True, text=True)
    except OSError as failed:
        sys.exit(f"{chosen.python} is not a Python that runs: {failed}")
    prefix, has_no_gil = told.stdout.rsplit(maxsplit=1)
    prefix = Path(chosen.prefix or prefix)
    if not os.access(prefix, os.W_OK):
        sys.exit(f"{prefix} cannot be written to: run this as root, or give another --prefix")
    with tempfile.TemporaryDirectory(prefix="boost_python") as folder:
        archive = Path(chosen.source) if chosen.source else download(Path(folder, ARCHIVE))
        check(archive)
        subprocess.run(["tar", "--extract", "--file", archive, "--directory", folder], check=True)
        subprocess.run(
            [
                "cmake",
                *("-S", Path(folder, f"boost1.92-{VERSION}"), "-B", Path(folder, "build")),
                *("-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON", "-DBUILD_TESTING=OFF"),
                f"-DCMAKE_INSTALL_PREFIX={prefix}",
                f"-DBOOST_INCLUDE_LIBRARIES={LIBRARIES}",
                "-DBOOST_ENABLE_PYTHON=ON",
                f"-DPython_EXECUTABLE={chosen.python}",
                f"-DPython_FIND_ABI=ANY;ANY;ANY;{'ON' if has_no_gil == '1' else 'OFF'}",
            ],
            check=True,
        )
        build = ("cmake", "--build", Path(folder, "build"), "--parallel", chosen.jobs)
        subprocess.run([*build, "--target", "install"], check=True)
    print(f"Boost {VERSION} for {chosen.python} is in {prefix}")


if __name__ == "__main__":
    main()
