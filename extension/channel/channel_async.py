"""What coroutines get of a channel, in asyncio's event loops. A part of the module."""

import asyncio
import collections
import threading
import weakref

NOTHING = object()  # what taking() returns where there is nothing to take yet

# By channel and event loop. A coroutine that waits keeps its line.
_lines = weakref.WeakValueDictionary()


class _Line:
    """The coroutines of one event loop that wait for one channel, the first first.

    Only the first looks into the channel, and is woken by it; it wakes the next when it leaves. A
    value is taken in the moment in which the coroutine goes on with it, so one that is cancelled
    has taken none.
    """

    def __init__(self, loop):
        self.loop = loop
        self.waiting = collections.deque()  # a future of each, done when it has become the first

    async def take(self, taking):
        mine = self.loop.create_future()
        self.waiting.append(mine)
        arrival = None
        try:
            if self.waiting[0] is not mine:
                await mine
                _turn.given = 0
            elif _turn.is_over():  # those that ask meanwhile are served after this one
                await _turn.end()
            while (taken := taking(NOTHING)) is NOTHING:
                arrival = wait(_listen, taking, 1)  # noqa: F821
                await arrival
                _turn.given = 0
            _turn.given += taking.most
            return taken
        finally:
            self.leave(mine, arrival)

    def leave(self, mine, arrival):
        was_first = self.waiting[0] is mine
        self.waiting.remove(mine)
        if self.loop.is_closed():  # the garbage collector ends the coroutines, in no order
            return
        if arrival is not None:
            arrival.cancel()
        if was_first and self.waiting and not self.waiting[0].done():
            self.waiting[0].set_result(None)


def _listen(taking, _, mailbox):
    return taking.listen(mailbox)


class _Turn(threading.local):
    """What coroutines of this thread were given since they last let its event loop go on."""

    given = 0

    LONGEST = 64  # values; or one batch

    def is_over(self):
        return self.given >= self.LONGEST

    async def end(self):
        """Native threads may push faster than a loop takes: its other tasks have their turn."""
        self.given = 0
        await asyncio.sleep(0)


_turn = _Turn()


async def take_of_channel(taking):
    """What taking(NOTHING) returns as soon as there is something, or raises."""
    loop = asyncio.get_running_loop()
    line = _lines.get(key := (taking.channel, id(loop)))
    if line is None:
        if not _turn.is_over() and (taken := taking(NOTHING)) is not NOTHING:
            _turn.given += taking.most
            return taken
        line = _lines.setdefault(key, _Line(loop))
    return await line.take(taking)


class ChannelIterator:
    """Takes at each step, until the channel is closed and empty."""

    def __init__(self, taking):
        self.taking = taking

    def __aiter__(self):
        return self

    def __anext__(self):
        return take_of_channel(self.taking)


def require_loop(method, blocking):
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"{method} needs a running event loop of asyncio: call it in a coroutine, which "
            f"asyncio.run() runs; under trio, `await trio.to_thread.run_sync(channel.get, 0.1)` "
            f"raises channel.Empty when nothing came for 0.1 s; where there is no event loop, "
            f"{blocking} waits"
        ) from None


def get(method, blocking, taking):
    require_loop(method, blocking)
    return take_of_channel(taking)


def iterate(method, blocking, taking):
    require_loop(method, blocking)
    return ChannelIterator(taking)
