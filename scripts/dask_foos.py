"""Foos on many processes, or machines, by Dask: each in a worker whose interpreter has Foo.

Look at: messages come as they are delivered; when a worker is lost, Dask starts its Foos again on
others, where each goes on after the last message that has come. Without an address there is a
cluster on this machine. With one, of workers that were started so:

    handoff -m venv env && env/bin/pip install distributed
    env/bin/dask scheduler
    env/bin/dask worker tcp://ADDRESS:8786
"""

import argparse
import collections
import sys
import threading

try:
    from distributed import Client, LocalCluster, get_client, get_worker, progress, secede
except ImportError:
    sys.exit("dask_foos.py needs Dask: python -m pip install distributed")

PATIENCE = 60  # seconds for the last messages to arrive


def run_foo(topic: str, messages: int, interval: float) -> int:
    """On a worker: a Foo, until it has delivered that many. Returns with which it began."""
    from Foo import Foo

    worker = get_worker()
    secede()  # it waits most of the time: others run on this worker, too
    events = get_client().get_events(topic)  # the scheduler has them, whatever became of a worker
    first = events[-1][1][0] + 1 if events else 0

    def deliver(n: int) -> None:
        if n < messages:
            worker.log_event(topic, (n, str(worker.name)))

    foo = Foo(interval, deliver)
    foo.messages.extend(range(first))
    with foo:
        foo.wait(messages)
    return first


class Gathered:
    """The messages that have come, by topic: (number, worker's name), in order."""

    def __init__(self, client: Client, topics: list[str], messages: int, show: bool) -> None:
        self.of = collections.defaultdict(list)
        self._show = show
        self._missing = len(topics) * messages
        self._complete = threading.Event()
        for topic in topics:
            client.subscribe_topic(topic, lambda event, of=topic: self._add(of, *event[1]))

    def _add(self, topic: str, n: int, worker: str) -> None:
        if n == len(self.of[topic]):  # else it came twice, around the loss of a worker
            self.of[topic].append((n, worker))
            if self._show:
                print(topic, n, worker, flush=True)
            self._missing -= 1
            if self._missing == 0:
                self._complete.set()

    def wait(self, timeout: float) -> bool:
        return self._complete.wait(timeout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scheduler", nargs="?", help="its address; else a cluster on this machine")
    parser.add_argument("--foos", type=int, default=8)
    parser.add_argument("--messages", type=int, default=20, help="of each Foo")
    parser.add_argument("--interval", type=float, default=0.1, help="seconds")
    parser.add_argument("--show", action="store_true", help="each message, instead of progress")
    asked = parser.parse_args()
    topics = [f"foo-{n}" for n in range(asked.foos)]

    with Client(asked.scheduler or LocalCluster(threads_per_worker=1)) as client:
        gathered = Gathered(client, topics, asked.messages, asked.show)
        tasks = client.map(run_foo, topics, messages=asked.messages, interval=asked.interval)
        if not asked.show:
            progress(tasks, notebook=False)
            print()
        client.gather(tasks)  # raises what has failed for good
        complete = gathered.wait(PATIENCE)
        for topic in topics:
            came = gathered.of[topic]
            print(f"{topic:8} {len(came):4} messages from {', '.join({by: 0 for _, by in came})}")
        if not complete:
            sys.exit("not every message has come")


if __name__ == "__main__":
    main()
