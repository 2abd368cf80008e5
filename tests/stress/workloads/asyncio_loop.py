"""An event loop with executors, subprocesses, sockets and signals."""

import asyncio
import concurrent.futures
import os
import signal
import sys
import zlib


def work(n):
    return zlib.crc32(zlib.compress(bytes([n % 256]) * 100_000))


async def subprocess_says(n):
    code = f"import sys; print(sys.stdin.read() * {n})"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate(b"x")
    return said.decode().strip()


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
    signalled = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, signalled.set)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [loop.run_in_executor(pool, work, n) for n in range(50)]
        said = await asyncio.gather(*(subprocess_says(n) for n in range(1, 4)))
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answers = await asyncio.gather(*(ask(port, n) for n in range(20)))
        server.close()
        os.kill(os.getpid(), signal.SIGUSR1)
        await signalled.wait()
        print(said, answers, sum(await asyncio.gather(*futures)))
        print(await asyncio.to_thread(work, 1))


asyncio.run(main())
