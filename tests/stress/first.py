"""Uses Foo for the first time in this process, from several threads at once, as the seed says.

Usage: handoff [-W error] first.py SEED. Prints how many threads got what they wanted, and how many
there were.
"""

import importlib
import random
import sys
import threading

chosen = random.Random(sys.argv[1])
THREADS = chosen.randrange(2, 9)
together, done = threading.Barrier(THREADS), []
for module in "asyncio", "Foo":  # or else their first import is a first use, too
    if chosen.random() < 0.5:
        importlib.import_module(module)
if chosen.random() < 0.5:
    sys.setswitchinterval(1e-6)


def uses(foo):
    foo.start()
    try:
        return foo.wait(2, 20)
    finally:
        foo.stop()


def awaits(foo):
    import asyncio

    async def await_it():
        with foo:
            return await foo.wait_async(2)

    return asyncio.run(await_it())


def iterates(foo):
    import asyncio

    async def iterate():
        with foo:
            async for n in foo:
                if n == 2:
                    break
            return foo.running

    return asyncio.run(iterate())


def is_refused_first(foo):
    """The first use fails for want of a loop, and the next is as if nothing had happened."""
    try:
        foo.wait_async(2)
    except RuntimeError as error:
        assert "event loop" in str(error), error
    return awaits(foo)


def begins(foo):
    return hasattr(aiter(foo), "__anext__")


def use(how):
    together.wait()
    from Foo import Foo

    done.append(how(Foo(0.001, None)))


WAYS = uses, awaits, iterates, is_refused_first, begins
hows = [chosen.choice(WAYS) for _ in range(THREADS)]
if chosen.random() < 0.5:
    hows = [hows[0]] * THREADS
threads = [threading.Thread(target=use, args=[how]) for how in hows]
for each in threads:
    each.start()
for each in threads:
    each.join()
print(done.count(True), THREADS)
