"""The workers that are compared: each has start(), stop(), and a list `messages` that it fills."""

import threading
import time


class ThreadWorker:
    """A threading.Thread that sleeps between two messages, as it is usually written."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.messages: list[int] = []
        self.running = False

    def start(self) -> None:
        self.running = True
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def stop(self) -> None:
        self.running = False
        self.thread.join()

    def work(self) -> None:
        while self.running:
            self.messages.append(len(self.messages))
            time.sleep(self.interval)


class CatchingUpThreadWorker(ThreadWorker):
    """The same, but it keeps the rate: what fell due while it waited for the GIL follows."""

    def start(self) -> None:
        self.begin = time.monotonic()
        super().start()

    def work(self) -> None:
        while self.running:
            due = self.begin + len(self.messages) * self.interval
            while due <= time.monotonic():
                self.messages.append(len(self.messages))
                due = self.begin + len(self.messages) * self.interval
            time.sleep(max(0.0, due - time.monotonic()))


class NoWorker:
    """For comparison."""

    def __init__(self, interval: float) -> None:
        self.messages: list[int] = []

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


def worker(side: str, interval: float):
    """A worker of that side, not started."""
    if side == "foo":
        from Foo import Foo

        return Foo(interval, on_message=None)
    if side == "seed":
        import seed

        return seed.Foo(interval)
    return {
        "thread": ThreadWorker,
        "catching_up_thread": CatchingUpThreadWorker,
        "none": NoWorker,
    }[side](interval)
