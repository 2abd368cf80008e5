"""What asyncio programs await of C++, woken by a mailbox's descriptor. A part of the module."""

import asyncio
import atexit
import concurrent.futures
import os
import sys
import threading
import weakref


class Reader:
    """Calls, where Python code may run, what the letters in a mailbox are for.

    Letters are posted by any thread, without the GIL. `arrivals` has, for the number of each wait
    that has begun, what is called when its letter comes: arrive(reached).
    """

    def __init__(self):
        self.mailbox = Mailbox()  # noqa: F821
        self.arrivals = dies_where_dropped({})  # noqa: F821
        self.runs = None  # see runs_of
        # With the loop, whose thread may be another: what waits for its end is told then.
        dies_where_dropped(self)  # noqa: F821

    def read(self):
        for number, reached in self.mailbox.take():
            arrive = self.arrivals.get(number)
            if arrive is None:  # it was cancelled
                continue
            try:
                arrive(reached)
            except Exception as error:  # the other letters are not lost for it
                self.report(error)

    def report(self, error):
        asyncio.get_running_loop().call_exception_handler(
            {"message": "an error at the end of a wait for C++", "exception": error}
        )

    def add(self, number, future, result, kept, cancelled=None):
        """Has the letter of that number settle the future by what result(reached) returns or
        raises. `kept` is dropped then, or when the future is cancelled, which calls cancelled(), or
        with the reader.
        """
        mine = weakref.ref(self)  # otherwise whatever keeps the future would keep the reader

        def forget(future):
            reader = mine()
            wait = None if reader is None else reader.arrivals.pop(number, None)
            if wait is not None and wait.cancelled is not None and future.cancelled():
                wait.cancelled()

        self.arrivals[number] = _Wait(future, result, kept, cancelled)
        future.add_done_callback(forget)


class _Wait:
    """Of one future for one letter."""

    __slots__ = ("cancelled", "future", "kept", "result")

    def __init__(self, future, result, kept, cancelled):
        self.future, self.result, self.kept, self.cancelled = future, result, kept, cancelled

    def __call__(self, reached):
        future = self.future
        if isinstance(future, concurrent.futures.Future):  # which another thread may cancel
            if not future.set_running_or_notify_cancel():
                return
        elif future.done():
            return
        try:
            result = self.result(reached)
            if future.done():  # by the conversion
                return
        except StopIteration as stopped:  # a coroutine that awaits the future would seem to return
            error = RuntimeError(f"C++ raised {stopped!r}, which a Future cannot hold")
            error.__cause__ = stopped
            future.set_exception(error)
        except BaseException as error:
            # Without this frame, which has the future, which has the error.
            future.set_exception(error.with_traceback(error.__traceback__.tb_next))
        else:
            future.set_result(result)


class _ReaderOfLoop(Reader):
    """It lives as long as the loop watches the descriptor, so until the loop is closed."""

    def __init__(self, loop):
        super().__init__()
        self.loop = weakref.ref(loop)

    def watch(self):
        self.loop().add_reader(self.mailbox.fileno(), self.read)


class _ReaderOfThread(Reader):
    """Where no loop runs: a native thread waits for the letters, and then takes the GIL."""

    def report(self, error):
        sys.excepthook(type(error), error, error.__traceback__)


_readers = weakref.WeakKeyDictionary()  # of loops; the values weak, too: they lead back to the loop
_reader_of_thread = None
# Of these two, and of each reader's runs: two threads that are first make one reader. Reentrant,
# because a finalizer may come in while one is made.
_making = threading.RLock()


def reader_of(loop):
    """The reader of a loop, which may run in another thread, or not yet."""
    with _making:
        reader = _readers[loop]() if loop in _readers else None
        if reader is None:
            reader = _ReaderOfLoop(loop)
            if asyncio._get_running_loop() is loop:
                reader.watch()
            else:
                watch = dies_where_dropped(reader.watch)  # noqa: F821
                dies_where_dropped(loop.call_soon_threadsafe(watch))  # noqa: F821
            _readers[loop] = weakref.ref(reader)
        return reader


def reader_of_thread():
    """The reader of the native thread, which the first call starts."""
    global _reader_of_thread
    with _making:
        if _reader_of_thread is None:
            reader = _ReaderOfThread()
            read_on_thread(reader.mailbox, reader.read)  # noqa: F821
            _reader_of_thread = reader
        return _reader_of_thread


def _drop_waits():
    """At exit: asks the makers of what is still awaited to stop."""
    with _making:
        readers = [*(each() for each in _readers.values()), _reader_of_thread]
    for reader in readers:
        if reader is not None:
            reader.arrivals.clear()


def _forget_parent():
    """In the child of a fork(), where neither the parent's loops run nor its threads."""
    global _making, _reader_of_thread
    _making = threading.RLock()
    _reader_of_thread = None
    _readers.clear()


atexit.register(_drop_waits)
os.register_at_fork(after_in_child=_forget_parent)


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
    reader = reader_of(loop)
    future = loop.create_future()
    number, kept = begin(awaited, count, reader.mailbox)
    reader.add(number, future, bool, (kept, awaited))
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


def future_of(begin):
    """A future for a result of C++: an asyncio.Future where a loop runs in this thread, otherwise a
    concurrent.futures.Future.

    begin(mailbox) returns the wait, which has a number there, and posts once it has been started.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        future, reader = concurrent.futures.Future(), reader_of_thread()
    else:
        future, reader = loop.create_future(), reader_of(loop)
    wait = begin(reader.mailbox)
    reader.add(wait.number(), future, wait.result, wait, wait.cancel)
    wait.start()  # not before: another thread may read the letter at once
    return future


class _Runs:
    """Starts and cancels, where a loop runs, the coroutines for which native threads ask."""

    def __init__(self, loop, asked):
        self.loop = weakref.ref(loop)
        self.asked = dies_where_dropped(asked)  # noqa: F821
        # A loop has weak references only.
        self.tasks = dies_where_dropped({})  # noqa: F821
        dies_where_dropped(self)  # noqa: F821

    def __call__(self, _):
        for number, run in self.asked.take():
            if run is not None:
                self.start(number, run)
            elif number in self.tasks:
                self.tasks[number].cancel()

    def start(self, number, run):
        try:
            task = asyncio.ensure_future(run.coroutine(), loop=self.loop())
        except BaseException as error:
            self.asked.forget(run)
            # Without this frame: an owner of the error would also own the loop's queue.
            run.fail(error.with_traceback(error.__traceback__.tb_next))
            if not isinstance(error, Exception):
                raise
            return
        mine = weakref.ref(self)

        def end(task):
            runs = mine()
            if runs is not None:
                runs.tasks.pop(number, None)
                runs.asked.forget(run)
            run.end(task)

        self.tasks[number] = task
        task.add_done_callback(end)


def runs_of(loop, make):
    """What native threads ask of a loop: made by make(mailbox), once for a loop."""
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(f"not an event loop of asyncio: {loop!r}; get one by get_running_loop()")
    with _making:
        reader = reader_of(loop)
        if reader.runs is None:
            asked = make(reader.mailbox)
            reader.runs = weakref.ref(asked)
            reader.arrivals[asked.number()] = _Runs(loop, asked)
        asked = reader.runs()
    if asked is None:
        raise RuntimeError("the event loop is closed")
    return asked
