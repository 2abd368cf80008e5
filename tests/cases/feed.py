import sys

import feed

sys.unraisablehook = lambda told: seen.append(told.exc_type)
seen = []

got = []
whole = feed.Feed()
whole.subscribe(got.append)
whole.start()
whole.wait()
assert got == list(range(100)), got

raises = feed.Feed()
raises.subscribe(lambda price: 1 / (price - 3))
raises.start()
raises.wait()
assert seen == [ZeroDivisionError], seen

left = feed.Feed()
left.subscribe(lambda price: sum(range(3000)))
left.start()
