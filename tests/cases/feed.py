"""No callable refers to what keeps it: Python could not collect that cycle, and its thread."""

import sys
from unittest import mock

import feed

got = []
whole = feed.Feed()
whole.subscribe(got.append)
whole.start()
whole.wait()
assert got == list(range(100)), got

seen = []
with mock.patch.object(sys, "unraisablehook", lambda told: seen.append(told.exc_type)):
    raises = feed.Feed()
    raises.subscribe([].index)
    raises.start()
    raises.wait()
    assert seen == [ValueError] * 100, seen

left = feed.Feed()
left.subscribe(got.append)
left.start()
