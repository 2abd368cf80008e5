import importlib.abc
import importlib.machinery
import sys
import threading

import static_local


class SlowModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Its import goes on when another thread has come."""

    imports = 0

    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name == "slow_module" else None

    def exec_module(self, module):
        self.imports += 1
        another_comes.wait()
        module.Thing = int


def use(n):
    if importing.acquire(blocking=False):
        got.append(static_local.fraction(n))
    else:
        another_comes.set()
        got.append(static_local.fraction(n))


got = []
finder = SlowModule()
sys.meta_path.insert(0, finder)
importing = threading.Lock()
another_comes = threading.Event()
threads = [threading.Thread(target=use, args=(n,), daemon=True) for n in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert sorted(got) == [0, 1, 2, 3], got
assert finder.imports == 1, finder.imports
