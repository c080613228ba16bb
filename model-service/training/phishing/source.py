"""Where the rows come from: a folder, an archive at a URL with its SHA-256, or the bundled sample. All give labelled URLs."""

import csv
import hashlib
import os
import tarfile
import tempfile
import urllib.request
import zipfile
from pathlib import Path

FILES = ["phishing-urls.csv", "valid-urls.csv", "test.csv"]
HINT = "set DATA_DIR to the folder of PhishStorm's files, or DATA_URL and DATA_SHA256 to an archive of them, or run smoke/dvc.yaml"


def labelled(profile: str) -> tuple[list[tuple[str, int]], set[str]]:
    """(URL, label) with 1 = phishing, duplicates and all; and the URLs of the official test split."""
    if profile == "smoke":
        return sample()
    if folder := os.environ.get("DATA_DIR"):
        return phishstorm(Path(folder))
    if url := os.environ.get("DATA_URL"):
        with tempfile.TemporaryDirectory() as scratch:
            fetch(url, os.environ.get("DATA_SHA256", ""), Path(scratch))
            return phishstorm(Path(scratch))
    raise SystemExit(f"there is no data; {HINT}")


def fetch(url: str, sha256: str, folder: Path) -> None:
    """Put the three files of the tar or zip at `url` into `folder`, whatever folders they lie in; other bytes are refused."""
    if len(sha256) != 64:
        raise SystemExit(f"fetch {url}: DATA_SHA256 is no SHA-256; {HINT}")
    archive = folder / "archive"
    with urllib.request.urlopen(url, timeout=60) as answer, archive.open("wb") as file:
        while part := answer.read(1 << 20):
            file.write(part)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != sha256.lower():
        raise SystemExit(f"fetch {url}: its SHA-256 is {found}, not {sha256}")
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            members = {Path(name).name: opened.read(name) for name in opened.namelist() if Path(name).name in FILES}
    else:
        with tarfile.open(archive) as opened:
            members = {Path(m.name).name: opened.extractfile(m).read() for m in opened if m.isfile() and Path(m.name).name in FILES}
    if missing := set(FILES) - members.keys():
        raise SystemExit(f"fetch {url}: the archive lacks {', '.join(sorted(missing))}")
    for name, content in members.items():
        (folder / name).write_bytes(content)


def phishstorm(folder: Path) -> tuple[list[tuple[str, int]], set[str]]:
    def lines(name: str) -> list[str]:
        try:
            return [line for line in (folder / name).read_text("utf-8").split("\n") if line.strip()]
        except OSError as error:
            raise SystemExit(f"read the data: {error}; {HINT}") from error

    found = [(url, 1) for url in lines("phishing-urls.csv")] + [(url, 0) for url in lines("valid-urls.csv")]
    test = [line.split("\t", 1) for line in lines("test.csv")]
    labels = dict(found)
    if wrong := [line[-1] for line in test if len(line) != 2 or line[0] not in ("1", "-1") or labels.get(line[1]) != int(line[0] == "1")]:
        raise SystemExit(f"test.csv and the lists disagree on {len(wrong)} rows, e.g. {wrong[0]}")
    return found, {url for _, url in test}


def sample() -> tuple[list[tuple[str, int]], set[str]]:
    """The made-up URLs; every fifth is its official test."""
    with (Path(__file__).parent.parent / "sample.csv").open(encoding="utf-8", newline="") as file:
        found = [(row["url"], int(row["phishing"])) for row in csv.DictReader(file)]
    return found, {url for place, (url, _) in enumerate(found) if place % 5 < 1}
