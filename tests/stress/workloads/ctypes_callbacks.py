"""What C calls back through ctypes: on the calling thread, and on threads that C has started."""

import ctypes
import threading

libc = ctypes.CDLL(None)
ROUTINE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
count, counting = 0, threading.Lock()


@ROUTINE
def called_by_a_native_thread(argument):
    global count
    for _ in range(argument or 0):
        libc.usleep(10)  # without the GIL
        with counting:
            count += 1


@ROUTINE
def nested(argument):
    """Acquires the GIL in a region that has released it, in one that has released it."""
    numbers = (ctypes.c_int * 100)(*range(100, 0, -1))
    libc.qsort(numbers, 100, ctypes.sizeof(ctypes.c_int), COMPARE(lambda a, b: a[0] - b[0]))
    assert list(numbers) == list(range(1, 101))
    called_by_a_native_thread(argument)


def native_threads(routine, times):
    threads = [ctypes.c_ulong() for _ in range(8)]
    for each in threads:
        assert libc.pthread_create(ctypes.byref(each), None, routine, ctypes.c_void_p(times)) == 0
    for each in threads:
        assert libc.pthread_join(each, None) == 0


native_threads(called_by_a_native_thread, 100)
native_threads(nested, 10)
beside = [threading.Thread(target=native_threads, args=(nested, 10)) for _ in range(4)]
for each in beside:
    each.start()
for each in beside:
    each.join()
print(count)
