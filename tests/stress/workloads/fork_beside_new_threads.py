"""Forks while other threads begin, each of which wants room in a recording at that moment."""

import _thread
import contextlib
import os
import sys
import threading
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads: that is the point
sys.setswitchinterval(1e-5)
over = False


def begin_threads():
    while not over:
        with contextlib.suppress(RuntimeError):  # there are too many
            _thread.start_new_thread(int, ())


for _ in range(3):
    threading.Thread(target=begin_threads).start()
codes = []
for _ in range(40):
    process = os.fork()
    if process == 0:
        over = True
        sys.exit(7)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
over = True
print(codes)
