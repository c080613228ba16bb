"""The rows: cleaned, grouped by registrable domain, split; with the checks that keep a figure honest.

The domain-disjoint split has 17,890 test and 74,248 training rows, model.md counts 17,888 and 74,250: two URLs start with a quotation
mark (`"http://…`), in which a parser of URLs finds no host; here the host behind `://` counts, and both domains are of the test side.
"""

import csv
import hashlib
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import tldextract

from . import feedback, preprocessing, source

# The public suffix list bundled with tldextract, ICANN rules only, no network: all of blogspot.com is one group.
_suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=False)
PARTS = ["train", "validation", "test"]
SPLITS = ["official", "domain_disjoint"]


@dataclass(frozen=True)
class Row:
    url: str
    label: int  # 1 = phishing
    domain: str
    origin: str = "data"  # or feedback


def registrable_domain(url: str) -> str:
    """The registrable domain; the host itself where there is none (an address, an unknown suffix)."""
    rest = url.split("://", 1)[-1]
    found = _suffixes(rest).top_domain_under_public_suffix
    return (found or rest.split("/", 1)[0].rsplit("@", 1)[-1].split(":", 1)[0]).lower()


def prepare(profile: str, told: Path | None = None) -> tuple[list[Row], set[str]]:
    """All rows, and the URLs of the official test split. Duplicates go; a URL with both labels is an error. Feedback on a URL that
    the model reads as one of the data is dropped: its label is known, and a vote must not turn it."""
    labelled, official = source.labelled(profile)
    labels: dict[str, int] = {}
    for url, label in labelled:
        if label not in (0, 1) or not url.strip() or "\n" in url:
            raise SystemExit(f"the row has another shape: {url!r}, {label!r}")
        if labels.setdefault(url, label) != label:
            raise SystemExit(f"the URL has both labels: {url}")
    rows = [Row(url, label, registrable_domain(url)) for url, label in labels.items()]
    if told is not None and told.exists():
        known = {model_input(row) for row in rows}
        rows += [row for url, label in feedback.read(told) if model_input(row := Row(url, label, registrable_domain(url), "feedback")) not in known]
    return rows, official


def model_input(row: Row) -> bytes:
    return preprocessing.model_input(row.url.encode())


def bucket(salt: str, name: str) -> int:
    """0–99, from a hash: the same on every machine and whatever the order of the rows."""
    return int(hashlib.sha256(f"{salt}:{name}".encode()).hexdigest()[:8], 16) % 100


def split(rows: list[Row], kind: str, official: set[str]) -> dict[str, list[Row]]:
    """`train`, `validation`, `test`. `domain_disjoint` puts a whole registrable domain on one side. Feedback only trains: what
    falls elsewhere is left out, so that figures before and after it speak of the same rows."""
    parts: dict[str, list[Row]] = {part: [] for part in PARTS}
    for row in rows:
        part = place(row, kind, official)
        if row.origin == "data" or part == "train":
            parts[part].append(row)
    check(parts, kind)
    return parts


def place(row: Row, kind: str, official: set[str]) -> str:
    if kind == "domain_disjoint":
        found = bucket("split1", row.domain)
        return "test" if found < 20 else "validation" if found < 25 else "train"
    if kind == "official":
        return "test" if row.url in official else "validation" if bucket("validation", row.url) < 5 else "train"
    raise SystemExit(f"unknown split: {kind}; there are {', '.join(SPLITS)}")


def scored(parts: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """The parts without the rows that the model reads as it reads one of a part before: it was fitted to that one. It sees neither the
    scheme nor what is behind 200 bytes, so rows of two sides may be one row to it."""
    known: set[bytes] = set()
    found = {}
    for part in PARTS:
        found[part] = [row for row in parts[part] if model_input(row) not in known]
        known |= {model_input(row) for row in parts[part]}
    return found


def check(parts: dict[str, list[Row]], kind: str, key=lambda row: row.url) -> None:
    """Stop where a row stands twice or on two sides, or in the domain-disjoint split a domain does, or a label is missing. Rows are the
    same by their `key`: the URL where rows are split, `model_input` where they are scored."""
    def crossing(key) -> dict:
        """What is on two sides, and a URL of each."""
        sides = [{key(row): row.url for row in rows} for rows in parts.values()]
        return {same: one[same] for one, other in combinations(sides, 2) for same in one.keys() & other.keys()}

    if rows := crossing(key):
        raise SystemExit(f"{len(rows)} URLs are on two sides of `{kind}`, e.g. {min(rows.values())}")
    if kind == "domain_disjoint" and (domains := crossing(lambda row: row.domain)):
        raise SystemExit(f"{len(domains)} domains are on two sides of `{kind}`, e.g. {min(domains)}")
    if twice := [name for name, rows in parts.items() if len({row.url for row in rows}) < len(rows)]:
        raise SystemExit(f"`{kind}` has duplicates in: {', '.join(twice)}")
    if empty := [name for name, rows in parts.items() if len({row.label for row in rows}) < 2]:
        raise SystemExit(f"`{kind}` lacks one of the labels in: {', '.join(empty)}")


def write(rows: list[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["url", "phishing", "domain", "origin"])
        writer.writerows((row.url, row.label, row.domain, row.origin) for row in rows)


def parts(folder: Path) -> dict[str, list[Row]]:
    """The parts of a split, from its folder of rows."""
    return {part: read(folder / f"{part}.csv") for part in PARTS}


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return [Row(row["url"], int(row["phishing"]), row["domain"], row["origin"]) for row in csv.DictReader(file)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
