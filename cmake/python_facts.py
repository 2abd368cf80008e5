"""Prints, as JSON, what CMake must know of this Python in order to build with it and to embed it."""

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


libraries = " ".join(var(name) or "" for name in ("LIBS", "MODLIBS", "SYSLIBS")).split()
shared = existing(f"libpython{version}.so", var("INSTSONAME"))
modules = "_ctypes _ssl _hashlib _sqlite3 _decimal _bz2 _lzma zlib pyexpat math _json _struct".split()

print(
    json.dumps(
        {
            # What a link or a pyenv shim stands for; it tells an embedded Python where its library is.
            "executable": sys.executable,
            # Two builds with the same words are the same Python.
            "build": f"{sys.hexversion:x} {sys.implementation.cache_tag}{sys.abiflags}",
            "version": f"{sys.version_info[0]}.{sys.version_info[1]}",
            "include": sysconfig.get_path("include"),
            "archives": ";".join(existing(f"libpython{version}.a", f"libpython{version}-pic.a")),
            "shared": shared[0] if shared else "",
            "libraries": ";".join(dict.fromkeys(libraries)),
            # Only what this Python was built with; a missing OpenSSL is not libpython's fault.
            "modules": " ".join(name for name in modules if find_spec(name)),
        }
    )
)
