"""Asio's handlers are Python functions, and Python awaits Asio's operations."""

import asyncio
import queue
import socket

import echo

server = echo.Server()
port = server.listen(bytes.upper)

with socket.create_connection(("127.0.0.1", port)) as client:
    for _ in range(20):
        client.sendall(b"one\n")
        assert client.recv(4) == b"ONE\n"

ticks = queue.SimpleQueue()
server.tick(ticks.put, 20)
assert [ticks.get() for _ in range(20)] == list(range(20))

assert server.sleep(0.001).result() is None
with socket.socket() as unheard:
    unheard.bind(("127.0.0.1", 0))
    try:
        server.connect(unheard.getsockname()[1]).result()
    except ConnectionRefusedError as error:
        assert error.errno == 111, error
    else:
        raise AssertionError("nobody listens there")


async def ask(text):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    answer = await reader.readexactly(len(text))
    writer.close()
    await writer.wait_closed()
    return answer


async def is_cancelled():
    try:
        async with asyncio.timeout(0.005):
            await server.sleep(3600)
    except TimeoutError:
        return True


async def main():
    assert await server.connect(port) is None
    answers = await asyncio.gather(*(ask(b"text %d" % n) for n in range(10)))
    assert answers == [b"TEXT %d" % n for n in range(10)], answers
    assert await server.sleep(0.001) is None
    assert await is_cancelled()


asyncio.run(main())
