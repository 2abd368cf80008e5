"""Solves problems whose dynamics and whose callback are written in Python."""

import crocoddyl
import numpy as np


class Cart(crocoddyl.ActionModelAbstract):
    """Its place and speed; C++ calls calc() and calcDiff()."""

    def __init__(self):
        super().__init__(crocoddyl.StateVector(2), 1, 3)
        self.unone = np.zeros(1)

    def calc(self, data, x, u=None):
        u = self.unone if u is None else u
        data.xnext = np.array([x[0] + 0.1 * x[1], x[1] + 0.1 * u[0]])
        data.r = np.array([x[0] - 1, x[1], 0.1 * u[0]])
        data.cost = 0.5 * float(data.r @ data.r)

    def calcDiff(self, data, x, u=None):  # noqa: N802, Crocoddyl's name
        self.calc(data, x, u)
        data.Fx, data.Fu = np.array([[1, 0.1], [0, 1]]), np.array([[0], [0.1]])
        data.Lx, data.Lu = data.r[:2].copy(), np.array([0.1 * data.r[2]])
        data.Lxx, data.Luu = np.eye(2), np.array([[0.01]])


class Told(crocoddyl.CallbackAbstract):
    def __init__(self):
        super().__init__()
        self.costs = []

    def __call__(self, solver):
        self.costs.append(round(solver.cost, 6))


cart, told = Cart(), Told()
problem = crocoddyl.ShootingProblem(np.zeros(2), [cart] * 50, cart)
solver = crocoddyl.SolverDDP(problem)
solver.setCallbacks([told])
print(solver.solve([], [], 50), told.costs[-1], solver.xs[-1].round(4).tolist())

ready = [crocoddyl.ActionModelUnicycle() for _ in range(40)]
wheel = crocoddyl.SolverFDDP(crocoddyl.ShootingProblem(np.array([-1, -1, 1.0]), ready, ready[0]))
print(wheel.solve(), wheel.xs[-1].round(3).tolist())
