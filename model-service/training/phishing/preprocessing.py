"""From the bytes of a URL to the ids that the model reads.

The service has the same in Rust (`src/preprocessing.rs`). `vectors/preprocessing.json` holds both to it: a binding would put
a Rust build into the training environment, and 30 lines against exhaustive vectors are easier to trust.
"""

import numpy

VERSION = "url-bytes/1"
POSITIONS = 200
PAD, OTHER = 0, 1
FIRST, LAST = 0x21, 0x7E
VOCABULARY = LAST - FIRST + 3
IDS = bytes(byte - FIRST + 2 if FIRST <= byte <= LAST else OTHER for byte in range(256))


def without_scheme(url: bytes) -> bytes:
    """The URL without surrounding blanks and controls and without `http://` or `https://` in any case.

    The scheme goes because it tells the data set, not phishing (model.md: +0.5 to +1.4 points); `www.` and case stay.
    """
    url = url.strip(bytes(range(0x21)))
    lower = url[:8].lower()
    for scheme in (b"http://", b"https://"):
        if lower.startswith(scheme):
            return url[len(scheme):]
    return url


def model_input(url: bytes) -> bytes:
    """The ids before the padding: all that the model reads of a URL, so two with the same are one to it. What is longer than
    `POSITIONS` loses its end, so the host always stays."""
    return without_scheme(url)[:POSITIONS].translate(IDS)


def ids(url: bytes) -> list[int]:
    """`POSITIONS` ids."""
    return list(model_input(url).ljust(POSITIONS, bytes([PAD])))


def matrix(urls: list[str]) -> numpy.ndarray:
    """The ids of many URLs, uint8 [rows, POSITIONS]."""
    return numpy.array([ids(url.encode()) for url in urls], numpy.uint8).reshape(-1, POSITIONS)


def lengths(rows: numpy.ndarray) -> numpy.ndarray:
    """Ids before the padding, of each row; no padding stands before an id."""
    return (rows != PAD).sum(axis=1, dtype=numpy.int32)
