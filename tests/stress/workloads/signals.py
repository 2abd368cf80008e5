"""Signals by a timer, to threads, and to threads that wait, each with a handler in Python."""

import faulthandler
import os
import signal
import threading
import time
from pathlib import Path

handled, main_thread = [], threading.get_ident()
never = threading.Lock()


def on_signal(number, frame):
    handled.append(threading.get_ident())


def send():
    while len(handled) < 200:
        signal.pthread_kill(main_thread, signal.SIGUSR1)
        time.sleep(0.0001)


def compute():
    while len(handled) < 200:
        sum(range(1000))


signal.signal(signal.SIGALRM, on_signal)
signal.signal(signal.SIGUSR1, on_signal)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
threads = [threading.Thread(target=each) for each in (send, compute, compute)]
for each in threads:
    each.start()
never.acquire()
while len(handled) < 200:
    never.acquire(timeout=0.001)
signal.setitimer(signal.ITIMER_REAL, 0)
for each in threads:
    each.join()
with Path(os.devnull).open("w") as nowhere:
    faulthandler.register(signal.SIGUSR2, nowhere, all_threads=True)
    os.kill(os.getpid(), signal.SIGUSR2)
    faulthandler.unregister(signal.SIGUSR2)
print(set(handled) == {main_thread})
