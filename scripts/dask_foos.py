"""Foos on many processes, or machines, by Dask: each in a worker whose interpreter has Foo.

Look at: messages come as they are delivered; when a worker is lost, stderr says so, and Dask starts
its Foos again on others, where each goes on after the last message that has come. Without an
address there is a cluster on this machine. With one, of workers that were started so:

    handoff -m venv env && env/bin/pip install distributed
    env/bin/dask scheduler
    env/bin/dask worker tcp://ADDRESS:8786
"""

import argparse
import asyncio
import contextlib
import importlib.util
import logging
import shlex
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any, NoReturn

try:
    import distributed
    from distributed import Client
except ImportError as missing:
    host = sys.executable if importlib.util.find_spec("Foo") else "handoff"
    sys.exit(
        f"dask_foos.py needs {missing.name}: {host} -m venv env &&"
        f" env/bin/pip install distributed && env/bin/python {sys.argv[0]}"
    )

ANSWER = 10  # seconds for a scheduler to answer
PATIENCE = 60  # seconds for the last messages to arrive
DASK = shlex.join([sys.executable, "-m", "dask"])  # the command


def run_foo(topic: str, messages: int, interval: float) -> int:
    """On a worker: a Foo, until it has delivered that many. Returns with which it began."""
    worker = distributed.get_worker()
    try:
        from Foo import Foo
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"Worker {worker.name} runs in {sys.executable}, which has no module Foo: workers must "
            "run in an environment made by the host (handoff -m venv env)."
        ) from None
    distributed.secede()  # it waits most of the time: others run on this worker, too
    # The scheduler has the events, whatever became of a worker.
    events = distributed.get_client().get_events(topic)
    first = events[-1][1][0] + 1 if events else 0

    def deliver(n: int) -> None:
        if n < messages:
            worker.log_event(topic, (n, str(worker.name)))

    foo = Foo(interval, deliver)
    foo.messages.extend(range(first))
    with foo:
        foo.wait(messages)
    return first


def say(line: str) -> None:
    """On stderr; in a terminal instead of the progress bar, which is then drawn again below."""
    erased = "\r\33[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{erased}{line}\n")  # at once: the bar is drawn by another thread


def fail(line: str) -> NoReturn:
    say(line)
    sys.exit(1)


async def answers(scheduler: str) -> bool:
    """Whether one does. Client waits forever if another program listens, such as the dashboard."""
    secured = distributed.Security().get_connection_args("client")
    try:
        asked = distributed.rpc(scheduler, connection_args=secured)
        async with asyncio.timeout(ANSWER), asked:
            return bool((await asked.identity())["type"] == "Scheduler")
    except (OSError, ValueError):  # ValueError: that is no address
        return False


@contextlib.contextmanager
def watched(client: Client) -> Iterator[None]:
    """Meanwhile stderr says which worker is lost, and how to start one when there is none."""
    start = f"Start one, and the Foos go on: {DASK} worker {client.scheduler.address}"
    workers = dict(client.scheduler_info()["workers"])

    async def hear(event: tuple[float, dict[str, Any]]) -> None:
        match event[1]:
            case {"action": "add-worker"}:
                workers.update((await client.scheduler.identity(n_workers=-1))["workers"])
            case {"action": "remove-worker", "worker": address}:
                lost = workers.pop(address, {"name": address})
                how = ": its Foos go on elsewhere." if workers else f", and none is left. {start}"
                say(f"Worker {lost['name']} is lost{how}")

    if not workers:
        say(f"There is no worker yet. {start}")
    client.subscribe_topic("all", hear)  # what the scheduler says of the whole cluster
    try:
        yield
    finally:
        client.unsubscribe_topic("all")


class Gathered:
    """The messages that have come, by Foo: (number, worker's name), in order."""

    def __init__(self, client: Client, topics: dict[str, str], messages: int, show: bool) -> None:
        self.of: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        self._show = show
        self._missing = len(topics) * messages
        self._complete = threading.Event()
        for topic, foo in topics.items():
            client.subscribe_topic(topic, lambda event, of=foo: self._add(of, *event[1]))

    def _add(self, foo: str, n: int, worker: str) -> None:
        if n == len(self.of[foo]):  # else it came twice, around the loss of a worker
            self.of[foo].append((n, worker))
            if self._show:
                print(foo, n, worker, flush=True)
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
    if asked.scheduler and not asyncio.run(answers(asked.scheduler)):
        fail(
            f"No Dask scheduler answers at {asked.scheduler}. Start one, and give the address that "
            f"it prints: {DASK} scheduler"
        )

    # This script itself reports what the user must know of Dask's failures.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    quiet = {"silence_logs": logging.CRITICAL, "dashboard_address": ":0"}
    cluster = asked.scheduler or distributed.LocalCluster(threads_per_worker=1, **quiet)
    with Client(cluster) as client, watched(client):
        # The scheduler keeps a topic's events: those of an earlier run are not to be met again.
        topics = {f"foo-{n} of {client.id}": f"foo-{n}" for n in range(asked.foos)}
        gathered = Gathered(client, topics, asked.messages, asked.show)
        tasks = client.map(run_foo, list(topics), messages=asked.messages, interval=asked.interval)
        if sys.stdout.isatty() and not asked.show:
            distributed.progress(tasks, notebook=False)
        try:
            client.gather(tasks)
        except (ModuleNotFoundError, distributed.KilledWorker) as failed:  # for good
            fail(str(failed))
        except CancelledError:
            lost = f"The scheduler at {client.scheduler.address} is lost."
            fail(f"{lost} Start it and its workers, then this again.")
        complete = gathered.wait(PATIENCE)
        for foo in topics.values():
            came = gathered.of[foo]
            print(f"{foo:8} {len(came):4} messages from {', '.join({by: 0 for _, by in came})}")
        if not complete:
            sys.exit("not every message has come")


if __name__ == "__main__":
    main()
