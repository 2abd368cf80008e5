"""Computes in threads of Arrow, which call a Python function, and read from a Python file."""

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet

pa.set_cpu_count(4)
table = pa.table({"n": range(100_000), "text": [str(n % 10) for n in range(100_000)]})
buffer = io.BytesIO()
pa.parquet.write_table(table, buffer, row_group_size=5000)
buffer.seek(0)
print(pa.parquet.read_table(buffer, use_threads=True) == table)  # its threads call buffer.read()

csv = io.BytesIO(b"a,b\n" + b"".join(b"%d,x\n" % n for n in range(100_000)))
print(pc.sum(pa.csv.read_csv(csv)["a"]))

about = {"summary": "twice the number", "description": ""}
pc.register_scalar_function(
    lambda _, numbers: pc.multiply(numbers, 2), "double", about, {"n": pa.int64()}, pa.int64()
)
double = ds.field("")._call("double", [ds.field("n")])  # on the threads of the scanner
doubled = ds.dataset(table).to_table(columns={"double": double})
print(pc.sum(doubled["double"]))

reader = pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches(1000)))
print(ds.dataset(table).count_rows(), ds.Scanner.from_batches(reader).to_table().num_rows)
print(table.group_by("text", use_threads=True).aggregate([("n", "sum")]).sort_by("text")["n_sum"])
