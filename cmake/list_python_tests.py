"""Prints Class.method for every unittest test method of the file named, in the file's order."""

import ast
import sys
from pathlib import Path

tree = ast.parse(Path(sys.argv[1]).read_bytes(), sys.argv[1])
functions = (ast.FunctionDef, ast.AsyncFunctionDef)
for node in tree.body:
    if isinstance(node, ast.ClassDef) and node.bases:
        for item in node.body:
            if isinstance(item, functions) and item.name.startswith("test"):
                print(f"{node.name}.{item.name}")
