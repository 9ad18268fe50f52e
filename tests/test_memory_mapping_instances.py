import json
import re
from dataclasses import replace

import numpy as np
import pytest
from brute_force import allocation_optimum
from hypothesis import given
from hypothesis import strategies as st
from strategies import allocations, mappings

import gapgym
from gapgym.instances import FAMILIES, cache, load
from gapgym.instances import memory_mapping as family
from gapgym.instances.memory_mapping import (
    GENERATORS,
    AllocationInstance,
    AllocationSolution,
    MappingInstance,
    MappingSolution,
    best_known,
    durations,
    generate,
    guillotine_solution,
    lifetimes,
    lower_bound,
    metrics,
    objective,
    picture,
    read,
    read_offsets,
    simulate,
    to_csv,
    upper_bound,
    validate,
    write,
)
from gapgym.instances.memory_mapping_files import normalise

#: MiniMalloc's example of five buffers, which fit 12 bytes.
TOY = AllocationInstance([0, 3, 0, 9, 0], [3, 9, 9, 21, 21], [4] * 5, capacity=12, name="toy")
FITTING = AllocationSolution([8, 8, 4, 4, 0])


def exactly(message):
    return f"^{re.escape(message)}$"


# Allocation: the referee.


def test_a_packing_is_judged_by_its_peak():
    validate(TOY, FITTING)
    assert objective(TOY, FITTING) == TOY.load == lower_bound(TOY) == 12
    assert upper_bound(TOY) == 20
    found = metrics(TOY, FITTING)
    assert (found["fragmentation"], found["fits"]) == (0, 1)
    assert found["utilisation"] == pytest.approx((3 + 6 + 9 + 12 + 21) * 4 / (21 * 12))
    higher = AllocationSolution([9, 9, 5, 5, 0])
    assert metrics(TOY, higher)["fits"] == 0
    assert objective(TOY, higher) == 13


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([8, 8, 5, 4, 0], "time 0: buffers 0 [8, 12) and 2 [5, 9) overlap."),
        ([8, 8, 4, 3, 0], "time 9: buffers 3 [3, 7) and 4 [0, 4) overlap."),
        ([8, 8, 4, -4, 0], "buffer 3: offset -4, expected >= 0."),
        ([8, 8, 4, 4], "offsets (4,), expected (5,)."),
    ],
)
def test_a_broken_packing_is_refused(offsets, message):
    with pytest.raises(ValueError, match=exactly(message)):
        validate(TOY, AllocationSolution(offsets))


def test_misaligned_offsets_are_refused():
    aligned = replace(TOY, alignments=[4, 4, 4, 4, 8])
    validate(aligned, FITTING)
    with pytest.raises(ValueError, match=exactly("buffer 0: offset 9, expected a multiple of 4.")):
        validate(aligned, AllocationSolution([9, 9, 4, 4, 0]))


@given(instance=allocations(), data=st.data())
def test_the_sweep_agrees_with_a_comparison_of_all_pairs(instance, data):
    n = instance.num_buffers
    step = instance.alignments if instance.alignments is not None else np.ones(n, dtype=int)
    places = st.lists(st.integers(0, 6), min_size=n, max_size=n)
    offsets = np.array(data.draw(places)) * step
    tops = offsets + instance.sizes
    overlap = any(
        instance.lowers[i] < instance.uppers[j]
        and instance.lowers[j] < instance.uppers[i]
        and offsets[i] < tops[j]
        and offsets[j] < tops[i]
        for i in range(n)
        for j in range(i)
    )
    if overlap:
        with pytest.raises(ValueError, match="overlap"):
            objective(instance, AllocationSolution(offsets))
    else:
        assert objective(instance, AllocationSolution(offsets)) == tops.max()


@given(instance=allocations(max_buffers=4, max_size=4))
def test_the_bounds_enclose_the_optimum(instance):
    optimum = allocation_optimum(instance)
    assert lower_bound(instance) <= optimum <= upper_bound(instance)


@given(instance=allocations())
def test_load_and_conflicts_are_what_they_are_said_to_be(instance):
    times = range(int(instance.lowers.min()), int(instance.uppers.max()))
    live = [(instance.lowers <= t) & (t < instance.uppers) for t in times]
    assert instance.load == max(int(instance.sizes[now].sum()) for now in live)
    together = np.array(live).astype(int).T @ np.array(live).astype(int)
    pairs = np.array([[(a & b).any() for b in np.array(live).T] for a in np.array(live).T])
    assert together.size
    assert instance.num_conflicts == (pairs.sum() - instance.num_buffers) // 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": [4, 4, 0, 4, 4]}, "buffer 2: size 0, expected >= 1."),
        ({"uppers": [0, 9, 9, 21, 21]}, "buffer 0: lifetime [0, 0), expected upper > lower."),
        ({"capacity": 3}, "buffer 0: size 4, expected at most the capacity 3."),
        ({"ids": ("a", "b", "a", "c", "d")}, "buffer 2: id 'a' as buffer 0, expected once."),
        ({"ids": ("a",)}, "ids (1,), expected (5,) as sizes."),
        ({"alignments": [1, 1, 0, 1, 1]}, "buffer 2: alignment 0, expected >= 1."),
        ({"lowers": [1]}, "lowers (1,), expected (5,) as sizes."),
        ({"capacity": 1.5}, "capacity 1.5, expected an integer."),
        ({"sizes": [2**52] * 5, "capacity": 0}, "sizes or times: too large, expected sums below"
         " 2^53."),
    ],
)  # fmt: skip
def test_what_are_no_buffers_is_refused(fields, message):
    with pytest.raises(ValueError, match=exactly(message)):
        replace(TOY, **fields)


# Mapping: the referee. Two weights; an instruction reads one and defines a buffer, and so on.

#: 0: reads weight 0, writes 2.  1: reads 2 and weight 1, writes 3.  2: reads 2 and 3, writes 4.
PROGRAM = MappingInstance(
    compute_times=[5, 20, 5],
    access_instructions=[0, 0, 1, 1, 1, 2, 2, 2],
    access_buffers=[0, 2, 1, 2, 3, 2, 3, 4],
    access_writes=[0, 1, 0, 0, 1, 0, 0, 1],
    slow_times=[10, 8, 10, 8, 8, 8, 8, 6],
    fast_times=[1, 1, 1, 1, 1, 1, 1, 1],
    sizes=[5, 5, 4, 4, 3],
    copy_times=[10, 10, 8, 8, 6],
    kinds=[0, 0, 2, 2, 2],
    results=[0, 0, 0, 0, 1],
    pinned=[0, 0, 0, 0, 0],
    capacity=8,
    name="three",
)
SLOW = MappingSolution([0] * 8, [], [])
#: Buffers 2 and 3 stay in the fast memory from their definitions on; 2 is never written back.
KEPT = MappingSolution([0, 1, 0, 1, 1, 1, 1, 0], [[2, 0, 2, 0], [3, 1, 2, 4]], [])


def test_a_plan_is_judged_by_its_ledger():
    validate(PROGRAM, SLOW)
    assert objective(PROGRAM, SLOW) == PROGRAM.slow_total == 18 + 26 + 22
    assert durations(PROGRAM, KEPT).tolist() == [11, 20, 8]
    assert objective(PROGRAM, KEPT) == 39
    assert PROGRAM.fast_total == 5 + 20 + 5
    found = metrics(PROGRAM, KEPT)
    assert found["score"] == pytest.approx((66 - 39) / (66 - 30))
    assert found["fast_share"] == 5 / 8
    assert found["peak_occupancy"] == 1
    assert found["speedup"] == 66 / 39
    assert found["simulated"] == 1


def test_copies_use_what_is_idle_or_make_the_instruction_longer():
    # The new buffer 4 streams out while it is made: its instruction takes 6, not 3 + 5 or 5.
    out = MappingSolution(
        [0, 1, 0, 1, 1, 1, 1, 1],
        [[2, 0, 2, 0], [3, 1, 2, 4], [4, 2, 2, 0]],
        [[2, 2, 6, 1]],
    )
    with pytest.raises(ValueError, match=r"instruction 2: buffers 2 \[0, 4\) and 4 \[0, 3\) over"):
        validate(PROGRAM, out)
    roomy = replace(PROGRAM, capacity=11)
    moved = replace(out, residencies=[[2, 0, 2, 0], [3, 1, 2, 4], [4, 2, 2, 8]])
    assert durations(roomy, moved).tolist() == [11, 20, 6]
    assert objective(roomy, moved) == 37
    # Weight 1 is copied in during instruction 0, which has no idle time: 10 more than its 11.
    copied = MappingSolution([0, 1, 1, 1, 1, 1, 1, 0], [[2, 0, 2, 0], [3, 1, 2, 4], [1, 0, 1, 8]], [
        [2, 0, 10, 0],
    ])  # fmt: skip
    roomy = replace(PROGRAM, capacity=13)
    assert durations(roomy, copied).tolist() == [20, 20, 8]
    assert metrics(roomy, copied)["copies"] == 1


def plan(**fields):
    return replace(KEPT, **fields)


@pytest.mark.parametrize(
    ("solution", "message"),
    [
        (plan(fast=[0, 1, 0]), "fast (3,), expected (8,)."),
        (plan(fast=[0, 1, 0, 1, 1, 1, 1, 2]), "access 7: fast 2, expected 0 or 1."),
        (plan(fast=[0, 1, 0, 1, 1, 1, 1, 1]), "instruction 2: buffer 4 is not in the fast memory."),
        (
            plan(fast=[0, 1, 0, 1, 1, 0, 1, 0]),
            "buffer 2, residency 0..2: served by the slow memory in 2, expected fast.",
        ),
        (
            plan(residencies=[[2, 0, 2, 0], [3, 1, 2, 3]]),
            "instruction 1: buffers 2 [0, 4) and 3 [3, 7) overlap.",
        ),
        (plan(residencies=[[2, 0, 2, 5], [3, 1, 2, 0]]), "residency 0: offset 5, expected 0..4."),
        (plan(residencies=[[9, 0, 2, 5]]), "residency 0: buffer 9, expected one that is not"
         " pinned."),
        (
            plan(residencies=[[2, 0, 3, 0]]),
            "residency 0: instructions 0..3, expected within 0..2.",
        ),
        (
            MappingSolution([0, 1, 0, 1, 0, 0, 0, 0], [[2, 0, 1, 0]], []),
            "instruction 2: buffer 2 is not in the slow memory.",
        ),
        (
            MappingSolution([0, 1, 0, 1, 0, 0, 0, 0], [[2, 0, 1, 0]], [[0, 1, 7, 1]]),
            "buffer 2, residency 0..1: 7 ticks copied out, expected 8 of a new temp.",
        ),
        (
            MappingSolution([0, 0, 1, 0, 0, 0, 0, 0], [[1, 0, 1, 0]], [[0, 0, 9, 0]]),
            "buffer 1, residency 0..1: 9 ticks copied in, expected 10.",
        ),
        (
            MappingSolution([0, 0, 1, 0, 0, 0, 0, 0], [[1, 0, 1, 0]], [[0, 1, 10, 0]]),
            "buffer 1, residency 0..1: copied in until 1, expected before 1.",
        ),
        (
            MappingSolution([0, 0, 0, 1, 0, 0, 0, 0], [[2, 0, 1, 0]], [[0, 0, 8, 0]]),
            "buffer 2, residency 0..1: served by the slow memory in 0, expected fast.",
        ),
        (
            MappingSolution([0, 0, 0, 0, 0, 0, 0, 1], [[4, 2, 2, 0]], []),
            "buffer 4: a result, expected in the slow memory at the end.",
        ),
        (
            MappingSolution([0] * 8, [[4, 0, 1, 0]], []),
            "buffer 4, residency 0..1: before its definition in 2.",
        ),
        (plan(transfers=[[0, 5, 1, 0]]), "transfer 0: instruction 5, expected within those of"
         " residency 0, 0..2."),
        (plan(transfers=[[0, 1, 0, 0]]), "transfer 0: 0 ticks, expected >= 1."),
        (plan(transfers=[[2, 1, 1, 0]]), "transfer 0: residency 2, direction 0, expected 0..1 and 0"
         " or 1."),
    ],
)  # fmt: skip
def test_a_broken_plan_is_refused(solution, message):
    with pytest.raises(ValueError, match=exactly(message)):
        validate(PROGRAM, solution)


def test_a_temp_is_copied_in_only_after_it_is_in_the_slow_memory():
    early = MappingSolution([0, 0, 0, 0, 0, 1, 0, 0], [[2, 1, 2, 0]], [[0, 1, 8, 0]])
    with pytest.raises(ValueError, match="served by the slow memory in 1"):
        validate(PROGRAM, early)
    spilled = MappingSolution(
        [0, 1, 0, 0, 0, 0, 0, 0], [[2, 0, 0, 0]], [[0, 0, 8, 1]]
    )  # streams out while it is made: as long as being written there
    assert durations(PROGRAM, spilled).tolist() == [18, 26, 22]
    with pytest.raises(ValueError, match="lies twice"):
        validate(
            PROGRAM,
            MappingSolution([0, 1, 0, 1, 0, 0, 0, 0], [[2, 0, 1, 0], [2, 0, 1, 4]], []),
        )


def test_a_queue_for_the_slow_memory_takes_as_long_as_the_ledger_or_longer():
    # One copy of 10 ticks during instruction 0, which leaves 1 tick: the next one waits for 9.
    copied = MappingSolution([0, 1, 1, 0, 0, 0, 0, 0], [[1, 0, 1, 0]], [[0, 0, 10, 0]])
    copied = replace(copied, fast=[0, 0, 1, 0, 0, 0, 0, 0])
    program = replace(PROGRAM, compute_times=[19, 20, 5])
    assert durations(program, copied)[0] == 18 + 10
    assert simulate(program, copied) == durations(program, copied).sum()


def test_solutions_of_the_other_problem_are_refused():
    with pytest.raises(ValueError, match="MappingSolution, expected AllocationSolution"):
        validate(TOY, SLOW)
    with pytest.raises(ValueError, match="str: expected an instance of memory_allocation, mem"):
        lower_bound("A")


@given(instance=mappings())
def test_everything_slow_takes_the_time_that_is_said(instance):
    fast = (~instance.is_free).astype(int)
    plan_ = MappingSolution(fast, [], [])
    assert objective(instance, plan_) == instance.slow_total
    assert lower_bound(instance) <= instance.slow_total <= upper_bound(instance)
    assert instance.fast_total <= lower_bound(instance)
    assert simulate(instance, plan_) == instance.slow_total


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"access_buffers": [0, 2, 1, 2, 3, 2, 9, 4]}, "access_buffers: 9 at 6, expected 0..4."),
        ({"access_buffers": [0, 2, 1, 4, 3, 2, 3, 4]},
         "instruction 1: reads buffer 4 before its definition."),
        ({"access_buffers": [0, 2, 1, 2, 3, 2, 3, 2]}, "instruction 2: buffer 2 twice, expected"
         " once."),
        ({"access_buffers": [0, 2, 1, 2, 3, 2, 4, 3]},
         "instruction 2: reads buffer 4 before its definition."),
        ({"access_instructions": [1, 0, 1, 1, 1, 2, 2, 2]},
         "access 1: out of order, expected reads, then writes."),
        ({"kinds": [0, 0, 2, 2, 0]}, "instruction 2: writes weight 4 again, expected a new temp."),
        ({"fast_times": [11, 1, 1, 1, 1, 1, 1, 1]},
         "access 0: 11 ticks in the fast memory, expected at most the 10 in the slow one."),
        ({"sizes": [5, 5, 4, 0, 3]}, "sizes: 0 at 3, expected 1..2147483647."),
        ({"capacity": 0}, "capacity 0, expected 1..2^31 - 1."),
        ({"tick": 0.0}, "tick 0.0, expected more than 0 seconds."),
        ({"compute_times": []}, "compute_times (0,), expected at least 1 instruction."),
    ],
)  # fmt: skip
def test_what_is_no_program_is_refused(fields, message):
    with pytest.raises(ValueError, match=exactly(message)):
        replace(PROGRAM, **fields)


# Files.


@given(instance=allocations())
def test_buffers_survive_csv_and_json(instance, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    name = f"a.{instance.capacity}.csv" if instance.capacity else "a.csv"
    write(instance, folder / name)
    assert read(folder / name) == instance
    write(instance, folder / "a.json")
    assert read(folder / "a.json") == instance


@given(instance=mappings())
def test_programs_survive_json(instance, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "p.json"
    write(instance, path)
    assert read(path) == instance
    assert MappingInstance.from_json(json.loads(path.read_text())) == instance


def test_optional_columns_and_other_names_are_read(tmp_path):
    path = tmp_path / "named.csv"
    path.write_text("buffer_id,start,end,size,alignment,hint,offset,gaps\nx,0,2,4,2,-1,6,\n"
                    "y,1,5,3,1,8,0,\n")  # fmt: skip
    found = read(path, capacity=20)
    assert found.ids == ("x", "y")
    assert found.uppers.tolist() == [3, 6]
    assert (found.alignments.tolist(), found.hints.tolist()) == ([2, 1], [-1, 8])
    assert (found.capacity, found.name) == (20, "named")
    offsets = read_offsets(path)
    assert objective(found, offsets) == 10
    (tmp_path / "again.csv").write_text(to_csv(found, offsets))
    assert read(tmp_path / "again.csv", capacity=20) == found
    assert read_offsets(tmp_path / "again.csv") == offsets
    assert read(path, capacity=1.5).capacity == 10  # of the load, 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,lower,upper,size\na,3,3,4\n", "line 2: lower 3 and upper 3, expected upper > lower."),
        ("id,lower,upper,size\n\na,0,3,0\n", "line 3: size 0, expected >= 1."),
        ("id,lower,upper,size\na,0,3,-4\n", "line 2: size -4, expected >= 1."),
        (
            "id,lower,upper,size\na,0,3,4\na,1,2,3\n",
            "line 3: id 'a' as in line 2, expected another.",
        ),
        ("id,lower,upper,size\na,0,3,99\n", "line 2: size 99, expected at most the capacity 50."),
        ("id,lower,upper,size\na,0,x,4\n", "line 2: 'x' as upper, expected an integer."),
        ("id,lower,upper,size\na,0,1.5,4\n", "line 2: '1.5' as upper, expected an integer."),
        ("id,lower,upper,size\na,0,3\n", "line 2: 3 values, expected 4."),
        ("id,lower,size\na,0,3\n", "line 1: no column 'upper', expected id, lower, upper, size."),
        ("id,lower,upper,size,gaps\na,0,3,4,1-2\n", "line 2: gaps in a lifetime, expected none."),
    ],
)
def test_bad_buffers_are_named_by_line(tmp_path, text, message):
    path = tmp_path / "bad.50.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=exactly(f"bad.50.csv, {message}")):
        read(path)


def program_json(**changes):
    data = {
        "ins": [
            {"name": "first", "op": "relu", "ops": ["x"], "outs": ["a"], "fl": 10},
            {"name": "second", "op": "add", "ops": ["a", "w"], "outs": ["b"], "fl": 20},
        ],
        "size": {"x": 4000, "w": 8000, "a": 4000, "b": 4000},
        "kind": {"x": "input", "w": "weight", "a": "temp", "b": "temp"},
        "out": ["b"],
    }
    return data | changes


def test_a_program_is_put_on_a_machine(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps(program_json()))
    found = read(path, capacity=10, unit=1000, flops=1e9, bandwidth=2e9, fast_ratio=4)
    assert found.compute_times.tolist() == [20, 40]
    assert found.slow_times.tolist() == [4000, 4000, 4000, 8000, 4000]
    assert found.fast_times.tolist() == [1000, 1000, 1000, 2000, 1000]
    assert found.sizes.tolist() == [4, 4, 8, 4]
    assert (found.capacity, found.unit, found.name) == (10, 1000, "net")
    assert found.slow_total == 8000 + 16000
    # Weights live from the start: 4000 + 8000 + 4000, then 4000 + 8000 + 4000.
    half = read(path, capacity=0.5, size_scale=0.5)
    assert half.capacity * half.unit == pytest.approx(4000, abs=half.unit)
    assert half.copy_times.tolist() == [2000, 2000, 4000, 2000]
    pinned = read(path, capacity=200, unit=100, pin=0.3)
    assert pinned.pinned.tolist() == [1, 1, 0, 1]
    assert pinned.capacity == 200 - 120
    with pytest.raises(ValueError, match="capacity 200: 0 units left, expected at least 1"):
        read(path, capacity=200, unit=100, pin=1.0)
    with pytest.raises(
        ValueError, match=r"unknown option 'colour' for net\.json, expected some of"
    ):
        read(path, colour=3)
    with pytest.raises(ValueError, match=r"capacity 1\.5, expected a share up to 1\.0"):
        read(path, capacity=1.5)


ONE = {"name": "first", "op": "relu", "ops": ["x"], "outs": ["a"], "fl": 10}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ins": [ONE | {"ops": ["y"]}]},
            "net.json, line 4, instruction 0: buffer 'y', expected one that 'size' and 'kind'"
            " know.",
        ),
        (
            {"ins": [ONE | {"ops": ["a"], "outs": ["b"]}]},
            "net.json, line 4, instruction 0: reads 'a' before its definition.",
        ),
        (
            {"ins": [ONE | {"outs": ["w"]}]},
            "net.json, line 4, instruction 0: defines 'w' again, expected a new buffer.",
        ),
        ({"ins": [ONE | {"fl": "3"}]}, "net.json, line 4, instruction 0: fl '3', expected int."),
        ({"out": ["z"]}, "net.json: result 'z', expected a buffer that is defined."),
        ({"size": 3}, "net.json: expected a list 'ins', and objects 'size' and 'kind'."),
    ],
)
def test_bad_programs_are_named_by_line(tmp_path, changes, message):
    path = tmp_path / "net.json"
    path.write_text(json.dumps(program_json(**changes), indent=1))
    with pytest.raises(ValueError, match=exactly(message)):
        read(path)


def test_programs_are_written_as_they_are_read(tmp_path):
    program = family.parse_program(program_json(), "here", name="net")
    path = tmp_path / "net.json"
    path.write_text(family.program_text(program))
    assert read(path, capacity=10) == program.instance(capacity=10)


def test_what_a_format_cannot_hold_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=exactly("a.csv: no capacity, expected the name a.12.csv.")
    ):
        write(TOY, tmp_path / "a.csv")
    with pytest.raises(ValueError, match=r"cannot hold memory_mapping, expected a \.json name"):
        write(PROGRAM, tmp_path / "a.csv")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError, match=r"suffix '\.txt', expected \.csv"):
        read(tmp_path / "a.txt")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match="problem None, expected a program"):
        read(tmp_path / "a.json")


# Generators.


@given(n=st.integers(1, 60), seed=st.integers(0, 99), slack=st.sampled_from([0.0, 0.3]))
def test_a_cut_memory_is_filled_again(n, seed, slack):
    instance, packing = guillotine_solution(n, seed=seed, slack=slack)
    peak = objective(instance, packing)
    assert peak <= instance.capacity == 1024
    if not slack:
        assert instance.load == peak == 1024
        area = (instance.uppers - instance.lowers) @ instance.sizes
        assert area == 1024 * 4 * n
        assert (instance.live_bytes == 1024).all()


@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_generators_repeat_their_instances_by_name(kind):
    first = generate(6, seed=5, kind=kind)
    assert first == generate(6, seed=5, kind=kind)
    assert first != generate(6, seed=6, kind=kind)
    assert load(f"memory_mapping/{kind}-6-s5") == first
    assert first.name == f"{kind}-6-s5"
    assert lower_bound(first) <= upper_bound(first)


def test_wrong_sizes_and_options_of_generators_are_refused():
    with pytest.raises(ValueError, match="unknown kind 'torus', expected one of: guillotine"):
        generate(5, seed=1, kind="torus")
    with pytest.raises(ValueError, match="num_buffers 0, expected an integer >= 1"):
        generate(0, seed=1)
    with pytest.raises(ValueError, match="slack 2, expected between 0 and 1"):
        generate(5, seed=1, slack=2)
    with pytest.raises(ValueError, match="length 0 and spread 1, expected"):
        lifetimes(5, seed=1, length=0, spread=1)


# Pictures.


def test_pictures_show_what_is_placed():
    partial = picture(TOY, AllocationSolution([8, -1, 4, -1, 0]))
    assert len(partial.boxes) == 3
    assert "3 of 5 placed" in partial.title
    drawn = picture(PROGRAM, KEPT)
    assert drawn.boxes[0].width == 39
    assert {box.y < 0 for box in drawn.boxes} == {True, False}


# The public benchmarks.

#: Buffers, conflicts and load, as stated in the README of the data.
PUBLISHED = {
    "A": (154, 4642, 1048576),
    "B": (170, 4919, 1048576),
    "C": (203, 6308, 1039360),
    "D": (213, 12543, 986112),
    "E": (215, 3255, 1048576),
    "F": (296, 2894, 1048576),
    "G": (308, 3160, 1048576),
    "H": (316, 3158, 1048576),
    "I": (374, 12330, 1048576),
    "J": (409, 28740, 989184),
    "K": (454, 7607, 1048576),
    "resnet50": (1042, 218395, 1515472556),
    "G_1": (816, 99505, 3030937746),
    "pangu_2.6B": (18692, 12181428, 5530099775),
    "S_1": (28526, 43218991, 1498635932),
    "Y_1": (62185, 179827782, 497261190115),
}


@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
def test_public_buffers_are_as_their_readme_says(data_folder, name):
    instance = load(f"memory_mapping/{name}")
    assert (instance.num_buffers, instance.num_conflicts, instance.load) == PUBLISHED[name]
    assert instance.capacity == (1048576 if len(name) == 1 else 0)
    published = best_known(instance)
    if len(name) == 1:
        assert (published.lower, published.upper) == (instance.load, 1048576)
        assert load(f"memory_mapping/{name}", capacity=1.0).capacity == instance.load
    else:
        assert published is None


@pytest.mark.data
def test_the_manifest_knows_the_files_by_content(data_folder):
    for entry in cache.entries("memory_mapping"):
        kept = (data_folder / entry.file).read_bytes()
        assert cache.hashlib.sha256(kept).hexdigest() == entry.sha256
        assert normalise(kept.decode(), entry.file) == kept.decode()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "instructions", "accesses"),
    [("rn18b1", 68, 246), ("rn18b16", 68, 246), ("tf4", 56, 172)],
)
def test_traced_programs_are_read(data_folder, name, instructions, accesses):
    path = data_folder / "memory_mapping" / "traced" / f"{name}.json"
    found = read(path, capacity=0.25, size_scale=0.5)
    assert (found.num_instructions, found.num_accesses) == (instructions, accesses)
    # The README's figures: everything fast gains 15 to 28 %.
    assert 1.15 < found.slow_total / found.fast_total < 1.28


def test_the_family_is_registered():
    assert "memory_mapping" in FAMILIES
    assert gapgym.load("memory_mapping/guillotine-5-s1").num_buffers == 5
    with pytest.raises(ValueError, match="unknown memory_mapping benchmark 'Z'"):
        family.load("Z")
