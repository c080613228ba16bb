"""Write `vectors/preprocessing.json`: input bytes as hex, expected ids without the padding. `python -m phishing.vectors`."""

import itertools
import json
import random
from pathlib import Path

from . import preprocessing

PATH = Path(__file__).parents[2] / "vectors" / "preprocessing.json"


def inputs() -> list[bytes]:
    """Every byte alone, inside and behind a host, every length around the limits, every shape of the scheme, every end of a host, blanks,
    UTF-8, noise."""
    found = [bytes([byte]) for byte in range(256)]
    found += [before + bytes([byte]) + b"b" for before in (b"a", b"a/") for byte in range(256)]
    ends = [b"".join(marks) for marks in itertools.product((b"/", b"?", b"#", b"A"), repeat=3)]
    found += [b"http://User:pw@Host.example:80" + end + b"B" for end in ends] + [b"h" * length + b"/?" for length in range(196, 204)]
    found += [b"x" * length for length in (*range(12), *range(190, 212), 1000, 9000)]
    found += [b"https://" + b"h" * length for length in range(190, 212)]
    bits = range(16)
    found += [bytes(c - 32 if bit >> place & 1 else c for place, c in enumerate(b"http")) + b"://Case.example" for bit in bits]
    schemes = [b"http://", b"https://", b"hTTps://", b"http:/", b"http:", b"http:///", b"https//", b"ftp://", b"data:", b"httpx://", b"http://http://"]
    found += [blank + scheme + rest for blank in (b"", b" ", b"\t\n") for scheme in schemes for rest in (b"", b" ", b"www.a.example/B?c=D#e ")]
    found += [text.encode() for text in ("http://bücher.example/ä", "http://пример.example", "http://例え.example/\U0001f600", "\u00a0a\u00a0", "a b  c")]
    noise = random.Random(7)
    found += [bytes(noise.choices(range(256), k=noise.randrange(260))) for _ in range(64)]
    return found


def build() -> dict:
    def known(url: bytes) -> list[int]:
        ids = preprocessing.ids(url)
        return ids[:max((place + 1 for place, i in enumerate(ids) if i != preprocessing.PAD), default=0)]

    return {"version": preprocessing.VERSION, "positions": preprocessing.POSITIONS, "vocabulary": preprocessing.VOCABULARY,
            "vectors": [[url.hex(), known(url)] for url in inputs()]}


def text() -> str:
    vectors = build()
    head = {name: value for name, value in vectors.items() if name != "vectors"}
    lines = ",\n".join(json.dumps(vector, separators=(",", ":")) for vector in vectors["vectors"])
    return json.dumps(head)[:-1] + ', "vectors": [\n' + lines + "\n]}\n"


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
