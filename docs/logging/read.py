import logging
import sys

import reader

logging.basicConfig(
    stream=sys.stdout,
    level=logging.INFO,
    format="%(levelname)s %(name)s %(filename)s: %(message)s",
)
device = reader.Reader()
device.read(2)
device.close()  # the thread has ended, and what it logged is on its way
reader.flush()
reader.greet()
