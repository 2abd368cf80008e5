"""The benchmarks' verdicts, and what becomes of a part that fails. Nothing is measured here."""

import contextlib
import io
import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import measure
from rows import QUICK_ROWS, ROWS, Row, judge

SCRIPT = "#!/bin/sh\n"
GUARDS = {
    "benchmarks": [
        {
            "name": "acquire/raw",
            "run_name": "acquire/raw",
            "run_type": "iteration",
            "real_time": 90.0,
            "cpu_time": 50.0,
            "time_unit": "ns",
        }
    ]
}


def run(**values):
    """A run that has measured these."""
    measurements = {name: {"unit": "s", "values": each} for name, each in values.items()}
    return {"measurements": measurements, "notes": {}, "failures": {}}


class Verdict(unittest.TestCase):
    def test_says_missed_above_an_upper_bound_of_the_ratio(self):
        row = Row("what", "ours", "peer", at_most=1.05, cause="a known one")
        self.assertEqual(judge(row, [run(ours=[1.06], peer=[1.0])]).text, "missed: a known one")
        self.assertEqual(judge(row, [run(ours=[1.05], peer=[1.0])]).text, "reached")

    def test_says_missed_when_not_so_many_times_faster(self):
        row = Row("what", "ours", "peer", at_least=8)
        self.assertIn("missed", judge(row, [run(ours=[1.0], peer=[7.9])]).text)
        self.assertEqual(judge(row, [run(ours=[1.0], peer=[8.0])]).text, "reached")

    def test_bounds_the_figure_itself_without_a_peer(self):
        least = Row("what", "ours", at_least=1.0)
        self.assertIn("missed", judge(least, [run(ours=[0.999])]).text)
        self.assertEqual(judge(least, [run(ours=[1.0])]).text, "reached")
        most = Row("what", "ours", at_most=400)
        self.assertIn("missed", judge(most, [run(ours=[401])]).text)

    def test_compares_medians(self):
        row = Row("what", "ours", "peer", at_most=1)
        self.assertEqual(judge(row, [run(ours=[1, 1, 9], peer=[1, 1, 0])]).text, "reached")

    def test_invents_no_cause(self):
        row = Row("what", "ours", at_most=1)
        self.assertEqual(judge(row, [run(ours=[2])]).text, "missed: cause not yet known")

    def test_wants_all_runs_to_agree(self):
        row = Row("what", "ours", at_most=1)
        runs = [run(ours=[0.5]), run(ours=[1.5]), run(ours=[0.5])]
        self.assertEqual(judge(row, runs).text, "runs disagree: reached in 2 of 3")

    def test_is_none_without_a_measurement(self):
        row = Row("what", "ours", "part.peer", at_most=1)
        only = run(ours=[1])
        self.assertEqual(judge(row, [only]).text, "not measured: there is no part.peer")
        only["notes"]["part.peer"] = "not here"
        self.assertEqual(judge(row, [only]).text, "not measured: not here")
        only["failures"]["part"] = "exit code 3"
        self.assertEqual(judge(row, [only]).text, "not measured: part failed")

    def test_is_none_without_a_bound(self):
        verdict = judge(Row("what", "ours", "peer"), [run(ours=[3], peer=[2])])
        self.assertEqual(verdict, ([1.5], ""))


class Rows(unittest.TestCase):
    def test_bound_each_measurement_from_one_side_at_most(self):
        for row in [row for rows in (ROWS, QUICK_ROWS) for part in rows.values() for row in part]:
            with self.subTest(row.what):
                self.assertFalse(row.at_most is not None and row.at_least is not None)


class Part(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.build = Path(folder.name)
        (self.build / "benchmarks").mkdir()

    def make(self, part, text):
        program = self.build / "benchmarks" / part
        program.write_text(SCRIPT + text)
        program.chmod(0o755)
        return program

    def test_failed_says_with_what_and_what_it_said_last(self):
        program = self.make("guards", "echo no GIL today >&2; exit 3")
        with self.assertRaisesRegex(measure.PartError, r"exit code 3 .*guards.*\n *no GIL today"):
            measure.called([program])

    def test_without_json_has_failed(self):
        with self.assertRaisesRegex(measure.PartError, "no JSON"):
            measure.called([self.make("guards", "echo done")])

    def test_that_does_not_end_is_ended_with_its_children(self):
        pipe = self.build / "pipe"
        os.mkfifo(pipe)
        program = self.make("guards", f"sleep 1000 > {pipe} & wait")
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        with self.assertRaisesRegex(measure.PartError, "did not end within"):
            measure.called([program], patience=0.5)
        os.set_blocking(reader, True)
        self.assertEqual(os.read(reader, 1), b"")  # nobody has it open any more

    def test_of_google_benchmark_names_what_it_measures(self):
        values = {"guards.acquire.raw": {"unit": "s", "values": [50e-9]}}
        self.assertEqual(measure.from_google_benchmark("guards", GUARDS), values)

    def test_of_google_benchmark_may_time_by_itself(self):
        name = "append/foo/iterations:1/manual_time"
        printed = {"benchmarks": [GUARDS["benchmarks"][0] | {"name": name, "run_name": name}]}
        values = {"deliveries.append.foo": {"unit": "s", "values": [90e-9]}}
        self.assertEqual(measure.from_google_benchmark("deliveries", printed), values)

    def test_of_google_benchmark_with_an_error_has_failed(self):
        wrong = {"error_occurred": True, "error_message": "no thread"}
        printed = {"benchmarks": [GUARDS["benchmarks"][0] | wrong]}
        with self.assertRaisesRegex(measure.PartError, "no thread"):
            measure.from_google_benchmark("guards", printed)

    def test_that_fails_is_named_and_the_others_go_on(self):
        self.make("guards", "exit 3")
        self.make("calls", f"echo '{json.dumps(GUARDS)}'")
        words = ["--build", str(self.build), "--python", "python3", "guards", "calls"]
        with (
            mock.patch.object(measure, "versions", return_value={}),
            contextlib.redirect_stderr(io.StringIO()) as told,
        ):
            results = measure.measure(measure.parsed(words))
        self.assertIn("exit code 3", told.getvalue())
        self.assertEqual(results, json.loads((self.build / "results.json").read_text()))
        [only] = results["runs"]
        self.assertIn("calls.acquire.raw", only["measurements"])
        [failure] = measure.failures(results)
        self.assertRegex(failure, "^guards failed: exit code 3")


if __name__ == "__main__":
    unittest.main()
