"""The other side of `onnxruntime.rs`: one line of rows of ids comes in, and for each `go` one pass over them, row by row, is timed."""

import json
import sys
import time

import numpy
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
rows = [numpy.array([row], numpy.int32) for row in json.loads(sys.stdin.readline())]
print(onnxruntime.__version__, flush=True)
for _ in sys.stdin:
    started = time.perf_counter()
    for row in rows:
        session.run(None, {"ids": row})
    print(time.perf_counter() - started, flush=True)
