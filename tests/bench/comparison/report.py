"""What is told of the results: to the terminal, as JSON, as a chart, and in the README."""

import json
import os

from . import chart
from . import figures
from . import job
from . import load
from . import stage

RESULTS = os.path.join(stage.HERE, "results")
README = os.path.join(stage.ROOT, "README.md")
BEGIN, END = "<!-- tests/bench/compare --readme -->", "<!-- end -->"
# The client's kernel waits this long before it sends a second small segment; a bit less is a stall.
STALL_MS = 30


def results(runs, columns, peers, variants, about):
    """Everything that was found, as it is written to compare.json."""
    return {
        **about,
        "columns": [{"name": c.name, "title": c.title, "target": c.target} for c in columns],
        "proxies": {name: {c.name: figures.cell(runs[name, c.name]) for c in columns} for name in ["keygate", *peers]},
        "ratios": {c.name: figures.versus(runs, c.name, peers, c.target) for c in columns},
        "variants": {
            v.name: {"title": v.title, "columns": {
                c.name: {**(figures.cell(runs[v.name, c.name]) or {}), "ratio": figures.beside(runs, c.name, v)}
                for c in columns if c.name in v.columns}}
            for v in variants},
    }


def write(found, directory):
    """Writes the JSON and the chart."""
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "compare.json"), "w") as file:
        json.dump(found, file, indent=1)
        file.write("\n")
    with open(os.path.join(directory, "compare.svg"), "w") as file:
        file.write(chart.svg(found))


def read(directory=RESULTS):
    """The JSON of the last results."""
    with open(os.path.join(directory, "compare.json")) as file:
        return json.load(file)


def short(value):
    """A figure with as many digits as it deserves."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def spent(cell):
    """Processor time a request, and how much of it no proxy can do without: the kernel's."""
    if not cell:
        return "–"
    return f"{short(cell['cpu_us']['median'])} ({short(cell['system_us']['median'])})"


def share(ratio):
    """A ratio with its spread."""
    return f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})"


def verdict(ratio):
    """Whether a ratio is what it should be."""
    return ("≤ " if ratio["met"] else "misses ") + f"{ratio['target']:.2f}"


def title(found, name):
    """A proxy with its version."""
    known = job.TITLES[name]
    head, _, tail = known.partition(" (")
    return f"{head} {found['versions'][name]}" + (f" ({tail}" if tail else "")


def rows(found):
    """The main table, with its head."""
    columns = [column["name"] for column in found["columns"]]
    yield ["µs of CPU a request (in the kernel)", *(column["title"] for column in found["columns"])]
    for name, cells in found["proxies"].items():
        yield [title(found, name), *(spent(cells[c]) for c in columns)]
    ratios = [found["ratios"][c] for c in columns]
    if any(ratios):
        yield ["keygate / best other", *(r and share(r) or "–" for r in ratios)]
        yield ["which other", *(r and job.TITLES[r["best_peer"]] or "–" for r in ratios)]
        yield ["target", *(r and verdict(r) or "–" for r in ratios)]


def variant_rows(found):
    """keygate in other ways, as shares of keygate as it comes."""
    columns = [column["name"] for column in found["columns"]]
    yield ["keygate with", *(column["title"] for column in found["columns"])]
    for variant in found["variants"].values():
        cells = [variant["columns"].get(c, {}) for c in columns]
        yield [variant["title"], *(c.get("ratio") and f"{share(c['ratio'])}, {verdict(c['ratio'])}" or "" for c in cells)]


def aligned(table):
    """A table for a terminal."""
    table = [list(map(str, row)) for row in table]
    widths = [max(map(len, column)) for column in zip(*table)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table)


def markdown(table):
    """A table for the README."""
    head, *rest = [list(map(str, row)) for row in table]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def firsts(found):
    """What it takes to be asked first, a line for each proxy."""
    for name, asked in found["first_request"].items():
        shaken = found["first_handshake"][name]
        stall = "stalls" if asked["first_ms"] - asked["second_ms"] > STALL_MS else "no stall"
        yield (f"{job.TITLES[name]}: first request of a connection without TCP_NODELAY {asked['first_ms']:.1f} ms, "
               f"second {asked['second_ms']:.1f} ms: {stall}; first handshake after start {shaken['first_ms']:.1f} ms, "
               f"later ones {shaken['later_ms']:.1f} ms: {shaken['first_ms'] / shaken['later_ms']:.1f} times")


def doubts(found):
    """What to know about the runs."""
    full = [(name, c) for name, cells in found["proxies"].items() for c, cell in cells.items()
            if cell and cell["generator_busy"]["median"] > load.FULL]
    if full:
        yield ("The generators' core was full under " + ", ".join(f"{name} {c}" for name, c in full)
               + ": requests per second are a lower bound there.")
    for name, cells in [*found["proxies"].items(), *((n, v["columns"]) for n, v in found["variants"].items())]:
        for column, cell in cells.items():
            if not cell or "each" not in cell:
                yield f"{name} {column} has no run that was not disturbed."
            elif cell["wrong_answers"]:
                yield f"{name} {column}: {cell['wrong_answers']} answers were not what was asked for."
    if found["noisy"]:
        yield "Runs that others disturbed were counted."


def machine(found):
    """One line about where and when."""
    at = found["machine"]
    return (f"{at['date']}, {at['processor']}{' (virtual)' if at['virtual'] else ''}, {at['cores']} cores, "
            f"Linux {at['kernel']}, {at['system']}; keygate at {at['commit']}; "
            f"{found['rounds']} rounds of {found['seconds']} s each")


def text(found):
    """All of it for a terminal."""
    parts = [machine(found), aligned(rows(found))]
    if found["variants"]:
        parts.append("as shares of keygate as it comes:\n" + aligned(variant_rows(found)))
    parts += ["\n".join(firsts(found)), "\n".join(doubts(found))]
    return "\n\n".join(part for part in parts if part)


def section(found):
    """What stands in the README between the marks."""
    parts = [
        "![Processor time a request of keygate and four other proxies](tests/bench/results/compare.svg)",
        markdown(rows(found)), machine(found) + ".",
    ]
    if found["variants"]:
        parts.append("Shares of keygate as it comes:\n\n" + markdown(variant_rows(found)))
    return f"{BEGIN}\n" + "\n\n".join(parts) + f"\n{END}"


def write_readme():
    """Puts the last results into the README."""
    with open(README) as file:
        before, _, rest = file.read().partition(BEGIN)
    after = rest.partition(END)[2]
    with open(README, "w") as file:
        file.write(before + section(read()) + after)
