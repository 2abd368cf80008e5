"""Waits and iterations in asyncio, woken by a mailbox's descriptor. A part of the module."""

import asyncio
import weakref


class _Reader:
    """Of one event loop: ends the waits that the mailbox tells of. It lives as long as the loop
    watches the descriptor, so until the loop is closed.
    """

    def __init__(self, loop):
        self.mailbox = Mailbox()  # noqa: F821
        self.waits = {}  # number: the future, what keeps the wait, and what is awaited
        loop.add_reader(self.mailbox.fileno(), self.read)

    def read(self):
        for number, reached in self.mailbox.take():
            future, *_ = self.waits.pop(number, (None,))
            if future is not None and not future.done():
                future.set_result(reached)

    def wait(self, future, begin, awaited, count):
        number, kept = begin(awaited, count, self.mailbox)
        self.waits[number] = future, kept, awaited
        future.add_done_callback(lambda _: self.waits.pop(number, None))  # if it is cancelled


_readers = weakref.WeakKeyDictionary()  # of loops; the values weak, too: they lead back to the loop


def wait(begin, awaited, count):
    """A future whose result is whether `awaited` has come to `count`.

    begin(awaited, count, mailbox) begins to wait, and returns the wait's number in the mailbox, and
    what keeps it until it is dropped.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"wait_async({count!r}) must be awaited in a coroutine, which an event loop runs, as "
            "asyncio.run() does; where there is none, wait() waits"
        ) from None
    reader = _readers[loop]() if loop in _readers else None
    if reader is None:
        reader = _Reader(loop)
        _readers[loop] = weakref.ref(reader)
    future = loop.create_future()
    reader.wait(future, begin, awaited, count)
    return future


async def iterate(begin, awaited):
    """Each of awaited.messages, and each that comes, until it has ended."""
    messages = awaited.messages
    given = 0
    while True:
        while given < len(messages):
            yield messages[given]
            given += 1
        if not await wait(begin, awaited, given + 1) and given >= len(messages):
            return
