"""The time of a Python call of a bound C++ function, for each way of binding it.

Usage: bound_calls.py REPETITIONS ROUNDS SIDE…, the modules being bound_SIDE. Prints
{call: {side: [seconds of a call in each repetition]}}.
"""

import importlib
import json
import sys
import time

CALLS = {
    "add": "add(1, 2)",
    "poke": "thing.poke()",
    "put": "thing.put(1.5)",
    "peer": "thing.peer(thing)",
    "bound_poke": "poke()",
    "bound_put": "put(1.5)",
    "bound_peer": "peer(thing)",
    "released_add": "released_add(1, 2)",
    "released_poke": "thing.released_poke()",
    "released_put": "thing.released_put(1.5)",
    "released_peer": "thing.released_peer(thing)",
    "item": "thing[1]",
    "len": "len(thing)",
    "property": "thing.value",
    "derived": "derived.poke()",
    "plus": "thing + thing",
}
UNROLLED, LOOPS = 20, 200

repetitions, rounds = int(sys.argv[1]), int(sys.argv[2])
modules = {side: importlib.import_module(f"bound_{side}") for side in sys.argv[3:]}


def loop(statement, module):
    """A function that returns the seconds that a statement takes."""
    source = (
        "def run(add, released_add, thing, derived, poke, put, peer):\n"
        "    begin = clock()\n"
        f"    for _ in range({LOOPS}):\n"
        + f"        {statement}\n" * UNROLLED
        + "    return clock() - begin\n"
    )
    names = {"clock": time.perf_counter}
    exec(source, names)
    thing = module.thing()
    derived = getattr(module, "derived", module.thing)()
    bound = (thing.poke, thing.put, thing.peer)
    given = (module.add, module.released_add, thing, derived, *bound)
    return lambda: names["run"](*given) / (LOOPS * UNROLLED)


empty = loop("pass", next(iter(modules.values())))
loops = {
    call: {
        side: loop(statement, module)
        for side, module in modules.items()
        if call != "derived" or hasattr(module, "derived")
    }
    for call, statement in CALLS.items()
}
seconds = {call: {side: [] for side in sides} for call, sides in loops.items()}
for _ in range(repetitions):
    for call, sides in loops.items():
        least = {empty: float("inf"), **dict.fromkeys(sides.values(), float("inf"))}
        for _ in range(rounds):
            for each in least:
                least[each] = min(least[each], each())
        for side, each in sides.items():
            seconds[call][side].append(least[each] - least[empty])
print(json.dumps(seconds))
