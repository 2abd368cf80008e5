"""Reaches a Python process that already runs: what is known of it, and code run inside it.

gilcheck, giltrace and gilwatch share it. Who may attach, and what can go wrong: docs/attach.md.
"""

__version__ = "@PROJECT_VERSION@"
