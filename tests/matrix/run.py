"""Builds and tests the project on other Debians and Ubuntus, each in a root file system of its own.

As a user would there: the README's prerequisites, the sources, `make test`. See docs/matrix.md.
"""

import fcntl
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).resolve().parent.parent.parent
CACHE = PROJECT / ".matrix"
TABLE = PROJECT / "docs" / "matrix.md"
MINUTES = float(os.environ.get("MINUTES") or 60)  # for a row's `make test`, and for its root
EMULATED = 10  # times as long for a row that qemu runs
QEMU = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")  # there if the kernel starts qemu
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Distribution(NamedTuple):
    """Whose archive debootstrap reads, with its script for those whose name it does not know."""

    mirror: str
    keyring: str  # a package, and the file that it has
    components: str = "main"
    script: tuple[str, ...] = ()

    @property
    def keys(self):
        return Path(f"/usr/share/keyrings/{self.keyring}.gpg")


DEBIAN = Distribution(
    os.environ.get("MIRROR") or "http://deb.debian.org/debian", "debian-archive-keyring"
)
UBUNTU = Distribution(
    os.environ.get("UBUNTU_MIRROR") or "http://archive.ubuntu.com/ubuntu",
    "ubuntu-archive-keyring",
    "main universe",
    ("gutsy",),  # they all have the same
)


class Row(NamedTuple):
    """A release, what is installed there before `make test`, and what follows those two words."""

    suite: str
    distribution: Distribution = DEBIAN
    packages: tuple[str, ...] = ()
    compiler: str = "g++"
    settings: tuple[str, ...] = ()
    emulated: bool = False  # by qemu, because it is for aarch64 and the machine is x86-64
    # A program of the project, and its arguments, that runs there before the tests.
    preparation: tuple[str, ...] = ()

    @property
    def minutes(self):
        return MINUTES * (EMULATED if self.emulated else 1)

    @property
    def prerequisites(self):
        """The README's, and NumPy: the one test that wants it is skipped without."""
        readme = ("python3", "python3-venv", "git", "make", self.compiler)
        return (*readme, "python3-numpy", *self.packages)


# What CPython's own modules are compiled with.
PYTHONS_LIBRARIES = (
    *("libssl-dev", "libffi-dev", "zlib1g-dev", "libbz2-dev", "liblzma-dev"),
    *("libsqlite3-dev", "libreadline-dev", "libncurses-dev", "uuid-dev"),
)
ROWS = {
    "debian12": Row("bookworm"),
    "debian12-boost1.81": Row("bookworm", packages=("libboost-python1.81-dev",)),
    "debian13": Row("trixie"),
    "debian13-clang": Row("trixie", compiler="clang", settings=("CXX=clang++",)),
    "sid-python3.14": Row("sid"),
    "sid-python3.15": Row(
        "sid",
        packages=("python3.15", "python3.15-venv"),
        settings=("PYTHON=/usr/bin/python3.15",),
    ),
    "python3.14t": Row(
        "trixie",
        packages=("curl", "cmake", "xz-utils", *PYTHONS_LIBRARIES),
        settings=("PYTHON=/opt/py314t/bin/python3",),
        preparation=("tests/matrix/free_threaded_python.sh", "/opt/py314t"),
    ),
    "ubuntu24.04": Row("noble", UBUNTU),
    "ubuntu26.04": Row("resolute", UBUNTU),
    "debian13-arm64": Row("trixie")
    if platform.machine() == "aarch64"
    # The C library's headers; add_compilers() adds the rest.
    else Row("trixie", compiler="libc6-dev", settings=("HANDOFF_PATIENCE=20",), emulated=True),
}

# Namespaces of its own: what is mounted and started in them is gone when this program is.
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
# Their first process, which stays, to be the parent of orphans.
ENTER = """
set -e
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/tmp"
mount -t tmpfs tmpfs "$1/dev"
for device in null zero full random urandom tty; do
    touch "$1/dev/$device"
    mount --bind "/dev/$device" "$1/dev/$device"
done
mkdir "$1/dev/pts" "$1/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$1/dev/pts"
mount -t tmpfs tmpfs "$1/dev/shm"
ln -s pts/ptmx "$1/dev/ptmx"
ln -s /proc/self/fd "$1/dev/fd"
root=$1
shift
chroot "$root" "$@"
"""


class NoRootError(Exception):
    """Why a row says nothing about the project."""


def call(command, log, minutes, **options):
    """Runs a command, its output in the log; returns its exit code, None if it took too long."""
    process = subprocess.Popen(
        [*APART, *command],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        **options,
    )
    try:
        return process.wait(minutes * 60)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()


def call_inside(root, command, log, minutes):
    """Runs a command in a root file system, which has the caller's network and little else."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "QEMU_")) or name.lower().endswith(("_proxy", "mirror"))
    }
    variables |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    if CERTIFICATES.exists():  # the caller's may have a proxy's among them
        inside = root / CERTIFICATES.relative_to("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CERTIFICATES, inside)
        for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            variables[name] = str(CERTIFICATES)
    return call(["sh", "-c", ENTER, "enter", root, *command], log, minutes, env=variables)


def add_compilers(root):
    """Gives an emulated root the cross compilers of the system in its folder /amd64.

    They run ten times as fast as emulated ones, and have the names that the root's own would have.
    """
    inside, prefix = Path("/amd64/usr"), "aarch64-linux-gnu"
    links = {
        "lib64": inside / "lib64",  # with the loader of their programs
        "usr/lib/x86_64-linux-gnu": inside / "lib/x86_64-linux-gnu",
        f"usr/{prefix}": inside / prefix,
        "usr/bin/cc": "gcc",
        "usr/bin/c++": "g++",
    }
    for path in (root / "amd64/usr/bin").glob(f"{prefix}-*"):
        links[f"usr/bin/{path.name.removeprefix(f'{prefix}-')}"] = inside / "bin" / path.name
    for link, target in links.items():
        (root / link).symlink_to(target)


def make_root(row, folder, log):
    """Makes the row's root file system, unless it is there and as the row wants it."""
    root, made = folder / "root", folder / "made"
    archive = row.distribution
    recipe = " ".join((row.suite, archive.mirror, *row.prerequisites))
    if made.exists() and made.read_text() == recipe:
        return root
    made.unlink(missing_ok=True)
    subprocess.run(["rm", "-rf", "--one-file-system", root], check=True)
    packages = CACHE / "packages" / row.suite
    packages.mkdir(parents=True, exist_ok=True)
    options = ("--variant=minbase", f"--keyring={archive.keys}", f"--cache-dir={packages}")
    systems = {root: []}
    if row.emulated:
        systems = {root: ["--arch=arm64"], root / "amd64": ["--include=g++-aarch64-linux-gnu"]}
    for system, more in systems.items():
        where = (row.suite, system, archive.mirror, *archive.script)
        if call(("debootstrap", *options, *more, *where), log, row.minutes) != 0:
            raise NoRootError(
                f"{row.suite} could not be had from {archive.mirror};"
                f" {'UBUNTU_' if archive is UBUNTU else ''}MIRROR=… is another"
            )
    # Unstable's index, signed like the others, is valid for a week only: too short for a mirror
    # that lags behind, or a machine whose clock runs ahead.
    lenient = "[check-valid-until=no] " if row.suite == "sid" else ""
    source = f"deb {lenient}{archive.mirror} {row.suite} {archive.components}\n"
    (root / "etc/apt/sources.list").write_text(source)
    install = "apt-get update; apt-get install -y --no-install-recommends $*; apt-get clean"
    command = ("env", "DEBIAN_FRONTEND=noninteractive", "sh", "-ec", install, "install")
    if call_inside(root, (*command, *row.prerequisites), log, row.minutes) != 0:
        raise NoRootError(f"{row.suite} could not install {' '.join(row.prerequisites)}")
    if row.emulated:
        add_compilers(root)
    made.write_text(recipe)
    return root


def copy_sources(to):
    """Makes the sources those that git knows here, edits included; what was built there stays.

    A file that is the same is left alone, and any other is new: the build goes by their times.
    """
    command = ("git", "ls-files", "-zco", "--exclude-standard")
    known = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True).stdout
    names = [name for name in known.decode().split("\0") if name and (PROJECT / name).is_file()]
    for name in names:
        ours, copy = PROJECT / name, to / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.is_file() or copy.read_bytes() != ours.read_bytes():
            shutil.copy(ours, copy)
    kept = {to / name for name in names}
    for path in [path for path in to.rglob("*") if path.is_file() and path not in kept]:
        if path.relative_to(to).parts[0] not in ("build", ".venv"):
            path.unlink()
    # It is configured anew, and the log says with what.
    (to / "build/Release/configured").unlink(missing_ok=True)


def test(row, folder):
    """Runs a row. Returns whether it is green, and what it was and how it ended, for the table."""
    with (folder / "log").open("w") as log:
        root = make_root(row, folder, log)
        copy_sources(root / "handoff")
        if row.preparation:
            program, *arguments = row.preparation
            if call_inside(root, (f"/handoff/{program}", *arguments), log, row.minutes) != 0:
                raise NoRootError(f"{program} failed")
        command = ("make", "-C", "/handoff", "test", *row.settings)
        code = call_inside(root, command, log, row.minutes)
    set_up = root / "handoff/build/Release/set_up.log"  # what CMake said
    text = "".join(
        each.read_text(errors="replace") for each in (set_up, folder / "log") if each.exists()
    )

    def last(pattern, otherwise="?"):
        return (re.findall(pattern, text, re.MULTILINE) or [otherwise])[-1]

    late = f"took longer than {row.minutes:g} minutes"
    return code == 0, (
        last(r"^-- Python (\S+): "),
        last(r"^-- Boost\.Python (\S+) "),
        last(r"^-- The CXX compiler identification is (.*)$").replace("GNU", "g++"),
        last(r"^\d+% tests passed.*$", late if code is None else "no tests run"),
    )


def note(name, cells):
    """Writes a row of the table in the documentation anew."""
    new = f"| {' | '.join((name, *cells[:3], str(date.today()), cells[3]))} |"
    lines = TABLE.read_text().splitlines()
    lines = [new if line.startswith(f"| {name} |") else line for line in lines]
    TABLE.write_text("\n".join(lines) + "\n")


def check_machine(rows):
    """Ends the program where it cannot have these rows, and says what it wants."""
    if os.geteuid() != 0:
        sys.exit("make matrix makes root file systems, and needs root: sudo make matrix")
    wanted = {"debootstrap": "debootstrap", "unshare": "util-linux", "git": "git"}
    missing = [package for program, package in wanted.items() if not shutil.which(program)]
    keyrings = {row.distribution.keyring: row.distribution.keys for row in rows}
    missing += [keyring for keyring, keys in keyrings.items() if not keys.exists()]
    if missing:
        sys.exit(f"make matrix needs more programs: apt-get install {' '.join(missing)}")
    if any(row.emulated for row in rows) and not QEMU.exists():
        sys.exit(
            f"the row debian13-arm64 needs qemu, and a kernel that starts it ({QEMU}):"
            " apt-get install qemu-user-static binfmt-support"
        )


def main(names):
    for name in names:
        if name not in ROWS:
            sys.exit(f"there is no row {name} in the matrix; there are {', '.join(ROWS)}")
    chosen = {name: ROWS[name] for name in names or ROWS}
    check_machine(chosen.values())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    # qemu spends most of its time on signatures of addresses, unless it may sign its own way.
    os.environ.setdefault("QEMU_CPU", "max,pauth-impdef=on")
    CACHE.mkdir(exist_ok=True)
    alone = (CACHE / "lock").open("w")
    try:
        fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another make matrix is at work in {CACHE}")

    red = []
    for name, row in chosen.items():
        folder = CACHE / name
        folder.mkdir(exist_ok=True)
        start = time.monotonic()
        try:
            green, cells = test(row, folder)
        except NoRootError as reason:
            green, cells = False, ("?", "?", "?", str(reason))
        if "% tests passed" in cells[3]:
            note(name, cells)
        minutes, seconds = divmod(round(time.monotonic() - start), 60)
        columns = (f"{name:18}", *(f"{cell:6}" for cell in cells[:2]), f"{cells[2]:13}", cells[3])
        print("  ".join(columns) + f"  ({minutes}:{seconds:02})", flush=True)
        if not green:
            red.append(name)
    if red:
        sys.exit("\n".join(f"red: {CACHE / name / 'log'}" for name in red))


if __name__ == "__main__":
    main(sys.argv[1:])
