"""The comparison: its configs load, its arithmetic is right, and the README shows what it found."""

import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from comparison import chart, figures, job, load, proxies, report, stage

KEYGATE = os.environ.get("KEYGATE", os.path.join(stage.built(), "debug", "keygate"))


class Configs(unittest.TestCase):
    """Each program takes the config that it would be measured with."""

    @classmethod
    def setUpClass(cls):
        cls.held = tempfile.TemporaryDirectory()
        cls.directory = cls.held.name
        stage.certificates(KEYGATE, cls.directory)
        stage.keys(cls.directory, 10)
        cls.api = proxies.Server("upstream", [], "0")
        cls.api.address, cls.api.socket = "127.0.0.1:3000", "/run/api.sock"

    @classmethod
    def tearDownClass(cls):
        cls.held.cleanup()

    def taken(self, *command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)

    def config(self, template):
        return os.path.join(self.directory, template)

    def test_keygate_takes_its_own_and_those_of_its_variants(self):
        for name in ["keygate", *(variant.name for variant in job.VARIANTS)]:
            proxies.keygate(KEYGATE, self.directory, self.api, name)
            self.taken(KEYGATE, "check", "--config", self.config(f"{name}.toml"))

    @unittest.skipUnless(stage.program("nginx"), "nginx is not installed")
    def test_nginx_takes_its_own(self):
        proxies.peer("nginx", self.directory, self.api)
        self.taken(stage.program("nginx"), "-t", "-q", "-c", self.config("nginx.conf"), "-p", self.directory)

    @unittest.skipUnless(stage.program("nginx"), "nginx is not installed")
    def test_the_upstream_takes_its_own(self):
        proxies.upstream(self.directory)
        self.taken(stage.program("nginx"), "-t", "-q", "-c", self.config("upstream.conf"), "-p", self.directory)

    @unittest.skipUnless(stage.program("haproxy"), "HAProxy is not installed")
    def test_haproxy_takes_its_own(self):
        proxies.peer("haproxy", self.directory, self.api)
        self.taken(stage.program("haproxy"), "-c", "-q", "-f", self.config("haproxy.cfg"))

    @unittest.skipUnless(stage.wheel("envoy"), "Envoy is not installed")
    def test_envoy_takes_its_own(self):
        proxies.peer("envoy", self.directory, self.api)
        self.taken(stage.wheel("envoy"), "--mode", "validate", "--log-level", "error", "-c", self.config("envoy.yaml"))

    @unittest.skipUnless(stage.wheel("caddy"), "Caddy is not installed")
    def test_caddy_takes_its_own(self):
        proxies.peer("caddy", self.directory, self.api)
        self.taken(stage.wheel("caddy"), "validate", "--config", self.config("caddy.json"))


def run(cost, foreign=0.0):
    """A run that cost so many microseconds a request."""
    return load.Run(1000, 1.0, cost, cost / 2, 0.5, 0.5, foreign, 0)


def found(runs):
    """Results made of runs, as the JSON has them."""
    names = ["keygate", "nginx", "haproxy"]
    at = {"date": "2026-01-01", "processor": "one", "virtual": False, "cores": 2, "kernel": "6", "system": "Debian",
          "commit": "abc"}
    about = {"first_request": {}, "first_handshake": {}, "memory_mib": {}, "rounds": 2, "seconds": 1, "noisy": False,
             "versions": dict.fromkeys(names, "1.0"), "machine": at}
    return report.results(runs, job.COLUMNS[:1], names[1:], [], about)


class Arithmetic(unittest.TestCase):
    """From runs to what is told."""

    COLUMN = job.COLUMNS[0]

    def runs(self, **costs):
        return {(name, self.COLUMN.name): {at: run(cost) for at, cost in enumerate(each) if cost}
                for name, each in costs.items()}

    def test_the_best_peer_is_the_cheapest_in_the_median(self):
        runs = self.runs(keygate=[10, 10, 10], nginx=[20, 20, 20], haproxy=[9, 40, 40])
        ratio = figures.versus(runs, self.COLUMN.name, ["nginx", "haproxy"], 0.75)
        self.assertEqual((ratio["best_peer"], ratio["median"], ratio["met"]), ("nginx", 0.5, True))

    def test_a_ratio_is_of_the_same_round(self):
        # As the machine gets slower everything does, and the ratio stays.
        runs = self.runs(keygate=[10, 20, 40], nginx=[20, 40, None])
        ratio = figures.versus(runs, self.COLUMN.name, ["nginx"], 0.4)
        self.assertEqual((ratio["median"], ratio["max"], ratio["runs"], ratio["met"]), (0.5, 0.5, 2, False))

    def test_disturbed_runs_are_known(self):
        self.assertTrue(run(1, foreign=0.1).clean)
        self.assertFalse(run(1, foreign=0.11).clean)

    def test_answers_are_counted_by_what_the_job_asks_for(self):
        wrk = "  120 requests in 1.00s, 20MB read\n  Non-2xx or 3xx responses: {}\n"
        kept, refused, http2 = job.COLUMNS[0], job.COLUMNS[4], job.COLUMNS[2]
        self.assertEqual(load.counted(kept, wrk.format(20)), (120, 20))
        self.assertEqual(load.counted(refused, wrk.format(120)), (120, 0))
        self.assertEqual(load.counted(refused, wrk.format(100)), (120, 20))
        self.assertEqual(load.counted(http2, "status codes: 90 2xx, 0 3xx, 7 4xx, 3 5xx"), (100, 10))
        with self.assertRaises(load.Failed):
            load.counted(kept, "unable to connect")

    def test_the_section_of_the_readme_has_every_figure(self):
        section = report.section(found(self.runs(keygate=[10, 11], nginx=[20, 22], haproxy=[30, 33])))
        self.assertIn("| keygate 1.0 | 10.5 (5.2) |", section)
        self.assertIn("| HAProxy 1.0 | 31.5 (15.8) |", section)
        self.assertIn("| keygate / best other | 0.50 (0.50 to 0.50) |", section)
        self.assertIn("| target | ≤ 0.75 |", section)
        self.assertIn("2026-01-01", section)

    def test_without_an_undisturbed_run_nothing_is_made_up(self):
        runs = {**self.runs(keygate=[10], nginx=[20]), ("haproxy", self.COLUMN.name): {}}
        results = found(runs)
        self.assertIn("| HAProxy 1.0 | – |", report.section(results))
        self.assertIn("haproxy h1-tls has no run", "\n".join(report.doubts(results)))
        self.assertIn("<svg", chart.svg(results))


class Readme(unittest.TestCase):
    """What the README shows is what was measured."""

    def test_the_readme_and_the_chart_are_those_of_the_results(self):
        with open(report.README) as file:
            page = file.read()
        self.assertIn(report.BEGIN, page)
        shown = report.BEGIN + page.partition(report.BEGIN)[2].partition(report.END)[0] + report.END
        if not os.path.exists(os.path.join(report.RESULTS, "compare.json")):
            self.assertEqual(shown, f"{report.BEGIN}\n{report.END}")
            return
        results = report.read()
        self.assertEqual(shown, report.section(results), "`tests/bench/compare --readme` writes it anew")
        with open(os.path.join(report.RESULTS, "compare.svg")) as file:
            self.assertEqual(file.read(), chart.svg(results))


if __name__ == "__main__":
    unittest.main()
