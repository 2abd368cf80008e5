"""Runs Foo, beside a main thread that sleeps."""

import time

import Foo

foo = Foo.Foo()
foo.start()
time.sleep(3)
foo.stop()
