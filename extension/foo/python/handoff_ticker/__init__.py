"""Ticker: counts on a native thread, beside Python, and calls back. It is the class Foo.Foo.

from handoff_ticker import Ticker

with Ticker(interval=1.0) as ticker:  # prints 0, 1, 2 ... once a second
    ticker.wait(3)
"""

from Foo import Foo as Ticker
from Foo import __version__

__all__ = ["Ticker", "__version__"]
