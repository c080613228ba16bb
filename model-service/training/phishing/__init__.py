"""Train, measure and export the phishing-URL model; `python -m phishing --help`."""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is loaded: one thread, or a run is not repeatable
