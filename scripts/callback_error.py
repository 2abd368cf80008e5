"""An error in a callback.

Look at: the exception is reported at once by threading.excepthook, with the callback's
traceback, as for a threading.Thread; it ends this Foo and no other, it is kept in `error`, and
the Foo can be started again and goes on counting.
"""

from Foo import Foo  # the host has it: build/Release/bin/handoff; or `pip install .`


def divide(n: int) -> None:
    print(f"12 / {3 - n} = {12 / (3 - n)}", flush=True)


failing = Foo(0.05, on_message=divide)
other = Foo(0.05, on_message=None)
with failing, other:
    failing.wait(10)  # False, after four messages: the fourth divided by zero
    other.wait(10)
    print("failing:", failing.messages, repr(failing.error))
    print("other:  ", other.messages)

    failing.start()
    failing.wait(6)
    print("again:  ", failing.messages, failing.error)
