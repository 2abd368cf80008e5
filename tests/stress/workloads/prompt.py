"""The prompt at a terminal: readline waits without the GIL, while other threads run Python."""

import os
import pty
import sys

CODE = """
import readline, threading
over = threading.Event()
def spin():
    while not over.is_set(): sum(range(1000))
readline.set_completer(lambda text, state: [text + "!"][state] if state == 0 else None)
readline.parse_and_bind("tab: complete")
spinner = threading.Thread(target=spin)
spinner.start()
said = [input("? ") for _ in range(3)]
over.set()
spinner.join()
print(said)
"""

process, terminal = pty.fork()
if process == 0:
    os.execv(sys.executable, [sys.executable, "-c", CODE])
shown = b""
for answer in (b"one\n", b"two\t\n", b"three\n"):
    while b"? " not in shown:
        shown += os.read(terminal, 1000)
    shown = b""
    os.write(terminal, answer)
try:
    while data := os.read(terminal, 1000):
        shown += data
except OSError:  # nobody has the terminal any more
    pass
print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
print(shown.decode().rpartition("[")[2].strip())
