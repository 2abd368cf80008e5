"""Draws to a picture in memory in four threads, with a formatter of labels in Python."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter


def draw(n):
    figure = Figure(figsize=(3, 2))
    axes = figure.add_subplot()
    axes.plot(np.sin(np.linspace(0, n + 1, 10_000)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} steps"))
    axes.imshow(np.arange(100).reshape(10, 10), extent=(0, 5000, -1, 1), aspect="auto")
    pixels = np.asarray(FigureCanvasAgg(figure).print_to_buffer()[0])
    figure.savefig(io.BytesIO(), format="pdf")
    return hashlib.sha256(pixels).hexdigest()[:16]


with ThreadPoolExecutor(4) as pool:
    print(*pool.map(draw, range(8)), sep="\n")
