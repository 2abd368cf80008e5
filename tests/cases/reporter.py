"""What native threads log is what Python's handlers get, whenever the program ends."""

import atexit
import logging

import reporter

kept = []


class Keep(logging.Handler):
    def emit(self, record):
        kept.append(record.getMessage())


logger = logging.getLogger("device")
logger.setLevel(logging.INFO)
logger.propagate = False
logger.addHandler(Keep())
atexit.register(reporter.check)
reporter.open()  # its own function runs before

for _ in range(3):
    kept.clear()
    reporter.start(3, 100)
    reporter.wait()
    assert reporter.flush()
    for thread in range(3):
        of_one = [text for text in kept if text.startswith(f"{thread} ")]
        assert of_one == [f"{thread} {each}" for each in range(100)], of_one

reporter.start(2, 1_000_000_000)
for _ in range(100):
    logger.info("of Python's own")
