"""What people install into a virtual environment of the host, by pip, and run there beside Foo."""

import json
import os
import unittest
from pathlib import Path

from virtual_environment import InAVirtualEnvironment

TESTS = Path(__file__).resolve().parent


class Packages(InAVirtualEnvironment):
    def test_numpy_counts_what_foo_delivers(self):
        code = (
            "import Foo, numpy, sys\n"
            "with Foo.Foo(0.001, None) as foo:\n"
            "    while len(foo) < 100: numpy.random.rand(200, 200) @ numpy.random.rand(200, 200)\n"
            "print(numpy.array(foo.messages[:100]).sum(), Foo.__spec__.origin, sys.executable)"
        )
        python = self.python_with("numpy")
        self.assertEqual(self.succeed(python, "-c", code).stdout, f"4950 built-in {python}\n")

    def test_pytest_tests_a_foo(self):
        self.write(
            "test_foo.py",
            """
            import Foo

            def test_counts(capfd):
                with Foo.Foo(0.001) as foo:
                    assert foo.wait(3, 10)
                assert capfd.readouterr().out.startswith("0\\n1\\n2\\n")
            """,
        )
        python = self.python_with("pytest")
        self.assertIn("1 passed", self.succeed(python, "-m", "pytest", "test_foo.py").stdout)

    def test_ipython_awaits_a_foo(self):
        code = "import Foo; foo = Foo.Foo(0.001); foo.start(); await foo.wait_async(3); foo.stop()"
        python = self.python_with("ipython")
        shown = self.succeed(
            python, "-m", "IPython", "--colors=NoColor", "-c", code, HOME="."
        ).stdout
        self.assertTrue(shown.startswith("0\n1\n2\n"), shown)

    def test_a_notebooks_cell_shows_what_its_foo_prints(self):
        cells = (
            "import Foo, sys\nfoo = Foo.Foo(0.01)\nfoo.start()\nfoo.wait(3), sys.executable",
            "foo.stop()",
            "foo = Foo.Foo(0.01, lambda n: print('message', n))\n"
            "foo.start()\nreached = await foo.wait_async(3)\nfoo.stop()\nreached",
            "foo = Foo.Foo(0.01, lambda n: 1 / (2 - n))\nfoo.start()\nfoo.wait(9), foo.error",
        )
        code = (
            "import json, nbclient, nbformat, sys\n"
            "notebook = nbformat.v4.new_notebook()\n"
            "for cell in json.loads(sys.argv[1]):\n"
            "    notebook.cells.append(nbformat.v4.new_code_cell(cell))\n"
            "nbclient.NotebookClient(notebook, timeout=60).execute()\n"
            "print(json.dumps([cell.outputs for cell in notebook.cells]))\n"
        )
        python = self.python_with("ipykernel", "nbclient")
        own = {"HOME": ".", "JUPYTER_PLATFORM_DIRS": "1"}
        shown = json.loads(self.succeed(python, "-c", code, json.dumps(cells), **own).stdout)

        def written(cell, stream="stdout"):
            return "".join(each["text"] for each in shown[cell] if each.get("name") == stream)

        def value(cell):
            (result,) = (each["data"] for each in shown[cell] if "data" in each)
            return result["text/plain"]  # a Foo may print before and after it

        self.assertTrue(written(0).startswith("0\n1\n2\n"), shown)
        self.assertEqual(value(0), f"(True, '{python}')")
        self.assertTrue(written(2).startswith("message 0\nmessage 1\nmessage 2\n"), shown)
        self.assertEqual(value(2), "True")
        self.assertEqual(value(3), "(False, ZeroDivisionError('division by zero'))")
        self.assertIn("ZeroDivisionError: division by zero", written(3, "stderr"))

    def test_uvloop_is_a_loop_as_asyncios(self):
        python = self.python_with("uvloop")
        self.succeed(python, "-c", "import uvloop")
        self.succeed(python, "-m", "unittest", "test_asyncio", PYTHONPATH=str(TESTS))

    def test_channels_in_uvloop_anyio_and_trio(self):
        python = self.python_with("anyio", "trio", "uvloop")
        self.succeed(python, "-c", "import anyio, trio, uvloop")
        folders = f"{TESTS}:{os.environ['CHANNELS_FOLDER']}"
        self.succeed(python, "-m", "unittest", "test_channel_async", PYTHONPATH=folders)


if __name__ == "__main__":
    unittest.main()
