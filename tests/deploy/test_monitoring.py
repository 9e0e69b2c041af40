"""The alerts and the dashboard stand on metrics that there are, and do what they say."""

import json
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import yaml

from monitored import ROOT, RULES, Keygate, Prometheus, eventually

TESTS = RULES.with_name("keygate.rules.test.yml")
SCRAPE = RULES.with_name("scrape.yml")
DASHBOARD = ROOT / "deploy/grafana/keygate.json"

# A selector of series: what is asked of a metric.
SELECTOR = re.compile(r"(?<![:\w])((?:keygate|process)_\w+|up)(?![:\w])(\{[^}]*\})?")
# What Grafana puts in place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*", "$route": ".*"}


def promtool(*arguments, **options):
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


def rules():
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def filled(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression


def shown():
    """Every expression of the dashboard: the panel's title, the expression, the legend."""
    for panel in panels():
        for target in panel.get("targets", []):
            yield panel["title"], filled(target["expr"]), target["legendFormat"]


class Written(unittest.TestCase):
    """What can be said without running anything but promtool."""

    def ok(self, *arguments):
        done = promtool(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_rules_are_rules(self):
        self.ok("check", "rules", RULES)

    def test_each_alert_fires_on_its_series_and_on_no_others(self):
        self.ok("test", "rules", TESTS)
        tests = yaml.safe_load(TESTS.read_text())["tests"]
        tests = {test["name"]: test["promql_expr_test"] for test in tests}
        for alert in alerts():
            name = f'{{alertname="{alert["alert"]}"}}'
            looks = tests.pop(alert["alert"])
            fired = {sample["labels"] for look in looks for sample in look["exp_samples"]}
            self.assertIn(name, fired, "never shown to fire")
        self.assertEqual(tests, {}, "tests of alerts that there are not")

    def test_a_threshold_that_is_changed_is_noticed(self):
        changed = RULES.read_text().replace("< 14 * 86400", "< 140 * 86400")
        self.assertNotEqual(changed, RULES.read_text())
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(TESTS, directory)
            (Path(directory) / RULES.name).write_text(changed)
            self.assertNotEqual(promtool("test", "rules", Path(directory) / TESTS.name).returncode, 0)

    def test_an_alert_that_fires_a_minute_earlier_is_noticed(self):
        def earlier(held):
            minutes = int(held[1]) * {"m": 1, "h": 60}[held[2]]
            return f"for: {minutes - 1}m"

        # As text: `0x25` is a series.
        written = yaml.load(TESTS.read_text(), Loader=yaml.BaseLoader)
        looks = [look for test in written["tests"] for look in test["promql_expr_test"]]
        for sample in (sample for look in looks for sample in look["exp_samples"]):
            sample["value"] = float(sample["value"])
        with tempfile.TemporaryDirectory() as directory:
            directory = Path(directory)
            changed = re.sub(r"for: (\d+)([mh])\b", earlier, RULES.read_text())
            (directory / RULES.name).write_text(changed)
            # Each by itself: that the test of another alert notices is luck.
            files = [directory / f"{test['name']}.test.yml" for test in written["tests"]]
            for file, test in zip(files, written["tests"], strict=True):
                file.write_text(yaml.safe_dump(written | {"tests": [test]}))
            command = ["promtool", "test", "rules", *map(str, files)]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = re.split(r"Unit Testing: .*/(\w+)\.test\.yml", done.stdout)
        said = dict(zip(said[1::2], said[2::2], strict=True))
        self.assertEqual(said.keys(), {file.name.split(".")[0] for file in files})
        fired = {alert for alert, text in said.items() if re.search(rf'got: .*alertname="{alert}"', text)}
        waiting = {alert["alert"] for alert in alerts() if "for" in alert}
        self.assertGreater(len(waiting), 20)
        self.assertEqual(waiting - fired, set(), "fire earlier, and no test notices")

    def test_each_alert_says_what_it_means_and_what_to_do(self):
        self.assertGreater(len(alerts()), 25)
        for alert in alerts():
            self.assertEqual(set(alert["annotations"]), {"summary", "description", "action"}, alert)
            self.assertIn(alert["labels"]["severity"], ("critical", "warning", "info"), alert)

    def test_the_example_of_a_configuration_is_one(self):
        with tempfile.TemporaryDirectory() as directory:
            directory = Path(directory)
            shutil.copy(RULES, directory)
            text = SCRAPE.read_text()
            kubernetes = re.sub(r"(?m)^  # (- job_name| )", r"  \1", text)
            self.assertIn("\n  - job_name: keygate\n    kubernetes_sd_configs", kubernetes)
            kubernetes = yaml.safe_load(kubernetes)
            other = kubernetes["scrape_configs"].pop(1)
            # Not every build of promtool knows of Kubernetes; the rest of the job is like any other.
            self.assertEqual(other.pop("kubernetes_sd_configs"), [{"role": "pod"}])
            kubernetes["scrape_configs"] = [other]
            for number, written in enumerate((text, yaml.safe_dump(kubernetes))):
                at = directory / f"{number}.yml"
                at.write_text(written)
                self.ok("check", "config", at)

    def test_the_dashboard_can_be_imported(self):
        dashboard = json.loads(DASHBOARD.read_text())
        names = [variable["name"] for variable in dashboard["templating"]["list"]]
        self.assertEqual(names, ["datasource", "job", "instance", "route"])
        self.assertNotIn("id", dashboard)
        every = panels()
        self.assertEqual(len({panel["id"] for panel in every}), len(every))
        taken = set()
        for panel in every:
            at = panel["gridPos"]
            right, bottom = at["x"] + at["w"], at["y"] + at["h"]
            cells = {(x, y) for x in range(at["x"], right) for y in range(at["y"], bottom)}
            self.assertFalse(cells & taken or right > 24, panel["title"])
            taken |= cells
            for source in [panel, *panel.get("targets", [])] if panel["type"] != "row" else []:
                self.assertEqual(source["datasource"]["uid"], "${datasource}", panel["title"])

    def test_each_expression_of_the_dashboard_can_be_read(self):
        written = [{"record": f"r{at}", "expr": found[1]} for at, found in enumerate(shown())]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"groups": [{"name": "all", "rules": written}]}, file)
            file.flush()
            self.ok("check", "rules", file.name)


class Watched(unittest.TestCase):
    """A real Prometheus scrapes a real keygate, and is asked everything."""

    @classmethod
    def setUpClass(cls):
        cls.keygate = Keygate()
        cls.addClassCleanup(cls.keygate.stop)
        cls.prometheus = Prometheus(cls.keygate.admin)
        cls.addClassCleanup(cls.prometheus.stop)
        # Twice, and looked at in between: a rate is what changes between two looks.
        for _ in range(2):
            cls.keygate.everything()
            requests = 'sum(keygate_requests_total{outcome!="x"})'
            now = sum(
                float(line.split()[-1]) for line in cls.keygate.metrics().splitlines()
                if line.startswith("keygate_requests_total{")
            )

            def seen():
                found = cls.prometheus.query(requests)
                return [float(one["value"][1]) for one in found] == [now]

            eventually(seen, "Prometheus to see it all")

    def test_promtool_finds_nothing_to_say_of_the_metrics(self):
        done = promtool("check", "metrics", input=self.keygate.metrics())
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_every_series_that_alerts_and_panels_ask_for_is_there(self):
        expressions = [rule["expr"] for rule in rules()] + [found[1] for found in shown()]
        asked = {found.group(0) for text in expressions for found in SELECTOR.finditer(text)}
        self.assertGreater(len(asked), 60)
        missing = [selector for selector in sorted(asked) if not self.prometheus.query(selector)]
        self.assertEqual(missing, [])

    def test_every_panel_shows_something_and_has_the_labels_that_it_names(self):
        for title, expression, legend in shown():
            with self.subTest(title, expression=expression):
                found = self.prometheus.query(expression)
                self.assertTrue(found, "nothing")
                for label in re.findall(r"{{(\w+)}}", legend):
                    self.assertTrue(any(label in one["metric"] for one in found), f"no `{label}`")

    def test_every_rule_is_evaluated_without_an_error(self):
        def evaluated():
            groups = self.prometheus.api("rules")["groups"]
            found = [rule for group in groups for rule in group["rules"]]
            return found if all(rule["health"] != "unknown" for rule in found) else None

        found = eventually(evaluated, "every rule to be evaluated")
        self.assertEqual(len(found), len(rules()))
        for rule in found:
            self.assertEqual((rule["health"], rule.get("lastError")), ("ok", None), rule["name"])

    def test_an_alert_that_fires_names_what_it_is_about(self):
        def firing():
            found = self.prometheus.api("alerts")["alerts"]
            return [one for one in found if one["labels"]["alertname"] == "KeygateShadowRefusals"]

        summary = eventually(firing, "the alert")[0]["annotations"]["summary"]
        self.assertIn("/rehearsed of keygate would have refused", summary)
        for one in self.prometheus.api("alerts")["alerts"]:
            self.assertNotIn("<error", " ".join(one["annotations"].values()))


if __name__ == "__main__":
    unittest.main()
