"""The list of what the binary is made of: valid, complete, and the same each time."""

import json
import os
import re
import unittest
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from containers import ROOT, run

# Where a library's sources lay, as messages in the binary still say.
SOURCES = re.compile(rb"/registry/src/[^/\0]+/([a-zA-Z0-9_-]+?)-(\d+\.\d+\.\d+[^/\0]*)/")


def listed(*options, **how):
    return run(ROOT / "deploy" / "sbom", *options, **how).stdout


class Sbom(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.text = listed()
        cls.document = json.loads(cls.text)
        cls.crates = {(each["name"], each["version"]): each for each in cls.document["components"]}
        cls.names = {name for name, _ in cls.crates}

    def complaint(self, document):
        return JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document))

    def test_it_is_valid_cyclonedx(self):
        self.assertIsNone(self.complaint(self.document))

    def test_an_unknown_member_would_be_noticed(self):
        self.document["components"][0]["licence"] = "MIT"
        self.addCleanup(self.document["components"][0].pop, "licence")
        self.assertIsNotNone(self.complaint(self.document))

    def test_it_is_the_same_each_time_wherever_it_is_made(self):
        self.assertEqual(listed(cwd="/"), self.text)

    def test_every_library_whose_traces_the_binary_bears_is_listed(self):
        binary = Path(os.environ["KEYGATE_STATIC"]).read_bytes()
        found = {(name.decode(), version.decode()) for name, version in SOURCES.findall(binary)}
        self.assertGreater(len(found), 20)
        self.assertEqual(found - set(self.crates), set())

    def test_what_is_linked_is_listed_and_what_only_builds_or_tests_is_not(self):
        self.assertLessEqual({"tokio", "rustls", "aws-lc-sys", "rust-std", "libc6-dev"}, self.names)
        for name in ("proptest", "snapbox", "clap_derive", "syn", "cc", "cmake"):
            self.assertNotIn(name, self.names)

    def test_each_crate_has_its_licence_its_address_and_the_checksum_of_the_lock_file(self):
        locked = (ROOT / "Cargo.lock").read_text()
        for (name, version), crate in self.crates.items():
            self.assertTrue(crate["licenses"], name)
            if crate["purl"].startswith("pkg:cargo/"):
                self.assertEqual(crate["purl"], f"pkg:cargo/{name}@{version.replace('+', '%2B')}")
                self.assertIn(crate["hashes"][0]["content"], locked)

    def test_what_depends_on_what_names_nothing_that_is_not_listed(self):
        product = self.document["metadata"]["component"]["bom-ref"]
        known = {each["bom-ref"] for each in self.crates.values()} | {product}
        needs = {each["ref"]: each["dependsOn"] for each in self.document["dependencies"]}
        self.assertEqual(set(needs), known)
        reached, open_ = set(), [product]
        while open_:
            at = open_.pop()
            if at not in reached:
                reached.add(at)
                open_ += needs[at]
        self.assertEqual(reached, known)


if __name__ == "__main__":
    unittest.main()
