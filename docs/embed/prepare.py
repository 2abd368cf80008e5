"""What docs/embed.md's application runs first: it may set up what later calls need."""

import sys

print("prepared, with", "an environment" if sys.prefix != sys.base_prefix else "no environment")
