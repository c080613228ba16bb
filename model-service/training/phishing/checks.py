"""Slices of the test rows, and rewritings of a URL that should leave the verdict as it is (metamorphic tests)."""

import re
from urllib.parse import urlsplit

import numpy

from . import metrics

ADDRESS = re.compile(r"^\d{1,3}(\.\d{1,3}){3}$")


def host(url: str) -> str:
    return url.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1].rsplit(":", 1)[0].lower()


def slices_of(url: str) -> list[str]:
    """The names of the slices that the URL is in."""
    name, length = host(url), len(url.encode())
    ending = name.rsplit(".", 1)[-1]
    found = ["length ≤ 30" if length <= 30 else "length 31–60" if length <= 60 else "length 61–120" if length <= 120 else "length > 120"]
    if ADDRESS.match(name):
        found.append("host is an address")
    else:
        found.append(".com" if ending == "com" else ".net, .org" if ending in ("net", "org") else "country" if len(ending) == 2 else "other ending")
    found.append("https" if url[:8].lower() == "https://" else "http")
    if "xn--" in name:
        found.append("punycode")
    found.append("www." if name.startswith("www.") else "no www.")
    found.append("no path" if len(url.split("://", 1)[-1].split("/", 1)[-1]) == 0 else "query" if "?" in url else "path")
    return found


def slices(urls: list[str], probabilities: numpy.ndarray, labels: numpy.ndarray) -> dict[str, dict]:
    """Rows, share of phishing, accuracy and AUC (none where a label is missing) of each slice."""
    members: dict[str, list[int]] = {}
    for place, url in enumerate(urls):
        for name in slices_of(url):
            members.setdefault(name, []).append(place)
    found = {}
    for name, places in sorted(members.items()):
        p, y = probabilities[places], labels[places]
        both = 0 < y.sum() < len(y)
        found[name] = {"rows": len(places), "phishing": round(float(y.mean()), 4), "accuracy": round(float(((p >= 0.5) == y).mean()), 4),
                       "auc": round(metrics.auc(p, y == 1), 4) if both else None}
    return found


def _query_order(url: str) -> str:
    head, mark, query = url.partition("?")
    pairs = query.split("&")
    return head + mark + "&".join(pairs[1:] + pairs[:1]) if mark and len(pairs) > 1 and "#" not in query else url


def _trailing_slash(url: str) -> str:
    parts = urlsplit(url)
    if parts.query or parts.fragment or "." in parts.path.rsplit("/", 1)[-1] or len(parts.path) < 2:
        return url
    return url[:-1] if url.endswith("/") else url + "/"


def _other_scheme(url: str) -> str:
    head, mark, rest = url.partition("://")
    return {"http": "https", "https": "http"}.get(head.lower(), head) + mark + rest


def _scheme_case(url: str) -> str:
    head, mark, rest = url.partition("://")
    return head.upper() + mark + rest


REWRITINGS = {"scheme": _other_scheme, "scheme_case": _scheme_case, "blanks": lambda url: f" {url}\n", "query_order": _query_order,
              "trailing_slash": _trailing_slash}


def metamorphic(urls: list[str], score) -> dict[str, dict]:
    """For each rewriting, the rows it changes, the share of them whose verdict changes, and the mean change of the probability."""
    found = {}
    for name, rewrite in REWRITINGS.items():
        changed = [(url, other) for url in urls if (other := rewrite(url)) != url]
        if not changed:
            found[name] = {"rows": 0, "flipped": 0.0, "moved": 0.0}
            continue
        before, after = score([url for url, _ in changed]), score([other for _, other in changed])
        found[name] = {"rows": len(changed), "flipped": round(float(((before >= 0.5) != (after >= 0.5)).mean()), 5),
                       "moved": round(float(numpy.abs(before - after).mean()), 5)}
    return found
