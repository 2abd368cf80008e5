"""Threads that end otherwise than by returning: by SystemExit, by an error, by pthread_exit()."""

import ctypes
import sys
import threading

libc = ctypes.CDLL(None)
ROUTINE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)


@ROUTINE
def meets_python(argument):
    return None


def fails():
    raise ValueError


def native_thread_that_exits():
    """It has met Python before, and ends in C, in its own way."""
    thread = ctypes.c_ulong()
    routine = ctypes.cast(libc.pthread_exit, ctypes.c_void_p)
    libc.pthread_create(ctypes.byref(thread), None, meets_python, None)
    libc.pthread_join(thread, None)
    libc.pthread_create(ctypes.byref(thread), None, routine, None)
    libc.pthread_join(thread, None)


ended = []
threading.excepthook = lambda arguments: ended.append(arguments.exc_type.__name__)
for _ in range(50):
    threads = [
        threading.Thread(target=each) for each in (sys.exit, fails, native_thread_that_exits)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
print({name: ended.count(name) for name in sorted(set(ended))})
