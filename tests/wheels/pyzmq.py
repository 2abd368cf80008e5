"""Sends messages between threads; the thread of ZeroMQ releases what Python made."""

import threading

import zmq

context = zmq.Context()
answers = context.socket(zmq.PULL)
port = answers.bind_to_random_port("tcp://127.0.0.1")


def worker(n):
    with context.socket(zmq.PUSH) as socket:
        socket.connect(f"tcp://127.0.0.1:{port}")
        for i in range(50):
            tracker = socket.send(bytes([n]) * (70_000 + i), copy=False, track=True)
        tracker.wait()  # until the thread of ZeroMQ has let go of it


threads = [threading.Thread(target=worker, args=(n,)) for n in range(4)]
for each in threads:
    each.start()
messages = [bytes(answers.recv(copy=False)) for _ in range(200)]
for each in threads:
    each.join()
print(sorted((len(message), message[0]) for message in messages)[::20])
context.destroy()
