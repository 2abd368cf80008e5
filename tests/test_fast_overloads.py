"""fast(): overloads of one name, fast and plain, from two modules, with aliases between them."""

import os
import random
import sys
import types
import unittest

sys.path.insert(0, os.environ["MODULES_FOLDER"])

import overloads_one
import overloads_two

# An operator's function that is never dropped. When there is none any more, Boost.Python destroys
# an object of its own after Python's end, which crashes with CPython 3.15, plain functions alone as
# well. Source: `keeper` in not_implemented_function(), Boost.Python's src/object/function.cpp.
KEPT = types.ModuleType("kept")
overloads_one.define(KEPT, "__add__", 0, False, False)
overloads_one.keep(KEPT.__add__)

KINDS = 5
NAMES = ("f", "g", "__add__")
ARGUMENTS = ((), (1,), ("a",), (1.5,), (1, 2), ([],), (None,), (1, "a"))


def new_space(chance):
    if chance.random() < 0.5:
        return lambda: types.ModuleType("space")
    return lambda: type("Space", (), {"__module__": "space"})


def random_step(chance):
    """A function of a space and of whether all is to be plain."""
    what = chance.choice(("define",) * 6 + ("object", "alias", "alias of a subscript", "delete"))
    name, other = chance.choice(NAMES), chance.choice(NAMES)
    module = chance.choice((overloads_one, overloads_two))
    kind, is_fast = chance.randrange(KINDS), chance.random() < 0.6
    documented = chance.random() < 0.5

    def step(space, all_plain):
        if what == "define":
            module.define(space, name, kind, is_fast and not all_plain, documented)
        elif what == "object":
            module.define_object(space, name, is_fast and not all_plain)
        elif what == "alias":
            setattr(space, name, getattr(space, other))
        elif what == "alias of a subscript":
            setattr(space, name, vars(space)[other])
        else:
            delattr(space, name)

    step.__name__ = f"{what} {name} {other} {module.__name__} {kind} {is_fast} {documented}"
    return step


def outcome(call, *arguments, **keywords):
    try:
        return call(*arguments, **keywords)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def seen(space):
    """All that can be seen of its functions."""
    found = []
    for name in NAMES:
        function = getattr(space, name, None)
        if type(function).__module__ != "Boost.Python":
            continue
        found.append((name, function.__doc__, function.__name__))
        found += [(name, given, outcome(function, *given)) for given in ARGUMENTS]
        found.append((name, "keywords", outcome(function, two=3, one=4)))
    return found


class Overloads(unittest.TestCase):
    maxDiff = None

    def test_are_as_in_boost_python(self):
        seed = int(os.environ.get("FAST_CALLS_SEED", "20261128"))
        chance = random.Random(seed)
        for number in range(600):
            make = new_space(chance)
            plain, fast = make(), make()
            done = []
            for _ in range(chance.randrange(2, 9)):
                step = random_step(chance)
                done.append(step.__name__)
                said = [outcome(step, plain, True), outcome(step, fast, False)]
                label = f"seed {seed}, sequence {number}: {done}"
                self.assertEqual(*said, label)
                self.assertEqual(seen(plain), seen(fast), label)

    def test_of_two_modules(self):
        for first in (overloads_one, overloads_two):
            for second in (overloads_one, overloads_two):
                for fast in ((True, True), (True, False), (False, True)):
                    space = types.ModuleType("space")
                    first.define(space, "f", 0, fast[0], True)
                    second.define(space, "f", 1, fast[1], True)
                    self.assertEqual((space.f(1), space.f("a")), ("int 1", "text a"))

    def test_a_fast_alias_of_what_a_plain_one_replaces(self):
        space = types.ModuleType("space")
        overloads_one.define(space, "f", 0, True, False)
        space.kept = space.f
        overloads_one.define(space, "f", 1, False, False)
        self.assertEqual((space.f(1), space.f("a"), space.kept(2)), ("int 1", "text a", "int 2"))

    def test_a_fast_one_is_fast(self):
        space = types.ModuleType("space")
        overloads_one.define(space, "f", 0, True, True)
        overloads_one.define(space, "g", 0, False, True)
        self.assertIsNot(type(space.f), type(space.g))
        self.assertIs(type(vars(space)["f"]), type(space.g))

    def test_a_static_one(self):
        holder, space = overloads_one.holder, types.ModuleType("space")
        self.assertEqual((holder.fixed(1), holder().fixed("a")), ("int 1", "text a"))
        overloads_one.define(space, "f", 0, True, True)
        self.assertIs(type(holder.fixed), type(space.f))

    def test_equality(self):
        space = types.ModuleType("space")
        overloads_one.define(space, "f", 0, True, True)
        self.assertIs(space.f.__eq__(space.f), True)
        self.assertEqual(hash(space.f), space.f.__hash__())


if __name__ == "__main__":
    unittest.main()
