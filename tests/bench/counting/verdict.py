"""What was counted against what is committed."""

TOLERANCE, OTHER_COMPILER = 0.02, 0.10
WIDTHS = {"instructions": 26, "allocations": 22}


def cell(now, was, allowed):
    """A figure with its change, and whether that is allowed."""
    if now is None or was is None:
        return f"{now} (was {was})", False
    change = (now - was) / was if was else float(now != was)
    return f"{now:,} ({change:+.1%})", abs(change) <= allowed


def judge(now, before, compiler, machine):
    """Prints a line for each figure; whether all are as they were."""
    same = (before["rustc"], before["machine"]) == (compiler, machine)
    good = True
    print(" " * 26 + "".join(f"{what:>{width}}" for what, width in WIDTHS.items()))
    for name in sorted({*now, *before["figures"]}):
        line = f"{name:26}"
        for what, width in WIDTHS.items():
            allowed = TOLERANCE if same or what == "allocations" else OTHER_COMPILER
            text, fits = cell(now.get(name, {}).get(what), before["figures"].get(name, {}).get(what), allowed)
            line += f"{text:>{width}}" if fits else f"{text + ' !':>{width + 2}}"
            good = good and fits
        print(line)
    if not same:
        print(f"gate.json is of {before['rustc']} on {before['machine']}, and this is {compiler} on {machine}: "
              f"instructions may differ by {OTHER_COMPILER:.0%}")
    return good
