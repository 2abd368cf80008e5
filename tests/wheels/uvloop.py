"""Runs libuv's event loop: sockets, a subprocess, a signal, and threads that call into it."""

import asyncio
import os
import signal
import sys
import threading

import uvloop


async def echo(reader, writer):
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


async def ask(port, n):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"%d\n" % n)
    answer = await reader.readline()
    writer.close()
    return int(answer)


async def main():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(sum(await asyncio.gather(*(ask(port, n) for n in range(50)))))
    server.close()

    answers = [loop.create_future() for _ in range(8)]
    for n, answer in enumerate(answers):
        call = loop.call_soon_threadsafe
        threading.Thread(target=call, args=(answer.set_result, n)).start()
    print(await asyncio.gather(*answers), await asyncio.to_thread(sum, range(100_000)))

    command, pipe = (sys.executable, "-c", "print('child')"), asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdout=pipe)
    print((await child.communicate())[0])
    signalled = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, signalled.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await signalled.wait()
    print(type(loop).__module__)


uvloop.run(main())
