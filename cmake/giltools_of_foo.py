"""Which giltools handoff-foo requires: this clone's; in a wheel for other machines, PyPI's.

scikit-build-core asks (pyproject.toml). They are a requirement, and no part of Foo's wheel, as two
distributions that have the same files overwrite each other's, and each removes the other's.
"""

import os
from pathlib import Path

_CLONE = Path(__file__).resolve().parent.parent


def dynamic_metadata(settings, project):
    """What to add to [project]. HANDOFF_WHEEL, if it is not empty: for other machines."""
    where = (
        f"== {project['version']}"
        if os.environ.get("HANDOFF_WHEEL")
        else f"@ {(_CLONE / 'extension/diagnostics').as_uri()}"
    )
    return {"dependencies": [f"giltools {where}"]}
