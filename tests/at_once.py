"""AT_ONCE: for scripts, at_once(*functions), which calls each on a thread, all as one."""

AT_ONCE = """
import threading
def at_once(*functions):
    begin = threading.Barrier(len(functions))
    errors = []
    def enter(function):
        begin.wait()
        try:
            function()
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=enter, args=(each,)) for each in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
"""
