"""What a Python finds for which no Foo was built: one that was comes before this file. Says so."""

import sys
from pathlib import Path

_folder = Path(__file__).parent
_built = ", ".join(each.name for each in sorted(_folder.glob("Foo.*.so")))
_cure = (
    "it is for Python 3.11 and later"
    if sys.version_info < (3, 11)
    else "install one by this Python's pip: a wheel for it, or, in a clone of Handoff, "
    f"{sys.executable} -m pip install ."
)
raise ImportError(
    f"Foo was not built for this Python, {sys.implementation.cache_tag} ({sys.executable}): "
    f"{_folder} has {_built or 'none'}; {_cure}",
    name=__name__,
    path=__file__,
)
