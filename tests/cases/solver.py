import solver


class Square(solver.Cost):
    def eval(self, x):
        return x * x


class Bad(solver.Cost):
    error = ValueError("bad cost")

    def eval(self, x):
        raise self.error


assert solver.solve(Square()) == 2 * sum(x * x for x in range(1000))
try:
    solver.solve(Bad())
except ValueError as error:
    assert error is Bad.error
    assert error.__traceback__.tb_next.tb_frame.f_code is Bad.eval.__code__
else:
    raise AssertionError("nothing was raised")
