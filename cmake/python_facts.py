"""Prints, as JSON, what CMake must know of this Python to build with it and to embed it."""

import json
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

var = sysconfig.get_config_var
version = f"{var('VERSION')}{var('ABIFLAGS') or ''}"
folders = [var("LIBPL"), var("LIBDIR"), sys.base_prefix + "/lib"]


def existing(*names):
    """Absolute paths of those files that exist in the folders where libpython may be."""
    paths = (Path(folder, name) for name in names for folder in folders if folder and name)
    return list(dict.fromkeys(str(path.resolve()) for path in paths if path.is_file()))


words = " ".join(var(name) or "" for name in ("LIBS", "MODLIBS", "SYSLIBS")).split()
# Debian's 3.14 has stray backslashes among them.
libraries = [word for word in words if word.startswith("-")]
archives = existing(f"libpython{version}.a", f"libpython{version}-pic.a")
shared = existing(f"libpython{version}.so", var("INSTSONAME"))
# Not a virtual environment's; and with its version, as the name without may be a link to a newer
# Python some day.
base = Path(getattr(sys, "_base_executable", "") or sys.executable)
named = base.with_name(f"python{var('py_version_short')}")
modules = "_bz2 _ctypes _decimal _hashlib _json _lzma _sqlite3 _ssl _struct math pyexpat zlib"

print(
    json.dumps(
        {
            # Not the link or the shim that stands for it: an embedded Python starts from here.
            "executable": sys.executable,
            "base_executable": str(named if named.is_file() else base),
            "prefix": sys.base_prefix,
            # Two builds with the same words are the same Python.
            "build": f"{sys.hexversion:x} {sys.implementation.cache_tag}{sys.abiflags}",
            "gil": not var("Py_GIL_DISABLED"),
            "version": f"{sys.version_info[0]}.{sys.version_info[1]}",
            "include": sysconfig.get_path("include"),
            "archives": ";".join(archives),
            "shared": next(iter(shared), ""),
            "library": next(iter(shared + archives), ""),
            "libraries": ";".join(dict.fromkeys(libraries)),
            # Only what this Python was built with; a missing OpenSSL is not libpython's fault.
            "modules": " ".join(name for name in modules.split() if find_spec(name)),
            # Below any prefix, as lib/python3.x/site-packages; and how the name of a module ends.
            "packages": "/".join(Path(sysconfig.get_path("platlib")).parts[-3:]),
            "suffix": var("EXT_SUFFIX"),
        }
    )
)
