"""What a model asks of the service: memory and time. What can be counted is a figure; what is measured differs from run to run,
so the gate looks at it and it stands in no file."""

import json
import subprocess
import sys
from pathlib import Path

from . import export, preprocessing

URLS = 512
MEASURE = """
import json, pathlib, sys, time
import phishing
import numpy, onnxruntime
from phishing import preprocessing
kept = lambda name: int(pathlib.Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) / 1024
options, before, times = onnxruntime.SessionOptions(), kept("VmRSS"), []
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
urls = preprocessing.matrix([f"http://www.example.com/{place:0180}" for place in range(int(sys.argv[2]))]).astype(numpy.int32)
for _ in range(5):
    start = time.perf_counter()
    for place in range(len(urls)):
        session.run(None, {"ids": urls[place:place + 1]})
    times.append(time.perf_counter() - start)
print(json.dumps({"milliseconds_a_url": min(times) * 1000 / len(urls), "resident_mb": kept("VmHWM") - before}))
"""


def counted(content: bytes) -> dict[str, int]:
    """Bytes of the file and of the folded table with the layers after it, and additions for a URL of full length."""
    shape = export.ensemble(content).shape
    features = shape["members"] * shape["features"]
    table = preprocessing.VOCABULARY * shape["width"] * features
    after = features * (1 + shape["hidden"]) + 2 * shape["members"] * shape["hidden"] + 1
    windows = preprocessing.POSITIONS - shape["width"] + 1 + shape["left"]
    return {"file_bytes": len(content), "folded_bytes": 4 * (table + after), "additions": windows * shape["width"] * features + after}


def measured(model: Path) -> dict[str, float]:
    """Milliseconds a URL of full length asked one by one (best of five, one thread), and growth of the memory in use, by onnxruntime in a
    process of its own."""
    done = subprocess.run([sys.executable, "-c", MEASURE, str(model), str(URLS)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)
