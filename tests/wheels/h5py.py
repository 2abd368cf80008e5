"""Writes and reads one file in four threads; HDF5 calls a Python function for each name."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "file.h5", "w") as file:

    def write(n):
        dataset = file.create_dataset(
            f"group{n}/numbers", data=np.arange(10_000) * n, chunks=(1000,), compression="gzip"
        )
        dataset.attrs["n"] = n
        return int(dataset[::3].sum())

    with ThreadPoolExecutor(4) as pool:
        print(list(pool.map(write, range(12))))
    names = []
    file.visititems(lambda name, each: names.append((name, each.attrs.get("n"))))
    print(sorted(names))
    try:
        file.visit(lambda name: 1 / 0)  # an exception goes through HDF5
    except ZeroDivisionError as error:
        print(error)
