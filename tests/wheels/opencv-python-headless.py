"""Filters pictures in threads of OpenCV, called from four threads."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

cv2.setNumThreads(4)


def work(n):
    picture = (np.arange(640 * 480 * 3) % (251 - n)).astype(np.uint8).reshape(480, 640, 3)
    cv2.circle(picture, (320, 240), 50 + n, (255, 0, 0), -1)
    blurred = cv2.GaussianBlur(picture, (9, 9), 2)
    edges = cv2.Canny(cv2.resize(blurred, (1280, 960)), 50, 150)
    packed = cv2.imencode(".png", edges)[1]
    same = np.array_equal(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), edges)
    return same, hashlib.sha256(blurred).hexdigest()[:16]


with ThreadPoolExecutor(4) as pool:
    print(*pool.map(work, range(8)), sep="\n")
try:
    cv2.resize(np.zeros((2, 2)), (-1, -1))
except cv2.error as error:
    print(error.func)
