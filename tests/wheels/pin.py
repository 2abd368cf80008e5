"""Computes the dynamics of an arm in four threads, and in threads of OpenMP."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pinocchio

model = pinocchio.buildSampleModelManipulator()
middle = pinocchio.neutral(model)


def work(n):
    data, q = model.createData(), middle + 0.1 * n
    pinocchio.forwardKinematics(model, data, q)
    torques = pinocchio.rnea(model, data, q, np.ones(model.nv), np.ones(model.nv))
    return data.oMi[-1].translation.round(6).tolist(), torques.round(6).tolist()


with ThreadPoolExecutor(4) as pool:
    print(*pool.map(work, range(8)), sep="\n")

names = pinocchio.StdVec_StdString()
names.extend(model.names)
print(list(names), sorted(each.shortname() for each in model.joints)[:3])
pool, places = pinocchio.ModelPool(model, 4), np.tile(middle[:, None], 100)
speeds, torques = np.ones((model.nv, 100)), np.zeros((model.nv, 100))
pinocchio.rneaInParallel(4, pool, places, speeds, speeds, torques)
print(torques[:, 99].round(6).tolist())
