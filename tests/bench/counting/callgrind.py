"""What callgrind wrote: instructions, and who called the allocator."""

import glob
import re
import subprocess
from collections import Counter

# What asks the allocator for memory; what gives it back is not counted again.
ALLOCATORS = {"malloc", "calloc", "realloc", "posix_memalign", "memalign", "aligned_alloc"}
OPTIONS = ["--tool=callgrind", "--separate-threads=yes", "--compress-pos=no"]


class Profile:
    """One dump of one thread."""

    def __init__(self, path):
        self.instructions, self.trigger = 0, ""
        self.own, self.calls = Counter(), Counter()
        self.names = {}
        with open(path) as file:
            self.read(file)

    def name(self, text):
        """A function's name, which is written out once and numbered from then on."""
        found = re.match(r"\((\d+)\)(?: (.*))?$", text)
        if not found:
            return text
        if found[2] is not None:
            self.names[found[1]] = found[2]
        return self.names[found[1]]

    def read(self, lines):
        """Adds up the lines of a file (Valgrind manual, "Callgrind Format Specification")."""
        here = there = None
        called = None
        for line in lines:
            if line.startswith("fn="):
                here = self.name(line[3:].strip())
            elif line.startswith("cfn="):
                there = self.name(line[4:].strip())
            elif line.startswith("calls="):
                called = int(line[6:].split()[0])
            elif line.startswith("desc: Trigger:"):
                self.trigger = line.partition("Trigger:")[2].strip()
            elif line[:1] in "0123456789+-*" and here:
                # What a function took that was called already when counting began: calls=0.
                if called is not None:
                    self.calls[here, there] += called
                else:
                    cost = int(line.split()[1])
                    self.own[here] += cost
                    self.instructions += cost
                called = None

    @property
    def allocations(self):
        """How often the allocator was asked."""
        return sum(self.who_allocates().values())

    def who_allocates(self):
        """Callers of the allocator, with how often; what it calls itself is not counted again."""
        found = Counter()
        for (caller, callee), n in self.calls.items():
            if callee in ALLOCATORS and caller not in ALLOCATORS:
                found[caller] += n
        return found


def dump(pid):
    """Makes a running callgrind write down what it counted since the last time."""
    done = subprocess.run(["callgrind_control", "--dump", str(pid)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode or "OK" not in done.stdout:
        raise RuntimeError(f"callgrind does not answer: {done.stdout}")


def threads(out, number):
    """The profiles of a dump, by what they cost, the dearest first."""
    found = [Profile(path) for path in glob.glob(f"{out}.{number}-*")]
    return sorted(found, key=lambda profile: -profile.instructions)
