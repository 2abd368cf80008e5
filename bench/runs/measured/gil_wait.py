"""A thread that asks for the GIL now and then beside a main thread that computes: its waits.

Usage: gil_wait.py SECONDS
"""

import json
import sys
import threading
import time

import gil_probe

end = time.monotonic() + float(sys.argv[1])
waits = []


def ask() -> None:
    while time.monotonic() < end:
        waits.append(gil_probe.sleep(0.001))


asking = threading.Thread(target=ask)
asking.start()
while time.monotonic() < end:
    pass
asking.join()
print(json.dumps({"waits": waits[:-1]}))  # the last was let in by the main thread's end
