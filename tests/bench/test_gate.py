"""The gate: what callgrind wrote is read right, and what became dearer is noticed."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from comparison import stage
from counting import callgrind, verdict

WRITTEN = """# callgrind format
desc: Trigger: --dump-after=pure::case_one
events: Ir

fl=(1) a.rs
fn=(1) ours::work
10 100
cfn=(2) malloc
calls=3 20
10 60
cfn=(3) ours::loop
calls=0 5
11 5000
12 7

fn=(2)
20 60
cfn=(4) calloc
calls=1 1
21 4

fn=(3)
30 5
cfn=(4)
calls=2 1
31 8

fn=(4)
40 12
"""


class Reading(unittest.TestCase):
    """Files of callgrind."""

    def setUp(self):
        with tempfile.NamedTemporaryFile("w", suffix="-01") as file:
            file.write(WRITTEN)
            file.flush()
            self.profile = callgrind.Profile(file.name)

    def test_instructions_are_counted_where_they_are_and_not_where_they_were_called(self):
        self.assertEqual(self.profile.instructions, 100 + 7 + 60 + 5 + 12)
        self.assertEqual(self.profile.own["ours::work"], 107)

    def test_an_allocation_is_one_whatever_the_allocator_calls_within(self):
        self.assertEqual(self.profile.allocations, 3 + 2)
        self.assertEqual(self.profile.who_allocates(), {"ours::work": 3, "ours::loop": 2})

    def test_what_made_it_write_is_known(self):
        self.assertEqual(self.profile.trigger, "--dump-after=pure::case_one")


class Judging(unittest.TestCase):
    """Figures against those that are committed."""

    BEFORE = {"rustc": "rustc 1", "machine": "x", "figures": {"part": {"instructions": 1000, "allocations": 10.0}}}

    def judged(self, instructions, allocations, compiler="rustc 1", name="part"):
        now = {name: {"instructions": instructions, "allocations": allocations}}
        with contextlib.redirect_stdout(io.StringIO()):
            return verdict.judge(now, self.BEFORE, compiler, "x")

    def test_two_percent_either_way_are_let_pass(self):
        self.assertTrue(self.judged(1020, 10.01))
        self.assertTrue(self.judged(980, 9.99))
        self.assertFalse(self.judged(1021, 10.0))
        self.assertFalse(self.judged(979, 10.0))

    def test_one_allocation_more_is_noticed(self):
        self.assertFalse(self.judged(1000, 11.0))
        self.assertFalse(self.judged(1000, 11.0, compiler="rustc 2"))

    def test_another_compiler_may_make_other_code(self):
        self.assertTrue(self.judged(1100, 10.0, compiler="rustc 2"))
        self.assertFalse(self.judged(1101, 10.0, compiler="rustc 2"))

    def test_what_is_new_or_gone_has_to_be_written_down(self):
        self.assertFalse(self.judged(1000, 10.0, name="other"))

    def test_a_decision_allocates_nothing(self):
        with open(os.path.join(stage.HERE, "gate.json")) as file:
            figures = json.load(file)["figures"]
        decided = {name: cost["allocations"] for name, cost in figures.items() if name.startswith("decide_")}
        self.assertTrue(decided)
        self.assertEqual(set(decided.values()), {0.0})


if __name__ == "__main__":
    unittest.main()
