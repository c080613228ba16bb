"""From the bytes of a URL to the ids that the model reads.

The service has the same in Rust (`src/preprocessing.rs`). `vectors/preprocessing.json` holds both to it: a binding would put
a Rust build into the training environment, and 30 lines against exhaustive vectors are easier to trust.
"""

import re

import numpy

VERSION = "url-bytes/2"
POSITIONS = 200
PAD, OTHER = 0, 1
FIRST, LAST = 0x21, 0x7E
# Ids of their own for the host: a brand's name tells another thing there than in a path.
HOST_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789.-/:_@%"
HOST_FIRST = LAST - FIRST + 3
HOST_OTHER = HOST_FIRST + len(HOST_BYTES)
VOCABULARY = HOST_OTHER + 1
IDS = bytes(byte - FIRST + 2 if FIRST <= byte <= LAST else OTHER for byte in range(256))
HOST_IDS = bytes(HOST_FIRST + place if (place := HOST_BYTES.find(bytes([byte]).lower())) >= 0 else HOST_OTHER for byte in range(256))


def without_scheme(url: bytes) -> bytes:
    """The URL without surrounding blanks and controls and without `http://` or `https://` in any case.

    The scheme goes because it tells the data set, not phishing (model.md: +0.5 to +1.4 points); `www.` stays.
    """
    url = url.strip(bytes(range(0x21)))
    lower = url[:8].lower()
    for scheme in (b"http://", b"https://"):
        if lower.startswith(scheme):
            return url[len(scheme):]
    return url


def model_input(url: bytes) -> bytes:
    """The ids before the padding: all that the model reads of a URL, so two with the same are one to it. What is longer than
    `POSITIONS` loses its end, so the host always stays. The host ends with the first slash or before the first `?` or `#`; its case
    does not matter (RFC 3986 §6.2.2.1)."""
    read = without_scheme(url)[:POSITIONS]
    mark = re.search(rb"[/?#]", read)
    end = len(read) if mark is None else mark.start() + (mark[0] == b"/")
    return read[:end].translate(HOST_IDS) + read[end:].translate(IDS)


def ids(url: bytes) -> list[int]:
    """`POSITIONS` ids."""
    return list(model_input(url).ljust(POSITIONS, bytes([PAD])))


def matrix(urls: list[str]) -> numpy.ndarray:
    """The ids of many URLs, uint8 [rows, POSITIONS]."""
    return numpy.array([ids(url.encode()) for url in urls], numpy.uint8).reshape(-1, POSITIONS)


def lengths(rows: numpy.ndarray) -> numpy.ndarray:
    """Ids before the padding, of each row; no padding stands before an id."""
    return (rows != PAD).sum(axis=1, dtype=numpy.int32)
