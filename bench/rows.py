"""What the benchmarks are to reach, row by row, and the verdict on what was measured.

A row compares medians: within one run of the benchmarks, the median of the repetitions of what is
measured with that of its peer, or with a figure. What was measured in turn is compared in pairs:
the median of the ratios. When there were several runs all must agree.
"""

from statistics import median
from typing import NamedTuple

FLAT = 1.1  # a ratio that is told from 1 by chance only
UNKNOWN_CAUSE = "cause not yet known"
LIBRARIES = (
    "of 31.6 M instructions for python3 -c pass, a program of one line with `libpython3.11.a` "
    "takes 34.5 M, with libstdc++ 36.1 M, and the host 37.2 M (callgrind): a host in C++ comes no "
    "lower than 1.14 times. The memory is mostly those libraries' pages"
)
NO_GUARD_IS = (
    "CPython's own pair, the limit, is 354 instructions; PyGILState_Ensure and Release, which the "
    "peers call or copy, are 1,573 (callgrind, Python 3.11.2)"
)
GUARD_ASKS = (
    "to CPython's own pair of 363 instructions the guard adds 32: who holds the GIL, which state "
    "is the thread's, is an error left (callgrind, Python 3.11.2). That is 1 to 2 ns. Four fifths "
    "of the pair are the atomic operations of its mutexes (perf), so the quicker those are, the "
    "more it weighs: on one AMD EPYC 1.03 times a pair of 42 ns, and 1.03 to 1.15 times one of "
    "24 ns, in a process of one thread, for which glibc locks without them"
)
STATIC_LIBRARY = (
    "the distribution's `libpython3.11.a` is not the interpreter in its python3: for the same loop "
    "a program of one line that is linked with it executes 1.07 times the instructions, 2,370 "
    "against 2,211, and the host 2,369 (callgrind)"
)
GROWING_LISTS = (
    "now and then a million lists outgrow their memory in the same tenth of a second, and the "
    "kernel has to give some hundred MB"
)
LOCKED_QUEUE = (
    "the bound is 11.5 ns, and the one atomic exchange by which a push locks the queue is 8.3 of "
    "them on this machine; what comes in blocks is pushed at once, next row"
)

CONVERSION = (
    "Boost.Python's conversion of the result is 6 ns: it asks for two classes before it reads a "
    "float (measured with a direct one in its place). To copy the callback, which the call may "
    "drop, is two atomic operations"
)
GATE = (
    "50 ns are the gate, which keeps Python from ending during the call, as no peer does: two "
    "locks and two unlocks of its mutex, and a few more atomic operations (perf)"
)
IN_THE_GATE = (
    "a registered thread is in the gate, but says at each call when it waits for the GIL, by two "
    "atomic operations; 6 ns are Boost.Python's conversion of the result (measured with a direct "
    "one in its place)"
)
THREE_BLOCKS = (
    "two blocks of memory are freed, and a third is passed on by a compare-and-swap (perf)"
)
NOBODY_WAITS = (
    "a guard that keeps its thread's state takes a GIL that nobody else wants in about 80 ns, "
    "and a handler takes 26 ns without it"
)
OVERRIDE_BY_NAME = (
    "the function is looked up by its name in each call, in the object and in its class; nanobind "
    "looks at the type alone"
)
OVERRIDE_AND_GATE = OVERRIDE_BY_NAME + ". 50 ns are the gate (perf)"

LOOKED_UP = (
    "CPython 3.11 looks a method up anew in each call on an object that may have a dictionary and "
    "has none yet, as Boost.Python's; nanobind's have none, and Python 3.14 keeps what it found "
    "(specialize.c). Where nothing is looked up, as in the call of a bound method, both take the "
    "same time"
)
BOUND = "plain Boost.Python saves the looking up as well, 12 ns of 40"
OWN_PROPERTY = (
    "a property whose getter is a METH_FASTCALL function takes 18 ns, and Boost.Python's 44: no "
    "getter comes to 2.5 times"
)
NEW_OBJECT = "most of it is Boost.Python's making of the object that is returned"

EMPTY_HANDOFF = (
    "an empty handoff in C is 37 ns here and its two events are 38 more: two readings of the "
    "processor's counter are 20 of them, and the name of what held it 13 (perf)"
)


class Row(NamedTuple):
    """One thing to reach; a row without a bound informs.

    With a peer, at_most bounds measured / peer, and at_least bounds peer / measured: so many times
    faster. Without, they bound what is measured. The cause of a miss is written by hand, after
    looking for it.
    """

    what: str
    measured: str
    peer: str = ""
    at_most: float | None = None
    at_least: float | None = None
    cause: str = ""

    def figure(self, measurements):
        """What the bound applies to, in one run. KeyError: it was not measured."""
        measured = measurements[self.measured]
        own = measured["values"]
        if not self.peer:
            return median(own)
        peer = measurements[self.peer]
        other = peer["values"]
        if not (measured.get("in_turn") and peer.get("in_turn")):
            own, other = [median(own)], [median(other)]
        if self.at_least is not None:
            own, other = other, own
        return median(one / another for one, another in zip(own, other, strict=True))

    def reached(self, figure):
        low = self.at_least is not None and figure < self.at_least
        high = self.at_most is not None and figure > self.at_most
        return not low and not high


def fast_call(call, what, beside_nanobind="", beside_plain=""):
    """The rows of one call of a function bound by fast(), with the causes of what is missed."""
    ours = f"fast_calls.{call}.fast"
    yield Row(
        f"Python call of a function bound by fast(): {what}, beside nanobind",
        ours,
        f"fast_calls.{call}.nanobind",
        at_most=1.1,
        cause=beside_nanobind,
    )
    yield Row(
        "… beside Boost.Python as it is",
        ours,
        f"fast_calls.{call}.plain",
        at_least=2.5,
        cause=beside_plain,
    )
    yield Row("… beside pybind11", ours, f"fast_calls.{call}.pybind11")
    if call != "derived":
        yield Row("… by hand", ours, f"fast_calls.{call}.raw")


def released_call(call, what, beside_nanobind=""):
    """The same with the GIL released."""
    ours = f"fast_calls.released_{call}.fast"
    yield Row(
        f"Python call by fast(without_gil()): {what}, beside nanobind's call_guard",
        ours,
        f"fast_calls.released_{call}.nanobind",
        at_most=1.1,
        cause=beside_nanobind,
    )
    yield Row("… beside without_gil() alone", ours, f"fast_calls.released_{call}.plain")
    yield Row("… by hand", ours, f"fast_calls.released_{call}.raw")


class Verdict(NamedTuple):
    """What became of a row: its figure in each run, and the sentence."""

    figures: list[float]
    text: str


def why_not_measured(name, runs):
    for run in runs:
        for part in run["failures"]:
            if name.startswith(part):
                return f"{part} failed"
        for subject, note in run["notes"].items():
            if name.startswith(subject):
                return note
    return f"there is no {name}"


def judge(row, runs):
    """The verdict on a row, from the runs of the benchmarks."""
    try:
        figures = [row.figure(run["measurements"]) for run in runs]
    except KeyError as missing:
        return Verdict([], f"not measured: {why_not_measured(missing.args[0], runs)}")
    if row.at_most is None and row.at_least is None:
        return Verdict(figures, "")
    agreeing = sum(row.reached(figure) for figure in figures)
    if agreeing == len(figures):
        return Verdict(figures, "reached")
    if agreeing == 0:
        return Verdict(figures, f"missed: {row.cause or UNKNOWN_CAUSE}")
    text = f"runs disagree: reached in {agreeing} of {len(figures)}"
    return Verdict(figures, f"{text}; {row.cause}" if row.cause else text)


# Each part of the benchmarks, and its rows.
ROWS = {
    "guards": (
        Row(
            "acquire and release, on an attached native thread",
            "guards.acquire_release.handoff",
            "guards.acquire_release.raw",
            at_most=1.05,
            cause=GUARD_ASKS,
        ),
        Row(
            "… beside pybind11's guard",
            "guards.acquire_release.handoff",
            "guards.plain.pybind11",
            at_least=8,
            cause=NO_GUARD_IS,
        ),
        Row(
            "… beside nanobind's guard",
            "guards.acquire_release.handoff",
            "guards.plain.nanobind",
            at_least=8,
            cause=NO_GUARD_IS,
        ),
        Row(
            "… beside the seed's guard",
            "guards.acquire_release.handoff",
            "guards.plain.seed",
            at_least=8,
            cause=NO_GUARD_IS,
        ),
        Row(
            "… beside pybind11's, within an outer one that keeps the thread's state",
            "guards.acquire_release.handoff",
            "guards.kept.pybind11",
        ),
        Row(
            "… beside nanobind's, within an outer one that keeps the thread's state",
            "guards.acquire_release.handoff",
            "guards.kept.nanobind",
        ),
        Row(
            "nested acquire, beside PyGILState_Check()",
            "guards.nested.handoff",
            "guards.nested.raw",
            at_most=2,
        ),
        Row(
            "acquire and release, on a native thread that never attached by hand",
            "guards.plain.handoff",
            "guards.acquire_release.raw",
            at_most=1.3,
        ),
        Row(
            "the same through the gate (gil_try_acquire)",
            "guards.try_acquire.handoff",
            "guards.acquire_release.raw",
        ),
        Row(
            "gil_lock of a free mutex, the GIL held, beside std::scoped_lock",
            "guards.lock.handoff",
            "guards.lock.std_mutex",
        ),
        Row(
            "gil_once::get() of what is there, beside pybind11's gil_safe_call_once_and_store",
            "guards.once.handoff",
            "guards.once.pybind11",
        ),
        Row("… beside a static variable", "guards.once.handoff", "guards.once.static"),
    ),
    "calls": (
        Row(
            "a Python call of a C++ function that releases the GIL, beside the C API",
            "calls.released_call.handoff",
            "calls.released_call.raw",
        ),
        Row("… beside pybind11's", "calls.released_call.handoff", "calls.released_call.pybind11"),
        Row("… beside nanobind's", "calls.released_call.handoff", "calls.released_call.nanobind"),
    ),
    "fast_calls": (
        *fast_call("add", "add(int, int)"),
        *fast_call("poke", "object.poke()", beside_nanobind=LOOKED_UP),
        *fast_call("put", "object.put(double)", beside_nanobind=LOOKED_UP),
        *fast_call("peer", "object.peer(T const&)", beside_nanobind=LOOKED_UP),
        *fast_call("bound_poke", "poke(), a bound method", beside_plain=BOUND),
        *fast_call("bound_put", "put(double), a bound method", beside_plain=BOUND),
        *fast_call("bound_peer", "peer(T const&), a bound method", beside_plain=BOUND),
        *fast_call("item", "object[1]"),
        *fast_call("len", "len(object)"),
        *fast_call("property", "object.value, a property", beside_plain=OWN_PROPERTY),
        *fast_call("derived", "poke() of a base class", beside_nanobind=LOOKED_UP),
        *fast_call("plus", "object + object", beside_plain=NEW_OBJECT),
        *released_call("add", "add(int, int)"),
        *released_call("poke", "object.poke()", beside_nanobind=LOOKED_UP),
        *released_call("put", "object.put(double)", beside_nanobind=LOOKED_UP),
        *released_call("peer", "object.peer(T const&)", beside_nanobind=LOOKED_UP),
    ),
    "deliveries": (
        Row(
            "a Foo's message at saturation, beside a loop in C that holds the GIL",
            "deliveries.append.foo",
            "deliveries.append.loop",
            at_most=1.1,
        ),
        Row(
            "… beside the seed's tick",
            "deliveries.append.foo",
            "deliveries.append.seed",
            at_least=12,
        ),
        Row(
            "a message with a Python on_message, beside a loop in C that holds the GIL",
            "deliveries.call.foo",
            "deliveries.call.loop",
            at_most=1.2,
        ),
    ),
    "from_python": (
        Row(
            "a call of a callback, the GIL held, beside the C API",
            "from_python.call_held.handoff",
            "from_python.call_held.raw",
        ),
        Row(
            "… beside pybind11's std::function",
            "from_python.call_held.handoff",
            "from_python.call_held.pybind11",
            at_most=1,
            cause=CONVERSION,
        ),
        Row(
            "… beside nanobind's",
            "from_python.call_held.handoff",
            "from_python.call_held.nanobind",
            at_most=1,
            cause=CONVERSION,
        ),
        Row(
            "… of a std::function made of it, beside the callback",
            "from_python.call_held.handoff_std_function",
            "from_python.call_held.handoff",
        ),
        Row(
            "a call of a callback on an attached native thread, beside the C API",
            "from_python.call_kept.handoff",
            "from_python.call_kept.raw",
        ),
        Row(
            "… beside pybind11's, within an outer guard that keeps the thread's state",
            "from_python.call_kept.handoff",
            "from_python.call_kept.pybind11",
            at_most=1,
            cause=GATE,
        ),
        Row(
            "… beside nanobind's, within an outer guard that keeps the thread's state",
            "from_python.call_kept.handoff",
            "from_python.call_kept.nanobind",
            at_most=1,
            cause=GATE,
        ),
        Row(
            "… on a registered thread, beside nanobind's within an outer guard",
            "from_python.call_registered.handoff",
            "from_python.call_kept.nanobind",
            at_most=1,
            cause=IN_THE_GATE,
        ),
        Row(
            "a call of a callback on a native thread that keeps nothing by hand, beside pybind11's",
            "from_python.call_plain.handoff",
            "from_python.call_plain.pybind11",
            at_most=1,
        ),
        Row(
            "… beside nanobind's",
            "from_python.call_plain.handoff",
            "from_python.call_plain.nanobind",
            at_most=1,
        ),
        Row(
            "copy and drop of a callback, the GIL held, beside nanobind's std::function",
            "from_python.copy_drop_held.handoff",
            "from_python.copy_drop_held.nanobind",
        ),
        Row(
            "copy and drop of a callback without the GIL",
            "from_python.copy_drop_kept.handoff",
            at_most=30e-9,
        ),
        Row(
            "… of a std::function made of it",
            "from_python.copy_drop_kept.handoff_std_function",
            at_most=30e-9,
        ),
        Row(
            "… beside pybind11's, within an outer guard that keeps the thread's state",
            "from_python.copy_drop_kept.handoff_std_function",
            "from_python.copy_drop_kept.pybind11",
        ),
        Row(
            "… beside nanobind's, within an outer guard that keeps the thread's state",
            "from_python.copy_drop_kept.handoff_std_function",
            "from_python.copy_drop_kept.nanobind",
        ),
        Row(
            "… beside nanobind's, on a thread that keeps nothing by hand",
            "from_python.copy_drop_plain.handoff_std_function",
            "from_python.copy_drop_plain.nanobind",
        ),
        Row(
            "copy and drop of a callback while another thread executes Python code: elapsed",
            "from_python.copy_drop_contended.handoff",
            at_most=30e-9,
        ),
        Row(
            "… of a std::function made of it",
            "from_python.copy_drop_contended.handoff_std_function",
            at_most=30e-9,
        ),
        Row(
            "… beside pybind11's",
            "from_python.copy_drop_contended.handoff_std_function",
            "from_python.copy_drop_contended.pybind11",
        ),
        Row(
            "… beside nanobind's",
            "from_python.copy_drop_contended.handoff_std_function",
            "from_python.copy_drop_contended.nanobind",
        ),
        Row(
            "drop of a callback's last copy without the GIL",
            "from_python.last_drop_kept.handoff",
            at_most=30e-9,
        ),
        Row(
            "… of a std::function made of it",
            "from_python.last_drop_kept.handoff_std_function",
            at_most=30e-9,
            cause=THREE_BLOCKS,
        ),
        Row(
            "… beside nanobind's, within an outer guard that keeps the thread's state",
            "from_python.last_drop_kept.handoff_std_function",
            "from_python.last_drop_kept.nanobind",
        ),
        Row(
            "… with the GIL held, beside nanobind's",
            "from_python.last_drop_held.handoff_std_function",
            "from_python.last_drop_held.nanobind",
        ),
        Row(
            "drop of a gil_owned without the GIL",
            "from_python.owned_drop_kept.handoff",
            at_most=30e-9,
        ),
        Row(
            "… while another thread executes Python code: elapsed",
            "from_python.owned_drop_contended.handoff",
            at_most=30e-9,
        ),
        Row(
            "… on each of four threads at once",
            "from_python.owned_drop_four_threads.handoff",
            at_most=30e-9,
        ),
        Row(
            "… for the next that takes the GIL, and drops the references",
            "from_python.owned_emptying.handoff",
        ),
        Row(
            "drop of a `shared_ptr` that Python passed, the GIL held, beside Boost.Python's own",
            "from_python.pointer_drop_held.handoff",
            "from_python.pointer_drop_held.boost_python",
        ),
        Row(
            "… without the GIL, where Boost.Python's own corrupts Python",
            "from_python.pointer_drop_kept.handoff",
            at_most=30e-9,
            cause=THREE_BLOCKS,
        ),
        Row(
            "… beside nanobind's, within an outer guard that keeps the thread's state",
            "from_python.pointer_drop_kept.handoff",
            "from_python.pointer_drop_kept.nanobind",
        ),
        Row(
            "… beside pybind11's, which owns no Python object",
            "from_python.pointer_drop_kept.handoff",
            "from_python.pointer_drop_kept.pybind11",
        ),
        Row(
            "a call of an override, the GIL held, beside PYBIND11_OVERRIDE",
            "from_python.override_held.handoff",
            "from_python.override_held.pybind11",
            at_most=1,
            cause=OVERRIDE_BY_NAME,
        ),
        Row(
            "… beside NB_OVERRIDE",
            "from_python.override_held.handoff",
            "from_python.override_held.nanobind",
            at_most=1,
            cause=OVERRIDE_BY_NAME,
        ),
        Row(
            "a call of an override on an attached native thread, beside PYBIND11_OVERRIDE within "
            "an outer guard",
            "from_python.override_kept.handoff",
            "from_python.override_kept.pybind11",
            at_most=1,
            cause=OVERRIDE_AND_GATE,
        ),
        Row(
            "… beside NB_OVERRIDE within an outer guard",
            "from_python.override_kept.handoff",
            "from_python.override_kept.nanobind",
            at_most=1,
            cause=OVERRIDE_AND_GATE,
        ),
        Row(
            "… on a thread that keeps nothing by hand, beside NB_OVERRIDE",
            "from_python.override_plain.handoff",
            "from_python.override_plain.nanobind",
            at_most=1,
        ),
    ),
    "channel": (
        Row(
            "a message through a channel, as a Python object, beside the seed's tick",
            "channel.objects.get_many.threads:1",
            "channel.objects.seed",
            at_least=8,
        ),
        Row(
            "… from four producers",
            "channel.objects.get_many.threads:4",
            "channel.objects.seed",
            at_least=8,
        ),
        Row(
            "… beside a loop in C that holds the GIL",
            "channel.objects.get_many.threads:1",
            "channel.objects.loop",
        ),
        Row(
            "… beside a queue.SimpleQueue that a Python thread feeds",
            "channel.objects.get_many.threads:1",
            "channel.objects.simple_queue.threads:1",
        ),
        Row(
            "… from four producers, beside four Python threads",
            "channel.objects.get_many.threads:4",
            "channel.objects.simple_queue.threads:4",
        ),
        Row(
            "… one get() for each",
            "channel.objects.get.threads:1",
            "channel.objects.seed",
        ),
        Row(
            "a message through a channel, in a batch for numpy, beside the seed's tick",
            "channel.numpy.get_batch.threads:1",
            "channel.objects.seed",
            at_least=50,
            cause=LOCKED_QUEUE,
        ),
        Row(
            "… pushed in blocks of 64",
            "channel.numpy.get_batch_of_blocks.threads:1",
            "channel.objects.seed",
            at_least=50,
        ),
        Row(
            "… from four producers, one by one",
            "channel.numpy.get_batch.threads:4",
            "channel.objects.seed",
            at_least=50,
            cause=LOCKED_QUEUE,
        ),
        Row(
            "… from four producers, in blocks of 64",
            "channel.numpy.get_batch_of_blocks.threads:4",
            "channel.objects.seed",
            at_least=50,
        ),
    ),
    "logging": (
        Row(
            "a native thread logs a short record, in nanoseconds of its own",
            "logging.producer.handoff",
            at_most=100e-9,
        ),
        Row(
            "… beside taking the GIL for it",
            "logging.producer.handoff",
            "logging.producer.gil",
            at_least=8,
        ),
        Row(
            "a record from a native thread to Python's handler, beside taking the GIL for each",
            "logging.records.handoff.threads:1",
            "logging.records.gil.threads:1",
        ),
        Row(
            "… from four threads",
            "logging.records.handoff.threads:4",
            "logging.records.gil.threads:4",
        ),
    ),
    "ticks": (
        Row(
            "a 1 ms Foo beside a busy main thread: messages within 5 ms of due",
            "ticks.within_5ms.foo",
            at_least=1,
            cause="a thread that asks a busy one for the GIL waits 5 ms, and then some to wake up "
            "(5.1 to 5.2 ms, ticks.gil_wait_p50), so one message of each hold comes later",
        ),
        Row("… within 6 ms, with the time to wake up", "ticks.on_time.foo"),
        Row("… within 6 ms, of a threading.Thread", "ticks.on_time.thread"),
        Row("… within 6 ms, of the seed's", "ticks.on_time.seed"),
        Row("… within 5 ms, of a thread that catches up", "ticks.within_5ms.catching_up_thread"),
        Row("… the main thread's slowdown meanwhile", "ticks.slowdown.foo", at_most=1.02),
    ),
    "million": (
        Row(
            "1,000,000 Foos of 1 s for 60 s: messages on time",
            "million.on_time",
            at_least=1,
            cause=GROWING_LISTS,
        ),
        Row("… Foos that miss no message", "million.complete", at_least=1),
        Row("… of one core", "million.cpu_share_foos", at_most=0.20),
        Row(
            "… resident memory a Foo, before its first message", "million.bytes_a_foo", at_most=400
        ),
        Row("… start of all", "million.start", at_most=1),
        Row("… stop of all", "million.stop", at_most=1),
        Row("… exit", "million.exit", at_most=2),
        Row("… the main thread's longest wait for the GIL", "million.gil_wait_max", at_most=0.005),
        Row(
            "1,000,000 Foos of 0.1 s for 10 s: messages a second",
            "million_at_100ms.messages_per_second",
            at_least=10e6,
            cause="exactly 10 M/s are asked for, and the last of the ten seconds come 0.1 to 0.6 s "
            "late (million_at_100ms.behind): " + GROWING_LISTS,
        ),
    ),
    "callbacks": (
        Row(
            "10,000 Foos of 1 s with a callback: CPU, beside a Python loop with the same due times",
            "callbacks.cpu_a_call.foo",
            "callbacks.cpu_a_call.heap",
            at_most=1.5,
        ),
        Row(
            "… beside the calls alone, 10,000 in a row",
            "callbacks.cpu_a_call.foo",
            "callbacks.cpu_a_call.burst",
        ),
    ),
    "stop": (
        Row("stop(), idle: p99", "stop.idle.foo.p99", at_most=0.001),
        Row("… of a threading.Thread of 1 s", "stop.idle.thread.p99"),
        Row("… of the seed's of 1 s", "stop.idle.seed.p99"),
        Row(
            "stop() beside a busy thread: p99, a switch interval and 1 ms",
            "stop.busy_thread.foo.p99",
            at_most=0.006,
        ),
        Row("… of a 1 ms Foo", "stop.busy_thread.foo_1ms.p99", at_most=0.006),
        Row("stop() by a busy thread: p99", "stop.busy_caller.foo.p99", at_most=0.006),
    ),
    "scaling": (
        Row(
            "a message, 1,000,000 a second, of 1,000,000 Foos, beside those of 1",
            "scaling.1M_per_s.cpu_a_message.foo.1000000",
            "scaling.1M_per_s.cpu_a_message.foo.1",
            at_most=FLAT,
        ),
        Row(
            "a message, 1,000 a second, of 1,000 Foos, beside those of 1",
            "scaling.1k_per_s.cpu_a_message.foo.1000",
            "scaling.1k_per_s.cpu_a_message.foo.1",
            at_most=FLAT,
        ),
        Row(
            "… beside those of 1,000 threading.Threads",
            "scaling.1k_per_s.cpu_a_message.foo.1000",
            "scaling.1k_per_s.cpu_a_message.thread.1000",
        ),
        Row(
            "… beside those of 1,000 of the seed's",
            "scaling.1k_per_s.cpu_a_message.foo.1000",
            "scaling.1k_per_s.cpu_a_message.seed.1000",
        ),
    ),
    "responsiveness": (
        Row(
            "1,000 Foos of 100 ms beside 15 whose callbacks block, which is noticed after 5 ms: "
            "how much later the latest is",
            "responsiveness.15_block.delayed",
            at_most=0.006,
        ),
        Row("… threads of the process", "responsiveness.15_block.threads", at_most=17),
    ),
    "awaiting": (
        *(
            Row(
                f"{what}: from a native thread to the coroutine that awaits it, p50",
                f"awaiting.{load}.latency_p50.promise",
                f"awaiting.{load}.latency_p50.by_hand",
            )
            for load, what in (("idle", "a result"), ("busy", "… beside busy Python"))
        ),
        *(
            Row(
                f"… p99{'' if load == 'idle' else ' beside busy Python'}, beside {peer}",
                f"awaiting.{load}.latency_p99.promise",
                f"awaiting.{load}.latency_p99.{side}",
            )
            for load in ("idle", "busy")
            for side, peer in (
                ("by_hand", "call_soon_threadsafe by hand"),
                ("executor", "run_in_executor"),
            )
        ),
        Row(
            "… what the native thread takes for it, beside busy Python",
            "awaiting.busy.spent.promise",
            "awaiting.busy.spent.by_hand",
        ),
    ),
    "asio": (
        *(
            Row(
                f"a handler of Asio's, {load} Python, {threads} thread{'s' * (threads > 1)}, "
                f"beside {peer} in each",
                f"asio.{load}_{threads}_threads.python_executor",
                f"asio.{load}_{threads}_threads.{side}",
                at_least=8,
                cause=NOBODY_WAITS,
            )
            for load in ("idle", "busy")
            for threads in (1, 4)
            for side, peer in (
                ("gil_acquire", "gil_acquire"),
                ("gil_state", "PyGILState_Ensure"),
                ("with_gil", "Tanner Sansbury's with_gil"),
            )
        ),
    ),
    "diagnostics": (
        Row(
            "the GIL checker: Python alone, beside the same without it",
            "diagnostics.ratio.pure_python.gilcheck",
            at_most=1.05,
        ),
        Row(
            "… 300,000 calls of a Boost.Python function",
            "diagnostics.ratio.boost_calls.gilcheck",
            at_most=1.2,
        ),
        Row(
            "the deadlock checker: Python alone, beside the same without it",
            "diagnostics.ratio.pure_python.deadlocks",
            at_most=1.02,
        ),
        Row(
            "… a std::mutex locked and unlocked, nothing else held",
            "diagnostics.ratio.locks_alone.deadlocks",
            at_most=5,
        ),
        Row("… the GIL held", "diagnostics.ratio.locks_with_gil.deadlocks", at_most=8),
        Row("… another mutex held", "diagnostics.ratio.locks_nested.deadlocks", at_most=8),
        Row(
            "… 300,000 empty handoffs, by a C function that makes one",
            "diagnostics.ratio.handoffs.deadlocks",
            at_most=1.5,
        ),
        Row(
            "… SQLite, rows inserted and selected one at a time",
            "diagnostics.ratio.sqlite.deadlocks",
            at_most=1.4,
        ),
        Row(
            "the GIL timeline: Python alone, beside the same without it",
            "diagnostics.ratio.pure_python.giltrace",
            at_most=1.05,
        ),
        Row(
            "… 300,000 empty handoffs, by a C function that makes one",
            "diagnostics.ratio.handoffs.giltrace",
            at_most=1.5,
            cause=EMPTY_HANDOFF,
        ),
        Row("… by ctypes", "diagnostics.ratio.ctypes_calls.giltrace", at_most=1.5),
        Row(
            "… in a loop in C",
            "diagnostics.ratio.handoffs_in_c.giltrace",
            at_most=1.5,
            cause=EMPTY_HANDOFF,
        ),
        Row("Python alone, twice without: chance", "diagnostics.ratio.pure_python.off_again"),
        Row("… handoffs by a C function", "diagnostics.ratio.handoffs.off_again"),
    ),
    "startup": (
        Row(
            "host, -c pass: instructions, beside the distribution's python3",
            "startup.instructions.c_pass.host",
            "startup.instructions.c_pass.python",
            at_most=1.10,
            cause=LIBRARIES,
        ),
        Row(
            "… time",
            "startup.wall.c_pass.host",
            "startup.wall.c_pass.python",
            at_most=1.10,
            cause=LIBRARIES,
        ),
        Row(
            "host, -I -S -c pass: instructions, beside the distribution's python3",
            "startup.instructions.isolated_c_pass.host",
            "startup.instructions.isolated_c_pass.python",
            at_most=1.10,
            cause=LIBRARIES,
        ),
        Row(
            "… time",
            "startup.wall.isolated_c_pass.host",
            "startup.wall.isolated_c_pass.python",
            at_most=1.10,
            cause=LIBRARIES,
        ),
        Row(
            "host after start: resident memory, beside the distribution's python3",
            "startup.rss.host",
            "startup.rss.python",
            at_most=1.05,
            cause=LIBRARIES,
        ),
        Row("… its anonymous part", "startup.anonymous.host", "startup.anonymous.python"),
    ),
    "scripts": (
        Row(
            "scripts of pyperformance: time beside the distribution's python3, geometric mean",
            "scripts.ratio.geometric_mean",
            at_most=1.02,
            cause=STATIC_LIBRARY,
        ),
        Row(
            "… of the same host with the shared libpython, beside it",
            "scripts.shared_over_host.geometric_mean",
            at_least=1.1,
            cause="for one loop it executes 1.08 times the instructions, 2,565 against 2,369",
        ),
    ),
}

# A million Foos take too long for a quick run.
QUICK_ROWS = ROWS | {
    "million": (
        Row("100,000 Foos of 1 s for 5 s: messages on time", "hundred_thousand.on_time"),
        Row("… of one core", "hundred_thousand.cpu_share_foos"),
        Row("… resident memory a Foo, before its first message", "hundred_thousand.bytes_a_foo"),
        Row("… the main thread's longest wait for the GIL", "hundred_thousand.gil_wait_max"),
    ),
    "scaling": (
        Row(
            "a message, 1,000,000 a second, of 10,000 Foos, beside those of 1",
            "scaling.1M_per_s.cpu_a_message.foo.10000",
            "scaling.1M_per_s.cpu_a_message.foo.1",
        ),
    ),
}
