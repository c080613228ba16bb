"""What people said of answers, as the service exports it: JSON lines that become training rows.

`{"url": "…", "verdict": "phishing" | "legitimate", "feedback": "yes" | "no"}`; further keys are left alone. `no` turns the verdict.
"""

import json
from collections import Counter
from pathlib import Path

LONGEST = 8192  # bytes of a URL, as in the service


def read(path: Path) -> list[tuple[str, int]]:
    """One (URL, label) for each URL on which its feedback agrees; a line of another shape stops the run."""
    votes: dict[str, Counter] = {}
    for number, line in enumerate(path.read_text("utf-8").split("\n"), 1):
        if line.strip():
            url, label = _line(line, f"{path}:{number}")
            votes.setdefault(url, Counter())[label] += 1
    return [(url, next(iter(found))) for url, found in votes.items() if len(found) == 1]


def _line(line: str, place: str) -> tuple[str, int]:
    try:
        told = json.loads(line)
    except ValueError as error:
        raise SystemExit(f"read feedback {place}: {error}") from error
    if not isinstance(told, dict) or not isinstance(told.get("url"), str) or not 0 < len(told["url"].encode("utf-8", "replace")) <= LONGEST:
        raise SystemExit(f"read feedback {place}: `url` must be a text of 1 to {LONGEST} bytes")
    if told.get("verdict") not in ("phishing", "legitimate") or told.get("feedback") not in ("yes", "no"):
        raise SystemExit(f"read feedback {place}: `verdict` must be phishing or legitimate, `feedback` yes or no")
    return told["url"], int((told["verdict"] == "phishing") == (told["feedback"] == "yes"))
