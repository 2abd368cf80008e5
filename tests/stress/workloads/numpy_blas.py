"""Matrix products in several threads of Python, each of them by several threads of BLAS."""

import os
from concurrent.futures import ThreadPoolExecutor

os.environ["OPENBLAS_NUM_THREADS"] = "4"  # before it is loaded

import numpy as np


def work(seed):
    chosen = np.random.default_rng(seed)
    matrix = chosen.integers(0, 9, (300, 300)).astype(float)
    product = matrix
    for _ in range(10):
        product = matrix @ product
        product %= 1000
    objects = np.sort(matrix[0].astype(object))  # calls Python's comparison
    return int(product.sum()), int(np.vectorize(int)(objects).sum())


with ThreadPoolExecutor(4) as pool:
    threaded = list(pool.map(work, range(16)))
print(threaded == [work(seed) for seed in range(16)])
