"""Who owns a running Foo: the run itself. A drop waits for nobody, and no callback begins after it.

stop() and `with` wait. A drop does not: del, the garbage collector or the end of a namespace cut
the run, on any thread, and what the run refers to is dropped soon after. Each script is a process
of its own; HANDOFF_REPEAT=100 runs each that often, and `make exits KINDS=ownership` under load.
"""

import signal

from host import HOST, InFolder, finish, start
from ten_foos import joined

PRELUDE = """
import _thread, ctypes, functools, gc, operator, os, signal, sys, threading, time, weakref
from Foo import Foo

PATIENCE = 20 * int(os.environ.get("HANDOFF_PATIENCE", "1"))  # seconds

def until(holds):
    '''Waits for what must come soon, while other threads go on.'''
    end, pause = time.monotonic() + PATIENCE, threading.Event()
    while not holds():
        assert time.monotonic() < end, f"it did not come within {PATIENCE} s"
        pause.wait(0.0005)

def others_go_on():
    '''For what must not come: until a Foo that begins now has delivered messages.'''
    with Foo(0.001, None) as clock:
        assert clock.wait(20, PATIENCE)

def let_messages_fall_due(foo):
    '''Returns with the GIL, which nobody has had for some intervals of the Foo.'''
    old = sys.getswitchinterval()
    sys.setswitchinterval(600)
    assert foo.wait(len(foo) + 2, PATIENCE)
    end = time.monotonic() + max(10 * foo.interval, 0.002)
    while time.monotonic() < end: pass
    return lambda: sys.setswitchinterval(old)

def gone(its):
    '''Whether the collector finds all that is of this class.'''
    gc.collect()
    return not any(isinstance(each, its) for each in gc.get_objects())

class Blocked:
    '''An on_message that says when it begins, and returns when it may.'''
    def __init__(self):
        self.calls, self.begun, self.may_end = 0, threading.Event(), threading.Event()
    def __call__(self, n):
        self.calls += 1
        self.begun.set()
        self.may_end.wait()

def start_blocked(interval=0.001, foo_class=Foo):
    '''A Foo whose first callback is in progress, and that callback.'''
    blocked = Blocked()
    foo = foo_class(interval, blocked)
    foo.start()
    blocked.begun.wait()
    return foo, blocked

class LetsOthersIn:
    '''Hands the GIL over where it is dropped. The collector does not know it: it is dropped while
    what referred to it is being cleared.'''
    __slots__ = ()
    clock = Foo(0.001, None)
    clock.start()
    def __del__(self, clock=clock):
        clock.wait(len(clock) + 2, 5)
"""


class Ownership(InFolder):
    def holds(self, *parts, stdout="", code=0, options=(), times=3, act=None):
        """The script ends so again and again, and says nothing on stderr."""
        path = self.write("script.py", joined(PRELUDE, *parts))

        def once():
            self.assertEqual(self.host(*options, path), (code, stdout, ""))

        self.again(once, times=times)


class CtrlC(Ownership):
    """A signal that is pending at a drop changes nothing about the drop, and is not lost."""

    # interrupt_main() and C's raise() leave the signal to the next instruction of Python, and
    # map() has none between two calls: it is pending when the Foos are dropped.
    INTERRUPTED = """
        def interrupted(drop):
            try:
                list(map(operator.call, [interrupt, drop]))
                until(lambda: False)
            except KeyboardInterrupt:
                pass
    """
    SIMULATED = "interrupt = _thread.interrupt_main\n"
    REAL = "interrupt = functools.partial(getattr(ctypes.CDLL(None), 'raise'), signal.SIGINT)\n"

    OWES = """
        for _ in range(20):
            calls = []
            foos = [Foo(1e-4, calls.append) for _ in range(10)]
            for foo in foos: foo.start()
            go_on = let_messages_fall_due(foos[0])
            del foo
            interrupted(foos.clear)
            had = len(calls)
            go_on()
            others_go_on()
            assert len(calls) == had, (had, len(calls))
    """

    def test_while_foos_that_owe_messages_are_dropped(self):
        """Their memory stays valid for as long as the scheduler knows them, and none comes."""
        self.holds(self.SIMULATED, self.INTERRUPTED, self.OWES)

    def test_that_is_real_while_foos_that_owe_messages_are_dropped(self):
        """As above."""
        self.holds(self.REAL, self.INTERRUPTED, self.OWES)

    RUNS = """
        for _ in range(20):
            foo, blocked = start_blocked()
            drop, alive = [foo], weakref.ref(blocked)
            del foo
            interrupted(drop.clear)
            blocked.may_end.set()
            del blocked
            until(lambda: alive() is None)
    """

    def test_while_a_foo_whose_callback_runs_is_dropped(self):
        """The callback ends as if nothing had happened, and what the run held goes then."""
        self.holds(self.SIMULATED, self.INTERRUPTED, self.RUNS)

    def test_that_is_real_while_a_foo_whose_callback_runs_is_dropped(self):
        """As above."""
        self.holds(self.REAL, self.INTERRUPTED, self.RUNS)

    def test_while_the_collector_drops_foos(self):
        """gc.collect() is no place to wait in, and raises nothing."""
        collect = """
            gc.disable()
            foo, blocked = start_blocked()
            cycle = [foo]
            cycle.append(cycle)
            alive = weakref.ref(foo)
            del cycle, foo
            interrupted(gc.collect)
            assert alive() is None
            blocked.may_end.set()
        """
        self.holds(self.REAL, self.INTERRUPTED, collect)

    def test_while_a_thread_drops_foos(self):
        """A signal is the main thread's affair: a drop elsewhere neither sees nor consumes it."""
        self.holds(
            """
            foo, blocked = start_blocked()
            drop, dropped = [foo], threading.Event()
            del foo
            def in_a_thread():
                list(map(operator.call, [_thread.interrupt_main, drop.clear, dropped.set]))
            try:
                threading.Thread(target=in_a_thread).start()
                until(lambda: False)
            except KeyboardInterrupt:
                print("interrupted")
            until(dropped.is_set)
            blocked.may_end.set()
            """,
            stdout="interrupted\n",
        )

    def other_signal(self, set_up, error):
        self.holds(
            set_up,
            """
            caught = 0
            for _ in range(20):
                foo, blocked = start_blocked()
                owing = [Foo(1e-4, None) for _ in range(10)]
                for each in owing: each.start()
                go_on = let_messages_fall_due(owing[0])
                del each
                drop = [foo, *owing]
                del foo, owing
                try:
                    list(map(operator.call, [interrupt, drop.clear]))
                    until(lambda: False)
                except error:
                    caught += 1
                go_on()
                blocked.may_end.set()
            print(caught)
            """.replace("error", error),
            stdout="20\n",
        )

    def test_sigterm_whose_handler_raises(self):
        """The handler runs after the drop, once, and raises there."""
        self.other_signal(
            """
            signal.signal(signal.SIGTERM, lambda *_: sys.exit("not seen"))
            interrupt = functools.partial(getattr(ctypes.CDLL(None), "raise"), signal.SIGTERM)
            """,
            "SystemExit",
        )

    def test_a_timer_whose_handler_raises(self):
        """As above; the timer may go off before, within or after the drop."""
        self.other_signal(
            """
            def ring(*_): raise TimeoutError
            signal.signal(signal.SIGALRM, ring)
            interrupt = functools.partial(signal.setitimer, signal.ITIMER_REAL, 1e-6)
            """,
            "TimeoutError",
        )

    def test_that_is_ignored(self):
        """SIGINT that a program ignores stays ignored."""
        self.holds(
            """
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            foo, blocked = start_blocked()
            drop = [foo]
            del foo
            list(map(operator.call, [_thread.interrupt_main, drop.clear]))
            blocked.may_end.set()
            others_go_on()
            """
        )

    def test_a_handler_that_drops(self):
        """A signal's handler may drop Foos, also within wait() for another."""
        self.holds(
            """
            foo, blocked = start_blocked()
            drop = [foo]
            del foo
            signal.signal(signal.SIGALRM, lambda *_: drop.clear())
            with Foo(0.001, None) as other:
                signal.setitimer(signal.ITIMER_REAL, 0.001)
                other.wait(10**9, 0.05)
            until(lambda: not drop)
            blocked.may_end.set()
            """
        )

    def test_by_the_terminal_at_any_moment(self):
        """Real SIGINTs from outside, one after another, while Foos are dropped."""
        self.holds(
            """
            import subprocess
            script = "import os, sys\\nfor _ in range(300): os.kill(int(sys.argv[1]), 2)"
            raised = True
            def take(*_):  # once a round: one more would come where nobody catches it
                global raised
                if not raised:
                    raised = True
                    raise KeyboardInterrupt
            signal.signal(signal.SIGINT, take)
            kills = subprocess.Popen([sys.executable, "-c", script, str(os.getpid())])
            calls = []
            while kills.poll() is None:
                foos = [Foo(1e-5, calls.append) for _ in range(10)]
                for foo in foos: foo.start()
                del foo
                try:
                    raised = False
                    foos.clear()
                    raised = True
                except KeyboardInterrupt:
                    pass
                foos = []
            print(kills.returncode)
            """,
            stdout="0\n",
        )


class CollectedWithinALock(Ownership):
    """A collection may start in any allocation, also where a lock is held that a callback wants."""

    def test_of_logging_which_the_callback_wants_too(self):
        """The collection goes on, so the lock is released, and so the callback goes on."""
        self.holds(
            """
            import logging
            class Collects(logging.Handler):
                '''Called by logging with the handler's lock held.'''
                def emit(self, record):
                    if threading.current_thread() is threading.main_thread():
                        gc.collect()
            logger = logging.getLogger()
            logger.addHandler(Collects())
            class Holder:
                def __init__(self):
                    self.foo = Foo(0.001, self.handle)
                    self.foo.start()
                def handle(self, n):
                    logger.error(n)
            gc.disable()
            for _ in range(20):
                holder = Holder()
                alive = weakref.ref(holder)
                go_on = let_messages_fall_due(holder.foo)
                del holder
                logger.error("main")
                go_on()
                until(lambda: (gc.collect(), alive())[1] is None)
            """
        )

    def test_that_a_callback_in_progress_waits_for(self):
        """The collector drops a Foo whose callback waits for the lock that is held around it."""
        self.holds(
            """
            gc.disable()
            lock, begun = threading.Lock(), threading.Event()
            def wants_the_lock(n):
                begun.set()
                with lock: pass
            with lock:
                cycle = [Foo(0.001, wants_the_lock)]
                cycle[0].start()
                cycle.append(cycle)
                alive = weakref.ref(cycle[0])
                begun.wait()
                del cycle
                gc.collect()
                assert alive() is None
            """
        )

    def test_in_a_callback_of_another_foo(self):
        """The same, where the thread that collects is one of Foo's own."""
        self.holds(
            """
            gc.disable()
            lock, begun, collected = threading.Lock(), threading.Event(), threading.Event()
            def wants_the_lock(n):
                begun.set()
                with lock: pass
            def collects(n):
                with lock:
                    cycle = [Foo(0.001, wants_the_lock)]
                    cycle[0].start()
                    cycle.append(cycle)
                    begun.wait()
                    del cycle
                    gc.collect()
                collected.set()
            with Foo(3600, collects):
                assert collected.wait(PATIENCE)
            """
        )

    def test_of_the_import_system(self):
        """A collection within an import does not wait for a callback that imports the same."""
        self.write(
            "collects.py",
            """
            import __main__, gc
            __main__.cycle[0].start()
            __main__.begun.wait()
            del __main__.cycle
            gc.collect()
            """,
        )
        self.holds(
            """
            gc.disable()
            begun, imported = threading.Event(), threading.Event()
            def imports(n):
                begun.set()
                import collects
                imported.set()
            cycle = [Foo(3600, imports)]
            cycle.append(cycle)
            import collects
            assert imported.wait(PATIENCE)
            """
        )


class Collected(Ownership):
    """What is in a cycle is whole for as long as its callbacks can begin."""

    def test_that_only_itself_refers_to_while_it_runs(self):
        """The run keeps what it delivers to, not the Foo: the collector finds the cycle."""
        self.holds(
            """
            class Holder:
                def __init__(self):
                    self.calls = calls
                    self.foo = Foo(0.001, self.handle)
                    self.foo.start()
                def handle(self, n):
                    self.calls.append(n)
            for _ in range(20):
                calls = []
                holder = Holder()
                assert holder.foo.wait(3, PATIENCE)
                alive = weakref.ref(holder), weakref.ref(holder.foo)
                del holder
                until(lambda: (gc.collect(), alive[0](), alive[1]())[1:] == (None, None))
                had = len(calls)
                others_go_on()
                assert len(calls) <= had + 1, (had, len(calls))
            """
        )

    def test_is_never_called_half_cleared(self):
        """No method is called of an object that the collector has begun to take apart."""
        self.collected_whole("class Its(Foo): pass")

    WITH_DEL = "class Its(Foo):\n    def __del__(self): self.interval"

    def test_whose_class_has_a_del_of_its_own(self):
        """__del__ takes the place of what Foo does there; it changes nothing."""
        self.collected_whole(self.WITH_DEL)

    def test_whose_class_has_a_del_of_its_own_that_stops_it(self):
        """stop() in __del__ may wait, but it waits for nobody who waits for it."""
        self.collected_whole("class Its(Foo):\n    def __del__(self): self.stop()")

    def test_whose_class_has_a_del_that_raises(self):
        """What __del__ raises is reported by Python, and changes nothing."""
        self.collected_whole(
            "sys.unraisablehook = lambda _: None\n"
            "class Its(Foo):\n    def __del__(self): raise ValueError"
        )

    def collected_whole(self, its):
        """A Foo of class Its and its holder, in either order, apart or the same."""
        self.holds(
            its,
            """
            gc.disable()
            def reads(self):
                self.whole
            def restarts(self):
                self.whole
                foo = self if isinstance(self, Foo) else self.foo
                foo.stop()
                try:
                    foo.start()
                except RuntimeError:
                    pass  # it was dropped
            class Holder:
                def handle(self, n): act(self)
                def fill(self):
                    self.lets_others_in, self.whole = LetsOthersIn(), True
            class HoldsFirst(Holder):
                def __init__(self):
                    self.fill()
                    self.foo = Its(0.0005, self.handle)
            class HoldsLater(Holder):
                def __init__(self, foo):
                    self.fill()
                    self.foo = foo
            class HoldsSlots(HoldsFirst):
                __slots__ = "lets_others_in", "whole", "foo"
            def later():
                holder = None
                foo = Its(0.0005, lambda n: holder.handle(n))
                holder = HoldsLater(foo)
                return holder
            class Itself(Its):
                fill = Holder.fill
                def handle(self, n): act(self)
                def __init__(self):
                    self.fill()
                    super().__init__(0.0005, self.handle)
                foo = property(lambda self: self)
            for act in reads, restarts:
                for make in HoldsFirst, later, HoldsSlots, Itself:
                    for _ in range(2):
                        holders = [make() for _ in range(10)]
                        for holder in holders: holder.foo.start()
                        for holder in holders: holder.foo.wait(1, PATIENCE)
                        alive = [weakref.ref(holder) for holder in holders]
                        del holder, holders
                        until(lambda: (gc.collect(), all(each() is None for each in alive))[1])
            others_go_on()
            """,
            times=1,
        )

    def test_on_message_is_never_none(self):
        """A callback in progress, or about to begin, has its on_message for as long as it takes."""
        self.holds(
            """
            gc.disable()
            class Its(Foo):
                def __init__(self):
                    super().__init__(1e-5, self.handle)
                def handle(self, n): pass
                def __del__(self): pass
            for _ in range(200):
                foo = Its()
                foo.start()
                del foo
                gc.collect()
            until(lambda: gone(Its))
            others_go_on()
            """
        )

    def test_has_no_del_that_a_subclass_must_call(self):
        """object has none either; so super().__del__() is an AttributeError, and not needed."""
        self.holds(
            """
            class Its(Foo):
                def __del__(self):
                    print(hasattr(super(), "__del__"), self.running)
            foo, blocked = start_blocked(foo_class=Its)
            del foo
            blocked.may_end.set()
            others_go_on()
            assert blocked.calls == 1
            """,
            stdout="False True\n",
        )

    def test_two_that_refer_to_each_other(self):
        """Each one's callback uses the other; the collector finds both."""
        self.holds(
            """
            gc.disable()
            class Its(Foo):
                other = None
                def handle(self, n):
                    self.other.running
            def pair():
                def make():
                    def call(n): foo.handle(n)
                    foo = Its(0.0005, call)
                    return foo
                a, b = make(), make()
                a.other, b.other = b, a
                a.start(), b.start()
                return [weakref.ref(a), weakref.ref(b)]
            for _ in range(50):
                alive = pair()
                until(lambda: (gc.collect(), all(each() is None for each in alive))[1])
            """
        )

    def test_is_not_while_frozen(self):
        """gc.freeze() keeps a cycle alive, and its Foo running; after gc.unfreeze() it goes."""
        self.holds(
            """
            gc.disable()
            calls = []
            class Holder:
                def __init__(self):
                    self.foo = Foo(0.001, lambda n: (self, calls.append(n)))
                    self.foo.start()
            holder = Holder()
            alive = weakref.ref(holder)
            gc.freeze()
            del holder
            gc.collect()
            had = len(calls)
            until(lambda: len(calls) > had + 5)
            gc.unfreeze()
            until(lambda: (gc.collect(), alive())[1] is None)
            had = len(calls)
            others_go_on()
            assert len(calls) <= had + 1
            """
        )

    def test_a_foo_that_another_finalizer_resurrects(self):
        """It runs on or has stopped, and says which; and it can be used as before."""
        self.holds(
            """
            gc.disable()
            saved = []
            class Rescues:
                def __init__(self): self.itself, self.foo = self, Foo(0.001, None)
                def __del__(self): saved.append(self)
            rescues = Rescues()
            rescues.foo.start()
            del rescues
            gc.collect()
            foo = saved[0].foo
            if not foo.running:
                foo.start()
            assert foo.wait(len(foo) + 3, PATIENCE)
            foo.stop()
            assert foo.messages == list(range(len(foo)))
            alive = weakref.ref(foo)
            foo.start()
            del foo
            saved.clear()
            gc.collect()
            assert alive() is None
            others_go_on()
            """
        )

    def test_a_foo_that_resurrects_itself(self):
        """As above, by its own __del__, by reference count; the second time there is no __del__."""
        self.holds(
            """
            saved = []
            class Its(Foo):
                def __del__(self): saved.append(self)
            for cyclic in False, True:
                calls = []
                foo = Its(0.001, calls.append)
                if cyclic: foo.itself = foo
                foo.start()
                assert foo.wait(2, PATIENCE)
                del foo
                gc.collect()
                foo = saved.pop()
                if not foo.running:
                    foo.start()
                assert foo.wait(len(foo) + 3, PATIENCE)
                assert foo.messages[:len(calls)] == calls[:len(foo)]
                alive = weakref.ref(foo)
                del foo
                gc.collect()
                assert alive() is None and not saved
                had = len(calls)
                others_go_on()
                assert len(calls) == had
            """
        )


class Dropping(Ownership):
    """Whoever drops a Foo goes on at once, whatever its callback does; none begins after that."""

    def drops(self, drop, stdout=""):
        """A script drops what `kept` holds while a callback is in progress that outlives it."""
        self.holds(
            """
            foo, blocked = start_blocked()
            kept, messages, alive = [foo], foo.messages, weakref.ref(foo)
            del foo
            """,
            drop,
            """
            until(lambda: alive() is None)
            assert blocked.calls == 1 and not blocked.may_end.is_set()
            others_go_on()
            blocked.may_end.set()
            others_go_on()
            assert blocked.calls == 1 and messages == [0], (blocked.calls, messages)
            alive = weakref.ref(blocked)
            del blocked
            until(lambda: alive() is None)
            """,
            stdout=stdout,
        )

    def test_by_del(self):
        """The last reference goes on the main thread."""
        self.drops("del kept")

    def test_by_an_exception_that_leaves_a_function(self):
        """A traceback kept the frame that kept the Foo."""
        self.drops(
            """
            def fail(foo): 1 / 0
            try:
                fail(kept.pop())
            except ZeroDivisionError:
                pass
            """
        )

    def test_in_a_thread(self):
        """The thread ends."""
        self.drops(
            """
            thread = threading.Thread(target=kept.clear)
            thread.start()
            thread.join(PATIENCE)
            assert not thread.is_alive()
            """
        )

    def test_in_many_threads_at_once(self):
        """The last of them drops it."""
        self.drops(
            """
            together = threading.Barrier(8)
            def drop(foo):
                together.wait()
                del foo
            threads = [threading.Thread(target=drop, args=tuple(kept)) for _ in range(8)]
            kept.clear()
            for each in threads: each.start()
            for each in threads: each.join()
            del threads, each
            """
        )

    def test_in_a_callback_of_another_foo(self):
        """The callback returns."""
        self.drops(
            "with Foo(3600, lambda n: kept.clear()) as other: assert other.wait(1, PATIENCE)"
        )

    def test_in_del_of_another_object(self):
        """Where nobody expects to wait."""
        self.drops(
            """
            class Owner:
                def __del__(self): del self.foo
            owner = Owner()
            owner.foo = kept.pop()
            del owner
            """
        )

    def test_in_a_weak_references_callback(self):
        """Which Python calls wherever the referent goes."""
        self.drops(
            """
            class Referent: pass
            referent = Referent()
            reference = weakref.ref(referent, lambda _: kept.clear())
            del referent
            """
        )

    def test_by_the_collector(self):
        """gc.collect() returns."""
        self.drops("kept.append(kept); del kept; gc.collect()")

    def test_by_a_collection_in_a_callback(self):
        """gc.collect() returns on one of Foo's own threads, too."""
        self.drops(
            """
            gc.disable()
            kept.append(kept)
            del kept
            with Foo(3600, lambda n: gc.collect()) as other: assert other.wait(1, PATIENCE)
            """
        )

    def test_by_a_generator_that_is_dropped(self):
        """Its frame kept the Foo; nothing of it waits, unless a `with` does."""
        self.drops(
            """
            def generate(foo):
                kept.clear()
                yield foo.interval
            generator = generate(*kept)
            next(generator)
            del generator
            """
        )

    def test_by_a_coroutine_that_is_cancelled(self):
        """As above, in asyncio."""
        self.drops(
            """
            import asyncio
            async def wait_for(foo):
                kept.clear()
                await foo.wait_async(10)
            async def main():
                task = asyncio.create_task(wait_for(*kept))
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            asyncio.run(main())
            """
        )

    def test_by_a_module_that_is_dropped(self):
        """The end of a namespace is an end like any other."""
        self.drops(
            """
            import types
            module = types.ModuleType("module")
            module.foo = kept.pop()
            del module
            """
        )

    def test_by_exec_whose_globals_end(self):
        """As above."""
        self.drops("exec('held = kept.pop()', {'kept': kept})")

    def test_while_another_thread_stops_it(self):
        """That thread has a reference, so the drop is its own; it waits in its stop()."""
        self.holds(
            """
            foo, blocked = start_blocked(3600)
            alive = weakref.ref(foo)
            thread = threading.Thread(target=foo.stop)
            thread.start()
            until(lambda: not foo.running)
            del foo
            blocked.may_end.set()
            thread.join(PATIENCE)
            assert not thread.is_alive()
            del thread
            until(lambda: alive() is None)
            assert blocked.calls == 1
            """
        )

    def test_within_its_own_callback(self):
        """That message is the last, and the callback goes on to its end."""
        self.holds(
            """
            for _ in range(100):
                started, ended = threading.Event(), threading.Event()
                def drop(n):
                    assert n == 0
                    started.wait(PATIENCE)  # start() refers to its Foo
                    kept.clear()
                    ended.set()
                kept = [Foo(1e-4, drop)]
                messages = kept[0].messages
                kept[0].start()
                started.set()
                assert ended.wait(PATIENCE)
            others_go_on()
            assert messages == [0]
            """
        )

    def test_by_a_callback_that_raises(self):
        """The error is reported as any other, although there is no Foo left to keep it."""
        self.holds(
            """
            reported = []
            threading.excepthook = lambda it: reported.append((it.exc_type, it.thread))
            def drop(n):
                kept.clear()
                raise ValueError(n)
            for times in range(1, 101):
                kept = [Foo(1e-4, drop)]
                kept[0].start()
                until(lambda: len(reported) == times and not kept)
            others_go_on()
            assert reported == [(ValueError, None)] * 100
            """
        )

    def test_of_one_whose_callback_raises_at_that_moment(self):
        """Drop and error may come together, from two threads."""
        self.holds(
            """
            reported = []
            threading.excepthook = lambda it: reported.append(it.exc_type)
            for _ in range(300):
                foo = Foo(1e-5, lambda n: 1 / (n - 2))
                foo.start()
                foo.wait(2, 0.01)
                del foo
            others_go_on()
            assert set(reported) <= {ZeroDivisionError}
            """
        )

    def test_of_one_whose_callback_exits(self):
        """sys.exit() ends that run silently, also after the drop."""
        self.holds(
            """
            def leave(n):
                begun.set()
                may_end.wait()
                sys.exit(9)
            begun, may_end = threading.Event(), threading.Event()
            foo = Foo(0.001, leave)
            foo.start()
            begun.wait()
            del foo
            may_end.set()
            others_go_on()
            """
        )

    def test_of_what_excepthook_refers_to(self):
        """The hook that a dropped Foo's error reaches may itself make, drop and collect Foos."""
        self.holds(
            """
            done = threading.Event()
            def hook(it):
                foo = Foo(0.001, None)
                foo.start()
                del foo
                gc.collect()
                done.set()
            threading.excepthook = hook
            def fail(n):
                kept.clear()
                1 / 0
            kept = [Foo(0.001, fail)]
            kept[0].start()
            assert done.wait(PATIENCE)
            """
        )

    def test_does_not_deliver_what_is_owed(self):
        """stop() drains, a drop does not: neither on_message nor messages see any more."""
        self.holds(
            """
            for _ in range(20):
                calls = []
                foo, silent = Foo(0.0005, calls.append), Foo(0.0005, None)
                messages, theirs = foo.messages, silent.messages
                foo.start(), silent.start()
                go_on = let_messages_fall_due(foo)
                had = len(calls), len(messages), len(theirs)
                del foo, silent
                assert had == (len(calls), len(messages), len(theirs)), "delivered in the drop"
                go_on()
                others_go_on()
                assert had == (len(calls), len(messages), len(theirs)), "delivered after the drop"
            """
        )

    def test_of_ten_thousand_at_once(self):
        """None of their callbacks begins after it, and all that they refer to goes."""
        self.holds(
            """
            calls, alive = [], weakref.WeakSet()
            class Callback:
                def __init__(self): alive.add(self)
                def __call__(self, n): calls.append(n)
            foos = [Foo(0.05, Callback()) for _ in range(10000)]
            for foo in foos: foo.start()
            assert foo.wait(1, PATIENCE)
            del foo
            foos.clear()
            had = len(calls)
            until(lambda: not alive)
            assert len(calls) <= had + 16, (had, len(calls))
            """
        )

    def test_of_one_that_is_waited_for_in_a_thread(self):
        """Who waits has a reference: the Foo goes on until then, and goes in that thread."""
        self.holds(
            """
            foo = Foo(0.001, None)
            foo.start()
            alive, reached = weakref.ref(foo), []
            def wait(foo): reached.append(foo.wait(50, PATIENCE))
            thread = threading.Thread(target=wait, args=[foo])
            thread.start()
            del foo
            thread.join()
            del thread
            assert reached == [True]
            until(lambda: alive() is None)
            """
        )

    def test_of_one_that_is_waited_for_in_asyncio(self):
        """wait_async() keeps the Foo, which goes when it has been awaited."""
        self.holds(
            """
            import asyncio
            async def main():
                foo = Foo(0.001, None)
                foo.start()
                alive, future = weakref.ref(foo), foo.wait_async(20)
                del foo
                assert await asyncio.wait_for(future, PATIENCE)
                del future
                await asyncio.sleep(0)
                gc.collect()
                assert alive() is None
            asyncio.run(main())
            """
        )

    def test_of_one_whose_wait_was_given_up(self):
        """What is left of a wait does not outlive the Foo in the scheduler."""
        self.holds(
            """
            import asyncio
            async def main():
                for _ in range(200):
                    foo = Foo(1e-4, None)
                    foo.start()
                    future = foo.wait_async(10**9)
                    future.cancel()
                    del foo, future
                    await asyncio.sleep(0)
            asyncio.run(main())
            others_go_on()
            """
        )

    def test_beside_weak_references(self):
        """A weak reference is dead, and its callback called, when the drop returns."""
        self.holds(
            """
            for cyclic in False, True:
                foo, blocked = start_blocked()
                said = []
                reference = weakref.ref(foo, said.append)
                end = weakref.finalize(foo, said.append, "end")
                if cyclic: foo.itself = foo
                del foo
                gc.collect()
                assert reference() is None and len(said) == 2, said
                blocked.may_end.set()
            """
        )

    def test_of_callables_that_are_not_functions(self):
        """Whatever is called is kept for as long as the call takes, and goes after that."""
        self.holds(
            """
            import collections, itertools, queue
            class Method:
                def method(self, n): pass
                def __call__(self, n): pass
            class Meta(type):
                def __call__(cls, n): pass
            class WithMeta(metaclass=Meta): pass
            def makes():
                yield [].append
                yield collections.deque(maxlen=3).append
                yield queue.SimpleQueue().put
                yield functools.partial(max, 1)
                yield functools.partial(Method().method)
                yield Method().method
                yield Method()
                yield operator.methodcaller("bit_length")
                yield WithMeta
                yield int
                yield functools.lru_cache(lambda n: n)
                yield staticmethod(lambda n: None)
                yield Foo(3600, None).wait
                yield ctypes.CDLL(None).abs
            for on_message in makes():
                for _ in range(20):
                    foo = Foo(1e-5, on_message)
                    foo.start()
                    foo.wait(3, PATIENCE)
                    del foo
            others_go_on()
            """
        )

    def test_of_many_in_many_threads(self):
        """Foos that are made, started, dropped and collected everywhere at once."""
        self.holds(
            """
            gc.set_threshold(50)
            sys.setswitchinterval(1e-5)
            class Its(Foo):
                def __init__(self, interval):
                    super().__init__(interval, self.handle)
                def handle(self, n): self.interval
            def make():
                for n in range(100):
                    foo = Its(10.0 ** -(3 + n % 3))
                    foo.start()
                    if n % 3: foo.stop()
                    if n % 2: foo.start() if not foo.running else None
            threads = [threading.Thread(target=make) for _ in range(4)]
            for each in threads: each.start()
            for each in threads: each.join()
            until(lambda: gone(Its))
            """
        )

    def test_does_not_end_what_another_foo_waits_for(self):
        """A callback that drops its own Foo may then wait for another."""
        self.holds(
            """
            other = Foo(0.001, None)
            done = threading.Event()
            def drop_and_wait(n):
                kept.clear()
                other.start()
                assert other.wait(5, PATIENCE)
                other.stop()
                done.set()
            kept = [Foo(0.001, drop_and_wait)]
            kept[0].start()
            assert done.wait(PATIENCE)
            """
        )


class Waiting(Ownership):
    """stop() and `with` do wait: for the callback in progress, and for what is owed."""

    def test_stop_and_with(self):
        """When they return, no callback is in progress, and what was late has come."""
        self.holds(
            """
            def end_with(foo):
                with foo: foo.wait(1, PATIENCE)
            def end_by_stop(foo):
                foo.start()
                foo.wait(1, PATIENCE)
                foo.stop()
            for end in end_with, end_by_stop:
                for _ in range(50):
                    inside = []
                    def on_message(n):
                        inside.append(n)
                        threading.Event().wait(0.0002)
                        inside.pop()
                    foo = Foo(0.0005, on_message)
                    end(foo)
                    assert not inside and not foo.running and len(foo) > 0
            """
        )


class References(Ownership):
    """What a run refers to is dropped soon after it, with the GIL, and only once."""

    def test_go_when_the_callback_in_progress_has_returned(self):
        """Neither before, as it is used, nor much later."""
        self.holds(
            """
            class Called(Blocked):
                def __del__(self): print("gone", self.may_end.is_set(), flush=True)
            called = Called()
            begun, may_end = called.begun, called.may_end
            gone = weakref.ref(called)
            foo = Foo(0.001, called)
            foo.start()
            begun.wait()
            del foo, called
            others_go_on()
            assert gone() is not None
            may_end.set()
            until(lambda: gone() is None)
            """,
            stdout="gone True\n",
        )

    def test_whose_del_uses_foos(self):
        """__del__ of an on_message may start, stop, drop and wait for Foos, on whatever thread."""
        self.holds(
            """
            done = threading.Semaphore(0)
            class Called:
                def __call__(self, n): pass
                def __del__(self):
                    with Foo(0.001, None) as foo: foo.wait(2, PATIENCE)
                    other = Foo(0.001, None)
                    other.start()
                    del other
                    done.release()
            for _ in range(30):
                foo = Foo(1e-4, Called())
                foo.start()
                foo.wait(2, PATIENCE)
                del foo
            for _ in range(30):
                assert done.acquire(timeout=PATIENCE)
            """
        )

    def test_whose_del_raises(self):
        """It is reported by sys.unraisablehook, once for each."""
        self.holds(
            """
            reported = []
            sys.unraisablehook = lambda it: reported.append(it.exc_type)
            class Called:
                def __call__(self, n): pass
                def __del__(self): raise ValueError
            for _ in range(100):
                foo = Foo(1e-4, Called())
                foo.start()
                foo.wait(1, PATIENCE)
                del foo
            until(lambda: len(reported) == 100)
            others_go_on()
            assert reported == [ValueError] * 100
            """
        )

    def test_whose_del_blocks(self):
        """It holds up nobody else's messages."""
        self.holds(
            """
            begun, may_end = threading.Event(), threading.Event()
            class Called:
                def __call__(self, n): pass
                def __del__(self):
                    begun.set()
                    may_end.wait()
            called = Called()
            kept = [Foo(0.001, called)]
            kept[0].start()
            kept[0].wait(1, PATIENCE)
            del called
            thread = threading.Thread(target=kept.clear)
            thread.start()
            assert begun.wait(PATIENCE)
            others_go_on()
            may_end.set()
            thread.join()
            """
        )

    def test_are_one_each(self):
        """Dropping a run releases what it took, no less and no more."""
        self.holds(
            """
            def on_message(n): pass
            begin = sys.getrefcount(on_message)
            for _ in range(1000):
                foo = Foo(1e-5, on_message)
                foo.start()
                del foo
            until(lambda: sys.getrefcount(on_message) == begin)
            others_go_on()
            assert sys.getrefcount(on_message) == begin
            """
        )


class Leaving(Ownership):
    """Foos that are dropped at the end of Python, or shortly before it."""

    # For a line that never comes.
    IN_TIME = "import faulthandler; faulthandler.dump_traceback_later(50, exit=True)\n"

    IN_PROGRESS = """
        class Called(Blocked):
            def __del__(self, print=print): print("gone", flush=True)
        witness = Foo(3600, None)
        witness.start()
        class EndsAtExit(Called):
            def __call__(self, n):
                self.begun.set()
                while witness.running: threading.Event().wait(0.0005)  # until Foo closes
                print("returned", flush=True)
        called = EndsAtExit()
        foo = Foo(0.001, called)
        foo.start()
        called.begun.wait()
        del called
    """

    def test_soon_after_a_drop(self):
        """A callback in progress is waited for, although its Foo is gone; then its object goes."""
        self.holds(self.IN_PROGRESS, "del foo", stdout="returned\ngone\n")

    def test_soon_after_a_drop_by_an_exit_code(self):
        """As above."""
        self.holds(self.IN_PROGRESS, "del foo; sys.exit(3)", stdout="returned\ngone\n", code=3)

    def test_soon_after_a_drop_by_an_atexit_function(self):
        """As above."""
        self.holds(
            self.IN_PROGRESS,
            """
            import atexit
            kept = [foo]
            del foo
            atexit.register(kept.clear)
            """,
            stdout="returned\ngone\n",
        )

    def test_drops_by_the_teardown_of_modules(self):
        """What is dropped after Foo has closed was stopped before."""
        self.holds(
            """
            class Last:
                def __init__(self):
                    self.itself, self.foo = self, Foo(0.001, self.handle)
                    self.calls = []
                    self.foo.start()
                def handle(self, n): self.calls.append(n)
                def __del__(self, print=print):
                    print(self.foo.running, self.calls == self.foo.messages, flush=True)
            last = Last()
            assert last.foo.wait(3, PATIENCE)
            """,
            stdout="False True\n",
        )

    def test_in_daemon_threads_that_drop(self):
        """Threads that make and drop Foos until Python takes the GIL from them for ever."""
        self.holds(
            """
            busy = threading.Semaphore(0)
            class Its(Foo):
                def __init__(self): super().__init__(1e-4, self.handle)
                def handle(self, n): self.interval
            def use():
                try:
                    while True:
                        foo = Its()
                        foo.start()
                        del foo
                        busy.release()
                except RuntimeError:
                    pass  # Python is shutting down
            for _ in range(4):
                threading.Thread(target=use, daemon=True).start()
            for _ in range(100):
                busy.acquire()
            """,
            times=10,
        )

    def test_names_the_callback_of_a_dropped_foo_that_never_returns(self):
        """Its Foo is gone, and still stderr says what Python did not wait for any longer."""
        path = self.write(
            "script.py",
            joined(
                PRELUDE,
                self.IN_TIME,
                """
                def block(n):
                    begun.set()
                    threading.Event().wait()
                begun = threading.Event()
                witness, foo = Foo(3600, None), Foo(1.0, block)
                witness.start(), foo.start()
                begun.wait()
                del foo
                def tell():
                    while witness.running: threading.Event().wait(0.0005)
                    print("closing", flush=True)
                threading.Thread(target=tell, daemon=True).start()
                """,
            ),
        )

        def once():
            process = start(HOST, path, cwd=self.folder)
            self.assertEqual(process.stdout.readline(), b"closing\n")
            process.send_signal(signal.SIGINT)
            outcome = finish(process)
            self.assertEqual(outcome.code, 0)
            self.assertIn("on_message(0) of Foo(interval=1.0", outcome.stderr)
            self.assertIn("function block", outcome.stderr)
            self.assertEqual(outcome.stderr.count("abandoned"), 1, outcome.stderr)

        self.again(once)


class Forking(Ownership):
    def test_beside_a_dropped_foo_whose_callback_runs(self):
        """The child has none of it, and can use Foo; the parent's callback goes on."""
        self.holds(
            """
            import warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            for _ in range(8):
                foo, blocked = start_blocked()
                alive = weakref.ref(blocked)
                del foo
                child = os.fork()
                if child == 0:
                    with Foo(0.001, None) as mine:
                        assert mine.wait(3, PATIENCE)
                    gc.collect()
                    sys.exit(7)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
                blocked.may_end.set()
                del blocked
                until(lambda: alive() is None)
            """
        )

    def test_in_the_callback_of_a_dropped_foo(self):
        """The child ends as a script does when that callback returns."""
        self.holds(
            """
            import warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            codes = []
            def fork(n):
                kept.clear()
                child = os.fork()
                if child == 0:
                    with Foo(0.001, None) as mine:
                        assert mine.wait(3, PATIENCE)
                    return
                codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            for n in range(10):
                kept = [Foo(0.001, fork)]
                kept[0].start()
                until(lambda: len(codes) == n + 1)
            assert codes == [0] * 10, codes
            """
        )
