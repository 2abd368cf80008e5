"""Collides bodies one by one and in a tree, in four threads."""

from concurrent.futures import ThreadPoolExecutor

import coal
import numpy as np


def at(x):
    return coal.Transform3s(np.eye(3), np.array([x, 0.0, 0.0]))


def work(n):
    ball, box = coal.Sphere(0.5), coal.Box(1, 1, 1)
    request, result = coal.CollisionRequest(), coal.CollisionResult()
    hits = coal.collide(ball, at(0), box, at(0.2 * n), request, result)
    measure = coal.DistanceRequest(), coal.DistanceResult()
    away = coal.distance(ball, at(0), box, at(0.2 * n), *measure)

    tree, met = coal.DynamicAABBTreeCollisionManager(), coal.CollisionCallBackCollect(1000)
    bodies = [coal.CollisionObject(ball, at(i * (1 - 0.1 * n))) for i in range(20)]
    for each in bodies:
        tree.registerObject(each)
    tree.setup()
    tree.collide(met)
    return hits, round(away, 6), met.numCollisionPairs()


with ThreadPoolExecutor(4) as pool:
    print(*pool.map(work, range(8)), sep="\n")
try:
    coal.Convex(None, None)
except Exception as error:  # Boost.Python's, which is no part of the host
    print(type(error).__name__)
