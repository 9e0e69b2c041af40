"""From runs to figures: medians, spreads, and ratios within rounds."""

import statistics


def spread(values):
    """Median, least and most."""
    return {"median": round(statistics.median(values), 4), "min": round(min(values), 4),
            "max": round(max(values), 4), "runs": len(values)}


def ratio(one, other):
    """How `one` compares to `other`, round by round; both map a round to a figure."""
    both = [one[at] / other[at] for at in one if at in other]
    return spread(both) if both else None


def cell(runs):
    """What is told of a proxy under a load."""
    if not runs:
        return None
    return {
        "cpu_us": spread([run.cpu_us for run in runs.values()]),
        "system_us": spread([run.system_us for run in runs.values()]),
        "requests_per_second": spread([run.requests / run.seconds for run in runs.values()]),
        "proxy_busy": spread([run.proxy_busy for run in runs.values()]),
        "generator_busy": spread([run.generator_busy for run in runs.values()]),
        "wrong_answers": sum(run.wrong for run in runs.values()),
        "each": [{"round": at, **run.as_dict()} for at, run in runs.items()],
    }


def judged(found, target):
    """A ratio with what it should be."""
    return found and {**found, "target": round(target, 4), "met": found["median"] <= target}


def versus(runs, column, peers, target):
    """keygate against the peer that was cheapest in the median."""
    cost = lambda name: {at: run.cpu_us for at, run in runs.get((name, column), {}).items()}
    there = [name for name in peers if cost(name)]
    if not there or not cost("keygate"):
        return None
    best = min(there, key=lambda name: statistics.median(cost(name).values()))
    found = judged(ratio(cost("keygate"), cost(best)), target)
    return found and {"best_peer": best, **found}


def beside(runs, column, variant):
    """A variant of keygate against keygate as it comes."""
    cost = lambda name: {at: run.cpu_us for at, run in runs.get((name, column), {}).items()}
    return judged(ratio(cost(variant.name), cost("keygate")), variant.target)
