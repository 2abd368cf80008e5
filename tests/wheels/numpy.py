"""Multiplies matrices in BLAS's threads from four threads, and calls Python for each element."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np


def work(n):
    matrix = np.arange(40_000.0).reshape(200, 200) % (n + 2)
    product = matrix @ matrix.T
    squares = np.vectorize(lambda number: number * n)(np.arange(1000))
    ordered = np.sort(np.array([n - each for each in range(100)], dtype=object))  # Python compares
    return int(product.sum()), int(squares.sum()), ordered[0]


with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(work, range(8))))
