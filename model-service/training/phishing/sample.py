"""Write `sample.csv`: made-up URLs for the `smoke` profile, so that all stages run without data. `python -m phishing.sample`.

Hosts are under `.example` and in the address blocks for documentation (RFC 2606, RFC 5737): none of them can exist.
The classes differ on purpose; a figure from this sample says that the stages work, nothing about phishing.
"""

import csv
import random
from pathlib import Path

PATH = Path(__file__).parents[1] / "sample.csv"
WORDS = "river garden stone music winter market school harbour bread cycling museum forest paper summer orchard violin history".split()
BAIT = "login verify secure account update signin confirm wallet webscr billing unlock suspended".split()
BRANDS = "mybank paypost cloudbox webmail streamco parcelnow".split()


def rows() -> list[tuple[str, int]]:
    chance = random.Random(7)
    word, bait, brand = (lambda: chance.choice(WORDS)), (lambda: chance.choice(BAIT)), (lambda: chance.choice(BRANDS))
    token = lambda: "".join(chance.choices("0123456789abcdef", k=chance.randrange(6, 25)))  # noqa: E731
    found: dict[str, int] = {}
    while len(found) < 800:
        scheme = chance.choice(["http", "https"])
        host = f"{word()}-{word()}{chance.randrange(100)}.example"
        if len(found) % 2 == 0:
            path = chance.choice(["", f"{word()}/", f"{word()}/{word()}.html", f"{word()}/{chance.randrange(1990, 2026)}/{word()}?page={chance.randrange(9)}"])
            found[f"{scheme}://{chance.choice(['www.', '', ''])}{host}/{path}"] = 0
        else:
            where = chance.choice([f"{brand()}.{bait()}-{bait()}.{host}", f"{chance.choice(['192.0.2', '198.51.100', '203.0.113'])}.{chance.randrange(1, 255)}", host])
            found[f"{scheme}://{where}/{chance.choice([brand(), word()])}/{bait()}/{bait()}.php?{chance.choice(['id', 'session', 'cmd'])}={token()}"] = 1
    return list(found.items())


if __name__ == "__main__":
    with PATH.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["url", "phishing"])
        writer.writerows(rows())
