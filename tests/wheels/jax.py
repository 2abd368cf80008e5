"""Compiles and computes in threads of XLA, which call Python functions meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

seen = []


def in_python(numbers):
    return np.cumsum(np.asarray(numbers)).astype(np.float32)


@jax.jit
def compute(matrix):
    jax.debug.callback(lambda total: seen.append(float(total)), matrix.sum())
    kind = jax.ShapeDtypeStruct((64,), jnp.float32)
    return (matrix @ matrix.T).sum() + jax.pure_callback(in_python, kind, matrix[0])[-1]


def work(n):
    return float(compute(jnp.arange(4096.0).reshape(64, 64) % (n + 3)))


with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(work, range(8))))
jax.effects_barrier()
print(sorted(seen), float(jax.grad(lambda x: jnp.sin(x) ** 2)(0.5)))
