"""A million samples a second, from a native thread into numpy.

Look at: every sample arrives, in order, and Python's thread is busy for a small part of the
time: it takes what has gathered as one batch, and numpy reads that in place. The producer never
waits for Python. Without numpy the module struct reads a tenth as many, one at a time.
"""

import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

# The build puts the module beside the host, to which an environment's Python is a link.
sys.path.append(str(Path(sys.executable).resolve().parent))
try:
    from sensor import Sensor
except ImportError:
    sys.exit(
        "samples.py needs its module sensor, which is not installed with the host: run `make build`"
        " in a clone of Handoff, then build/Release/bin/handoff scripts/samples.py"
    )

try:
    import numpy
except ImportError:
    numpy = None

RATE, SECONDS = 1e6 if numpy else 1e5, 2.0

Reader = Callable[[object], tuple[float, float, float]]


def with_numpy(batch: object) -> tuple[float, float, float]:
    """The first time, the last, and the largest value."""
    samples = numpy.asarray(batch)  # no copy: a view of the batch, with its fields by name
    return samples["time"][0], samples["time"][-1], samples["value"].max()


def with_struct(batch: object) -> tuple[float, float, float]:
    times, values = zip(*struct.iter_unpack(batch.format, batch), strict=True)
    return times[0], times[-1], max(values)


def main(read: Reader) -> None:
    sensor = Sensor(RATE)
    count, batches, largest, last, in_order = 0, 0, 0.0, -1.0, True
    processor, begin = time.thread_time(), time.perf_counter()
    for batch in sensor.samples.batches():
        before = last
        first, last, value = read(batch)
        count, batches, largest = count + len(batch), batches + 1, max(largest, value)
        in_order = in_order and before < first <= last
        if last >= SECONDS:
            sensor.stop()  # what is still there is read; then the loop ends
    elapsed = time.perf_counter() - begin
    busy = (time.thread_time() - processor) / elapsed
    dropped = sensor.samples.counts["dropped"]
    all_there = count + dropped == round(last * RATE) + 1

    print(f"read with             {'numpy' if read is with_numpy else 'struct'}")
    print(f"samples               {count} in {elapsed:.2f} s, in order: {in_order}")
    print(f"dropped               {dropped}; every other one arrived: {all_there}")
    print(f"batches               {batches}, of {count // batches} samples on average")
    print(f"largest value         {largest:.3f}")
    print(f"Python's thread       busy for {busy:.1%} of the time")


if __name__ == "__main__":
    if numpy is None:
        print("There is no numpy (apt-get install python3-numpy): module struct reads instead.")
    main(with_numpy if numpy else with_struct)
