"""The table of arXiv:2511.08373 beside ours: ``python -m gapgym.baselines.pod_packing_study``.

For each published seed the default scheduler runs twice: with preemption, which is what counts as
default, and without, which is where a solver begins. *No call*: in neither run a pod is left
pending. Else the solver's placed pods by priority are compared with the default's: *better* (and
*better, proven*), *default optimal* (equal and proven), or *failed* (equal or worse without a
proof, or proven and worse). Every run is one line of a file, so that an interrupted study resumes.

``no_calls`` counts the first outcome over the 36 cells with at most 16 nodes and 95 % usage, as the
expectation over random ties;
``table`` runs a solver over the cells; ``report`` sums up. The published figures are read from
``paper_results.csv`` in the cache folder.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..instances.cache import folder
from ..instances.core import IntArray
from ..instances.pod_packing import PodPackingInstance, load
from .pod_packing_cp import cp_sat
from .pod_packing_kube import pending_after_default, schedule
from .pod_packing_repair import greedy_repair, lns
from .solver import Solver, Status

_SOLVERS: dict[str, Solver] = {"cp_sat": cp_sat, "lns": lns, "greedy_repair": greedy_repair}

OUTCOMES = ("proven", "better", "default_optimal", "no_call", "failed")

#: Seeds of ties are those of the default run; the run without preemption has its own.
_OTHER_TIES = 1000

#: Runs with other ties over which ``no_calls`` takes the mean.
_TIES = 6

Cell = tuple[int, int, int, int]


def cells(nodes: Sequence[int], priorities: Sequence[int], usages: Sequence[int]) -> Iterator[Cell]:
    """``(nodes, pods, priorities, usage in percent)`` of the paper's table."""
    for k in priorities:
        for per_node in (4, 8):
            for n in nodes:
                for usage in usages:
                    if (n, per_node, usage) != (32, 8, 90):  # not published
                        yield n, n * per_node, k, usage


def published() -> dict[tuple[int, int, int, int, int], dict[str, int]]:
    """Cell and time limit to the counts of 100 seeds."""
    path = folder() / "pod_packing" / "paper_results.csv"
    if not path.is_file():
        raise ValueError(f"{path.name}: not in {path.parent}, expected it there.")
    found = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = tuple(int(row[c]) for c in ("nodes", "pods", "priorities"))
            better = int(row["n_solver_improve"])
            found[(*key, round(float(row["util"])), int(row["timeout_s"]))] = {
                "calls": int(row["n_solver_called"]),
                "improved": better,
                "no_call": int(row["n_default_all_running"]),
                "default_optimal": int(row["n_default_optimal"]),
                "failed": int(row["n_solver_failed"]),
            }
    return found  # type: ignore[return-value]


def placed(instance: PodPackingInstance, nodes: IntArray) -> list[int]:
    """Pods that run by priority, the highest first."""
    tiers = instance.tier_of_pod[nodes >= 0]
    return [int(c) for c in np.bincount(tiers, minlength=instance.num_tiers)]


def run(cell: Cell, index: int, solver: str, limit: float, fields: dict[str, Any]) -> str:
    """The outcome for one seed."""
    n, p, k, usage = cell
    instance = load(f"paper_{n}x{p}x{k}x{usage}_{index:02d}")
    default = schedule(instance, seed=index)
    begin = pending_after_default(instance, seed=index + _OTHER_TIES)
    if (default >= 0).all() and begin.running.all():
        return "no_call"
    options: dict[str, Any] = {}
    if solver == "cp_sat":  # one pod has to be placed in the paper's model
        place_one = fields["instance"]["objective"] == "tiered"
        options = {"workers": fields["workers"], "place_one": place_one}
    result = _SOLVERS[solver](
        replace(begin, **fields["instance"]), time_limit=limit, seed=index, **options
    )
    if result.solution is None:
        return "failed"
    ours, theirs = placed(instance, result.solution.nodes), placed(instance, default)
    if ours > theirs:
        return "proven" if result.status is Status.OPTIMAL else "better"
    proven = result.status is Status.OPTIMAL and ours == theirs
    return "default_optimal" if proven else "failed"


def no_calls(out: Path) -> None:
    """Count the seeds on which neither run leaves a pod pending, beside the paper's counts."""
    truth, differences = published(), []
    for cell in cells((4, 8, 16), (1, 2, 4), (90, 95)):
        n, p, k, usage = cell
        count = 0.0
        for index in range(100):
            instance = load(f"paper_{n}x{p}x{k}x{usage}_{index:02d}")
            shares = [
                np.mean(
                    [(schedule(instance, seed=s, preemption=p) >= 0).all() for s in range(_TIES)]
                )
                for p in (True, False)
            ]
            count += float(shares[0] * shares[1])
        theirs = [truth[(*cell, limit)]["no_call"] for limit in (1, 10, 20)]
        differences.append(count - float(np.mean(theirs)))
        _append(out, {"cell": cell, "no_call": count, "published": theirs})
        print(f"{n:3} nodes {p:4} pods K={k} {usage:3} %: {count:5.1f}, published {theirs}")
    error = np.abs(differences)
    print(f"mean error {error.mean():.2f}, largest {error.max():.2f}")


def table(out: Path, args: argparse.Namespace) -> None:
    """Run a solver over the cells; runs that stand in the file are not run again."""
    done = {(tuple(r["cell"]), r["index"]) for r in _rows(out)}
    fields: dict[str, Any] = {"workers": args.workers, "instance": {"objective": args.objective}}
    if args.objective == "tiered":
        fields["instance"] |= {"evict_cost": 1, "move_cost": 2}  # as in the paper's code
    _SOLVERS[args.solver](load("paper_4x16x4x105_00"), time_limit=1.0)  # compiles the kernels
    for cell in cells(args.nodes, args.priorities, args.usages):
        for index in range(args.seeds):
            if (cell, index) in done:
                continue
            began = time.perf_counter()
            outcome = run(cell, index, args.solver, args.limit, fields)
            seconds = time.perf_counter() - began
            _append(out, {"cell": cell, "index": index, "outcome": outcome, "seconds": seconds})
    report(out, args.published_limit)


def report(out: Path, limit: int) -> None:
    """Our counts per cell beside the paper's improved shares, and both pooled by priorities."""
    truth, counts = published(), dict[Cell, Counter[str]]()
    for row in _rows(out):
        n, p, k, usage = row["cell"]
        counts.setdefault((n, p, k, usage), Counter())[row["outcome"]] += 1
    pooled: dict[tuple[int, str], Counter[str]] = {}
    for cell, found in counts.items():
        theirs = truth[(*cell, limit)]
        total = sum(found.values())
        shown = "/".join(str(found[o]) for o in OUTCOMES)
        others = f"improved {theirs['improved']}, optimal {theirs['default_optimal']}"
        rest = f"no call {theirs['no_call']}, failed {theirs['failed']} of 100"
        print(f"{cell}: {shown} of {total} (published at {limit} s: {others}, {rest})")
        for group in (f"K={cell[2]}", f"K={cell[2]}, {cell[0]} nodes"):
            pool = pooled.setdefault((cell[2], group), Counter())
            pool["calls"] += total - found["no_call"]
            pool["improved"] += found["proven"] + found["better"]
            pool["failed"] += found["failed"]
            pool.update({f"their {key}": value for key, value in theirs.items()})
    for (_, group), pool in sorted(pooled.items()):
        mine, published_calls = max(pool["calls"], 1), max(pool["their calls"], 1)
        print(
            f"{group}: improved {100 * pool['improved'] / mine:.1f} % of {pool['calls']} calls,"
            f" failed {100 * pool['failed'] / mine:.1f} %; published improved"
            f" {100 * pool['their improved'] / published_calls:.1f} %, failed"
            f" {100 * pool['their failed'] / published_calls:.1f} %"
        )


def _rows(out: Path) -> Iterator[dict[str, Any]]:
    if out.is_file():
        for line in out.read_text(encoding="utf-8").splitlines():
            if line.endswith("}"):  # the last one may have been cut off
                yield json.loads(line)


def _append(out: Path, row: dict[str, Any]) -> None:
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("no_calls", "table", "report"))
    parser.add_argument("--out", type=Path, required=True, help="file of the runs (JSON lines)")
    parser.add_argument("--solver", choices=tuple(_SOLVERS), default="lns")
    parser.add_argument("--objective", choices=("place_first", "tiered"), default="place_first")
    parser.add_argument("--limit", type=float, default=1.0, help="seconds per call")
    parser.add_argument("--published-limit", type=int, choices=(1, 10, 20), default=1)
    parser.add_argument("--nodes", type=_numbers, default=(4, 8, 16, 32))
    parser.add_argument("--priorities", type=_numbers, default=(4,))
    parser.add_argument("--usages", type=_numbers, default=(90, 95, 100, 105))
    parser.add_argument("--seeds", type=int, default=100, help="first so many seeds of each cell")
    parser.add_argument("--workers", type=int, default=2, help="of CP-SAT")
    args = parser.parse_args()
    if args.what == "no_calls":
        no_calls(args.out)
    elif args.what == "table":
        table(args.out, args)
    else:
        report(args.out, args.published_limit)


if __name__ == "__main__":
    main()
