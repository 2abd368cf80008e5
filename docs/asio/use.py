import asyncio
import threading

import network

called = threading.Event()
network.call_later(0.01, called.set)  # a thread of Asio's calls it, with the GIL
called.wait()

network.sleep(0.01).result()  # no event loop: a concurrent.futures.Future


async def main():
    await network.sleep(0.01)  # an asyncio.Future


asyncio.run(main())
print("slept")

engine = network.Engine()
nap = engine.sleep(0.01)
engine.close()  # when it has completed
print(nap.result())

nap = network.Engine().sleep(3600)  # its engine is dropped at once
print(nap.exception())
