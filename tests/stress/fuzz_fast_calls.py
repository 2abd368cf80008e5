"""fast() against plain Boost.Python: random calls until the time is up (`make fuzz`).

Usage: fuzz_fast_calls.py MINUTES [SEED]. Hypothesis makes sequences of calls: of functions, methods
and operators, with arguments and keywords of every kind, on objects that earlier calls have
returned. Each is made in both builds of one module; results, errors and their texts must be the
same. A difference ends it with exit code 1 and the shortest sequence that shows it; a crash is one.
"""

import os
import random
import re
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from test_fast_calls import FUNCTIONS, METHODS, MODULES, arguments, outcome, shown

# Which class a method is looked up in; the first argument may be anything.
LOOKED_UP = {
    **dict.fromkeys(METHODS, "thing"),
    **dict.fromkeys(("__rmul__", "__isub__", "__str__", "__float__"), "number"),
    **dict.fromkeys(("append", "extend", "__setitem__", "__delitem__", "__contains__"), "numbers"),
    **dict.fromkeys(("__iter__",), "counts"),
}
ATTRIBUTES = ("value", "of", "part", "name", "shade", "twice", "focus", "corners")
VALUES = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**66), 2**66),
    st.floats(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.booleans(),
    st.none(),
    st.lists(st.integers(0, 3), max_size=2),
)
# A number is an object of the pool.
ARGUMENTS = st.one_of(
    st.integers(0, 63).map(lambda n: ("object", n)), VALUES.map(lambda v: ("", v))
)
KEYWORDS = st.dictionaries(
    st.sampled_from(["a", "b", "to", "of", "by", "before", "after", "more", "self"]),
    ARGUMENTS,
    max_size=2,
)
STEPS = st.one_of(
    st.tuples(
        st.just("call"),
        st.sampled_from(FUNCTIONS + list(LOOKED_UP)),
        st.lists(ARGUMENTS, max_size=5),
        st.one_of(st.just({}), KEYWORDS),
    ),
    st.tuples(st.just("get"), st.sampled_from(ATTRIBUTES), st.tuples(ARGUMENTS), st.just({})),
    st.tuples(
        st.just("set"), st.sampled_from(ATTRIBUTES), st.tuples(ARGUMENTS, ARGUMENTS), st.just({})
    ),
    st.tuples(
        st.sampled_from(["+", "*", "==", "[]", "len"]),
        st.just(""),
        st.tuples(ARGUMENTS, ARGUMENTS),
        st.just({}),
    ),
)
STEP_LISTS = st.lists(STEPS, min_size=1, max_size=12)
OPERATORS = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b if isinstance(a, int) and abs(a) < 100 else None,
    "==": lambda a, b: a == b,
    "[]": lambda a, b: a[b],
    "len": lambda a, b: len(a),
}


def performed(steps, module):
    """The outcome of each step."""
    pool = [
        *arguments(module).values(),
        module.number(3),
        module.number(-1),
        module.numbers(),
        module.counts(),
        module.multiple(),
        module.held_shape(),
        module.a_held_shape(),
    ]
    seen = []
    for kind, name, given_arguments, given_keywords in steps:

        def value(argument):
            where, what = argument
            return pool[what % len(pool)] if where == "object" else what

        values = [value(each) for each in given_arguments]
        keywords = {name: value(each) for name, each in given_keywords.items()}
        if keywords and not values:
            continue  # Boost.Python crashes where a parameter without a name gets no argument

        def step(kind=kind, name=name, values=values, keywords=keywords):
            if kind == "call":
                owner = getattr(module, LOOKED_UP[name]) if name in LOOKED_UP else module
                result = getattr(owner, name)(*values, **keywords)
            elif kind == "get":
                result = getattr(values[0], name)
            elif kind == "set":
                result = setattr(values[0], name, values[1])
            else:
                result = OPERATORS[kind](*values)
            if type(result).__module__ == module.__name__:
                pool.append(result)
                return f"{type(result).__name__}: {attributes(result)}"
            return shown(result)

        seen.append(re.sub(r"0x[0-9a-f]+", "0x…", outcome(step)))
    return seen


def attributes(instance):
    """What can be seen of an object of one of the classes."""
    names = ("value", "of", "focus", "corners")
    return [getattr(instance, name) for name in names if hasattr(type(instance), name)]


calls = 0


def check(steps):
    global calls
    calls += len(steps)
    plain, fast = (performed(steps, module) for module in MODULES)
    assert plain == fast, list(zip(plain, fast, strict=True))


def main():
    minutes, first = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else os.getpid()
    chance = random.Random(first)
    print(f"seed {first}", flush=True)
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        once = settings(
            max_examples=500,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        seed(chance.getrandbits(64))(once(given(STEP_LISTS)(check)))()
    print(f"{calls} calls, no difference")


if __name__ == "__main__":
    main()
