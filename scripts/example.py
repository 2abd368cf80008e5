"""The module of the well-known question, so that its session works as it stands.

In this folder, at the host's prompt:

    >>> import example
    >>> import time
    >>> foo = example.Foo()
    >>> foo.start()
    >>> time.sleep(3)
    0
    1
    2
    >>> foo.stop()

Look at: the numbers appear while the main thread sleeps, since sleep() releases the GIL; and
stop() returns, as it releases the GIL before it waits. Run as a script, it plays the session.
"""

from Foo import Foo  # the host has it: build/Release/bin/handoff; or `pip install .`

__all__ = ["Foo"]

if __name__ == "__main__":
    import time

    foo = Foo()
    foo.start()
    time.sleep(3)
    foo.stop()
