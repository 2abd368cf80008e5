"""fast(): whatever is called gives what it gives when it is bound plainly: result, error, text."""

import copy
import functools
import gc
import inspect
import itertools
import json
import operator
import os
import pickle
import pydoc
import random
import re
import signal
import subprocess
import sys
import threading
import types
import unittest
import weakref

sys.path.insert(0, os.environ["MODULES_FOLDER"])

import fast_calls
import plain_calls

MODULES = (plain_calls, fast_calls)


def shown(value):
    """A result, the same for both modules."""
    for module in MODULES:
        for name in ("thing", "lens", "derived", "joined"):
            if isinstance(value, getattr(module, name)):
                what = value.focus if name == "lens" else value.get()
                return f"{type(value).__name__}:{what}"
    text = repr(value) if not isinstance(value, str) else value
    return f"{type(value).__name__}:{neutral(text)}"


def neutral(text):
    return (
        re.sub(" at 0x[0-9a-f]+", "", text)
        .replace("fast_calls", "calls")
        .replace("plain_calls", "calls")
        .replace("10fast", "")
        .replace("11plain", "")
    )


def outcome(call):
    try:
        return shown(call())
    except Exception as error:
        return f"{type(error).__name__}: {neutral(str(error))}"


def arguments(module):
    """Values of every kind, made anew: calls change them."""

    class Sub(module.thing):
        pass

    class WithoutInit(module.thing):
        def __init__(self):
            pass

    class Index:
        def __index__(self):
            return 6

        def __repr__(self):
            return "Index"

    class IntLike(int):
        pass

    class Text(str):
        pass

    return {
        "int": 2,
        "negative": -3,
        "big": 2**31,
        "bigger": 2**63,
        "huge": 10**30,
        "bool": True,
        "float": 1.5,
        "nan": float("nan"),
        "text": "a",
        "unicode": "ü\0€",
        "surrogate": "\ud800",
        "bytes": b"by",
        "none": None,
        "list": [1, 2],
        "index": Index(),
        "int subclass": IntLike(4),
        "text subclass": Text("t"),
        "color": module.color.red,
        "thing": module.thing(5),
        "derived": module.derived(),
        "joined": module.joined(),
        "subclass": Sub(6),
        "without init": WithoutInit(),
        "shared": module.thing(7).made_shared(),
        "lens": module.lens(),
        "class": module.thing,
    }


FUNCTIONS = [
    "add",
    "released_add",
    "wide",
    "natural",
    "half",
    "narrow",
    "negated",
    "joined_text",
    "of_characters",
    "first",
    "mixed",
    "same",
    "length_of",
    "converted",
    "five",
    "none",
    "fast_last",
    "fast_first",
    "between",
    "hidden",
    "shown",
]
METHODS = [
    "inherited",
    "get",
    "set",
    "poke",
    "put",
    "peer",
    "released_peer",
    "reference",
    "pointer",
    "copied",
    "shared",
    "part",
    "self",
    "existing",
    "copy",
    "made",
    "made_shared",
    "nothing",
    "name",
    "fail",
    "__getitem__",
    "__len__",
    "__add__",
    "__eq__",
    "over",
    "fixed",
]


class SameAsPlain(unittest.TestCase):
    maxDiff = None

    def same(self, call, label):
        plain, fast = (outcome(lambda m=module: call(m)) for module in MODULES)
        self.assertEqual(plain, fast, label)
        return plain

    def test_functions_with_every_argument(self):
        names = list(arguments(plain_calls))
        results = set()
        for function in FUNCTIONS:
            for count in range(3):
                for chosen in itertools.product(names, repeat=count):

                    def call(module, function=function, chosen=chosen):
                        values = arguments(module) if chosen else {}
                        return getattr(module, function)(*(values[name] for name in chosen))

                    if count < 2 or function in (
                        "add",
                        "released_add",
                        "wide",
                        "joined_text",
                        "between",
                        "hidden",
                    ):
                        results.add(self.same(call, f"{function}{chosen}"))
        self.assertGreater(len(results), 100)

    def test_methods_with_every_argument(self):
        names = list(arguments(plain_calls))
        selves = [
            "thing",
            "derived",
            "joined",
            "subclass",
            "shared",
            "without init",
            "lens",
            "none",
        ]
        for method in METHODS:
            for owner in selves:
                for chosen in [(), *((name,) for name in names), ("text", "text"), ("int", "int")]:

                    def call(module, method=method, owner=owner, chosen=chosen):
                        values = arguments(module)
                        return shown(
                            getattr(module.thing, method)(
                                values[owner], *(values[name] for name in chosen)
                            )
                        )

                    self.same(call, f"{owner}.{method}{chosen}")

    def test_keywords(self):
        for given in (
            {},
            {"a": 1},
            {"b": 2},
            {"a": 1, "b": 2},
            {"a": "x"},
            {"c": 1},
            {"of": 3.0},
            {"to": 1},
            {"by": 2},
        ):
            for function in ("released_add", "half", "hidden", "shown", "none", "add"):
                for first in ((), (1,)):
                    self.same(
                        lambda m, f=function, g=given, a=first: getattr(m, f)(*a, **g),
                        f"{function} {given}",
                    )
            for method in ("set", "put", "name", "get"):
                self.same(
                    lambda m, n=method, g=given: getattr(m.thing(1), n)(**g), f"{method} {given}"
                )

    def test_random_arguments(self):
        seed = int(os.environ.get("FAST_CALLS_SEED", "20261128"))
        chance = random.Random(seed)
        names = list(arguments(plain_calls))
        kept = tuple((arguments(module), module) for module in MODULES)
        for number in range(20_000):
            function = chance.choice(FUNCTIONS + METHODS)
            chosen = [chance.choice(names) for _ in range(chance.choice((0, 1, 1, 2, 2, 2, 3, 5)))]
            if function in METHODS:
                chosen.insert(
                    0, chance.choice(("thing", "derived", "joined", "shared", "subclass"))
                )
            seen = []
            for values, module in kept:
                bound = getattr(module if function in FUNCTIONS else module.thing, function)
                given = [values[name] for name in chosen]
                seen.append(outcome(lambda b=bound, g=given: b(*g)))
            self.assertEqual(*seen, f"seed {seed}, call {number}: {function}{chosen}")

    def test_the_fast_module_is_fast(self):
        self.assertIsNot(type(fast_calls.add), type(plain_calls.add))
        self.assertIs(type(fast_calls.add), type(fast_calls.thing.get))
        self.assertIs(
            type(fast_calls.fast_first), type(plain_calls.fast_first)
        )  # a plain one is the newest
        self.assertIs(type(fast_calls.fast_last), type(fast_calls.add))

    def test_documentation_and_introspection(self):
        for name in FUNCTIONS:
            for of in (
                lambda f: f.__doc__,
                lambda f: f.__name__,
                lambda f: f.__module__,
                callable,
                inspect.isroutine,
                lambda f: type(f).__name__,
                lambda f: f.__class__.__name__,
                lambda f: repr(f).split(" at ")[0],
                lambda f: f.nothing_such,
            ):
                self.same(lambda m, n=name, o=of: o(getattr(m, n)), name)
        for name in METHODS:
            self.same(lambda m, n=name: getattr(m.thing, n).__doc__, name)
            self.same(lambda m, n=name: getattr(m.thing(), n).__name__, name)
            self.same(lambda m, n=name: type(getattr(m.thing(), n)).__name__, name)
        self.same(lambda m: m.add.__doc__.__class__, "doc")
        for module in MODULES:
            module.none.__doc__ = "changed"
        self.same(lambda m: m.none.__doc__, "a docstring that is set")

    def test_help(self):
        for name in ("thing", "number", "numbers", "add", "fast_first"):
            self.same(
                lambda m, n=name: pydoc.plaintext.document(getattr(m, n)).replace(m.__name__, "m"),
                name,
            )
        self.assertIn("Puts.", pydoc.plaintext.document(fast_calls.thing))

    def test_pickle_and_copy(self):
        self.same(lambda m: pickle.loads(pickle.dumps(m.thing(9))), "pickle")
        self.same(lambda m: copy.copy(m.thing(9)), "copy")
        self.same(lambda m: pickle.dumps(m.add) and None, "of a function")

    def test_properties_and_operators(self):
        for call in (
            lambda m: m.thing(4).value,
            lambda m: setattr(m.thing(4), "value", "x"),
            lambda m: setattr(m.thing(4), "value", 2**40),
            lambda m: m.thing(4)[3],
            lambda m: m.thing(4)["x"],
            lambda m: len(m.thing(4)),
            lambda m: len(m.thing(-4)),
            lambda m: m.thing(4) + m.thing(5),
            lambda m: m.thing(4) + 5,
            lambda m: 5 + m.thing(4),
            lambda m: m.thing(4) == m.thing(4),
            lambda m: m.thing(4) == 5,
            lambda m: list(zip(range(3), m.thing(4), strict=False)),
            lambda m: m.joined().second(),
            lambda m: m.thing.fixed(),
            lambda m: m.thing().fixed(),
        ):
            self.same(call, inspect.getsource(call))

    def test_a_whole_class(self):
        def call(module):
            one = module.multiple()
            one.value += 3
            one.of += 1
            one.set(to=one.get(2))
            return [
                one.get(),
                one.get(more=4),
                one.value,
                one.of,
                one.times(),
                one.times(3),
                outcome(lambda: one.get("x")),
            ]

        self.same(call, "a whole class")
        self.same(
            lambda m: [getattr(m.multiple, n).__doc__ for n in ("get", "set", "times", "__init__")],
            "docstrings",
        )
        self.assertIs(type(fast_calls.multiple.get), type(fast_calls.add))
        left = dict(fast_calls.left_plain)
        self.assertEqual(["__init__", "times"], list(left))
        self.assertIn("OVERLOADS", left["times"])

    def test_operators_and_data_members(self):
        def call(module):
            one = module.number(4)
            one.of += 1
            one.part.focus = 70
            one.shade = module.color.green
            module.number.how_many += 1
            one -= 2
            return [
                one.of,
                one.twice,
                one.part.focus,
                one.name,
                str(one.shade),
                module.number.how_many,
                (one + one).of,
                (3 * one).of,
                one == module.number(3),
                one == "x",
                str(one),
                float(one),
                module.number.of.__doc__,
                module.number.twice.__doc__,
                *(
                    outcome(wrong)
                    for wrong in (
                        lambda: one + 1,
                        lambda: "x" * one,
                        lambda: setattr(one, "of", "x"),
                        lambda: setattr(one, "of", 2**40),
                        lambda: setattr(one, "shade", 1),
                        lambda: setattr(one, "name", "x"),
                        lambda: type(one).of.fget(1),
                    )
                ),
            ]

        self.assertIn("[3, 6, 70, 'number', 'green', 6, 6, 9, True, False,", self.same(call, "all"))
        for name in ("__add__", "__rmul__", "__isub__", "__eq__", "__str__", "__float__"):
            self.assertIs(type(getattr(fast_calls.number, name)), type(fast_calls.add), name)
        for name in ("of", "part", "name", "shade", "twice"):
            self.assertIs(type(vars(fast_calls.number)[name].fget), type(fast_calls.add), name)

    def test_a_part_keeps_its_owner(self):
        def call(module):
            class Kept(module.number):
                pass

            owner = Kept(1)
            part, gone = owner.part, weakref.ref(owner)
            del owner
            gc.collect()
            kept = gone() is not None
            del part
            gc.collect()
            return [kept, gone() is None]

        self.assertEqual("list:[True, True]", self.same(call, "a part"))

    def test_suites(self):
        def call(module):
            numbers = module.numbers()
            for each in range(5):
                numbers.append(module.number(each))
            numbers[0].of = 10
            numbers[1] = module.number(11)
            del numbers[2]
            counts = module.counts()
            counts["a"] = module.number(2)
            return [
                [n.of for n in numbers],
                len(numbers),
                module.number(11) in numbers,
                numbers[-1].of,
                [n.of for n in numbers[1:3]],
                counts["a"].of,
                "b" in counts,
                [(each.key(), each.data().of) for each in counts],
                *(
                    outcome(wrong)
                    for wrong in (
                        lambda: numbers[9],
                        lambda: numbers["x"],
                        lambda: numbers.append("x"),
                        lambda: counts["b"],
                        lambda: counts[1],
                        lambda: counts.__setitem__("a", "x"),
                    )
                ),
            ]

        self.assertIn("[[10, 11, 3, 4], 4, True, 4, [11, 3], 2, False,", self.same(call, "suites"))
        for of, name in (("numbers", "__getitem__"), ("numbers", "append"), ("counts", "__len__")):
            found = getattr(getattr(fast_calls, of), name)
            self.assertIs(type(found), type(fast_calls.add), name)

    def test_members_of_what_is_wrapped(self):
        def call(module):
            shapes = [module.held_shape(), module.a_held_shape()]
            for each in shapes:
                each.corners += 1
            return [(each.corners, each.same_corners) for each in shapes]

        self.assertEqual("list:[(4, 4), (4, 4)]", self.same(call, "wrapped"))

    def test_a_string_view(self):
        self.assertEqual(4, fast_calls.size_of_view("ü\0a"))
        self.assertEqual(2, fast_calls.size_of_view(b"by"))
        for wrong in (1, None, "\ud800"):
            with self.assertRaisesRegex(TypeError, "did not match C\\+\\+ signature"):
                fast_calls.size_of_view(wrong)

    def test_overrides(self):
        def call(module):
            class Square(module.shape):
                def sides(self, of):
                    return super().sides(of) + 4

            class Wrong(module.shape):
                def sides(self, of):
                    raise KeyError(of)

            late = module.shape()
            late.sides = lambda of: of + 100
            of_wrong = outcome(lambda: Wrong().ask(1))
            return [
                Square().ask(1),
                Square().sides(2),
                module.shape().ask(3),
                late.ask(1),
                late.sides(2),
                of_wrong,
            ]

        self.assertIn("[5, 6, 3, 101, 102, 'KeyError: 1']", self.same(call, "overrides"))

    def test_subclasses_and_super(self):
        def call(module):
            class Sub(module.derived):
                def get(self):
                    return super().get() + 1000

                def __len__(self):
                    return super().__len__() + 1

            sub = Sub()
            method = sub.put
            del sub
            return [Sub().get(), len(Sub()), Sub().more(), method(1.0), module.thing.get(Sub())]

        self.same(call, "subclasses")

    def test_lifetimes(self):
        def call(module):
            class Kept(module.thing):
                pass

            owner = Kept(1)
            part = owner.part()
            gone = weakref.ref(owner)
            del owner
            gc.collect()
            alive = gone() is not None
            part.focus = 50
            focus = part.focus
            del part
            gc.collect()

            class Ward(module.lens):
                pass

            custodian, ward = module.thing(), Ward()
            custodian.keep(ward)
            of_ward = weakref.ref(ward)
            del ward
            gc.collect()
            kept = of_ward() is not None
            del custodian
            gc.collect()
            return [alive, focus, gone() is None, kept, of_ward() is None]

        self.assertEqual("list:[True, 50, True, True, True]", self.same(call, "lifetimes"))

    def test_references_are_not_lost(self):
        thing, text = fast_calls.thing(1), "a text of its own"
        counted = [sys.getrefcount(x) for x in (thing, text, fast_calls.thing)]
        for _ in range(1000):
            thing.peer(thing)
            thing.part()
            thing.name(text, text)
            outcome(lambda: thing.peer(text))
            outcome(lambda: thing.fail(0))
        self.assertEqual(counted, [sys.getrefcount(x) for x in (thing, text, fast_calls.thing)])

    def test_recursion_ends_with_its_error(self):
        def call(module):
            deep = module.caller(lambda: deep.call())
            return [
                outcome(endless).split(":")[0]
                for endless in (
                    deep.call,
                    lambda: module.applied_to_itself(module.applied_to_itself),
                )
            ]

        def compare():
            same.append(self.same(call, "recursion"))

        # CPython 3.13 allows for more calls than the usual stack has room for, where Clang has
        # compiled Boost.Python's: plain functions crash.
        same = []
        former = threading.stack_size(256 << 20)
        self.addCleanup(threading.stack_size, former)
        thread = threading.Thread(target=compare)
        thread.start()
        thread.join()
        self.assertEqual(["list:['RecursionError', 'RecursionError']"], same)

    def test_arguments_live_as_long_as_the_call(self):
        """CPython borrows a signal's handler while it calls it."""

        def call(module):
            def callback():
                signal.signal(signal.SIGUSR1, signal.SIG_DFL)
                gc.collect()
                seen.append(gone() is not None)

            one, seen = module.caller(callback), []
            gone = weakref.ref(one)
            signal.signal(signal.SIGUSR1, one.handle)
            del one
            signal.raise_signal(signal.SIGUSR1)
            return seen

        self.assertEqual("list:[True]", self.same(call, "arguments"))

    def test_each_argument_lives_as_long_as_the_call(self):
        """A partial() lends its arguments, and may be given others while it is called."""

        def call(module):
            def callback():
                lender.__setstate__((len, ((),), {}, {}))
                kept.extend(module.lens() for _ in range(100))

            kept = []
            lender = functools.partial(
                module.focus_after, focused(module, 3), focused(module, 4), callback
            )
            return lender()

        def focused(module, focus):
            made = module.lens()
            made.focus = focus
            return made

        self.assertEqual("int:34", self.same(call, "arguments of a partial"))

    def test_arguments_that_pythons_own_code_has_only_borrowed(self):
        """PyObject_CallOneArg() passes on what its caller may lose meanwhile."""

        def lost_by(used):
            def call(module):
                items, overwritten = [], []

                def lose():
                    items.clear()
                    overwritten.extend(bytearray(48) for _ in range(100))

                items.append(module.lent(lose))
                return used(items, module)

            return call

        for label, used in (
            ("an item of a list", lambda items, _: repr(items)),
            (
                "what is encoded",
                lambda items, m: json.JSONEncoder(check_circular=False, default=m.shown).encode(
                    items
                ),
            ),
            ("a property", lambda items, _: list(map(operator.attrgetter("size"), items))),
            ("a length", lambda items, _: list(map(len, items))),
            ("a truth", lambda items, _: len(list(filter(None, items)))),
        ):
            self.same(lost_by(used), label)

        def by_error(module):
            error = ValueError(module.lent(lambda: setattr(error, "args", ())))
            return str(error)

        self.same(by_error, "an error's argument")

    def test_exceptions_without_a_python_error_end_the_call(self):
        for name in "silent", "without_error", "only_silent":
            self.same(lambda m, name=name: getattr(m, name)(1), name)
            self.same(lambda m, name=name: getattr(m, name)(*(1,)), f"{name}, by a tuple")

    def test_results_that_are_no_object_are_left_to_the_next_overload(self):
        for name in "no_object", "no_object_then_fast", "no_object_then_plain":
            self.same(lambda m, name=name: getattr(m, name)(1), name)
            self.same(lambda m: m.calls_of_nothing(), f"calls by {name}")

    def test_a_conversion_is_tried_once(self):
        for name in "rest_by_plain", "rest_by_fast":
            self.same(lambda m, name=name: getattr(m, name)(iter("abcd"), "text"), name)

    def test_an_overload_of_another_classs_function(self):
        for call in (
            lambda m: m.borrower().f(1),
            lambda m: m.borrower().f("text"),
            lambda m: m.borrower().f(number=1),
            lambda m: m.borrower().f(text="text"),
            lambda m: m.borrower().f(None),
            lambda m: m.lender().f("text"),
            lambda m: m.borrower.f.__doc__,
        ):
            self.same(call, "a function of another class")

    def test_recursion_needs_no_more_stack(self):
        program = """
import sys, threading
sys.path.insert(0, sys.argv[1])
applied = __import__(sys.argv[2]).applied_to_itself
def recurse():
    try: applied(applied)
    except RecursionError: print("ends")
threading.stack_size(int(sys.argv[3]) << 10)
thread = threading.Thread(target=recurse)
thread.start(); thread.join()
"""
        ended = False
        for size in *range(512, 1537, 128), 4096, 16384, 65536:
            plain, fast = (
                subprocess.run(
                    [sys.executable, "-c", program, sys.path[0], module.__name__, str(size)],
                    stdout=subprocess.PIPE,
                    check=False,
                ).stdout
                for module in MODULES
            )
            ended = ended or plain == b"ends\n"
            self.assertTrue(plain != b"ends\n" or fast == plain, f"{size} KiB")
        self.assertTrue(ended)

    def test_more_arguments_than_any_function_has(self):
        for count in (15, 16, 64, 65, 1000):
            label = f"{count} arguments"
            self.same(lambda m, count=count: m.add(*range(count)), label)
            self.same(lambda m, count=count: m.thing(1).put(*range(count)), label)

    def test_policies_that_refuse_leave_it_to_older_overloads(self):
        def call(module):
            return [outcome(lambda: module.refused(1, 2)), outcome(lambda: module.older(True))]

        self.same(call, "refused")

    def test_a_result_beside_an_error_is_a_system_error(self):
        def call(module):
            told = []
            for called in (lambda: module.beside_error(1), lambda: module.beside_error(*(1,))):
                with self.assertRaisesRegex(SystemError, "returned a result with") as caught:
                    called()
                told.append(repr(caught.exception.__cause__))
            return told

        self.same(call, "a result and an error")

    def test_what_has_a_function_can_be_collected(self):
        class Kept:
            pass

        def call(module):
            space = types.ModuleType("space")
            module.populate(space)
            space.kept = Kept()
            called, gone = space.added(), weakref.ref(space.kept)
            del space
            gc.collect()
            return [called, gone()]

        self.assertEqual("list:[4, None]", self.same(call, "a module"))

    def test_an_older_overload_takes_its_place_again(self):
        def call(module):
            module.lone.f = module.lone.g
            one = module.lone()
            return [one.f(1), *(outcome(lambda v=v: one.f(v)) for v in ("a", None))]

        self.same(call, "an alias")

    def test_replaced_and_deleted(self):
        def call(module):
            class Sub(module.thing):
                pass

            Sub.get = module.thing.put
            first = Sub(1).get(2.0)
            del Sub.get
            bound = module.thing(8).get
            return [
                first,
                Sub(1).get(),
                bound(),
                bound.__self__.get(),
                bound.__func__(module.thing(2)),
            ]

        self.same(call, "replaced")

    def test_threads(self):
        things = [
            fast_calls.thing(1),
            fast_calls.derived(),
            fast_calls.joined(),
            fast_calls.thing(2).made_shared(),
        ]
        wrong = []

        def work():
            for number in range(3000):
                each = things[number % 4]
                if (
                    each.released_peer(each) != 2 * each.get()
                    or fast_calls.released_add(number, 1) != number + 1
                ):
                    wrong.append(number)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([], wrong)


if __name__ == "__main__":
    unittest.main()
