"""The chart: for each load a panel, for each proxy a bar. Light and dark by the reader's setting."""

from html import escape

from . import job

WIDTH, LEFT, PANEL, BAR, GAP, TOP = 860, 150, 26, 17, 5, 78
# A bar may be this many times keygate's; longer ones are cut and say so.
CUT = 4.0

STYLE = """
  .page { fill: #ffffff; stroke: #d0d7de; } text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; } .panel { font-weight: 600; } .small { font-size: 11.5px; fill: #59636e; }
  .ours { fill: #0969da; } .other { fill: #afb8c1; } .cut { stroke: #ffffff; stroke-width: 3; }
  .us { font-weight: 600; } .spread { stroke: #59636e; stroke-width: 1; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; stroke: #3d444d; } text { fill: #f0f6fc; } .small { fill: #9198a1; }
    .ours { fill: #4493f8; } .other { fill: #545d68; } .cut { stroke: #0d1117; } .spread { stroke: #9198a1; }
  }
"""


def name_of(found, name):
    """A proxy with its version, short."""
    return f"{job.TITLES[name].partition(' (')[0]} {found['versions'][name]}"


def bar(name, label, cell, at, scale, longest):
    """One bar, with its spread and its figure."""
    cost = cell["cpu_us"]
    full = cost["median"] * scale
    width, ours = min(full, longest), name == "keygate"
    kind = "ours" if ours else "other"
    middle, weight = at + BAR / 2, ' class="us"' if ours else ""
    parts = [f'<text x="{LEFT - 10}" y="{middle + 4.5}" text-anchor="end"{weight}>{escape(label)}</text>',
             f'<rect class="{kind}" x="{LEFT}" y="{at}" width="{width:.1f}" height="{BAR}" rx="2"/>']
    end = width
    if full > longest:
        x = LEFT + width - 16
        parts += [f'<path class="cut" d="M{x + d} {at - 2} l-6 {BAR + 4}"/>' for d in (0, 7)]
    else:
        least, most = cost["min"] * scale, min(cost["max"] * scale, longest)
        end = max(width, most)
        parts.append(f'<path class="spread" d="M{LEFT + least:.1f} {middle} H{LEFT + most:.1f} '
                     f'm0 -4 v8 M{LEFT + least:.1f} {middle - 4} v8"/>')
    figure = f"{cost['median']:.0f}" if cost["median"] >= 100 else f"{cost['median']:.1f}"
    parts.append(f'<text x="{LEFT + end + 7:.1f}" y="{middle + 4.5}"{weight}>{figure} µs</text>')
    return parts


def panel(found, column, top):
    """One load; its parts, and where the next begins."""
    name = column["name"]
    cells = {proxy: there[name] for proxy, there in found["proxies"].items() if there[name]}
    ratio = found["ratios"][name]
    said = (f"{ratio['median']:.2f} of {job.TITLES[ratio['best_peer']].partition(' (')[0]}, "
            f"the best of the others") if ratio else ""
    parts = [f'<text class="panel" x="{LEFT}" y="{top + 14}">{escape(column["title"])}</text>',
             f'<text class="small" x="{WIDTH - 24}" y="{top + 14}" text-anchor="end">{escape(said)}</text>']
    at, longest = top + PANEL, WIDTH - LEFT - 110
    most = max((cell["cpu_us"]["max"] for cell in cells.values()), default=1)
    if "keygate" in cells:
        most = min(most, CUT * cells["keygate"]["cpu_us"]["median"])
    for proxy, cell in cells.items():
        parts += bar(proxy, name_of(found, proxy), cell, at, longest / most, longest)
        at += BAR + GAP
    return parts, at + 16


def svg(found):
    """The whole picture."""
    at, parts = TOP, []
    for column in found["columns"]:
        more, at = panel(found, column, at)
        parts += more
    machine = found["machine"]
    notes = [
        f"{machine['date']} · {machine['processor']}{', virtual' if machine['virtual'] else ''}, {machine['cores']} cores · "
        f"Linux {machine['kernel']} · keygate {machine['commit']}",
        f"median of {found['rounds']} rounds, lines from least to most · cut bars are longer than shown · "
        "tests/bench/compare",
    ]
    height = at + 22 + 17 * len(notes)
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        "<title>Processor time a request of keygate and other proxies</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="title" x="24" y="34">Processor time a request, microseconds: less is better</text>',
        '<text class="small" x="24" y="55">One proxy thread, TLS 1.3 with ECDSA P-256, a key among 100,000 '
        "(Caddy: 1,000), identity header added, HTTP/1.1 upstream kept alive</text>",
    ]
    tail = [f'<text class="small" x="24" y="{at + 8 + 17 * line}">{escape(note)}</text>'
            for line, note in enumerate(notes)]
    return "\n".join([*head, *parts, *tail, "</svg>"]) + "\n"
