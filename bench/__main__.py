"""`make bench`: measures, and reports. When a part has failed the exit code is not 0."""

import sys

import measure
import report

arguments = measure.parsed(sys.argv[1:])
results = measure.measure(arguments)
failures = measure.failures(results)
report.show(results)
if arguments.whole and not failures:
    report.document(results)
sys.exit("\n".join(failures) or None)
