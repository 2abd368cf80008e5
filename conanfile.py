"""What Handoff needs, and how Conan builds and packages it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from conan import ConanFile
from conan.errors import ConanException, ConanInvalidConfiguration
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rm
from conan.tools.system.package_manager import Apt


class Handoff(ConanFile):
    name = "handoff"
    description = "Embeds Python in C++ and runs scripts beside native threads, without a crash"
    license = "BSL-1.0"
    package_type = "static-library"
    test_package_folder = "tests/package"
    settings = "os", "arch", "compiler", "build_type"
    # The ABI of the Python, as cpython-311-x86_64-linux-gnu. configure() asks the Python that
    # user.handoff:python names. It is an option because options are part of the package's id.
    options = {"python_abi": [None, "ANY"]}
    # One copy of Boost.Python in a process, hence shared: each copy has its own type registry.
    default_options = {"python_abi": None, "boost/*:without_python": False, "boost/*:shared": True}
    exports_sources = (
        "CMakeLists.txt",
        "LICENSE",
        "cmake/*",
        "app/*",
        "extension/*",
        "scripts/*",
    )

    def set_version(self):
        cmake = load(self, Path(self.recipe_folder, "CMakeLists.txt"))
        self.version = re.search(r"project\(handoff VERSION ([\d.]+)", cmake)[1]

    def layout(self):
        cmake_layout(self)

    def configure(self):
        code = "import sysconfig; print(sysconfig.get_config_var('SOABI'))"
        command = [self._python, "-I", "-c", code]
        try:
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as failed:
            raise ConanInvalidConfiguration(
                f"user.handoff:python={self._python} is not a Python that runs ({failed}): "
                "name one with -c user.handoff:python=…"
            ) from failed
        found = told.strip()
        wanted = self.options.python_abi
        if wanted and str(wanted) != found:
            raise ConanInvalidConfiguration(
                f"python_abi={wanted} was asked for, but {self._python} has {found}: "
                "name another with -c user.handoff:python=…"
            )
        self.options.python_abi = found

    def requirements(self):
        # Our headers include Boost's, so whoever uses them must have the same Boost.
        self.requires("boost/[>=1.74 <2]", transitive_headers=True, transitive_libs=True)

    def validate(self):
        for needed in self.dependencies.host.values():  # nothing, where the system supplies them
            theirs = needed.options.get_safe("python_executable")
            if theirs and Path(str(theirs)).resolve() != Path(self._python).resolve():
                raise ConanInvalidConfiguration(
                    f"{needed.ref.name} is for {theirs}, and user.handoff:python={self._python}: "
                    "both must be the same Python"
                )

    def build_requirements(self):
        if self._tests:
            self.test_requires("gtest/[>=1.10 <2]")
        if self._benchmarks:
            self.test_requires("benchmark/[>=1.7 <2]")

    def system_requirements(self):
        if not self.conf.get("user.handoff:distribution", default=False, check_type=bool):
            return
        packages = []
        if self._tests:
            packages += ["libgtest-dev", "libgmock-dev", "libspdlog-dev", "relacy-dev"]
        if self._benchmarks:
            packages += ["libbenchmark-dev", "valgrind"]
        # Of Debian's versions of Boost one can be installed at a time: what was chosen stays.
        if not any(Path("/usr/lib").glob("*/libboost_python3*.so")):
            packages.append("libboost-python-dev")
            if self._tests:
                packages.append("libboost-log-dev")
        # /usr/bin/python3 is python3.11, say; any other Python brings its own headers, and modules.
        python = re.fullmatch(r"/usr/bin/(python3\.\d+)", str(Path(self._python).resolve()))
        if python:
            packages.append(f"lib{python[1]}-dev")
            if self._tests:
                packages.append("python3-hypothesis")
        if packages and shutil.which("apt-get") is None:
            raise ConanException(
                "This profile takes Boost from Debian or Ubuntu, and this system has no apt-get. "
                "Let Conan build Boost: make run PROFILE=conancenter; Python's headers and "
                "libpython are the distribution's (python3-devel)"
            )
        os.environ.setdefault("DEBIAN_FRONTEND", "noninteractive")
        # Asks dpkg first: nothing is downloaded when everything is there.
        try:
            Apt(self).install(packages, update=True)
        except ConanException as failed:
            raise ConanException(
                f"{failed}\nWhat is needed, root installs so: apt-get install {' '.join(packages)}"
            ) from failed

    def generate(self):
        # Of another profile's packages nothing may be left for find_package to find.
        rm(self, "*", self.generators_folder)
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["Python3_EXECUTABLE"] = self._python
        # The project has its own presets; Conan need not write a file beside them.
        toolchain.user_presets_path = False
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure({"BUILD_TESTING": "OFF"})  # `make test` tests
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, Path(self.package_folder, "licenses"))
        CMake(self).install()

    def package_info(self):
        # The installed handoffConfig.cmake describes the targets; Conan only says where it is.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs = ["lib/cmake/handoff"]
        self.cpp_info.includedirs = []
        self.cpp_info.libdirs = []

    @property
    def _python(self):
        return self.conf.get("user.handoff:python", default="/usr/bin/python3")

    @property
    def _tests(self):
        return self.conf.get("user.handoff:tests", default=False, check_type=bool)

    @property
    def _benchmarks(self):
        return self.conf.get("user.handoff:benchmarks", default=False, check_type=bool)
