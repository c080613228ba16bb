"""Slices of the test rows, and rewritings of a URL that should leave the verdict as it is (metamorphic tests)."""

import re
from urllib.parse import urlsplit

import numpy

from . import metrics, preprocessing

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
        found[name] = {"rows": len(places), "phishing": round(float(y.mean()), 4), **_figures(p, y)}
    return found


def _figures(p: numpy.ndarray, y: numpy.ndarray) -> dict[str, float | None]:
    """Accuracy, where there are rows, and AUC, where there are both labels."""
    return {"accuracy": round(float(((p >= 0.5) == y).mean()), 4) if len(y) else None,
            "auc": round(metrics.auc(p, y == 1), 4) if 0 < y.sum() < len(y) else None}


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


def _host_case(url: str) -> str:
    head, mark, rest = url.partition("://")
    if head.lower() not in ("http", "https"):  # two rows begin with a quotation mark
        return url
    end = re.search(r"[/?#]|$", rest).start()
    return head + mark + rest[:end].upper() + rest[end:]


def bare(url: str) -> str:
    """The URL of the host's front page."""
    head, mark, rest = url.partition("://")
    return head + mark + rest.split("/", 1)[0] + "/"


def _first_segment(url: str) -> str:
    head, mark, rest = url.partition("://")
    return head + mark + "/".join(rest.split("?", 1)[0].split("/")[:2])


# What the data has nearly nothing of and today's web is full of, made from its rows: a stand-in for URLs of other sources.
SHORTENED = {"host/": bare, "host": lambda url: bare(url)[:-1], "first segment": _first_segment}


def shortened(urls: list[str], labels: numpy.ndarray, score, trained: list[str]) -> dict[str, dict]:
    """Figures on rows cut short, each result once, without those that both labels give, or a row of `trained` too: training shows its
    rows cut short (`views`), with their label. A cut row has the label of the whole one, though the host of a broken-into site is no
    phishing: they are for comparing models, not what a user will see."""
    found = {}
    for name, cut in SHORTENED.items():
        shown = _inputs(trained, cut)
        told: dict[bytes, tuple[str, set[int]]] = {}
        for url, label in zip(urls, labels):
            short = cut(url)
            told.setdefault(preprocessing.model_input(short.encode()), (short, set()))[1].add(int(label))
        kept = [(short, min(both)) for read, (short, both) in told.items() if len(both) == 1 and read not in shown]
        found[name] = {"rows": len(kept), **_figures(score([short for short, _ in kept]), numpy.array([label for _, label in kept]))}
    return found


def _inputs(urls: list[str], cut) -> set[bytes]:
    """What the model reads of the URLs cut short."""
    return {preprocessing.model_input(short.encode()) for short in {cut(url) for url in urls}}


REWRITINGS = {"scheme": _other_scheme, "scheme_case": _scheme_case, "host_case": _host_case, "blanks": lambda url: f" {url}\n", "query_order": _query_order,
              "trailing_slash": _trailing_slash}


def metamorphic(urls: list[str], score, trained: list[str]) -> dict[str, dict]:
    """For each rewriting, the rows it changes, the share of them whose verdict changes, and the mean change of the probability.
    `host_slash`: the front pages of their hosts, without the slash; not of hosts in `trained`, which training shows so."""
    found, shown = {}, _inputs(trained, bare)
    hosts = sorted(front for front in {bare(url) for url in urls} if preprocessing.model_input(front.encode()) not in shown)
    for name, rewrite, some in [(name, rewrite, urls) for name, rewrite in REWRITINGS.items()] + [("host_slash", lambda url: url[:-1], hosts)]:
        changed = [(url, other) for url in some if (other := rewrite(url)) != url]
        if not changed:
            found[name] = {"rows": 0, "flipped": 0.0, "moved": 0.0}
            continue
        before, after = score([url for url, _ in changed]), score([other for _, other in changed])
        found[name] = {"rows": len(changed), "flipped": round(float(((before >= 0.5) != (after >= 0.5)).mean()), 5),
                       "moved": round(float(numpy.abs(before - after).mean()), 5)}
    return found
