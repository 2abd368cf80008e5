"""The smallest example: a native worker beside Python.

Look at: three numbers arrive, one every tenth of a second, printed by a thread that is not
Python's; then stop() ends them.
"""

from Foo import Foo  # the host has it: build/Release/bin/handoff; or `pip install .`

f = Foo(interval=0.1)
f.start()
f.wait(3)
f.stop()
print(f)
