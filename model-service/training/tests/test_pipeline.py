"""`python -m unittest discover -s tests` in `training/`: needs the environment of requirements.lock, and no data."""

import functools
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import phishing  # noqa: F401  before numpy: it sets the threads
import numpy
import yaml

from phishing import calibrate, card, checks, cost, data, evaluate, export, feedback, gate, kernel, metrics, network, preprocessing, reference, report, sample, source, vectors, views

HERE = Path(__file__).parents[1]
SHAPE = {"members": 2, "embedding": 4, "width": 8, "features": 32, "hidden": 8, "left": 0}


def a_network(left: int = 0, seed: int = 1) -> network.Network:
    shape = {name: value for name, value in SHAPE.items() if name != "members"}
    return network.Network.new({**shape, "left": left}, numpy.random.Generator(numpy.random.PCG64(seed)))


def an_ensemble(left: int = 0) -> network.Ensemble:
    return network.Ensemble([a_network(left, seed + 1) for seed in range(SHAPE["members"])])


class Environment(unittest.TestCase):
    def test_package_without_a_hash_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(HERE / "environment.sh", folder)
            (Path(folder) / "nothing-1.0-py3-none-any.whl").write_bytes(b"no wheel")
            (Path(folder) / "requirements.lock").write_text(f"--no-index\n--find-links {folder}\nnothing==1.0\n")
            done = subprocess.run(["sh", Path(folder) / "environment.sh"], text=True, capture_output=True,
                                  env={**os.environ, "XDG_CACHE_HOME": folder, "PROVISION_PYTHON": sys.executable})
            self.assertIn("Hashes are required", done.stderr)
            self.assertEqual(list(Path(folder).glob("provision/*/complete")), [])


class Preprocessing(unittest.TestCase):
    def test_meets_the_vectors_that_the_service_meets(self):
        self.assertEqual(vectors.PATH.read_text("utf-8"), vectors.text())


class Source(unittest.TestCase):
    def archive(self, folder: Path, names: list[str]) -> Path:
        path = folder / "data.zip"
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(f"PhishStorm/{name}", {"test.csv": "1\thttp://a.example/1\n"}.get(name, f"http://a.example/{int('phish' in name)}\n"))
        return path

    def fetched(self, names: list[str], sha256: str | None = None):
        with tempfile.TemporaryDirectory() as folder:
            path = self.archive(Path(folder), names)
            handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
            handler.func.log_message = lambda *_: None
            with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
                threading.Thread(target=server.serve_forever, daemon=True).start()
                try:
                    told = {"DATA_URL": f"http://127.0.0.1:{server.server_port}/data.zip",
                            "DATA_SHA256": sha256 or hashlib.sha256(path.read_bytes()).hexdigest()}
                    with mock.patch.dict(os.environ, told):
                        os.environ.pop("DATA_DIR", None)
                        return source.labelled("full")
                finally:
                    server.shutdown()

    def test_archive_at_a_url_is_read(self):
        labelled, official = self.fetched(source.FILES)
        self.assertEqual(labelled, [("http://a.example/1", 1), ("http://a.example/0", 0)])
        self.assertEqual(official, {"http://a.example/1"})

    def test_other_bytes_are_refused(self):
        with self.assertRaisesRegex(SystemExit, "its SHA-256 is"):
            self.fetched(source.FILES, "0" * 64)

    def test_archive_without_a_file_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "the archive lacks test.csv"):
            self.fetched(source.FILES[:2])

    def test_no_data_is_told_with_what_to_set(self):
        with mock.patch.dict(os.environ, clear=True), self.assertRaisesRegex(SystemExit, "there is no data; set DATA_DIR"):
            source.labelled("full")

    def test_sample_is_what_its_script_writes(self):
        self.assertEqual(source.sample()[0], sample.rows())


class Feedback(unittest.TestCase):
    def read(self, *lines) -> list[tuple[str, int]]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "feedback.jsonl"
            path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
            return feedback.read(path)

    def test_no_turns_the_verdict_and_disputed_urls_are_left_out(self):
        line = lambda url, verdict, said: {"url": url, "verdict": verdict, "feedback": said, "app_version": "v1"}  # noqa: E731
        found = self.read(line("a", "phishing", "yes"), line("b", "phishing", "no"), line("c", "legitimate", "no"),
                          line("d", "legitimate", "yes"), line("d", "legitimate", "no"))
        self.assertEqual(found, [("a", 1), ("b", 0), ("c", 1)])

    def test_line_of_another_shape_is_told_with_its_place(self):
        for wrong in ("{", "[]", {"url": ""}, {"url": "a", "verdict": "maybe", "feedback": "yes"}, {"url": "a", "verdict": "phishing", "feedback": True}):
            with self.assertRaisesRegex(SystemExit, r"feedback\.jsonl:2: "):
                self.read({"url": "a", "verdict": "phishing", "feedback": "yes"}, wrong)

    def test_feedback_trains_and_is_never_tested_on_and_turns_no_known_label(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "told.jsonl"
            known = source.sample()[0][1][0]
            twin = {"http": "https", "https": "http"}[known.split("://")[0]] + "://" + known.split("://")[1]  # to the model the same
            urls = [f"http://new-{number}.example/" for number in range(40)] + [known, twin]
            path.write_text("".join(json.dumps({"url": url, "verdict": "legitimate", "feedback": "yes"}) + "\n" for url in urls))
            rows, official = data.prepare("smoke", path)
        self.assertEqual(sum(row.origin == "feedback" for row in rows), 40)
        for kind in data.SPLITS:
            parts = data.split(rows, kind, official)
            self.assertGreater(sum(row.origin == "feedback" for row in parts["train"]), 20)
            self.assertFalse([row for part in ("validation", "test") for row in parts[part] if row.origin == "feedback"])


class Rows(unittest.TestCase):
    """`prepare` on files of PhishStorm's shape."""

    def prepared(self, phishing: list[str], legitimate: list[str], test: list[str]):
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"DATA_DIR": folder}):
            for name, lines in zip(source.FILES, (phishing, legitimate, test)):
                (Path(folder) / name).write_text("".join(f"{line}\n" for line in lines))
            return data.prepare("full")

    def test_duplicates_go_and_blank_lines_are_none(self):
        rows, official = self.prepared(["http://a.example/1", "http://b.example/", "http://a.example/1"], ["", "http://c.co.uk/x", "http://c.co.uk/x"], ["1\thttp://b.example/"])
        self.assertEqual([(row.url, row.label, row.domain, row.origin) for row in rows],
                         [("http://a.example/1", 1, "a.example", "data"), ("http://b.example/", 1, "b.example", "data"), ("http://c.co.uk/x", 0, "c.co.uk", "data")])
        self.assertEqual(official, {"http://b.example/"})

    def test_url_with_both_labels_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "the URL has both labels: http://a.example/1"):
            self.prepared(["http://a.example/1"], ["http://b.example/", "http://a.example/1"], [])

    def test_test_rows_that_the_lists_do_not_have_so_are_refused(self):
        for wrong in ("-1\thttp://a.example/", "1\thttp://b.example/", "1\thttp://c.example/", "0\thttp://b.example/", "http://a.example/"):
            with self.assertRaisesRegex(SystemExit, "test.csv and the lists disagree on 1 rows, e.g. http"):
                self.prepared(["http://a.example/"], ["http://b.example/"], ["1\thttp://a.example/", wrong])

    def test_row_of_another_shape_is_refused(self):
        for row in [("http://a.example/", 2), ("http://a.example/", -1), (" ", 1), ("http://a.example/\nhttp://b.example/", 0)]:
            with mock.patch.object(source, "labelled", return_value=([("http://b.example/", 0), row], set())):
                with self.assertRaisesRegex(SystemExit, "the row has another shape: "):
                    data.prepare("full")


class Splits(unittest.TestCase):
    def test_domain_that_crosses_is_refused(self):
        row = lambda url, label: data.Row(url, label, "a.example")  # noqa: E731
        with self.assertRaisesRegex(SystemExit, "1 domains are on two sides"):
            data.check({"train": [row("1", 0), row("2", 1)], "validation": [row("3", 0)], "test": []}, "domain_disjoint")

    def test_row_that_crosses_is_refused(self):
        row = data.Row("http://a.example", 1, "a.example")
        with self.assertRaisesRegex(SystemExit, "1 URLs are on two sides"):
            data.check({"train": [row], "validation": [], "test": [row]}, "official")

    def test_side_of_a_domain_is_the_first_eight_hex_digits_of_its_salted_hash(self):
        """As model.md has it: sha256("split1:" + domain)[:8 hex] % 100, test below 20, validation below 25. Another rule, and a model
        is scored on rows that it was trained on."""
        found = [data.bucket("split1", name) for name in ("example.com", "example.net", "example.org")]
        self.assertEqual(found, [14, 71, 86])
        for name, bucket, part in [("site-135.example", 0, "test"), ("site-203.example", 19, "test"), ("site-333.example", 20, "validation"),
                                   ("site-163.example", 24, "validation"), ("site-264.example", 25, "train"), ("site-116.example", 99, "train")]:
            row = data.Row(f"http://{name}/", 0, name)
            self.assertEqual((data.bucket("split1", name), data.place(row, "domain_disjoint", {row.url})), (bucket, part), name)

    # To the model one row: the scheme goes, and what is behind 200 bytes.
    TWINS = [("http://a.example/login", "https://a.example/login"), ("http://a.example/" + "b" * 200 + "1", "http://a.example/" + "b" * 200 + "2")]

    def test_row_that_the_model_reads_as_one_it_was_fitted_to_is_not_scored(self):
        for one, other in self.TWINS:
            row = lambda url: data.Row(url, 1, "a.example")  # noqa: E731
            new = row("http://a.example/new")
            for fitted in ("train", "validation"):
                parts = {"train": [], "validation": [], "test": [row(other), new], fitted: [row(one)]}
                found = data.scored(parts)
                self.assertEqual((found["test"], found[fitted]), ([new], [row(one)]))
            found = data.scored({"train": [row(one)], "validation": [row(other), new], "test": []})
            self.assertEqual(found["validation"], [new])

    def test_row_whose_twin_is_on_another_side_is_refused_where_rows_are_scored(self):
        for one, other in self.TWINS:
            parts = {"train": [data.Row(one, 1, "a.example")], "validation": [], "test": [data.Row(other, 1, "a.example")]}
            with self.assertRaisesRegex(SystemExit, "1 URLs are on two sides of `official`, e.g. http://a.example/"):
                data.check(parts, "official", data.model_input)

    def test_figures_are_of_the_rows_that_are_scored(self):
        rows = {"train": [("http://a.example/login", 1), ("http://b.example/", 0)], "validation": [("http://c.example/1", 1), ("http://d.example/2", 0)],
                "test": [("https://a.example/login", 1), ("http://e.example/x", 1), ("http://f.example/y", 0)]}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for part, some in rows.items():
                data.write([data.Row(url, label, data.registrable_domain(url)) for url, label in some], folder / f"{part}.csv")
            training = {"split": "official", "seed": 7, "temperature": 1.0, "train_rows_sha256": data.digest(folder / "train.csv")}
            told = {"reference": json.dumps(reference.of([url for url, _ in rows["train"]], numpy.array([0.5])))}
            content = export.onnx_model(an_ensemble(), 1.0, told)
            found = evaluate.of(content, folder, training)
            self.assertEqual((found["test"]["rows"], found["test"]["left_out"], found["slices"]["http"]["rows"]), (2, 1, 2))
            self.assertEqual((found["validation"]["rows"], found["validation"]["left_out"]), (2, 0))
            self.assertEqual(evaluate.test(content, folder)["auc"], found["test"]["auc"])
            self.assertEqual((evaluate.summary([found])["test_rows"], evaluate.summary([found])["test_rows_left_out"]), (2, 1))

    def test_row_that_stands_twice_is_refused(self):
        row = data.Row("http://a.example", 1, "a.example")
        with self.assertRaisesRegex(SystemExit, "has duplicates in: train"):
            data.check({"train": [row, row], "validation": [], "test": []}, "official")

    def test_registrable_domain_uses_icann_rules_only(self):
        self.assertEqual(data.registrable_domain("http://a.b.blogspot.com/x"), "blogspot.com")
        self.assertEqual(data.registrable_domain("https://user@www.bbc.co.uk:80/x"), "bbc.co.uk")
        self.assertEqual(data.registrable_domain("http://192.0.2.7/x"), "192.0.2.7")
        self.assertEqual(data.registrable_domain('"http://a.b.co.uk/x?y@c.example'), "b.co.uk")


class Figures(unittest.TestCase):
    def test_known_case(self):
        found = metrics.measure(numpy.array([0.9, 0.8, 0.4, 0.1]), numpy.array([1, 0, 1, 0]))
        self.assertEqual((found["accuracy"], found["precision"], found["recall"], found["auc"]), (0.5, 0.5, 0.5, 0.75))
        self.assertAlmostEqual(found["brier"], (0.01 + 0.64 + 0.36 + 0.01) / 4)

    def test_ties_count_half(self):
        self.assertEqual(metrics.auc(numpy.array([0.5, 0.5]), numpy.array([True, False])), 0.5)

    def test_temperature_undoes_overconfidence(self):
        chance = numpy.random.default_rng(1)
        logits = chance.normal(0, 2, 20_000)
        labels = chance.random(20_000) < network.sigmoid(logits)
        self.assertAlmostEqual(calibrate.temperature(logits * 2.5, labels), 2.5, delta=0.1)


class Kernel(unittest.TestCase):
    def urls(self) -> list[str]:
        return ["http://a.example/login", "", "x", "http://" + "y/" * 150, "http://" + "z" * 193, "http://" + "z" * 192]

    def test_exported_file_gives_under_onnxruntime_what_the_kernel_gives(self):
        for left in (0, 5):
            made = an_ensemble(left)
            told = export.probabilities(export.onnx_model(made, 1.3, {}), self.urls())
            ours = network.sigmoid(made.logits(preprocessing.matrix(self.urls())) / 1.3)
            self.assertLess(numpy.abs(told - ours).max(), 1e-6)

    def test_weights_come_back_from_the_file(self):
        made = an_ensemble()
        found = export.ensemble(export.onnx_model(made, 1.0, {}))
        self.assertEqual(found.shape, SHAPE)
        for one, other in zip(found.members, made.members):
            for name, value in one.weights.items():
                if name != "output_bias":
                    numpy.testing.assert_array_equal(value, other.weights[name])
        self.assertAlmostEqual(float(found.members[0].weights["output_bias"][0]), float(numpy.mean([member.weights["output_bias"] for member in made.members])))

    def test_ensemble_answers_the_mean_and_comes_back_from_its_weights(self):
        made, ids = an_ensemble(), preprocessing.matrix(self.urls())
        numpy.testing.assert_array_equal(made.logits(ids), (made.members[0].logits(ids) + made.members[1].logits(ids)) / 2)
        self.assertFalse((made.members[0].logits(ids) == made.members[1].logits(ids)).all())
        with tempfile.TemporaryDirectory() as folder:
            made.save(Path(folder) / "weights.npz")
            numpy.testing.assert_array_equal(network.Ensemble.load(SHAPE, Path(folder) / "weights.npz").logits(ids), made.logits(ids))

    def test_gradients_are_those_of_small_differences(self):
        made, chance = a_network(3), numpy.random.default_rng(1)
        ids, targets = preprocessing.matrix(self.urls()), numpy.array([1, 0, 1, 0.5, 0, 1], numpy.float32)
        lengths = preprocessing.lengths(ids)
        _, gradients = network._gradients(made, ids, lengths, targets, 0.0, chance)
        for name in network.ORDER:
            flat = made.weights[name].reshape(-1)
            for place in numpy.argsort(-numpy.abs(gradients[name].reshape(-1)))[:3]:
                losses, kept = [], flat[place]
                for step in (1e-2, -1e-2):
                    flat[place] = kept + step
                    losses.append(network._gradients(made, ids, lengths, targets, 0.0, chance)[0])
                flat[place] = kept
                exact = gradients[name].reshape(-1)[place]
                self.assertAlmostEqual((losses[0] - losses[1]) / 2e-2, exact, delta=1e-3 + abs(exact) * 0.08, msg=name)

    def test_features_that_fill_no_block_are_refused(self):
        with self.assertRaisesRegex(ValueError, "multiples of 32"):
            kernel.forward(numpy.zeros((96, 8, 33), numpy.float32), numpy.zeros((1, 200), numpy.uint8), numpy.zeros(1, numpy.int32), 0)


class Views(unittest.TestCase):
    def seen(self, urls: list[str], **chances: float) -> tuple[numpy.ndarray, numpy.ndarray]:
        """The ids of the URLs, and those of a view; the first half is legitimate."""
        ids, still = preprocessing.matrix(urls), dict.fromkeys(["swap", "cut", "host", "slash", "digits", "noise", "noisy"], 0)
        labels = numpy.arange(len(ids)) * 2 >= len(ids)
        return ids, views.seen(ids, labels, views.places(ids), {**still, **chances}, numpy.random.default_rng(1))

    def test_cut_keeps_the_host_and_noise_keeps_the_length(self):
        urls = ["http://host.example/a/long/path?with=query"] * 200
        ids, still = self.seen(urls)
        numpy.testing.assert_array_equal(ids, still)
        cut = preprocessing.lengths(self.seen(urls, cut=1)[1])
        self.assertEqual((cut.min(), cut.max()), (len("host.example/"), len("host.example/a/long/path?with=query")))
        self.assertEqual(set(preprocessing.lengths(self.seen(urls, host=1)[1])), {len("host.example/")})
        slash = preprocessing.lengths(self.seen(urls, host=1, slash=0.5)[1])
        self.assertEqual(set(slash), {len("host.example/"), len("host.example")})
        self.assertEqual(set(preprocessing.lengths(self.seen(["http://h.example/a/"] * 50, slash=0.5)[1])), {len("h.example/a/"), len("h.example/a")})
        short = self.seen(["", "/", "a"], cut=0.5, host=0.5, slash=1, swap=1)[1]
        self.assertEqual(list(preprocessing.lengths(short)), [0, 0, 1])
        ids, noisy = self.seen(urls, noise=0.1, noisy=0.5)
        numpy.testing.assert_array_equal(preprocessing.lengths(noisy), preprocessing.lengths(ids))
        lost, places = noisy != ids, numpy.arange(200) < len("host.example/")
        self.assertEqual((set(noisy[:, places][lost[:, places]]), set(noisy[:, ~places][lost[:, ~places]])), ({preprocessing.HOST_OTHER}, {preprocessing.OTHER}))

    def test_swap_gives_a_row_the_path_of_another_of_its_label(self):
        urls = [f"http://{label}{number}.example/{label}/{number}" for label in "ab" for number in range(100, 200)] + ["http://c.example?c", "d"]
        seen = self.seen(urls[:100] + urls[-2:-1] + urls[100:-2] + urls[-1:], swap=0.5)[1]
        text = {tuple(preprocessing.ids(f"{label}{host}.example/{label}/{path}".encode())): (host, path) for label in "ab" for host in range(100, 200) for path in range(100, 200)}
        whole = {tuple(preprocessing.ids(url)) for url in (b"c.example?c", b"d")}
        self.assertEqual(len([row for row in seen if tuple(row) in whole]), 2)
        pairs = [text[tuple(row)] for row in seen if tuple(row) not in whole]
        self.assertEqual(sorted(host for host, _ in pairs), sorted([*range(100, 200)] * 2))
        self.assertTrue(60 < sum(host != path for host, path in pairs) < 140)

    def test_digits_become_any_and_nothing_else_changes(self):
        ids, seen = self.seen(["http://h0s9.example/p1?q=2x"] * 400, digits=0.5)
        places = [place for place, byte in enumerate(b"h0s9.example/p1?q=2x") if byte in b"0123456789"]
        numpy.testing.assert_array_equal(numpy.delete(ids, places, axis=1), numpy.delete(seen, places, axis=1))
        for place in places:
            some = preprocessing.HOST_IDS if place < 13 else preprocessing.IDS
            self.assertEqual(set(seen[:, place]), set(some[ord("0"):ord("9") + 1]))
        same = (ids == seen).all(axis=1).sum()
        self.assertTrue(150 < same < 250, same)


class Checks(unittest.TestCase):
    def test_slices_name_what_a_url_is(self):
        self.assertEqual(checks.slices_of("https://192.0.2.7:80/a?b"), ["length ≤ 30", "host is an address", "https", "no www.", "query"])
        self.assertEqual(checks.slices_of("http://www.xn--e1a.co.uk/"), ["length ≤ 30", "country", "http", "punycode", "www.", "no path"])

    def test_rewritings_are_what_they_say(self):
        url = "http://a.example/p?x=1&y=2&z=3"
        told = {name: rewrite(url) for name, rewrite in checks.REWRITINGS.items()}
        self.assertEqual(told, {"scheme": "https://a.example/p?x=1&y=2&z=3", "scheme_case": "HTTP://a.example/p?x=1&y=2&z=3", "host_case": "http://A.EXAMPLE/p?x=1&y=2&z=3", "blanks": f" {url}\n",
                                "query_order": "http://a.example/p?y=2&z=3&x=1", "trailing_slash": url})
        slash = checks.REWRITINGS["trailing_slash"]
        self.assertEqual([slash("http://a.example/b"), slash("http://a.example/b/"), slash("http://a.example/b.php"), slash("http://a.example/")],
                         ["http://a.example/b/", "http://a.example/b", "http://a.example/b.php", "http://a.example/"])


    def test_rows_are_cut_short_once_and_not_where_both_labels_give_the_same(self):
        urls = ["http://a.example/p/q?x", "http://a.example/r", "http://b.example/p", "http://b.example/q", "http://c.example/p"]
        score = lambda cut: numpy.array([float("a.example" in url) for url in cut])  # noqa: E731
        found = checks.shortened(urls, numpy.array([1, 1, 0, 1, 0]), score, [])
        self.assertEqual(found["host/"], {"rows": 2, "accuracy": 1.0, "auc": 1.0})
        self.assertEqual(found["first segment"]["rows"], 5)
        self.assertEqual([cut(urls[0]) for cut in checks.SHORTENED.values()], ["http://a.example/", "http://a.example", "http://a.example/p"])
        twice = checks.shortened(["http://a.example/p", "https://a.example/p", "http://c.example/"], numpy.array([1, 1, 0]), score, [])
        self.assertEqual([part["rows"] for part in twice.values()], [2, 2, 2])

    def test_rows_cut_to_what_training_shows_are_left_out(self):
        urls, trained = ["http://a.example/p/q", "http://b.example/p", "http://c.example/p"], ["https://a.example/other", "http://c.example/p/r"]
        score = lambda cut: numpy.array([float("b.example" in url) for url in cut])  # noqa: E731
        found = checks.shortened(urls, numpy.array([0, 1, 0]), score, trained)
        self.assertEqual({name: part["rows"] for name, part in found.items()}, {"host/": 1, "host": 1, "first segment": 2})
        self.assertEqual((found["host"]["auc"], found["first segment"]["auc"]), (None, 1.0))
        self.assertEqual(checks.shortened(urls[:1], numpy.array([0]), score, trained)["host"], {"rows": 0, "accuracy": None, "auc": None})
        told = checks.metamorphic(urls, lambda some: numpy.zeros(len(some)), trained)
        self.assertEqual((told["host_slash"]["rows"], told["scheme"]["rows"]), (1, 3))


class Shipped(unittest.TestCase):
    """What lies in `models/` and here is what `gate` writes of the figures beside the models, with its code and thresholds of now."""

    def setUp(self):
        self.models = {entry["split"]: HERE / "../models" / f"{entry['name']}.onnx" for entry in yaml.safe_load((HERE / "params.yaml").read_text())["ship"]}
        self.told = {split: json.loads(path.with_suffix(".metrics.json").read_text("utf-8")) for split, path in self.models.items()}
        self.figures = {split: {"summary": told["all_seeds"], "seeds": [told]} for split, told in self.told.items()}
        self.thresholds = yaml.safe_load((HERE / "thresholds.yaml").read_text())

    def test_they_meet_every_threshold(self):
        self.assertEqual([miss for figures in self.figures.values() for miss in gate.misses(figures, self.thresholds)], [])

    def test_every_slice_by_scheme_length_ending_and_kind_of_host_has_a_bar_of_its_own(self):
        lengths, endings = ["length ≤ 30", "length 31–60", "length 61–120", "length > 120"], [".com", ".net, .org", "country", "other ending"]
        self.assertLessEqual({"https", "host is an address", "punycode", *lengths, *endings}, set(self.thresholds["slices"]["named"]))
        for told in self.told.values():
            self.assertLessEqual(set(self.thresholds["slices"]["named"]), set(told["slices"]))

    def test_report_says_what_calibration_did_to_ece_and_why_the_splits_are_not_those_of_a_parser(self):
        found = report.text(self.figures, [], self.thresholds)
        for said in ["ECE is 0.0043 before and 0.0052 after it, so worse after it", "ECE is 0.0045 before and 0.0068 after it, so worse after it",
                     "kept, since no test row has a say", "17,890 test and 74,248 training rows here", "17,888 and 74,250"]:
            self.assertIn(said, found)

    def test_cards_are_written_from_the_figures_and_the_file(self):
        for split, path in self.models.items():
            told = self.told[split]
            text = card.text(told["model"], told["version"], told, told["all_seeds"], told["training"]["profile"], evaluate.scorer(path.read_bytes()))
            self.assertEqual(path.with_suffix(".md").read_text("utf-8"), text)

    def test_report_and_metrics_are_written_from_the_figures(self):
        self.assertEqual((HERE / "REPORT.md").read_text("utf-8"), report.text(self.figures, [], self.thresholds))
        self.assertEqual(json.loads((HERE / "metrics.json").read_text("utf-8")), {split: told["all_seeds"] for split, told in self.told.items()})


class Stages(unittest.TestCase):
    """Two runs of the smoke profile, in a copy, so that nothing of another run is there."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.run_of = [cls.copy(name) for name in ("one", "two")]
        for root in cls.run_of:
            cls.stage(root, "all")

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def copy(cls, name: str) -> Path:
        root = Path(cls.scratch.name) / name
        root.mkdir()
        for part in ("phishing", "smoke", "ordinary.txt", "sample.csv"):
            (root / part).symlink_to(HERE / part)
        return root

    @staticmethod
    def stage(root: Path, name: str, params: str = "smoke/params.yaml", **more) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", "phishing", name, "--params", params], cwd=root, text=True,
                              capture_output=True, check=not more, **more)

    def test_same_seed_gives_the_same_bytes(self):
        files = [{path.relative_to(root / "work-smoke"): path.read_bytes() for path in (root / "work-smoke").rglob("*") if path.is_file()} for root in self.run_of]
        self.assertEqual(files[0].keys(), files[1].keys())
        self.assertEqual([name for name in files[0] if files[0][name] != files[1][name] and name.suffix != ".npz"], [])

    def test_seeds_and_splits_give_different_files(self):
        told = json.loads((self.run_of[0] / "work-smoke/figures.json").read_text())
        ids = [seed["id"] for split in told.values() for seed in split["seeds"]]
        self.assertEqual(len(set(ids)), 4)
        metrics, report = (json.loads((self.run_of[0] / "work-smoke/metrics.json").read_text()), (self.run_of[0] / "work-smoke/REPORT.md").read_text())
        for split in told:
            files = (self.run_of[0] / "work-smoke" / split / "onnx").iterdir()
            self.assertEqual(metrics[split]["ids"], {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)})
        self.assertEqual([id for id in ids if id not in report], [])

    def test_card_and_metrics_speak_of_the_shipped_file(self):
        for name in ("v1", "v2"):
            model = self.run_of[0] / "work-smoke/models" / f"{name}.onnx"
            told = json.loads(model.with_suffix(".metrics.json").read_text())
            self.assertEqual(told["id"], hashlib.sha256(model.read_bytes()).hexdigest())
            self.assertIn(told["id"], model.with_suffix(".md").read_text())
            urls = card.ORDINARY.read_text("utf-8").split()
            wrong = sum(p >= 0.5 for p in export.probabilities(model.read_bytes(), urls))
            self.assertIn(f"it calls {wrong} phishing", model.with_suffix(".md").read_text())
            self.assertIn(told["id"], (self.run_of[0] / "work-smoke/REPORT.md").read_text())

    def test_model_is_not_scored_beside_rows_it_was_not_trained_on(self):
        root = self.run_of[1]
        rows = root / "work-smoke/official/rows/train.csv"
        kept = rows.read_text()
        self.addCleanup(rows.write_text, kept)
        rows.write_text("\n".join(kept.split("\n")[:-2]) + "\n")
        done = self.stage(root, "evaluate", timeout=100)
        self.assertIn("is not the file this model was trained on", done.stderr)

    def gate(self, edit) -> subprocess.CompletedProcess:
        """What gate says after an edit of the files in `work-smoke` of the second run, which are put back after the test."""
        work = self.run_of[1] / "work-smoke"
        for path in [work / "figures.json", *(work / "models").iterdir()]:
            self.addCleanup(path.write_bytes, path.read_bytes())
        edit(work)
        return self.stage(self.run_of[1], "gate", timeout=100)

    @staticmethod
    def set_auc(by: float):
        def edit(work: Path) -> None:
            told = json.loads((work / "figures.json").read_text())
            told["domain_disjoint"]["seeds"][0]["test"]["auc"] += by
            (work / "figures.json").write_text(json.dumps(told))
        return edit

    def v2(self) -> tuple[bytes, dict]:
        model = self.run_of[1] / "work-smoke/models/v2.onnx"
        return model.read_bytes(), json.loads(model.with_suffix(".metrics.json").read_text())

    def test_worse_model_is_refused_and_the_current_one_stays(self):
        current = self.v2()
        done = self.gate(self.set_auc(-0.06))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"refused, the current models stay:\n  domain_disjoint: auc is 0\.9\d*, the best model's so far \d\.\d+; 0\.05 may be lost\n$")
        self.assertEqual(self.v2(), current)

    def test_model_that_is_slow_or_large_here_is_refused_and_the_current_one_stays(self):
        current, root = self.v2(), self.run_of[1]
        params, thresholds = (yaml.safe_load((root / "smoke" / name).read_text()) for name in ("params.yaml", "thresholds.yaml"))
        params["folders"]["thresholds"] = "strict.yaml"
        thresholds["measured"] = {"milliseconds_a_url": 0, "resident_mb": 0}
        for name, content in (("strict-params.yaml", params), ("strict.yaml", thresholds)):
            (root / name).write_text(yaml.safe_dump(content))
            self.addCleanup((root / name).unlink)
        done = self.stage(root, "gate", "strict-params.yaml", timeout=100)
        self.assertEqual(done.returncode, 1, done.stdout)
        for split in data.SPLITS:
            for name in thresholds["measured"]:
                self.assertRegex(done.stderr, rf"\n  {split}: {name} is \d+\.\d+ here, at most 0 is allowed\n")
        self.assertEqual(self.v2(), current)

    def test_model_that_loses_no_more_than_allowed_leaves_the_best_what_it_was(self):
        _, before = self.v2()
        self.assertEqual(before["best"]["auc"], before["test"]["auc"])
        done = self.gate(self.set_auc(-0.04))
        self.assertEqual(done.returncode, 0, done.stderr)
        _, after = self.v2()
        self.assertAlmostEqual(after["test"]["auc"], before["best"]["auc"] - 0.04)
        self.assertEqual(after["best"], before["best"])

    def test_model_is_compared_with_the_best_of_its_name_on_the_same_rows(self):
        def best(**changes):
            def edit(work: Path) -> None:
                path = work / "models/v2.metrics.json"
                told = json.loads(path.read_text())
                told["best"] = {**told["test"], **changes}
                path.write_text(json.dumps(told))
            return edit

        auc = self.v2()[1]["test"]["auc"]
        done = self.gate(best(auc=auc + 0.06))
        self.assertEqual(done.returncode, 1, "a model far below the best so far was shipped")
        self.assertIn(f"auc is {auc}, the best model's so far {auc + 0.06}; 0.05 may be lost", done.stderr)
        self.assertEqual(self.gate(best(auc=auc + 0.06, rows_sha256="of other rows")).returncode, 0)
        self.assertEqual(self.v2()[1]["best"]["auc"], auc)

    def test_current_model_of_another_split_cannot_be_compared(self):
        done = self.gate(lambda work: (work / "models/v2.onnx").write_bytes((work / "models/v1.onnx").read_bytes()))
        self.assertEqual(done.returncode, 1)
        self.assertIn("  domain_disjoint: the current model learned from `official`, so these rows cannot compare the two; ship it under another name\n", done.stderr)
        self.assertEqual(self.v2()[0], (self.run_of[1] / "work-smoke/models/v1.onnx").read_bytes())

    def test_both_pipelines_have_the_same_stages_and_files(self):
        def plain(path: str) -> dict:
            text = (HERE / path).read_text().replace("work-smoke", "work").replace("smoke/", "").replace(" --params params.yaml", "")
            return {name: (stage["cmd"], {str(file) for file in stage["deps"]} - {"sample.csv"}) for name, stage in yaml.safe_load(text)["stages"].items()}

        self.assertEqual(plain("dvc.yaml"), plain("smoke/dvc.yaml"))
        self.assertEqual(list(plain("dvc.yaml")), ["prepare", "split", "train", "calibrate", "export", "evaluate", "gate"])


class Reference(unittest.TestCase):
    def test_bounds_are_upper_edges_and_shares_sum_to_one(self):
        found = reference.histogram(numpy.array([10, 20, 21, 401]), reference.LENGTHS)
        self.assertEqual((found["shares"][0], found["shares"][1], found["shares"][-1], len(found["shares"])), (0.5, 0.25, 0.25, len(found["bounds"]) + 1))

    def test_drift_is_nothing_on_the_same_and_large_on_other_values(self):
        values = numpy.arange(20, 100)
        told = reference.histogram(values, reference.LENGTHS)
        self.assertEqual(reference.drift(told, values), 0)
        self.assertGreater(reference.drift(told, values + 100), 1)

    def test_exported_file_carries_the_training_rows_lengths(self):
        told = reference.of(["http://a.example/", "http://a.example/" + "b" * 500], numpy.array([0.01, 0.99]))
        again = json.loads(export.told(export.onnx_model(an_ensemble(), 1.0, {"reference": json.dumps(told)}))["reference"])
        self.assertEqual((again["length"]["shares"][0], again["length"]["shares"][-1], sum(again["score"]["shares"])), (0.5, 0.5, 1))


class Cost(unittest.TestCase):
    def test_counts_are_those_of_the_shape(self):
        found = cost.counted(export.onnx_model(an_ensemble(), 1.0, {}))
        self.assertEqual((found["folded_bytes"], found["additions"]), (4 * (140 * 8 * 64 + 64 * 9 + 33), 193 * 8 * 64 + 64 * 9 + 33))

    def test_what_is_measured_here_is_refused_above_its_bar(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(export.onnx_model(an_ensemble(), 1.0, {}))
            found = cost.measured(path)
        self.assertEqual(gate.costly("official", found, {"milliseconds_a_url": 1e3, "resident_mb": 1e4}), [])
        self.assertEqual(len(gate.costly("official", found, {"milliseconds_a_url": 0, "resident_mb": 1e4})), 1)


class Gate(unittest.TestCase):
    def figures(self) -> dict:
        summary = {name: {"mean": 0.99, "spread": 0.001, "shipped": 0.99} for name in ("accuracy", "auc", "recall_at_1_percent_fpr")}
        summary |= {"ece": {"mean": 0.005, "spread": 0.001, "shipped": 0.005}, "training_split": "domain_disjoint"}
        rewritings = {name: {"rows": 9, "flipped": 0.0} for name in [*checks.REWRITINGS, "host_slash"]}
        named = yaml.safe_load((HERE / "thresholds.yaml").read_text())["slices"]["named"]
        slices = {**{name: {"rows": 2000, "accuracy": 0.99} for name in named}, "no path": {"rows": 3, "accuracy": 0.3},
                  "host is an address": {"rows": 54, "accuracy": 0.96}, "punycode": {"rows": 4, "accuracy": 1.0}}
        return {"summary": summary, "seeds": [{"slices": slices,
                                               "metamorphic": rewritings, "shortened": {name: {"auc": 0.97} for name in checks.SHORTENED},
                                               "cost": {"file_bytes": 9, "folded_bytes": 9, "additions": 9},
                                               "monitoring": {"length_same": 0.01, "length_other": 2.0, "score_same": 0.01, "score_other": 0.5}}]}

    def test_bars_are_what_the_models_were_asked_for(self):
        thresholds = yaml.safe_load((HERE / "thresholds.yaml").read_text())
        self.assertEqual([thresholds[split] for split in data.SPLITS],
                         [{"accuracy": 0.97, "auc": 0.996}, {"accuracy": 0.952, "auc": 0.99, "ece": 0.01, "recall_at_1_percent_fpr": 0.88}])

    def test_each_threshold_is_held(self):
        thresholds = yaml.safe_load((HERE / "thresholds.yaml").read_text())
        self.assertEqual(gate.misses(self.figures(), thresholds), [])
        for change, said in [
            (lambda told: told["summary"]["accuracy"].update(mean=0.9), "mean accuracy is 0.9, the bar 0.952"),
            (lambda told: told["summary"]["ece"].update(shipped=0.02), "shipped ece is 0.02, the bar 0.01"),
            (lambda told: told["summary"]["auc"].update(spread=0.1), "auc spreads 0.1"),
            (lambda told: told["seeds"][0]["slices"]["https"].update(accuracy=0.5), "accuracy on `https`"),
            (lambda told: told["seeds"][0]["slices"]["no path"].update(rows=200), "accuracy on `no path` (200 rows) is 0.3"),
            (lambda told: told["seeds"][0]["slices"].pop("https"), "`https` has 0 rows"),
            (lambda told: told["seeds"][0]["slices"]["length > 120"].update(rows=150), "`length > 120` has 150 rows"),
            (lambda told: told["seeds"][0]["slices"].pop(".net, .org"), "`.net, .org` has 0 rows"),
            (lambda told: told["seeds"][0]["slices"]["host is an address"].update(accuracy=0.8), "accuracy on `host is an address` (54 rows) is 0.8, the bar 0.9"),
            (lambda told: told["seeds"][0]["slices"]["punycode"].update(accuracy=0.5), "accuracy on `punycode`"),
            (lambda told: told["seeds"][0]["slices"]["punycode"].update(rows=3), "`punycode` has 3 rows, its bar is for 4"),
            (lambda told: told["seeds"][0]["slices"].pop("punycode"), "`punycode` has 0 rows, its bar is for 4"),
            (lambda told: told["seeds"][0]["metamorphic"]["scheme"].update(flipped=0.1), "scheme flips 0.1"),
            (lambda told: told["seeds"][0]["metamorphic"]["query_order"].update(flipped=0.02), "query_order flips 0.02"),
            (lambda told: told["seeds"][0]["metamorphic"]["trailing_slash"].update(flipped=0.03), "trailing_slash flips 0.03"),
            (lambda told: told["seeds"][0]["metamorphic"]["host_slash"].update(flipped=0.04), "host_slash flips 0.04"),
            (lambda told: told["seeds"][0]["shortened"]["host"].update(auc=0.5), "AUC on rows cut to `host` is 0.5"),
            (lambda told: told["seeds"][0]["shortened"]["host"].update(auc=None), "AUC on rows cut to `host` is None"),
            (lambda told: told["seeds"][0]["cost"].update(file_bytes=500_000), "file_bytes is 500000"),
            (lambda told: told["seeds"][0]["cost"].update(folded_bytes=9_000_000), "folded_bytes is 9000000"),
            (lambda told: told["seeds"][0]["monitoring"].update(score_same=0.2), "drift score_same is 0.2, the bar 0.1"),
            (lambda told: told["seeds"][0]["monitoring"].update(length_other=0.2), "drift length_other is 0.2, the bar 0.25"),
        ]:
            told = self.figures()
            change(told)
            found = gate.misses(told, thresholds)
            self.assertEqual(len(found), 1, found)
            self.assertIn(said, found[0])


if __name__ == "__main__":
    unittest.main()
