"""Reaches a Python process that already runs: what is known of it, and code run inside it.

gilcheck, giltrace and gilwatch share it. Who may attach, and what can go wrong: docs/attach.md.

PYTEST_DONT_REWRITE, which would warn that this is imported already if `gilcheck -m pytest` runs it.
"""

__version__ = "@PROJECT_VERSION@"
