"""Copies a shared library, and gives the copy another soname of the same length.

rename_library.py FROM TO-FOLDER
"""

import os
import re
import subprocess
import sys
from pathlib import Path

source, folder = sys.argv[1:]
read = subprocess.run(
    ["readelf", "-dW", source],
    stdout=subprocess.PIPE,
    check=True,
    text=True,
    env={**os.environ, "LC_ALL": "C"},
)
name = re.search(r"\(SONAME\).*\[(.*)\]", read.stdout)[1]
other = name[:-1] + ("8" if name.endswith("9") else "9")
content = Path(source).read_bytes()
before, after = (text.encode() + b"\0" for text in (name, other))
if content.count(before) != 1:
    sys.exit(f"{source} has its name {name} {content.count(before)} times, and should once")
Path(folder).mkdir(parents=True, exist_ok=True)
Path(folder, "libboost_python_other.so").write_bytes(content.replace(before, after))
Path(folder, other).unlink(missing_ok=True)
Path(folder, other).symlink_to("libboost_python_other.so")
