#!/usr/bin/env python3
"""trace.py CALLS RUNS: takes the phases of the last RUNS runs from what `perf trace` wrote; see trace.sh."""
import re
import statistics
import sys

LINE = re.compile(r"^\s*([\d.]+) \(\s*([\d.]*)(?: ms)?\s*\): (\S*?)/(\d+)\s+(.*)$")


def calls(path):
    for line in open(path, errors="replace"):
        m = LINE.match(line)
        if m:
            yield float(m[1]), float(m[2] or 0), m[3], int(m[4]), m[5]


def main(path, want):
    runs, run = [], None
    for at, took, comm, tid, call in calls(path):
        if comm == "proa" and call.startswith(("execve(", "... [continued]: execve(")):
            run = {"start": at, "proa": tid}
            runs.append(run)
        elif run is None:
            continue
        elif comm == "proa" and call.startswith("setns("):
            run["joined"] = at + took
        elif comm == "proa" and call.startswith("seccomp(") and "main" not in run:
            run["main"] = at
        elif comm == "proa" and call.startswith("flock(") and "reserve" not in run:
            run["reserve"] = at
        elif comm == "proa" and call.startswith("fsopen(") and "layer" not in run:
            run["layer"] = at
        elif comm == "proa" and call.startswith("sendmsg(") and "layer" in run and "plan" not in run:
            run["plan"] = at
        elif comm.isdigit() and call.startswith("fsopen(") and "perform" not in run:
            run["perform"] = at
        elif comm == "true" and call.startswith(("execve(", "... [continued]: execve(")):
            run.setdefault("command", at + took)
        elif comm == "true" and call.startswith("exit_group"):
            run["ended"] = at
        elif comm == "proa" and call.startswith(("flock(", "renameat(")) and "ended" in run and "told" not in run:
            run["told"] = at
        elif comm == "proa" and call.startswith("exit_group") and "told" in run:
            run["end"] = at
    phases = [
        ("proa joins the user namespace (C, before Go)", "start", "joined"),
        ("Go starts: runtime, packages", "joined", "main"),
        ("command line, store, image", "main", "reserve"),
        ("name reserved, layer made", "reserve", "layer"),
        ("overlay mounted, specification, plan", "layer", "plan"),
        ("the init, waiting since, performs the plan", "plan", "command"),
        ("`true`", "command", "ended"),
        ("the monitor hears and tells of the end", "ended", "told"),
        ("layer, directories, cgroup and record removed", "told", "end"),
        ("all", "start", "end"),
    ]
    whole = [r for r in runs[-want:] if all(k in r for _, a, b in phases for k in (a, b))]
    if not whole:
        sys.exit("trace: no run was seen from end to end")
    print("| phase | ms |\n|---|---|")
    for name, a, b in phases:
        print("| %s | %.1f |" % (name, statistics.median(r[b] - r[a] for r in whole)))
    print("\nmedian of %d runs" % len(whole))


main(sys.argv[1], int(sys.argv[2]))
