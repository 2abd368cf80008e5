"""Runs a small model in threads of onnxruntime, one of which calls a Python function."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime


def field(number, value):
    """A field of a protocol buffer: the format of a model."""
    if isinstance(value, int):
        return bytes([8 * number, value])
    value = value.encode() if isinstance(value, str) else value
    return bytes([8 * number + 2, len(value)]) + value


def tensor(name):  # of floats, 64 x 64
    size = field(2, field(1, field(1, 64)) * 2)
    return field(1, name) + field(2, field(1, field(1, 1) + size))


product = field(1, "x") + field(1, "x") + field(2, "y") + field(4, "MatMul")
graph = field(1, product) + field(2, "g") + field(11, tensor("x")) + field(12, tensor("y"))
model = field(1, 8) + field(8, field(2, 13)) + field(7, graph)

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 4
session = onnxruntime.InferenceSession(model, options)
numbers = np.arange(4096, dtype=np.float32).reshape(64, 64) % 5


def work(n):
    return float(session.run(None, {"x": numbers + n})[0].sum())


with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(work, range(8))))

answered, answers = threading.Semaphore(0), []


def callback(results, n, error):
    answers.append((n, float(results[0].sum()), error))
    answered.release()


for n in range(8):
    session.run_async(None, {"x": numbers + n}, callback, n)
    answered.acquire()
print(answers)
