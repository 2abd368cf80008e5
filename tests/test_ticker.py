"""handoff_ticker.Ticker: another name of Foo.Foo, in the host and in a Python without one."""

import inspect
import pickle
import unittest

import Foo
import handoff_ticker
from handoff_ticker import Ticker


class OneClassWithTwoNames(unittest.TestCase):
    def test_are_the_same(self):
        self.assertIs(Ticker, Foo.Foo)
        self.assertEqual(handoff_ticker.__version__, Foo.__version__)

    def test_export_nothing_else(self):
        self.assertEqual(sorted(handoff_ticker.__all__), ["Ticker", "__version__"])

    def test_counts_and_calls_back(self):
        heard = []
        with Ticker(0.001, heard.append) as ticker:
            self.assertTrue(ticker.wait(3, 60))
        self.assertEqual(heard, ticker.messages)
        self.assertEqual(heard, list(range(len(heard))))

    def test_can_be_derived_from_and_is_named_as_the_derived_class(self):
        class Blinker(Ticker):
            pass

        self.assertIsInstance(Blinker(), Foo.Foo)
        self.assertIn(f"{Blinker.__qualname__} interval=1.0 stopped messages=0>", repr(Blinker()))

    def test_repr_has_the_name_by_which_any_python_finds_the_class(self):
        self.assertEqual(repr(Ticker()), "<Foo.Foo interval=1.0 stopped messages=0>")
        self.assertEqual((Ticker.__module__, Ticker.__qualname__), ("Foo", "Foo"))

    def test_the_class_can_be_pickled_and_its_objects_say_why_not(self):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            self.assertIs(pickle.loads(pickle.dumps(Ticker, protocol)), Foo.Foo)
        with self.assertRaisesRegex(TypeError, r"^cannot copy or pickle <Foo\.Foo "):
            pickle.dumps(Ticker())

    def test_the_module_says_what_it_is_for(self):
        self.assertIn("from handoff_ticker import Ticker", inspect.getdoc(handoff_ticker))


if __name__ == "__main__":
    unittest.main()
