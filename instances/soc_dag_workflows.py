"""Task graphs without a platform: WfFormat of WfCommons, and the Standard Task Graph set.

Both give one run time per task; the platform is an option: PEs of relative ``speeds`` that are all
linked. A task takes ``round(run time / speed)`` ticks, a transfer ``ceil(data / bandwidth)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .soc_dag_model import SoCDagInstance
from .text import Line, lines

#: The platform of the tables in our docs: four machines, 50 MB/s between any two.
SPEEDS = (1.0, 1.5, 2.0, 3.0)
BYTES_PER_SECOND = 50e6

VERSIONS = ("1.4", "1.5", "1.6")


def parse_workflow(
    data: Mapping[str, Any],
    place: str,
    *,
    speeds: Sequence[float] = SPEEDS,
    bandwidth: float = BYTES_PER_SECOND,
    tick: float = 1e-3,
) -> SoCDagInstance:
    """A workflow in WfFormat; an edge carries the files that its task writes and the child reads.

    Args:
        data: The JSON object.
        place: What to call it in messages.
        speeds: Speed of each PE, relative to the machine on which run times were measured.
        bandwidth: Bytes per second.
        tick: Seconds per tick.

    Raises:
        ValueError: If the version is unknown, or the object is not a workflow.
    """
    version = str(data.get("schemaVersion"))
    if version not in VERSIONS:
        raise ValueError(
            f"{place}: schemaVersion {version!r}, expected one of: {', '.join(VERSIONS)}."
        )
    _check_platform(place, speeds, bandwidth, tick)
    workflow = _part(data, "workflow", place)
    try:
        tasks, sizes = _old_tasks(workflow) if version == "1.4" else _tasks(workflow)
        number = {task["id"]: i for i, task in enumerate(tasks)}
        edges = sorted(
            {(number[parent], i) for i, task in enumerate(tasks) for parent in task["parents"]}
        )
        edges = sorted(
            {
                *edges,
                *((i, number[child]) for i, task in enumerate(tasks) for child in task["children"]),
            }
        )
        volumes = [sum(_size(sizes, f) for f in _shared(tasks[i], tasks[j])) for i, j in edges]
        seconds = [float(task["seconds"]) for task in tasks]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = f"{type(error).__name__} {error}"
        raise ValueError(
            f"{place}: not WfFormat {version} ({reason}), expected tasks with id, parents,"
            " children and run times."
        ) from None
    if len(number) < len(tasks):
        raise ValueError(f"{place}: {len(tasks)} tasks, {len(number)} ids, expected one each.")
    for task, time in zip(tasks, seconds, strict=True):
        if not 0 <= time < 2**53 * tick:
            raise ValueError(f"{place}: task {task['id']!r}: run time {time} s, expected >= 0.")
    return _on_platform(place, np.array(seconds) / tick, edges, volumes, speeds, bandwidth * tick,
                        f"{tick:g} s")  # fmt: skip


def _part(data: Mapping[str, Any], key: str, place: str) -> Mapping[str, Any]:
    part = data.get(key)
    if not isinstance(part, Mapping):
        raise ValueError(f"{place}: {key} is {type(part).__name__}, expected an object.")
    return part


def _tasks(workflow: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Tasks and file sizes of versions 1.5 and 1.6, which keep specification and run apart."""
    specification, execution = workflow["specification"], workflow["execution"]
    seconds = {task["id"]: task["runtimeInSeconds"] for task in execution["tasks"]}
    tasks = [
        {
            "id": task["id"],
            "parents": task.get("parents", ()),
            "children": task.get("children", ()),
            "reads": set(task.get("inputFiles", ())),
            "writes": set(task.get("outputFiles", ())),
            "seconds": seconds[task["id"]],
        }
        for task in specification["tasks"]
    ]
    return tasks, {file["id"]: file["sizeInBytes"] for file in specification.get("files", ())}


def _old_tasks(workflow: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Those of version 1.4, where a task holds its files, and is referred to by name or id."""
    given = workflow["tasks"]
    ids = {task["name"]: task.get("id", task["name"]) for task in given}
    sizes: dict[str, Any] = {}
    tasks = []
    for task in given:
        files: dict[str, set[str]] = {"input": set(), "output": set()}
        for file in task.get("files", ()):
            files[file["link"]].add(file["name"])
            sizes[file["name"]] = file["sizeInBytes"]
        tasks.append(
            {
                "id": ids[task["name"]],
                "parents": [ids.get(other, other) for other in task.get("parents", ())],
                "children": [ids.get(other, other) for other in task.get("children", ())],
                "reads": files["input"],
                "writes": files["output"],
                "seconds": task["runtimeInSeconds"],
            }
        )
    return tasks, sizes


def _shared(task: Mapping[str, Any], child: Mapping[str, Any]) -> set[str]:
    found: set[str] = task["writes"] & child["reads"]
    return found


def _size(sizes: Mapping[str, Any], file: str) -> int:
    size = sizes.get(file, 0)
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ValueError(f"file {file!r}: size {size!r}")
    return size


def parse_stg(
    text: str, place: str, *, speeds: Sequence[float] = SPEEDS, bandwidth: float = 1.0
) -> SoCDagInstance:
    """A graph of the Standard Task Graph set (doi:10.1002/jos.116), with or without transfers.

    A line with the number of tasks ``n`` (without the dummy ones at both ends), then ``n + 2``
    lines: task, run time, number of predecessors, and these, each perhaps with a volume.

    Args:
        text: The text.
        place: What to call it in messages.
        speeds: Speed of each PE.
        bandwidth: Volume per tick.

    Raises:
        ValueError: If it is not such a graph; the message names the line.
    """
    _check_platform(place, speeds, bandwidth, 1.0)
    rows = list(lines(text, place))
    if not rows or len(rows[0].integers()) != 1:
        raise ValueError(f"{rows[0].place if rows else place}: expected a line with one number, n.")
    (count,) = rows[0].integers()
    if len(rows) - 1 not in (count, count + 2):
        raise ValueError(
            f"{place}: {len(rows) - 1} lines of tasks, expected {count + 2} ({count} and two"
            " dummy ones)."
        )
    times, volumes = [], {}
    for i, row in enumerate(rows[1:]):
        time, before = _stg_task(row, i)
        times.append(time)
        for j, volume in before:
            if not 0 <= j < len(rows) - 1 or (j, i) in volumes:
                raise ValueError(f"{row.place}: predecessor {j}, expected another task, once.")
            volumes[j, i] = volume
    edges = sorted(volumes)
    return _on_platform(place, np.array(times), edges, [volumes[pair] for pair in edges], speeds,
                        bandwidth, "")  # fmt: skip


def _stg_task(row: Line, i: int) -> tuple[int, list[tuple[int, int]]]:
    numbers = row.integers()
    if len(numbers) < 3 or numbers[0] != i:
        raise ValueError(f"{row.place}: {row.text[:40]!r}, expected task {i}, run time, count.")
    _, time, count, *rest = numbers
    if time < 0 or min(rest, default=0) < 0:
        raise ValueError(f"{row.place}: a negative number, expected >= 0.")
    if len(rest) == count:
        return time, [(j, 0) for j in rest]
    if len(rest) == 2 * count:
        return time, list(zip(rest[::2], rest[1::2], strict=True))
    raise ValueError(
        f"{row.place}: {len(rest)} numbers behind the count, expected {count} predecessors, or"
        f" {2 * count} numbers, with volumes."
    )


def _check_platform(place: str, speeds: Any, bandwidth: Any, tick: Any) -> None:
    if isinstance(speeds, int | float):
        speeds = (speeds,)
    if (
        isinstance(speeds, str)
        or not len(speeds)
        or not all(isinstance(speed, int | float) and 0 < speed < 2**31 for speed in speeds)
    ):
        raise ValueError(f"{place}: speeds {speeds!r}, expected a list of numbers above 0.")
    for what, value in (("bandwidth", bandwidth), ("tick", tick)):
        if not isinstance(value, int | float) or not 0 < value < 2**53:
            raise ValueError(f"{place}: {what} {value!r}, expected a number above 0.")


def _on_platform(
    place: str,
    times: Any,
    edges: list[tuple[int, int]],
    volumes: list[int],
    speeds: Sequence[float],
    bandwidth: float,
    tick: str,
) -> SoCDagInstance:
    """The graph on PEs of the given speeds; ``bandwidth`` is per tick."""
    if bandwidth != int(bandwidth):  # volumes and bandwidths are integers: make both finer
        volumes, bandwidth = [volume * 1000 for volume in volumes], round(bandwidth * 1000)
    if bandwidth < 1:
        raise ValueError(f"{place}: bandwidth {bandwidth:g} per tick, expected at least 0.001.")
    w = np.rint(np.asarray(times, dtype=np.float64)[:, None] / np.asarray(speeds)[None, :])
    try:
        return SoCDagInstance(
            run_times=w.astype(np.int64),
            edges=np.array(edges, dtype=np.int64).reshape(-1, 2),
            data=np.array(volumes, dtype=np.int64),
            bandwidth=int(bandwidth),  # type: ignore[arg-type]
            rounding="ceil",
            tick=tick,
        )
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{place}: {error}") from None
