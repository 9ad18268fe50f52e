"""Task graphs: data, files, generators, referee and bounds."""

import hashlib
import json

import numpy as np
import pytest
from brute_force import soc_dag_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import task_graphs

import gapgym
from gapgym.instances import cache
from gapgym.instances import soc_dag as family
from gapgym.instances.soc_dag import SoCDagInstance, SoCDagSolution


def graph(**changes):
    """Three tasks in a chain on two PEs."""
    fields = {
        "run_times": [[2, 3], [4, 1], [2, 2]],
        "edges": [[0, 1], [1, 2]],
        "data": [5, 4],
        "bandwidth": 2,
        **changes,
    }
    return SoCDagInstance(**fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edges": [[0, 1], [1, 0]]}, r"task 0: on a cycle \(0 -> 1 -> 0\), expected none"),
        ({"edges": [[0, 1], [2, 2]]}, r"task 2: on a cycle \(2 -> 2\)"),
        ({"run_times": [[2, 3], [-1, -1], [2, 2]]}, "task 1: no PE supports it"),
        ({"run_times": [[2, -3], [1, 1], [2, 2]]}, "task 0: run time -3 on PE 1"),
        ({"data": [5, -4]}, "task 1: data -4 for task 2, expected >= 0"),
        ({"edges": [[0, 1], [1, 3]]}, r"edge 1: tasks \[1, 3\], expected two of 0..2"),
        ({"edges": [[0, 1], [0, 1]]}, "task 0: two edges to task 1"),
        ({"data": [5]}, r"edges \(2, 2\) and data \(1,\)"),
        ({"bandwidth": 0}, "bandwidth from PE 0 to 1: 0, expected >= 1"),
        ({"latency": [[0, 1, 2]]}, r"latency \(1, 3\), expected \(2, 2\)"),
        ({"rounding": "up"}, "rounding 'up', expected one of: floor, ceil"),
        ({"run_times": []}, "run_times: "),
        ({"run_times": [[2**53, 1], [1, 1], [1, 1]]}, "expected below 2\\^53"),
        ({"data": [1.5, 2.0]}, "data: float64"),
        ({"name": 3}, "name 3, expected a text"),
    ],
)
def test_what_is_no_task_graph_is_refused_in_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        graph(**changes)
    assert "\n" not in str(caught.value)


def test_transfers_are_rounded_as_asked_and_free_on_one_pe():
    assert graph().communication.tolist() == [[[0, 2], [2, 0]], [[0, 2], [2, 0]]]
    ceil = graph(rounding="ceil", latency=[[9, 1], [3, 9]])
    assert ceil.communication.tolist() == [[[0, 4], [6, 0]], [[0, 3], [5, 0]]]


@pytest.mark.parametrize(
    ("pe", "start", "message"),
    [
        ([0, 0], [0, 2], r"pe \(2,\), expected \(3,\)"),
        ([0, 2, 0], [0, 2, 6], r"task 1: PE 2, expected 0..1"),
        ([0, 0, 0], [-1, 2, 6], "task 0: start -1"),
        ([0, 0, 0], [0, 1, 6], "task 1: starts at 1 on PE 0, expected at or after 2"),
        ([0, 1, 0], [0, 3, 9], "task 1: starts at 3 on PE 1, expected at or after 4"),
    ],
)
def test_the_referee_names_what_is_broken(pe, start, message):
    with pytest.raises(ValueError, match=message):
        family.validate(graph(), SoCDagSolution(pe, start))


def test_the_referee_refuses_overlaps_and_unsupported_pes():
    loose = graph(edges=[], data=[])
    with pytest.raises(ValueError, match=r"PE 0: tasks 0 \[0, 2\) and 1 \[1, 5\) overlap"):
        family.validate(loose, SoCDagSolution([0, 0, 1], [0, 1, 0]))
    partial = graph(run_times=[[2, 3], [-1, 1], [2, 2]])
    with pytest.raises(ValueError, match="task 1: on PE 0, which does not support it"):
        family.validate(partial, SoCDagSolution([0, 0, 0], [0, 2, 3]))
    with pytest.raises(ValueError, match="SoCDagSolution"):
        family.validate(loose, gapgym.load("soc_dag/stream-1x2x2").name)


def test_a_hand_made_schedule_costs_what_it_says():
    schedule = SoCDagSolution([0, 1, 1], [0, 4, 5])
    family.validate(graph(), schedule)
    assert family.objective(graph(), schedule) == 7
    metrics = family.metrics(graph(), schedule)
    assert metrics["slr"] == 7 / 5
    assert metrics["speedup"] == 6 / 7
    assert metrics["utilisation"] == 5 / 14
    assert list(schedule.to_frame()["task"]) == [0, 1, 2]


def test_bounds_of_the_paper_example_are_those_of_the_research_table():
    example = gapgym.load("soc_dag/heft_example")
    assert family.min_path_bound(example) == 41
    assert family.path_bound(example) == 54
    assert family.area_bound(example) == 31
    assert family.lower_bound(example) == 54


@given(instance=task_graphs())
def test_bounds_hold(instance):
    optimum = soc_dag_optimum(instance)
    for bound in (
        family.min_path_bound,
        family.path_bound,
        family.area_bound,
        family.interval_bound,
        family.lower_bound,
    ):
        assert bound(instance) <= optimum, bound.__name__
    assert optimum <= family.upper_bound(instance)


@given(instance=task_graphs(name="g"))
def test_json_and_networkx_give_the_same_graph_back(instance, tmp_path_factory):
    file = tmp_path_factory.mktemp("soc") / "g.json"
    family.write(instance, file)
    assert family.read(file) == instance
    made = family.to_networkx(instance)
    again = family.from_networkx(
        made, bandwidth=instance.bandwidth, latency=instance.latency, rounding=instance.rounding
    )
    assert again.run_times.tolist() == instance.run_times.tolist()
    ours = dict(zip(map(tuple, instance.edges.tolist()), instance.data.tolist(), strict=True))
    theirs = dict(zip(map(tuple, again.edges.tolist()), again.data.tolist(), strict=True))
    assert ours == theirs
    made.nodes[0].clear()
    with pytest.raises(ValueError, match="node 0: no attribute 'run_times'"):
        family.from_networkx(made)


# Generators.


@pytest.mark.parametrize(
    ("name", "tasks", "edges"),
    [
        ("gaussian-5x3", 14, 19),
        ("fft-8x3", 39, 62),
        ("cholesky-4x3", 20, None),
        ("lu-4x3", 30, None),
        ("qr-4x3", 30, None),
        ("fork_join-6x3", 8, 12),
        ("out_tree-8x3", 8, 7),
        ("in_tree-8x3", 8, 7),
        ("layered-50x4", 50, None),
    ],
)
def test_generators_make_graphs_of_the_sizes_that_their_formulas_say(name, tasks, edges):
    made = gapgym.load(f"soc_dag/{name}-s5")
    assert made.num_tasks == tasks
    assert made.num_pes == int(name[-1])
    if edges is not None:
        assert len(made.edges) == edges
    assert made == gapgym.load(f"soc_dag/{name}-s5")
    assert made != gapgym.load(f"soc_dag/{name}-s6")
    assert made.name == f"{name}-s5"


def test_tiled_algorithms_depend_on_each_other_as_their_kernels_do():
    cholesky = gapgym.load("soc_dag/cholesky-2x2")
    assert cholesky.edges.tolist() == [[0, 1], [1, 2], [2, 3]]  # POTRF, TRSM, SYRK, POTRF
    lu = gapgym.load("soc_dag/lu-2x2")
    assert lu.edges.tolist() == [[0, 1], [0, 2], [1, 3], [2, 3], [3, 4]]


def test_the_law_of_run_times_follows_its_parameters():
    wide = family.generate(400, 4, seed=1, ccr=2.0, heterogeneity=0.5)
    spread = wide.run_times.max(axis=1) / (wide.run_times.min(axis=1) - 0.5)
    long = wide.run_times.min(axis=1) > 10  # where rounding matters little
    assert spread[long].max() <= 1.25 / 0.75 * 1.1
    assert spread[long].max() > 1.4
    transfers = wide.communication.sum(axis=(1, 2)) / 12
    assert 1.5 < transfers.mean() / wide.run_times.mean() < 2.8  # harmonic mean of bandwidths
    partial = family.generate(400, 4, seed=1, unsupported=0.5)
    assert 0.3 < (partial.run_times < 0).mean() < 0.45


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "spiral"}, "unknown kind 'spiral'"),
        ({"ccr": -1}, "ccr -1"),
        ({"shape": 0}, "shape 0"),
        ({"mean_run_time": 0}, "mean_run_time 0"),
    ],
)
def test_wrong_options_of_generators_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        family.generate(seed=0, **options)


# Files.

SOC = """
add_new_resource CPU P1 0 2 2 performance
opp 600 900
fft 4 4
scan 9 9
fft 7 7
add_new_resource MEM M1 1 1 1 none
None 0 0
add_new_resource resource_type ACC resource_name F resource_ID 2 capacity 1 DVFS_mode none
fft 1.0
comm_band 0 2 5
"""
JOB = """
job_name demo
add_new_tasks 3
fft 0
fft HEAD
fft earliest_start 0 deadline 9
scan 1 0
fft 2 0 1
fft TAIL
comm_vol 0 1 12
comm_vol 1 2 3
"""


def test_simulator_tables_are_read(tmp_path):
    (tmp_path / "soc.txt").write_text(SOC)
    (tmp_path / "job.txt").write_text(JOB)
    job = family.read(tmp_path / "job.txt", soc="soc.txt")
    assert job.name == "demo"
    assert job.run_times.tolist() == [[4, 4, 1], [9, 9, -1], [4, 4, 1]]
    assert job.edges.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert job.data.tolist() == [12, 0, 3]
    assert job.bandwidth.tolist() == [[1, 1, 5], [1, 1, 5], [5, 5, 1]]
    assert gapgym.load(f"soc_dag/{tmp_path}/job.txt", soc=f"{tmp_path}/soc.txt") == job


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scan 1 0", "scan 1 x", r"job.txt, line 7: 'x', expected an integer"),
        ("fft 2 0 1\n", "", r"job.txt: 2 tasks, expected those numbered 0..2 \(truncated\?\)"),
        ("scan 1 0", "scan 1 0 2", r"job.txt: task 1: on a cycle \(1 -> 2 -> 1\)"),
        ("scan 1 0", "sort 1 0", r"job.txt: task 1 \(sort\): no PE supports it"),
        ("comm_vol 0 1 12", "comm_vol 0 1 -12", "job.txt, line 10: '-12', expected an integer"),
        ("comm_vol 0 1 12", "comm_vol 1 0 12", "comm_vol of 1 and 0, which no edge joins"),
        ("comm_vol 0 1 12", "comm_vol 0", "job.txt, line 10: 1 numbers, expected 3"),
        ("scan 1 0", "scan 0 0", "job.txt, line 7: task 0 again"),
        ("scan 1 0", "scan 1 8", "job.txt, line 7: predecessor 8, expected 0..2"),
    ],
)
def test_a_broken_job_table_is_one_line(tmp_path, old, new, message):
    (tmp_path / "soc.txt").write_text(SOC)
    (tmp_path / "job.txt").write_text(JOB.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        family.read(tmp_path / "job.txt", soc="soc.txt")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fft 4 4", "fft slow", "soc.txt, line 4: 'slow'"),
        ("CPU P1 0 2 2 performance", "CPU P1", "soc.txt, line 2: 2 words"),
        ("resource_ID 2", "", "soc.txt, line 9: .*expected an integer"),
        ("capacity 1 ", "", "soc.txt, line 9: no 'capacity'"),
        ("CPU P1 0 2", "CPU P1 0 0", "soc.txt, line 2: capacity 0"),
    ],
)
def test_a_broken_soc_table_is_one_line(tmp_path, old, new, message):
    (tmp_path / "soc.txt").write_text(SOC.replace(old, new, 1))
    (tmp_path / "job.txt").write_text(JOB)
    with pytest.raises(ValueError, match=message):
        family.read(tmp_path / "job.txt", soc="soc.txt")
    with pytest.raises(ValueError, match="expected the option soc=FILE"):
        family.read(tmp_path / "job.txt")


def workflow(version="1.5"):
    tasks = [
        {"id": "a", "parents": [], "children": ["b"], "inputFiles": [], "outputFiles": ["x", "y"]},
        {"id": "b", "parents": ["a"], "children": [], "inputFiles": ["x"], "outputFiles": []},
    ]
    return {
        "schemaVersion": version,
        "workflow": {
            "specification": {
                "tasks": tasks,
                "files": [{"id": "x", "sizeInBytes": 10**8}, {"id": "y", "sizeInBytes": 7}],
            },
            "execution": {
                "tasks": [
                    {"id": "a", "runtimeInSeconds": 3.0},
                    {"id": "b", "runtimeInSeconds": 1.5},
                ]
            },
        },
    }


OLD_WORKFLOW = {
    "schemaVersion": "1.4",
    "workflow": {
        "tasks": [
            {
                "name": "a",
                "id": "ID1",
                "parents": [],
                "children": ["b"],
                "files": [{"name": "x", "link": "output", "sizeInBytes": 10**8}],
                "runtimeInSeconds": 3.0,
            },
            {
                "name": "b",
                "id": "ID2",
                "parents": ["ID1"],
                "children": [],
                "files": [{"name": "x", "link": "input", "sizeInBytes": 10**8}],
                "runtimeInSeconds": 1.5,
            },
        ]
    },
}


@pytest.mark.parametrize("data", [workflow(), workflow("1.6"), OLD_WORKFLOW])
def test_workflows_of_all_versions_give_the_same_graph(tmp_path, data):
    file = tmp_path / "w.json"
    file.write_text(json.dumps(data))
    read = family.read(file)
    assert read.run_times.tolist() == [[3000, 2000, 1500, 1000], [1500, 1000, 750, 500]]
    assert read.edges.tolist() == [[0, 1]]
    assert read.communication[0, 0, 1] == 2000  # 100 MB at 50 MB/s
    one = family.read(file, speeds=[2.0], tick=1.0, name="mine")
    assert (one.run_times.tolist(), one.name) == ([[2], [1]], "mine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schemaVersion": "0.9"}, r"w.json: schemaVersion '0.9', expected one of: 1.4, 1.5, 1.6"),
        ({"workflow": 3}, "w.json: workflow is int, expected an object"),
        ({"workflow": {}}, "w.json: not WfFormat 1.5 .KeyError 'specification'"),
    ],
)
def test_what_is_no_workflow_is_one_line(tmp_path, change, message):
    file = tmp_path / "w.json"
    file.write_text(json.dumps({**workflow(), **change}))
    with pytest.raises(ValueError, match=message):
        family.read(file)


def test_a_truncated_or_cyclic_workflow_is_one_line(tmp_path):
    file = tmp_path / "w.json"
    file.write_text(json.dumps(workflow(), indent=1)[:400])
    with pytest.raises(ValueError, match=r"w.json, line \d+: .*expected JSON"):
        family.read(file)
    data = workflow()
    data["workflow"]["specification"]["tasks"][0]["parents"] = ["b"]
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"w.json: task 0: on a cycle \(0 -> 1 -> 0\)"):
        family.read(file)
    file.write_text(json.dumps(workflow()))
    for options in ({"speeds": "fast"}, {"speeds": []}, {"tick": 0}, {"colour": 1}):
        with pytest.raises(ValueError, match=r"^w\.json: "):
            family.read(file, **options)


STG = "2\n0 0 0\n1 6 1 0\n2 3 1 0\n3 0 2 1 2\n# end\n"


def test_standard_task_graphs_are_read_with_and_without_transfers(tmp_path):
    file = tmp_path / "g.stg"
    file.write_text(STG)
    read = family.read(file, speeds=[1, 2])
    assert read.run_times.tolist() == [[0, 0], [6, 3], [3, 2], [0, 0]]
    assert read.edges.tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]
    file.write_text(STG.replace("3 0 2 1 2", "3 0 2 1 8 2 9"))
    assert family.read(file, bandwidth=2.0).communication[2:, 0, 1].tolist() == [4, 5]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3 0 2 1 2\n", "", "g.stg: 3 lines of tasks, expected 4"),
        ("1 6 1 0", "1 6 2 0", "g.stg, line 3: 1 numbers behind the count, expected 2"),
        ("1 6 1 0", "1 6 1 9", "g.stg, line 3: predecessor 9"),
        ("1 6 1 0", "1 -6 1 0", "g.stg, line 3: a negative number"),
        ("1 6 1 0", "1 6 1 0.5", "g.stg, line 3: '0.5', expected an integer"),
        ("1 6 1 0", "7 6 1 0", "g.stg, line 3: .* expected task 1"),
        ("1 6 1 0", "1 6 1 3", "g.stg: task 1: on a cycle"),
        ("2\n", "2 3\n", "expected a line with one number"),
    ],
)
def test_a_broken_standard_task_graph_is_one_line(tmp_path, old, new, message):
    file = tmp_path / "g.stg"
    file.write_text(STG.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        family.read(file)


@pytest.mark.data
def test_every_public_workflow_is_read_and_equals_the_reduced_copy(data_folder):
    files = sorted((data_folder / "soc_dag/wfinstances/raw").glob("*.json"))
    assert len(files) == 17
    for file in files:
        read = family.read(file, speeds=[1.0], bandwidth=1000.0)
        reduced = json.loads((file.parents[1] / "compact" / file.name).read_text())
        seconds = [task["runtime_s"] for task in reduced["tasks"]]
        np.testing.assert_allclose(read.run_times[:, 0], np.multiply(seconds, 1000), atol=0.5)
        ours = {(*e, d) for e, d in zip(read.edges.tolist(), read.data.tolist(), strict=True)}
        theirs = {tuple(edge) for edge in reduced["edges_bytes"]}
        assert ours == theirs, file.name


@pytest.mark.data
def test_simulator_tables_equal_their_json_copies(data_folder):
    root = data_folder / "soc_dag"
    references = json.loads((root / "reference_values.json").read_text())
    for key, value in references["ds3_static"].items():
        job, soc = key.split("@soc_")
        read = family.read(root / f"ds3_raw/job_{job}.txt", soc=root / f"ds3_raw/SoC.{soc}.txt")
        assert read.run_times.shape == (value["n_tasks"], value["n_pes"])
        assert family.path_bound(read) == value["lb_comm_path"]
        copy = json.loads((root / f"json/ds3_job_{job}.json").read_text())
        volumes = {tuple(e[:2]): e[2] for e in copy["comm_vol"]}
        ours = zip(map(tuple, read.edges.tolist()), read.data.tolist(), strict=True)
        assert {pair: volume for pair, volume in ours if volume} == {
            pair: volume for pair, volume in volumes.items() if volume
        }


@pytest.mark.data
def test_the_synthetic_jobs_load_by_name(data_folder):
    assert family.names() == ("heft_example", *(f"top_{k}" for k in range(1, 11)))
    first = gapgym.load("soc_dag/top_1")
    example = gapgym.load("soc_dag/heft_example")
    assert first.run_times.tolist() == example.run_times.tolist()
    assert gapgym.load("soc_dag/top_7").num_tasks == 10
    raw = (data_folder / "soc_dag/socrates_raw/job_Top7.txt").read_text()
    entry = next(e for e in cache.entries("soc_dag") if e.file.endswith("job_Top7.txt"))
    kept = family.normalise(raw, "job_Top7.txt").encode()
    assert hashlib.sha256(kept).hexdigest() == entry.sha256


@pytest.mark.data
def test_the_example_equals_the_paper(data_folder):
    published = json.loads((data_folder / "soc_dag/heft_topcuoglu2002.json").read_text())
    example = gapgym.load("soc_dag/heft_example")
    assert example.run_times.tolist() == published["exec"]
    edges = np.column_stack([example.edges, example.data])
    assert edges.tolist() == published["edges"]
    with pytest.raises(ValueError, match="heft_example: option 'soc', expected none"):
        gapgym.load("soc_dag/heft_example", soc="x")


@settings(max_examples=20)
@given(instance=task_graphs(), data=st.data())
def test_the_picture_shows_what_is_scheduled(instance, data):
    n = instance.num_tasks
    empty = SoCDagSolution(np.full(n, -1), np.full(n, -1))
    assert family.picture(instance, empty).boxes == ()
    result = gapgym.solve(instance, "heft")
    boxes = family.picture(instance, result.solution).boxes
    assert sum(box.y < instance.num_pes for box in boxes) == n
