"""The host's command line, environment, prompt, exit codes and tracebacks are those of python3."""

import os
import re
import sys
import unittest
import zipfile
from pathlib import Path

from host import HOST, STOCK, InFolder, Terminal, environment, run

UP_ARROW = "\x1bOA"  # once a line editor has set the keypad to work, as since 3.13

OUR_OPTIONS = ("gilcheck", "giltrace=", "gilwatch", "handoff-version", "handoff-watchdog")

SHOW_PROGRAM = """
    import sys
    print(sys.argv, __name__, globals().get("__file__"), __spec__, sys.path)
"""


class Programs(InFolder):
    def test_script_with_arguments(self):
        script = self.write("script.py", SHOW_PROGRAM)
        outcome = self.same(script, "one", "two words", "", "--three", "-c", "ünï")
        self.assertIn("'one', 'two words', '', '--three', '-c', 'ünï'", outcome.stdout)
        self.assertIn(f" __main__ {script} ", outcome.stdout)

    def test_script_by_relative_path(self):
        self.write("below/script.py", SHOW_PROGRAM)
        outcome = self.same("below/../below/script.py")
        self.assertIn(str(self.folder / "below/../below/script.py"), outcome.stdout)

    def test_script_imports_its_neighbour(self):
        self.write("below/neighbour.py", "name = __name__")
        script = self.write("below/script.py", "import neighbour; print(neighbour.name)")
        self.assertEqual(self.same(script).stdout, "neighbour\n")

    def test_module(self):
        self.write("package/__init__.py", "print('first', __name__)")
        self.write("package/__main__.py", SHOW_PROGRAM)
        self.write("package/tool.py", SHOW_PROGRAM)
        self.assertIn("first package\n['", self.same("-m", "package", "one").stdout)
        self.assertIn("name='package.tool'", self.same("-m", "package.tool", "-m").stdout)

    def test_module_of_the_standard_library(self):
        outcome = self.same("-m", "json.tool", "--compact", stdin='{"a": [1, 2]}')
        self.assertEqual(outcome.stdout, '{"a":[1,2]}\n')

    def test_command_string(self):
        outcome = self.same("-c", "import sys; print(sys.argv, sys.path)", "-c", "one")
        self.assertTrue(outcome.stdout.startswith("['-c', '-c', 'one'] ['', "), outcome)

    def test_command_string_that_is_not_utf8(self):
        self.same("-c", os.fsdecode(b"print(ascii('\xff'))"))

    def test_argument_that_is_not_utf8(self):
        outcome = self.same("-c", "import sys; print(ascii(sys.argv))", os.fsdecode(b"\xff"))
        self.assertIn("'\\udcff'", outcome.stdout)

    def test_dash_and_standard_input(self):
        program = "import sys\nprint(sys.argv, __name__, '__file__' in globals(), sys.path)\n"
        self.assertIn("['-', 'one'] __main__", self.same("-", "one", stdin=program).stdout)
        self.assertIn("[''] __main__", self.same(stdin=program).stdout)

    def test_program_that_reads_the_rest_of_standard_input(self):
        outcome = self.same("-c", "print(input('name? ') * 2)", stdin="ab\n")
        self.assertEqual(outcome.stdout, "name? abab\n")

    def test_folder_and_zip_with_main(self):
        main = self.write("application/__main__.py", "import part; print(part.__name__, __file__)")
        part = self.write("application/part.py", "")
        with zipfile.ZipFile(self.folder / "application.zip", "w") as archive:
            archive.write(main, "__main__.py")
            archive.write(part, "part.py")
        self.assertIn("part", self.same("application").stdout)
        self.assertIn("application.zip/__main__.py", self.same("application.zip").stdout)

    def test_compiled_script(self):
        self.write("script.py", SHOW_PROGRAM)
        self.host("-m", "compileall", "-q", "-b", "script.py")
        outcome = self.same("script.pyc", "one")
        self.assertIn("['script.pyc', 'one'] __main__", outcome.stdout)

    def test_unusual_sources(self):
        sources = {
            "empty": b"",
            "byte order mark": b"\xef\xbb\xbfprint('\xc3\xbc')\n",
            "latin-1": b"# coding: latin-1\nprint(ascii('\xfc'))\n",
            "carriage returns": b"x = '''1\r\n2'''\r\nprint(ascii(x))\r\n",
            "no last newline": b"if 1:\n    print(1)",
            "shebang": b"#!/usr/bin/env python3\nprint(1)\n",
        }
        for name, source in sources.items():
            with self.subTest(name):
                self.assertEqual(self.same(self.write("script.py", source)).code, 0)

    def test_null_bytes(self):
        for source in (b"print(1)\n\0print(2)\n", b"\0", b"x = '\0'; print(len(x))\n"):
            with self.subTest(source):  # refused since 3.12
                self.same(self.write("script.py", source))

    def test_scripts_that_cannot_be_run(self):
        (self.folder / "folder").mkdir()
        self.write("not_utf8.py", b"print('\xff')\n")
        self.write("syntax.py", "print(1)\nif x\n    y\n")
        self.write("indentation.py", b"if 1:\n    a\n  b\n")
        self.write("coding.py", b"# coding: no-such\n")
        self.write("broken.zip", b"PK\x03\x04 no more")
        self.write("broken.pyc", b"\0" * 20)
        for name in ("no_such.py", "no\nsuch"):
            self.assertEqual(self.same(name).code, 2)
        for name in ("", *(path.name for path in self.folder.iterdir())):
            with self.subTest(name):
                outcome = self.same(name)
                self.assertEqual((outcome.code, outcome.stdout), (1, ""))
                self.assertNotEqual(outcome.stderr, "")

    def test_modules_that_cannot_be_run(self):
        self.write("package/__init__.py", "")
        self.write("fails.py", "import no_such_module")
        for name in ("no_such_module", "package", "package.no_such", "fails", "sys", ".", ""):
            with self.subTest(name):
                outcome = self.same("-m", name)
                self.assertEqual(outcome.code, 1)
                self.assertNotEqual(outcome.stderr, "")

    def test_working_folder_that_is_gone(self):
        command = 'mkdir gone; cd gone; rmdir ../gone; exec "$0" -c "import sys; print(sys.path)"'
        host, stock = (
            run("sh", "-c", command, program, cwd=self.folder) for program in (HOST, STOCK)
        )
        self.assertEqual(host, stock)
        self.assertEqual(host.code, 0)


class Options(InFolder):
    def test_flags_and_path(self):
        show = "import sys; print(sys.flags, sys.path, sys.warnoptions, sys._xoptions)"
        plain = self.same("-c", show)
        for options in (
            ("-B",),
            ("-b",),
            ("-bb",),
            ("-d",),
            ("-E",),
            ("-I",),
            ("-O",),
            ("-OO",),
            ("-R",),
            ("-S",),
            ("-s",),
            ("-u",),
            ("-W", "error"),
            ("-Wignore", "-Wdefault"),
            ("-X", "dev"),
            ("-X", "utf8"),
            ("-X", "utf8=0"),
            ("-X", "pycache_prefix=here"),
            ("-X", "int_max_str_digits=1000"),
            ("-X", "of_our_own=1"),
            ("-IBOu",),
        ):
            with self.subTest(options):
                outcome = self.same(*options, "-c", show)
                self.assertEqual((outcome.code, outcome.stderr), (0, ""))
                if options not in (("-R",), ("-u",)):  # seen elsewhere
                    self.assertNotEqual(outcome.stdout, plain.stdout)

    @unittest.skipIf(sys.version_info < (3, 11), "-P is new in 3.11")
    def test_safe_path(self):
        self.write("neighbour.py", "")
        self.assertEqual(self.same("-c", "import neighbour").code, 0)
        self.assertEqual(self.same("-P", "-c", "import neighbour").code, 1)

    def test_isolated_ignores_environment_and_folder(self):
        self.write("neighbour.py", "")
        reading = environment(PYTHONPATH=str(self.folder), PYTHONWARNINGS="error")
        self.assertEqual(self.same("-c", "import neighbour", env=reading, cwd="/").code, 0)
        for options in ("-I", "-E"):
            with self.subTest(options):
                outcome = self.same(options, "-c", "import neighbour", env=reading, cwd="/")
                self.assertIn("No module named 'neighbour'", outcome.stderr)

    def test_interactive_after_the_program(self):
        outcome = self.same("-i", "-c", "x = 6", stdin="print(x * 7)\n")
        self.assertEqual(outcome.stdout, "42\n")
        outcome = self.same("-i", "-c", "import sys; x = 6; sys.exit(3)", stdin="print(x * 7)\n")
        self.assertEqual((outcome.code, outcome.stdout), (0, "42\n"))
        self.assertIn("SystemExit: 3", outcome.stderr)

    def test_no_site(self):
        outcome = self.same("-S", "-c", "import sys; print('site' in sys.modules, sys.path)")
        self.assertTrue(outcome.stdout.startswith("False "), outcome)

    def test_no_user_site(self):
        show = "import site, sys; print(site.ENABLE_USER_SITE, sys.path)"
        self.assertTrue(self.same("-s", "-c", show).stdout.startswith("False "))

    def test_unbuffered(self):
        program = "import os; print('x'); os._exit(0)"
        self.assertEqual(self.same("-c", program).stdout, "")
        self.assertEqual(self.same("-u", "-c", program).stdout, "x\n")

    def test_no_bytecode(self):
        self.write("neighbour.py", "")
        cache = self.folder / "__pycache__"
        self.assertEqual(self.host("-B", "-c", "import neighbour").code, 0)
        self.assertFalse(cache.exists())
        self.assertEqual(self.host("-c", "import neighbour").code, 0)
        self.assertTrue(cache.exists())

    def test_bytecode_is_shared_with_the_stock_interpreter(self):
        source = self.write("neighbour.py", "x = 1")
        self.assertEqual(run(STOCK, "-c", "import neighbour", cwd=self.folder).code, 0)
        outcome = self.host("-v", "-c", "import neighbour")
        self.assertRegex(outcome.stderr, rf"{re.escape(str(source))}\n# code object from '.*\.pyc'")

    def test_optimised(self):
        program = "def f():\n  'text'\nassert False\nprint(__debug__, f.__doc__)"
        self.assertIn("AssertionError", self.same("-c", program).stderr)
        self.assertEqual(self.same("-O", "-c", program).stdout, "False text\n")
        self.assertEqual(self.same("-OO", "-c", program).stdout, "False None\n")

    def test_warnings(self):
        program = "import warnings; warnings.warn('look'); print(1)"
        self.assertIn("UserWarning: look", self.same("-c", program).stderr)
        self.assertEqual(self.same("-Wignore", "-c", program).stderr, "")
        self.assertEqual(self.same("-W", "error", "-c", program).code, 1)
        self.assertIn("Invalid -W option", self.same("-W", "wrong", "-c", program).stderr)

    def test_development_mode(self):
        outcome = self.same("-X", "dev", "-c", "open(__import__('os').devnull)")
        self.assertIn("ResourceWarning: unclosed file", outcome.stderr)

    def test_faulthandler(self):
        outcome = self.same(
            "-X", "faulthandler", "-c", "import faulthandler; print(faulthandler.is_enabled())"
        )
        self.assertEqual(outcome.stdout, "True\n")

    def test_import_times_name_the_same_modules(self):
        def modules(program):
            outcome = run(program, "-X", "importtime", "-c", "import json", cwd=self.folder)
            names = [line.rpartition("|")[2] for line in outcome.stderr.splitlines()]
            return [name for name in names if name != " atexit"]  # where the gate is tied

        self.assertEqual(modules(HOST), modules(STOCK))
        self.assertIn(" json", [line.replace("  ", "") for line in modules(HOST)])

    def test_first_line_skipped(self):
        self.write("script", "not Python\nprint(1)")
        self.assertEqual(self.same("-x", "script").stdout, "1\n")

    def test_version(self):
        for option in ("-V", "-VV", "--version"):
            with self.subTest(option):
                self.assertTrue(self.same(option).stdout.startswith("Python 3."))

    def test_help(self):
        for option in ("-h", "-?", "--help", "--help-env", "--help-xoptions", "--help-all", "-Bh"):
            with self.subTest(option):
                host = self.host(option)
                stock = run(STOCK, option, cwd=self.folder)
                self.assertEqual((host.code, host.stderr), (stock.code, stock.stderr))
                # What Python says, then a section of ours.
                self.assertEqual(host.stdout[: len(stock.stdout)], stock.stdout)
                self.assertIn("PYTHON" if "x" not in option else "-X", stock.stdout)
                ours = host.stdout[len(stock.stdout) :]
                if option == "--help-env":
                    self.assertIn("HANDOFF_WATCHDOG", ours)
                else:
                    for each in OUR_OPTIONS:
                        self.assertIn(f"-X {each}", ours)

    def test_help_for_somebody_else(self):
        for options in (
            ("-V", "-c", "--help"),
            ("-c", "print(1)", "-h"),
            ("-m", "takes_all", "-h"),
        ):
            self.write("takes_all.py", "import sys; print(sys.argv[1:])")
            with self.subTest(options):
                self.assertNotIn("Handoff", self.same(*options).stdout)

    def test_options_that_are_misspelt(self):
        for wrong, meant in {
            "gilchek": "gilcheck",
            "gil_check": "gilcheck",
            "GILCheck": "gilcheck",
            "gilcehck": "gilcheck",
            "giltraec=out.html": "giltrace",
            "handoff_watchdog=3": "handoff-watchdog",
            "handoff-watchdgo": "handoff-watchdog",
            "handoffwatchdog=3": "handoff-watchdog",
            "handof-version": "handoff-version",
            "watchdog=5": "gilwatch",
            "gilwach=5": "gilwatch",
            "handoff": "gilwatch",
        }.items():
            for options in (("-X", wrong), (f"-BX{wrong}",), ("-Xdev", "-W", "error", "-X", wrong)):
                with self.subTest(options):
                    outcome = self.host(*options, "-c", "print(1)")
                    self.assertEqual((outcome.code, outcome.stdout), (2, ""))
                    self.assertIn(f"-X {wrong}: did you mean -X {meant}?", outcome.stderr)

    def test_options_that_are_nobodys_or_pythons(self):
        for option in (
            "of_our_own=1",
            "gil_lock",
            "check",
            "trace=x",
            "dev",
            "x" * 999,
        ):
            with self.subTest(option):
                self.assertEqual(self.host("-X", option, "-c", "print(1)"), (0, "1\n", ""))

    def test_words_after_the_program_are_its_own(self):
        show = "import sys; print(sys.argv[1:])"
        script = self.write("script.py", show)
        for program in (("-c", show), (script,), ("-W", "ignore", script), ("--", script)):
            with self.subTest(program):
                self.assertEqual(self.same(*program, "-X", "gilchek").stdout, "['-X', 'gilchek']\n")
        self.assertEqual(self.same("-W", "-Xgilchek", "-c", "print(1)").stdout, "1\n")

    def test_options_that_are_wrong(self):
        for options in (
            ("-z",),
            ("--no-such",),
            ("-c",),
            ("-m",),
            ("-W",),
            ("-X",),
            ("--check-hash-based-pycs", "wrong"),
        ):
            with self.subTest(options):
                outcome = self.same(*options)
                self.assertEqual((outcome.code, outcome.stdout), (2, ""))
                self.assertIn("usage: PYTHON [option]", outcome.stderr)

    def test_options_that_prevent_the_start(self):
        for option in ("utf8=3", "tracemalloc=wrong", "int_max_str_digits=5"):
            with self.subTest(option):
                outcome = self.host("-X", option, "-c", "print(1)")
                self.assertEqual((outcome.code, outcome.stdout), (1, ""))
                self.assertRegex(outcome.stderr, option.partition("=")[0])


class Environment(InFolder):
    def test_each_variable(self):
        show = "import sys; print(sys.flags, sys.path, sys.warnoptions, sys.stdout.encoding)"
        plain = self.same("-c", show)
        for name, value in {
            "PYTHONPATH": f"{self.folder}:relative",
            "PYTHONOPTIMIZE": "2",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
            "PYTHONHASHSEED": "0",
            "PYTHONWARNINGS": "error,ignore",
            "PYTHONIOENCODING": "latin-1",
            "PYTHONUTF8": "0" if sys.version_info >= (3, 15) else "1",  # not as it is anyway
            "PYTHONDEVMODE": "1",
            "PYTHONVERBOSE": "",
            "LC_ALL": "C",
        }.items():
            with self.subTest(name):
                outcome = self.same("-c", show, env=environment(**{name: value}))
                self.assertEqual((outcome.code, outcome.stderr), (0, ""))
                if value and name != "LC_ALL":
                    self.assertNotEqual(outcome.stdout, plain.stdout)

    def test_locales(self):
        show = (
            "import locale, sys; print(sys.getfilesystemencoding(), sys.flags.utf8_mode,"
            " sys.stdin.encoding, sys.stdin.errors, locale.getpreferredencoding(),"
            " locale.setlocale(locale.LC_CTYPE), ascii(sys.argv[1]))"
        )
        for locale in ("C", "POSIX", "C.UTF-8", "no_such.locale"):
            for coercion in ("0", "1", "warn"):
                with self.subTest(locale=locale, coercion=coercion):
                    variables = environment(LC_ALL=None, LANG=None, PYTHONCOERCECLOCALE=coercion)
                    outcome = self.same("-c", show, "ü", env={**variables, "LC_CTYPE": locale})
                    self.assertEqual(outcome.code, 0)

    def test_startup_file_of_the_prompt(self):
        startup = self.write("startup.py", "x = 6")
        variables = environment(PYTHONSTARTUP=str(startup))
        self.assertEqual(self.same("-i", stdin="print(x * 7)\n", env=variables).stdout, "42\n")
        variables = environment(PYTHONSTARTUP="no_such.py")
        outcome = self.same("-i", stdin="print(1)\n", env=variables)
        self.assertIn("Could not open PYTHONSTARTUP", outcome.stderr)

    def test_unbuffered(self):
        program = "import os; print('x'); os._exit(0)"
        outcome = self.same("-c", program, env=environment(PYTHONUNBUFFERED="1"))
        self.assertEqual(outcome.stdout, "x\n")

    def test_hash_seed(self):
        show = "print(hash('handoff'))"
        self.same("-c", show, env=environment(PYTHONHASHSEED="42"))
        random = environment(PYTHONHASHSEED="random")
        hashes = {self.host("-c", show, env=random).stdout for _ in range(3)}
        self.assertGreater(len(hashes), 1)

    def test_wrong_home(self):
        outcome = self.host("-c", "print(1)", env=environment(PYTHONHOME="/no/such/home"))
        self.assertEqual((outcome.code, outcome.stdout), (1, ""))
        self.assertIn("No module named 'encodings'", outcome.stderr)  # Python's own words
        self.assertIn("cannot start Python", outcome.stderr)

    def test_right_home(self):
        home = self.same("-c", "import sys; print(sys.base_prefix)").stdout.strip()
        outcome = self.same("-c", "import json; print(1)", env=environment(PYTHONHOME=home))
        self.assertEqual(outcome.stdout, "1\n")

    def test_values_that_prevent_the_start(self):
        for name, value in {
            "PYTHONHASHSEED": "wrong",
            "PYTHONUTF8": "5",
            "PYTHONMALLOC": "wrong",
            "PYTHONIOENCODING": "no-such-encoding",
            "PYTHONTRACEMALLOC": "wrong",
        }.items():
            with self.subTest(name):
                outcome = self.host("-c", "print(1)", env=environment(**{name: value}))
                self.assertEqual((outcome.code, outcome.stdout), (1, ""))
                self.assertNotEqual(outcome.stderr, "")

    def test_closed_standard_streams(self):
        for streams in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            with self.subTest(streams):
                show = "import sys; print(sys.stdin is None); sys.exit(sys.stdout is None)"
                command = f'exec "$0" -c "{show}" {streams}'
                host, stock = (run("sh", "-c", command, program) for program in (HOST, STOCK))
                self.assertEqual(host, stock)


class Identity(InFolder):
    def test_is_this_python(self):
        for expression in (
            "sys.version",
            "sys.implementation",
            "sys.prefix, sys.base_prefix, sys.exec_prefix, sys.platlibdir",
            "sorted(sysconfig.get_paths().items())",
            # projectbase: the executable's folder; EXENAME: python3.x, which may be PYTHON's name
            "{**sysconfig.get_config_vars(), 'projectbase': 0, 'EXENAME': 0}",
            "site.getsitepackages(), site.getusersitepackages()",
            "platform.python_build(), platform.python_implementation()",
            "sys.getrecursionlimit(), sys.getswitchinterval()",
            "threading.current_thread() is threading.main_thread()",
            "[signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)]",
        ):
            with self.subTest(expression):
                modules = "platform, signal, site, sys, sysconfig, threading"
                self.assertEqual(self.same("-c", f"import {modules}; print({expression})").code, 0)

    def test_executable_is_the_host(self):
        show = "import sys; print(sys.executable, sys.orig_argv[0])"
        self.assertEqual(self.host("-c", show).stdout, "PYTHON PYTHON\n")
        self.assertTrue(Path(HOST).is_absolute())

    def test_executable_found_on_the_path(self):
        folder, name = os.path.split(HOST)
        variables = environment(PATH=f"{folder}:/usr/bin:/bin")
        outcome = run("sh", "-c", f"{name} -c 'import sys; print(sys.executable)'", env=variables)
        self.assertEqual(outcome.stdout, f"{HOST}\n")

    def test_executable_by_relative_path_and_link(self):
        show = "import sys; print(sys.executable, sys.prefix, sys.path)"
        for program in (HOST, STOCK):
            (self.folder / Path(program).name).symlink_to(program)
        host, stock = (
            run("sh", "-c", f"./{Path(program).name} -c '{show}'", cwd=self.folder).stdout.replace(
                Path(program).name + " ", "PYTHON "
            )
            for program in (HOST, STOCK)
        )
        self.assertEqual(host, stock)
        self.assertTrue(host.startswith(f"{self.folder}/PYTHON "), host)

    def test_foo_is_the_only_difference_in_builtin_modules(self):
        show = "import sys; print(*sys.builtin_module_names)"
        host, stock = (set(run(program, "-c", show).stdout.split()) for program in (HOST, STOCK))
        self.assertEqual(host ^ stock, {"Foo"})

    def test_foo_is_built_in(self):
        self.write("Foo.py", "raise ImportError('the wrong Foo')")
        outcome = self.host(
            "-c", "import Foo; print(Foo.__name__, Foo.__spec__.origin, Foo.__loader__.__name__)"
        )
        self.assertEqual(outcome, (0, "Foo built-in BuiltinImporter\n", ""))

    def test_foo_is_imported_by_nobody_but_the_user(self):
        outcome = self.host("-c", "import sys; print('Foo' in sys.modules)")
        self.assertEqual(outcome.stdout, "False\n")

    def test_foo_works_isolated_and_without_site(self):
        program = "import Foo\nwith Foo.Foo(0.01, None) as f: print(f.wait(3, 30))"
        for options in ("-I", "-S", "-E", "-ISE", "-OO", "-Xdev", "-Werror", "-bb"):
            with self.subTest(options):
                self.assertEqual(self.host(options, "-c", program), (0, "True\n", ""))

    def test_help_shows_signatures(self):
        outcome = self.host("-c", "import Foo; help(Foo.Foo)")
        self.assertEqual((outcome.code, outcome.stderr), (0, ""))
        for signature in (
            "Foo(interval=1.0, on_message=print)",
            "start() -> None",
            "stop() -> None",
            "wait(count, timeout=None) -> bool",
        ):
            self.assertIn(signature, outcome.stdout)

    def test_numpy_computes(self):
        if run(STOCK, "-c", "import numpy").code != 0:
            self.skipTest("the stock interpreter has no numpy")
        program = (
            "import numpy; a = numpy.arange(1e4).reshape(100, 100)\n"
            "print(numpy.linalg.norm(a @ a.T), numpy.fft.fft(a[0]).sum(), numpy.__version__)"
        )
        self.assertEqual(self.same("-c", program).code, 0)

    def test_extension_modules_of_the_standard_library(self):
        names = "ctypes sqlite3 ssl decimal hashlib lzma bz2 zlib curses readline asyncio mmap"
        program = f"""
            import importlib
            for name in {names.split()}:
                try:
                    importlib.import_module(name)
                except ImportError as error:
                    print(error)
                else:
                    print(name)
        """
        self.assertIn("asyncio\n", self.same(self.write("script.py", program)).stdout)


class ExitCodes(InFolder):
    def test_system_exit(self):
        expected = {
            "0": 0,
            "3": 3,
            "": 0,
            "None": 0,
            "True": 1,
            "-1": 255,
            "256": 0,
            "2**70": None,
            "'text'": 1,
            "'ünï'": 1,
            "('a', 2)": 1,
            "2.5": 1,
            "ValueError('v')": 1,
        }
        for argument, code in expected.items():
            with self.subTest(argument):
                outcome = self.same("-c", f"import sys; print('x'); sys.exit({argument})")
                self.assertEqual(outcome.stdout, "x\n")
                if code is not None:
                    self.assertEqual(outcome.code, code)

    def test_text_goes_to_stderr(self):
        outcome = self.same("-c", "import sys; sys.exit('text')")
        self.assertEqual(outcome, (1, "", "text\n"))

    def test_uncaught_exception(self):
        self.assertEqual(self.same("-c", "1 / 0").code, 1)

    def test_subclass_of_system_exit(self):
        program = "class Quit(SystemExit): code = 7\nraise Quit"
        self.assertEqual(self.same("-c", program).code, 7)

    def test_quit_at_the_prompt(self):
        self.assertEqual(self.same("-i", stdin="quit(4)\nprint(1)\n").code, 4)

    def test_system_exit_in_a_thread(self):
        script = self.write(
            "script.py",
            """
            import sys, threading
            for code in 3, "text":
                thread = threading.Thread(target=sys.exit, args=[code])
                thread.start()
                thread.join()
            """,
        )
        self.assertEqual(self.same(script), (0, "", ""))

    def test_thread_that_outlives_the_script(self):
        script = self.write(
            "script.py",
            """
            import sys, threading
            started, ended = threading.Event(), threading.main_thread()
            def late():
                ended.join()
                print("late")
            threading.Thread(target=late).start()
            sys.exit(3)
            """,
        )
        outcome = self.same(script)
        self.assertEqual((outcome.code, outcome.stdout), (3, "late\n"))

    def test_exits_without_finalization(self):
        self.assertEqual(self.same("-c", "import os; os._exit(9)").code, 9)
        self.assertEqual(self.same("-c", "import os; os.kill(os.getpid(), 15)").code, -15)

    def test_exception_and_exit_in_atexit(self):
        for act in ("1 / 0", "sys.exit(5)"):
            with self.subTest(act):
                program = f"import atexit, sys\n@atexit.register\ndef last(): {act}\nsys.exit(3)"
                outcome = self.same("-c", program)
                self.assertNotEqual(outcome.stderr, "")

    def test_output_that_cannot_be_written(self):
        command = 'exec "$0" -c "print(1)" > /dev/full'
        host, stock = (run("sh", "-c", command, program) for program in (HOST, STOCK))
        self.assertEqual(host, stock)
        self.assertEqual(host.code, 120)

    def test_keyboard_interrupt_raised(self):
        self.assertEqual(self.same("-c", "raise KeyboardInterrupt").code, -2)


class Tracebacks(InFolder):
    def failing(self, text):
        outcome = self.same(self.write("script.py", text))
        self.assertEqual((outcome.code, outcome.stdout), (1, ""))
        return outcome.stderr

    def test_uncaught(self):
        text = self.failing("def f(x):\n    return [1 / y for y in x]\nf([1, 0])\n")
        self.assertIn("ZeroDivisionError: division by zero", text)
        self.assertIn("line 3, in <module>", text)

    def test_chained(self):
        text = self.failing("""
            try:
                try:
                    {}["key"]
                except KeyError as error:
                    raise ValueError("from") from error
            finally:
                raise RuntimeError("during")
        """)
        self.assertIn("direct cause", text)
        self.assertIn("During handling", text)

    @unittest.skipIf(sys.version_info < (3, 11), "new in 3.11")
    def test_groups_and_notes(self):
        text = self.failing("""
            error = ValueError("inner")
            error.add_note("a note")
            raise ExceptionGroup("outer", [error, TypeError("other")])
        """)
        self.assertIn("a note", text)

    def test_recursion(self):
        self.assertIn("Previous line repeated", self.failing("def f(): f()\nf()\n"))

    def test_syntax_error_in_a_module(self):
        self.write("wrong.py", "x = (1,\ny = 2\n")
        self.assertIn("SyntaxError", self.failing("import wrong\n"))

    def test_error_with_names_to_suggest(self):
        self.failing("import collections\ncollections.namedtoplo\n")

    def test_surrogates_in_the_message(self):
        self.assertIn("\\udcff", self.failing("raise ValueError('\\udcff ü')\n"))

    def test_in_a_command_string_and_standard_input(self):
        self.assertIn('File "<string>", line 2', self.same("-c", "\n1/0").stderr)
        self.assertIn('File "<stdin>", line 2', self.same(stdin="\n1/0\n").stderr)
        self.assertIn("SyntaxError", self.same("-c", "if").stderr)

    def test_in_a_thread(self):
        program = "import threading; threading.Thread(target=lambda: 1 / 0, name='T').start()"
        outcome = self.same("-c", program)
        self.assertEqual(outcome.code, 0)
        self.assertIn("Exception in thread T", outcome.stderr)

    def test_exception_hook(self):
        hook = "import sys\nsys.excepthook = lambda *error: print(error{})\n1 / 0"
        self.assertEqual(self.same("-c", hook.format("[1]")).stdout, "division by zero\n")
        self.assertIn("Error in sys.excepthook", self.same("-c", hook.format("[9]")).stderr)

    def test_destructor(self):
        outcome = self.same("-c", "class X:\n  def __del__(self): 1 / 0\nx = X()")
        self.assertEqual(outcome.code, 0)
        self.assertRegex(outcome.stderr, "Exception ignored (in|while)")


class Prompt(InFolder):
    def at_prompt(self, *options, program=HOST, **variables):
        home = {"HOME": str(self.folder), "PYTHONSTARTUP": None, **variables}
        terminal = Terminal(program, *options, env=environment(**home), cwd=self.folder)
        self.addCleanup(terminal.close)
        return terminal

    def assert_same_transcript(self, *lines, **variables):
        def transcript(program):
            terminal = self.at_prompt(program=program, **variables)
            answers = [terminal.read_until(">>> ")]
            for line in lines:
                terminal.send(line + "\n")
                terminal.read_until("\n")  # the echo
                answers.append(terminal.read_until("... " if line.endswith(": i") else ">>> "))
            terminal.send("\x04")
            code, rest = terminal.finish()
            return code, rest.strip(), answers

        host, stock = transcript(HOST), transcript(STOCK)
        self.assertEqual(host, stock)
        self.assertEqual(host[0], 0)
        self.assertIn("2\n", host[2][1])

    def test_says_and_answers_what_stock_does(self):
        self.assert_same_transcript(
            "1 + 1",
            "'ü'",
            "None",
            "1 / 0",
            "if",
            "_",
            "import sys; sys.flags, sys.argv, sys.path",
            "__name__, '__file__' in globals()",
        )

    def test_says_and_answers_what_stock_does_without_an_editor_of_its_own(self):
        # Since 3.13 the editor has commands, help and exit, and indents the next line.
        self.assert_same_transcript(
            "1 + 1", "for i in range(3): i", "", "help", "exit", PYTHON_BASIC_REPL="1"
        )

    def test_up_arrow_repeats_a_line(self):
        terminal = self.at_prompt()
        terminal.read_until(">>> ")
        terminal.send("print('a' 'b')\n")
        terminal.read_until("\nab")
        terminal.read_until(">>> ")
        terminal.send(UP_ARROW + "\n")
        self.assertIn("print('a' 'b')", terminal.read_until("\nab"))

    def test_history_is_kept_for_the_next_time(self):
        for expected in ("1 + 41", UP_ARROW):
            terminal = self.at_prompt()
            terminal.read_until(">>> ")
            terminal.send(expected + "\n")
            terminal.read_until("\n42")
            terminal.read_until(">>> ")
            terminal.send("\x04")
            self.assertEqual(terminal.finish()[0], 0)

    def test_tab_completes(self):
        terminal = self.at_prompt()
        terminal.read_until(">>> ")
        terminal.send("import keyword as handoff_word\n")
        terminal.read_until(">>> ")
        terminal.send("print(handoff_w\t.__name__)\n")
        terminal.read_until("\nkeyword")

    def test_exit_code(self):
        terminal = self.at_prompt()
        terminal.read_until(">>> ")
        terminal.send("exit(3)\n")
        self.assertEqual(terminal.finish()[0], 3)

    def test_script_then_prompt(self):
        self.write("script.py", "x = 42")
        terminal = self.at_prompt("-q", "-i", "script.py")
        terminal.read_until(">>> ")
        terminal.send("x\n")
        terminal.read_until("\n42")

    def test_after_the_program_by_variable(self):
        terminal = self.at_prompt("-c", "x = 42", PYTHONINSPECT="1")
        terminal.read_until(">>> ")
        terminal.send("x\n")
        terminal.read_until("\n42")

    def test_foo_prints_while_the_prompt_waits(self):
        terminal = self.at_prompt()
        terminal.read_until(">>> ")
        terminal.send("import Foo; f = Foo.Foo(0.01)\n")
        terminal.read_until(">>> ")
        terminal.send("f.start()\n")
        for n in range(20):
            terminal.read_until(f"{n}\n")
        terminal.send("f.stop(); f.messages[:3]\n")
        terminal.read_until("\n[0, 1, 2]")
        terminal.read_until(">>> ")
        terminal.send("\x04")
        self.assertEqual(terminal.finish()[0], 0)
