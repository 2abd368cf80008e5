"""Switches between a hundred greenlets that use sockets, and waits for a pool of native threads."""

import gevent
import gevent.monkey
from gevent.event import Event
from gevent.queue import Queue
from gevent.server import StreamServer
from gevent.threadpool import ThreadPool

gevent.monkey.patch_socket()
import socket  # noqa: E402, greenlets wait in it


def echo(client, _):
    client.sendall(client.recv(100))
    client.close()


def ask(n):
    with socket.create_connection(server.address) as connection:
        connection.sendall(b"%d" % n)
        return int(connection.recv(100))


server = StreamServer(("127.0.0.1", 0), echo)
server.start()
print(sum(job.get() for job in [gevent.spawn(ask, n) for n in range(100)]))
server.stop()

queue, over = Queue(3), Event()
gevent.spawn(lambda: ([queue.put(n) for n in range(100)], over.set()))
print(sum(queue.get() for _ in range(100)), over.wait(10))

pool = ThreadPool(4)
print([job.get() for job in [pool.spawn(sum, range(n, 100_000)) for n in range(8)]])
pool.kill()
