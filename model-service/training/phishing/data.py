"""The rows: read, cleaned, grouped by registrable domain, split; with the checks that keep a figure honest."""

import csv
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import tldextract

# The public suffix list bundled with tldextract, ICANN rules only, no network: all of blogspot.com is one group.
_suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=False)


@dataclass(frozen=True)
class Row:
    url: str
    label: int  # 1 = phishing
    domain: str


def registrable_domain(url: str) -> str:
    """The registrable domain; the host itself where there is none (an address, an unknown suffix)."""
    rest = url.split("://", 1)[-1]
    found = _suffixes(rest).top_domain_under_public_suffix
    return (found or rest.split("/", 1)[0].rsplit("@", 1)[-1].split(":", 1)[0]).lower()


def prepare(profile: str) -> tuple[list[Row], set[str]]:
    """All rows, and the URLs of the official test split. Duplicates go; a URL with both labels is an error."""
    if profile == "smoke":
        labelled, official = _sample(), set()
    else:
        labelled, official = _phishstorm(Path(os.environ["DATA_DIR"]))
    labels: dict[str, int] = {}
    for url, label in labelled:
        if labels.setdefault(url, label) != label:
            raise SystemExit(f"the URL has both labels: {url}")
    missing = official - labels.keys()
    if missing:
        raise SystemExit(f"{len(missing)} rows of the official test split are not in the data, e.g. {min(missing)}")
    return [Row(url, label, registrable_domain(url)) for url, label in labels.items()], official


def _phishstorm(folder: Path) -> tuple[list[tuple[str, int]], set[str]]:
    def lines(name: str) -> list[str]:
        return [line for line in (folder / name).read_text("utf-8").split("\n") if line.strip()]

    labelled = [(url, 1) for url in lines("phishing-urls.csv")] + [(url, 0) for url in lines("valid-urls.csv")]
    test = [line.split("\t", 1) for line in lines("test.csv")]
    labels = dict(labelled)
    wrong = [url for mark, url in test if labels.get(url) != int(mark == "1")]
    if wrong:
        raise SystemExit(f"test.csv and the lists disagree on {len(wrong)} labels, e.g. {wrong[0]}")
    return labelled, {url for _, url in test}


def _sample() -> list[tuple[str, int]]:
    with (Path(__file__).parent.parent / "sample.csv").open(encoding="utf-8", newline="") as file:
        return [(row["url"], int(row["phishing"])) for row in csv.DictReader(file)]


def bucket(salt: str, name: str) -> int:
    """0–99, from a hash: the same on every machine and whatever the order of the rows."""
    return int(hashlib.sha256(f"{salt}:{name}".encode()).hexdigest()[:8], 16) % 100


def split(rows: list[Row], kind: str, official: set[str]) -> dict[str, list[Row]]:
    """`train`, `validation`, `test`. `domain_disjoint` puts a whole registrable domain on one side."""
    parts: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        if kind == "domain_disjoint":
            place = bucket("split1", row.domain)
            part = "test" if place < 20 else "validation" if place < 25 else "train"
        elif kind == "official":
            part = "test" if row.url in official else "validation" if bucket("validation", row.url) < 5 else "train"
        else:
            raise SystemExit(f"unknown split: {kind}")
        parts[part].append(row)
    check(parts, kind)
    return parts


def check(parts: dict[str, list[Row]], kind: str) -> None:
    """Stop where a row, or in the domain-disjoint split a domain, stands on two sides."""
    def crossing(key) -> set[str]:
        sides = [{key(row) for row in rows} for rows in parts.values()]
        return (sides[0] & sides[1]) | (sides[0] & sides[2]) | (sides[1] & sides[2])

    if rows := crossing(lambda row: row.url):
        raise SystemExit(f"{len(rows)} URLs are on two sides of `{kind}`, e.g. {min(rows)}")
    if kind == "domain_disjoint" and (domains := crossing(lambda row: row.domain)):
        raise SystemExit(f"{len(domains)} domains are on two sides of `{kind}`, e.g. {min(domains)}")
    if empty := [name for name, rows in parts.items() if len({row.label for row in rows}) < 2]:
        raise SystemExit(f"`{kind}` lacks one of the labels in: {', '.join(empty)}")


def write(rows: list[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["url", "phishing", "domain"])
        writer.writerows((row.url, row.label, row.domain) for row in rows)


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return [Row(row["url"], int(row["phishing"]), row["domain"]) for row in csv.DictReader(file)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
