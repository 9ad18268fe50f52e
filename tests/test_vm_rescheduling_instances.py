"""VM rescheduling: data, files, generators, referee and bounds."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from brute_force import vm_cost, vm_free, vm_moves, vm_optimum
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import vm_clusters

import gapgym
from gapgym.experiments import cli
from gapgym.instances import cache
from gapgym.instances import vm_rescheduling as family
from gapgym.instances.vm_rescheduling import (
    VMReschedulingInstance,
    VMReschedulingSolution,
    drifted,
    generate,
    lower_bound,
    metrics,
    objective,
    shuffle,
    slots,
    upper_bound,
    validate,
)

#: Two PMs of 2 x 16 cores: VM 0 (4 cores) and VM 1 (12) leave no slot of 16 on PM 0; VM 2 is a
#: double of 2 x 4.
SMALL = {
    "pm_cores": [[16, 16], [16, 16]],
    "pm_memory": [[64, 64], [64, 32]],
    "vm_cores": [4, 12, 4],
    "vm_memory": [8, 24, 8],
    "vm_pm": [0, 0, 1],
    "vm_node": [0, 1, -1],
    "mnl": 2,
}


def small(**fields):
    return VMReschedulingInstance(**{**SMALL, **fields})


def plan(*moves):
    return VMReschedulingSolution(list(moves))


def random_plan(instance, seed):
    """A possible plan, by the independent list of moves."""
    rng = np.random.default_rng(seed)
    places = list(zip(instance.vm_pm.tolist(), instance.vm_node.tolist(), strict=True))
    moves, spent = [], 0
    for _ in range(instance.mnl):
        possible = list(vm_moves(instance, places, spent))
        if not possible:
            break
        vm, pm, node, total = possible[rng.integers(len(possible))]
        places[vm] = (pm, node)
        spent += total
        moves.append((vm, pm, node))
    return plan(*moves), places


def test_the_objective_of_a_hand_made_plan():
    instance = small()
    assert instance.free_cores.tolist() == [[12, 4], [12, 12]]
    assert instance.total_free == 40
    assert objective(instance, plan()) == 40
    moved = plan((0, 0, 1))  # beside the 12 cores: node 0 becomes free
    assert objective(instance, moved) == 40 - 16
    assert metrics(instance, moved) == {
        "fragment_rate": 0.6,
        "slots": 1.0,
        "slots_gained": 1.0,
        "moves": 1.0,
        "memory_moved_gb": 8 / 1024,
        "stale": 0.0,
    }
    assert lower_bound(instance) <= 24 < upper_bound(instance) == 40


def test_slots_over_both_nodes_need_half_on_each():
    free = np.array([[40, 33], [31, 44], [0, 44]])
    assert slots(free, 64, True) == 1
    assert slots(free, 16, True) == min(5, 4) + min(3, 5)
    assert slots(free, 16, False) == 2 + 2 + 1 + 2 + 0 + 2


def test_of_several_sizes_each_counts_by_its_weight():
    instance = small(sizes=[[16, 0, 1], [8, 1, 3]])
    eights = min(12, 4) // 4 + 12 // 4
    assert objective(instance, plan()) == (40 - 0) + 3 * (40 - 8 * eights)


def test_a_goal_counts_what_is_missing_first_and_then_the_moves():
    instance = small(goal=0.6)
    assert objective(instance, plan()) == 3 * (40 - 24)
    assert objective(instance, plan((0, 0, 1))) == 1
    assert objective(instance, plan((0, 0, 1), (0, 0, 0))) == 3 * 16 + 2
    assert lower_bound(instance) == 1


def test_no_free_core_means_a_rate_of_zero():
    full = {"vm_cores": [16, 16], "vm_memory": [0, 0], "vm_pm": [0, 0], "vm_node": [0, 1]}
    instance = small(**full, pm_cores=[[16, 16]], pm_memory=[[1, 1]], goal=0.0)
    assert metrics(instance, plan())["fragment_rate"] == 0.0
    assert objective(instance, plan()) == lower_bound(instance) == 0
    nothing = replace(small(), pm_active=[0, 0])
    assert objective(nothing, plan()) == upper_bound(nothing) == 0


@pytest.mark.parametrize(
    ("moves", "fields", "message"),
    [
        ([(3, 0, 0)], {}, r"move 0: VM 3, expected 0..2"),
        ([(0, 2, 0)], {}, r"move 0: VM 0 to PM 2, expected 0..1"),
        ([(0, 1, -1)], {}, r"VM 0 to node -1 of PM 1, expected 0 or 1"),
        ([(2, 0, 0)], {}, r"VM 2 to node 0 of PM 0, expected -1"),
        ([(0, 0, 0)], {}, r"VM 0 to PM 0, node 0: it is there"),
        ([(0, 0, 1), (2, 0, -1)], {}, r"move 1: VM 2 to PM 0, node 1: 0 cores free, expected.* 4"),
        ([(1, 1, 1)], {"vm_memory": [8, 30, 8]}, r"VM 1 to PM 1, node 1: 24 MB free.* 30"),
        ([(0, 1, 0)], {"vm_movable": [0, 1, 1]}, r"VM 0: not movable"),
        ([(0, 1, 0)], {"pm_active": [1, 0]}, r"VM 0 to PM 1: not active"),
        ([(2, 0, -1)], {"pm_active": [1, 0]}, r"VM 2: not movable"),
        ([(0, 1, 0)], {"cluster_local": True, "pm_cluster": [3, 5]}, r"VM 0 from cluster 3 to 5"),
        ([(0, 1, 0)], {"set_level": [0], "set_members": [[0, 0], [0, 2]]}, r"the PM of VM 2"),
        (
            [(0, 1, 0)],
            {"pm_rack": [0, 1], "set_level": [1], "set_members": [[0, 0], [0, 2]]},
            r"the rack of VM 2, expected apart \(set 0\)",
        ),
        ([(0, 1, 0)] * 3, {}, r"3 moves, expected at most 2"),
        ([(2, 0, -1)], {"memory_budget": 15}, r"move 0: 16 MB moved, expected at most 15"),
        ([(0, 1, 0)], {"vm_names": ("a", "b", "c"), "vm_movable": [0, 1, 1]}, r"VM a: not movable"),
    ],
)
def test_the_referee_names_the_first_impossible_move(moves, fields, message):
    with pytest.raises(ValueError, match=message):
        validate(small(**fields), plan(*moves))


@given(instance=vm_clusters(max_vms=5), seed=st.integers(0, 99))
def test_every_possible_plan_is_valid_and_costs_what_its_end_costs(instance, seed):
    solution, places = random_plan(instance, seed)
    validate(instance, solution)
    cost = vm_cost(instance, [row[:2] for row in vm_free(instance, places)])
    if instance.goal is None:
        assert objective(instance, solution) == cost
    else:
        missing = max(0, cost - instance.goal_cost)
        assert objective(instance, solution) == (instance.mnl + 1) * missing + len(solution.moves)


@given(instance=vm_clusters(max_vms=5), seed=st.integers(0, 99), data=st.data())
def test_every_impossible_move_is_refused(instance, seed, data):
    solution, places = random_plan(instance, seed)
    if len(solution.moves) == instance.mnl or not instance.num_vms:
        return
    spent = int(instance.moved_memory[solution.moves[:, 0]].sum())
    possible = {move[:3] for move in vm_moves(instance, places, spent)}
    vm = data.draw(st.integers(0, instance.num_vms - 1))
    move = vm, data.draw(st.integers(0, instance.num_pms - 1)), data.draw(st.integers(-1, 1))
    longer = VMReschedulingSolution([*solution.moves.tolist(), move])
    if move in possible:
        validate(instance, longer)
    else:
        with pytest.raises(ValueError, match=f"move {len(solution.moves)}: "):
            validate(instance, longer)


@settings(max_examples=60)
@given(instance=vm_clusters(max_pms=2, max_vms=4, most=2))
def test_the_bounds_enclose_the_optimum(instance):
    best = vm_optimum(instance)
    assert lower_bound(instance) <= best <= objective(instance, plan()) <= upper_bound(instance)


@given(instance=vm_clusters(certain=False), seed=st.integers(0, 99))
def test_the_bounds_enclose_what_a_delay_makes_of_a_plan(instance, seed):
    solution, _ = random_plan(instance, seed)
    assert lower_bound(instance) <= objective(instance, solution) <= upper_bound(instance)
    assert 0 <= metrics(instance, solution)["stale"] <= len(solution.moves)


# The delay.


def test_a_cluster_drifts_on_from_where_a_shorter_delay_left_it():
    instance = generate(20, seed=1)
    previous = None
    for delay in (0.0, 5.0, 60.0, 300.0):
        late = drifted(replace(instance, delay=delay))
        assert (late.free_cores >= 0).all()
        assert (late.free_cores <= instance.pm_cores).all()
        if previous is not None:
            assert late.created >= previous.created
            assert late.deleted >= previous.deleted
            assert not (late.present & ~previous.present).any()
        previous = late
    assert previous.deleted > 50
    still = drifted(replace(instance, delay=300.0, churn=0.0))
    assert still.present.all()
    np.testing.assert_array_equal(still.free_cores, instance.free_cores)


def test_moves_that_the_delay_made_impossible_are_skipped_and_counted():
    instance = small(delay=30.0, churn=2.0)
    solution, seen = plan((0, 0, 1)), set()
    for scenario in range(30):
        late = replace(instance, scenario=scenario)
        drift = drifted(late)
        fits = drift.present[0] and drift.free_cores[0, 1] >= 4 and drift.free_memory[0, 1] >= 8
        assert metrics(late, solution)["stale"] == (0 if fits else 1)
        free = drift.free_cores.copy()
        if fits:
            free[0] += [4, -4]
        assert objective(late, solution) == vm_cost(late, free.tolist())
        seen.add(bool(fits))
    assert seen == {True, False}


# Bad input.


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vm_pm": [0, 0, 2]}, r"VM 2: on PM 2, expected 0..1"),
        ({"vm_node": [0, 2, 1]}, r"VM 1: on node 2, expected -1..1"),
        ({"vm_cores": [4, 17, 4]}, r"PM 0, node 1: 17 cores used by its VMs, expected at most 16"),
        ({"vm_memory": [65, 0, 0]}, r"PM 0, node 0: 65 MB used by its VMs, expected at most 64"),
        ({"vm_cores": [4, -1, 4]}, r"VM 1: -1 cores, expected 1"),
        ({"vm_cores": [4, 0, 4]}, r"VM 1: 0 cores, expected 1"),
        ({"vm_memory": [4, -1, 4]}, r"VM 1: -1 MB, expected 0"),
        ({"pm_cores": [[16, -16], [16, 16]]}, r"PM 0, node 1: -16 cores, expected >= 0"),
        ({"pm_cores": [16, 16]}, r"pm_cores: int64 \(2,\), expected integers in 2"),
        ({"pm_memory": [[1, 1]]}, r"pm_memory \(1, 2\), expected \(2, 2\)"),
        ({"mnl": 0}, r"mnl 0, expected >= 1"),
        ({"mnl": 2.5}, r"mnl 2.5, expected an integer"),
        ({"sizes": [[0, 0, 1]]}, r"size of 0 cores, expected a number >= 1"),
        ({"sizes": [[15, 1, 1]]}, r"size of 15 cores, expected an even number"),
        ({"sizes": [[16, 0, 0]]}, r"weight >= 1"),
        ({"sizes": []}, r"sizes: .*, expected"),
        ({"goal": 1.5}, r"goal 1.5, expected between 0 and 1"),
        ({"delay": -1.0}, r"delay -1.0, expected between 0"),
        ({"vm_names": ("a", "b", "a")}, r"vm 'a': twice"),
        ({"pm_names": ("a",)}, r"pm_names: 1 names, expected 2"),
        ({"pm_rack": [-1, 0]}, r"PM 0: rack -1, expected"),
        ({"vm_movable": [1, 2, 1]}, r"VM 1: movable 2, expected 0..1"),
        ({"set_level": [0], "set_members": [[0, 0], [0, 1]]}, r"VM 0 and VM 1 of set 0: both in"),
        ({"set_level": [0], "set_members": [[0, 9]]}, r"set 0 with VM 9: expected sets 0..0"),
        ({"set_level": [2], "set_members": []}, r"set 0: level 2, expected 0 \(host\)"),
        ({"memory_budget": -1}, r"memory_budget -1, expected >= 0"),
    ],
)
def test_wrong_data_is_named_by_its_pm_or_vm(fields, message):
    with pytest.raises(ValueError, match=message):
        small(**fields)


def test_a_plan_has_three_columns():
    with pytest.raises(ValueError, match=r"moves \(1, 2\), expected \(M, 3\)"):
        plan((1, 2))
    assert plan().moves.shape == (0, 3)
    assert list(plan((1, 2, 0)).to_frame().columns) == ["vm", "pm", "node"]


# Files.


def snapshot(**changes):
    """A snapshot as published, of the small cluster; stated free amounts are wrong, as there."""

    def pm(name, rack):
        node = {"total_cpu": 16, "memory_huge_total_mb": 64.0}
        stale = {"free_cpu": 1.0, "memory_huge_free_mb": 1.0}
        numa = [{"node": k, **node, **stale} for k in (0, 1)]
        return {"node_id": name, "status": "ACTIVE", "numa": numa, "rack_id": rack}

    def vm(name, host, *parts):
        numa = [{"node": k, "cpu": c, "mem_mb": float(m)} for k, c, m in parts]
        kind = {"instance_type": "x", "allow_migration": True}
        return {"instance_id": name, "host_id": host, "numa": numa, **kind}

    cluster = {
        "cluster_name": "c",
        "host_info": [pm("p", 1), pm("q", 2)],
        "vm_instance": [
            vm("a", "p", (0, 4, 8)),
            vm("b", "p", (1, 12, 24)),
            vm("c", "q", (0, 4, 8), (1, 4, 8)),
        ],
        "other_requirement": {"deployment_set": [{"level": "rack", "instances": ["a", "c"]}]},
    }
    kinds = [
        {"vm_type": "x", "request_cpu": 16, "numa": 1, "weight": 1.0},
        {"vm_type": "y", "request_cpu": 4, "numa": 1, "weight": 0.0},
    ]
    return {"cluster_list": [cluster], "vm_type_list": kinds, **changes}


def test_a_published_snapshot_is_read_by_its_vms(tmp_path):
    file = tmp_path / "now.json"
    file.write_text(json.dumps(snapshot()))
    found = family.read(file, mnl=7)
    assert (found.name, found.mnl) == ("now", 7)
    assert found.free_cores.tolist() == [[12, 4], [12, 12]]
    assert found.free_memory.tolist() == [[56, 40], [56, 56]]
    assert found.sizes.tolist() == [[16, 0, 1]]
    assert found.vm_names == ("a", "b", "c")
    assert found.set_members.tolist() == [[0, 0], [0, 2]]
    assert found.pm_rack.tolist() == [1, 2]


def edited(change):
    data = snapshot()
    change(data["cluster_list"][0])
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["vm_instance"][0].update(host_id="z"), r"VM a: on PM 'z', which is not in"),
        (lambda c: c["vm_instance"][1].update(instance_id="a"), r"VM a: twice"),
        (lambda c: c["host_info"][1].update(node_id="p"), r"PM p: twice"),
        (lambda c: c["vm_instance"][0]["numa"][0].update(node=3), r"VM a: on nodes \[3\]"),
        (lambda c: c["vm_instance"][2]["numa"][0].update(cpu=5), r"VM c: demands .*, expected one"),
        (lambda c: c["vm_instance"][2]["numa"].pop(), None),
        (lambda c: c["vm_instance"][0]["numa"][0].update(cpu=14), None),
        (lambda c: c["vm_instance"][0]["numa"][0].update(cpu=17), r"PM p, node 0: 17 cores used"),
        (lambda c: c["vm_instance"][0]["numa"][0].update(cpu=1.5), r"VM a: 1.5, expected an int"),
        (lambda c: c["vm_instance"][0].pop("host_id"), r"no 'host_id', expected a snapshot"),
        (lambda c: c["host_info"][0]["numa"].pop(), r"PM p: nodes \[0\], expected \[0, 1\]"),
        (lambda c: c.update(host_info=[], vm_instance=[], other_requirement={}), r"no PM"),
        (
            lambda c: c["other_requirement"]["deployment_set"][0].update(level="planet"),
            r"deployment set at level 'planet', expected host or rack",
        ),
    ],
)
def test_a_wrong_snapshot_is_one_clear_line(tmp_path, change, message):
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(edited(change)))
    if message is None:
        family.read(file)
        return
    with pytest.raises(ValueError, match=f"^wrong.json: .*{message}") as caught:
        family.read(file)
    assert "\n" not in str(caught.value)


PMS = "pm_id,cluster,rack,status,cpu0,cpu1,mem_mb0,mem_mb1\np,c,1,ACTIVE,16,16,64,64\n"
VMS = "vm_id,type,pm_id,numa,cpu,mem_mb,migratable\na,x,p,0,4,8,1\nb,x,p,01,8,16,0\n"


def write_csv(folder, pms=PMS, vms=VMS):
    (folder / "mine.pms.csv").write_text(pms)
    (folder / "mine.vms.csv").write_text(vms)
    return folder / "mine.vms.csv"


def test_csv_is_two_files(tmp_path):
    found = family.read(write_csv(tmp_path))
    assert found.vm_cores.tolist() == [4, 4]
    assert found.vm_node.tolist() == [0, -1]
    assert found.vm_movable.tolist() == [1, 0]
    assert found == family.read(tmp_path / "mine.pms.csv")


@pytest.mark.parametrize(
    ("pms", "vms", "message"),
    [
        (PMS, VMS.replace("01,8", "01,7"), r"mine.vms.csv, line 3, VM b: 7 cores and 16 MB"),
        (PMS, VMS.replace(",01,", ",2,"), r"mine.vms.csv, line 3, VM b: numa '2'"),
        (PMS, VMS.replace("a,x,p", "a,x,q"), r"VM a: on PM 'q'"),
        (PMS.replace("16,16,", "16,x,"), VMS, r"mine.pms.csv, line 2, cpu1: 'x'"),
        (PMS.replace("cpu0", "cpus"), VMS, r"mine.pms.csv: no column 'cpu0'"),
        (PMS + "q,1\n", VMS, r"mine.pms.csv, line 3: 2 values, expected 8"),
    ],
)
def test_wrong_csv_is_named_by_line(tmp_path, pms, vms, message):
    with pytest.raises(ValueError, match=message):
        family.read(write_csv(tmp_path, pms, vms))
    (tmp_path / "other.csv").write_text(PMS)
    with pytest.raises(ValueError, match=r"other.csv: expected the name NAME.pms.csv"):
        family.read(tmp_path / "other.csv")


@given(instance=vm_clusters() | vm_clusters(certain=False))
def test_own_json_is_read_back_equal(tmp_path_factory, instance):
    file = tmp_path_factory.mktemp("json") / "one.json"
    family.write(instance, file)
    assert family.read(file) == instance
    assert family.read(file).digest == instance.digest


def test_unknown_options_and_endings_are_refused(tmp_path):
    file = tmp_path / "one.json"
    family.write(small(), file)
    with pytest.raises(ValueError, match=r"unknown option 'mln' for vm_rescheduling"):
        family.read(file, mln=3)
    with pytest.raises(ValueError, match=r"one.txt: expected a .json name"):
        family.write(small(), tmp_path / "one.txt")


def test_the_command_line_says_in_one_line_what_is_wrong(tmp_path, capfd):
    file = tmp_path / "wrong.json"
    bad = edited(lambda c: c["vm_instance"][0]["numa"][0].update(cpu=17))
    file.write_text(json.dumps(bad))
    assert cli.run(["solve", "vm_rescheduling", str(file), "--solver", "random"]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "PM p, node 0: 17 cores used" in err


# Generators.


@pytest.mark.parametrize("kind", sorted(family.GENERATORS))
def test_generated_clusters_are_as_loaded_as_asked(kind):
    for num_pms in (1, 8, 60):
        one = generate(num_pms, seed=4, kind=kind)
        assert one == generate(num_pms, seed=4, kind=kind)
        assert one != generate(num_pms, seed=5, kind=kind)
        assert one.num_pms == num_pms
        assert one.name == f"{kind}-{num_pms}-s4"
    for load in (0.35, 0.65):
        used = 1 - generate(60, seed=1, kind=kind, load=load).free_cores.sum() / (60 * 88)
        assert load - 0.03 < used < load + 0.01  # churn ends with the VM that reaches it


def test_generated_high_load_is_as_fragmented_as_the_papers():
    rates = [
        family.fragment_rate(i, i.free_cores) for i in (generate(279, seed=s) for s in range(4))
    ]
    assert 0.45 < np.mean(rates) < 0.65


def test_memory_binds_where_sizes_differ_in_it():
    one = generate(100, seed=0, kind="memory")
    tight = one.free_memory < one.vm_memory.max()
    assert (one.free_cores[tight] >= 4).any()


def test_anti_affinity_sets_have_the_published_sizes():
    one = generate(279, seed=0, kind="affinity")
    sizes = np.bincount(one.set_members[:, 0])
    hosts = sizes[one.set_level == 0]
    assert set(hosts) == {2, 3, 4, 5}
    assert 0.12 * one.num_vms < len(hosts) < 0.15 * one.num_vms
    assert 0.9 < one.can_move.mean() < 0.97
    assert max(len(sets) for sets in one.sets_of.values()) > 1  # some VMs are in several


def test_a_shuffle_keeps_the_vms_and_moves_them():
    one = generate(40, seed=0)
    other = shuffle(one, seed=1, mnl=9)
    np.testing.assert_array_equal(one.vm_cores, other.vm_cores)
    np.testing.assert_array_equal(one.is_double, other.is_double)
    assert (one.vm_pm != other.vm_pm).mean() > 0.5
    assert other.mnl == 9
    with pytest.raises(ValueError, match="anti-affinity sets"):
        shuffle(generate(40, seed=0, kind="affinity"), seed=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"load": "full"}, "load 'full', expected a number or one of: low, middle, high"),
        ({"load": 2.0}, "load 2.0, expected between 0 and 0.97"),
        ({"spread": -1}, "spread -1, expected between 0 and 1"),
        ({"num_pms": 0}, "0 PMs, expected >= 1"),
        ({"kind": "best"}, "unknown kind 'best', expected one of: shuffle"),
        ({"sets": 3}, "sets 3, expected between 0 and 1"),
        ({"mnl": 0}, "mnl 0, expected >= 1"),
        ({"colour": 3}, "unknown option 'colour' for shuffle"),
    ],
)
def test_wrong_options_of_a_generator_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        generate(**{"seed": 0, **options})


# The picture.


def test_the_picture_shows_every_core_before_and_after():
    instance, solution = small(), plan((0, 0, 1), (2, 0, -1))
    instance = replace(instance, vm_cores=[4, 8, 4])
    shown = family.picture(instance, solution)
    assert shown.lanes == ("PM 0/0", "PM 0/1", "PM 1/0", "PM 1/1")
    after = shown.marks[1][0]
    left = [box for box in shown.boxes if box.x < after]
    right = [box for box in shown.boxes if box.x >= after]
    for boxes, used in ((left, [4, 8, 4, 4]), (right, [4, 16, 0, 0])):
        assert [sum(b.width for b in boxes if b.y == lane) for lane in range(4)] == used
    assert len(shown.arrows) == 2
    assert "after 2 of 2 moves" in shown.title


# The public snapshots.


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "counts", "free", "usable"),
    [("medium", (279, 2089), 1394, 2), ("large", (1176, 4546), 18772, 469)],
)
def test_public_snapshots_have_the_published_figures(data_folder, name, counts, free, usable):
    one = gapgym.load(f"vm_rescheduling/{name}", mnl=25)
    assert (one.num_pms, one.num_vms) == counts
    assert (one.total_free, one.mnl, one.name) == (free, 25, name)
    assert metrics(one, plan())["slots"] == usable
    assert one.sizes.tolist() == [[16, 0, 1]]


@pytest.mark.data
def test_the_flat_copies_tell_the_same(data_folder):
    for name in ("medium", "large"):
        one = gapgym.load(f"vm_rescheduling/{name}")
        (path,) = (data_folder / "vm_rescheduling" / "bytedance_vmr").glob(f"{name}*.vms.csv")
        flat = family.read(path)
        for field in ("vm_cores", "vm_memory", "vm_pm", "vm_node", "pm_cores", "pm_rack"):
            np.testing.assert_array_equal(getattr(one, field), getattr(flat, field))
        text = path.with_name(f"{path.name[:-7]}pms.csv").read_text()
        stated = list(csv.DictReader(text.splitlines()))
        free = [[int(row["free_cpu0"]), int(row["free_cpu1"])] for row in stated]
        assert one.free_cores.tolist() == free


@pytest.mark.data
def test_shuffled_snapshots_start_as_fragmented_as_the_papers(data_folder):
    ones = [gapgym.load(f"vm_rescheduling/{name}") for name in family.names()[2:]]
    assert len(set(ones)) == 20
    assert 0.55 < np.mean([family.fragment_rate(one, one.free_cores) for one in ones]) < 0.65
    with pytest.raises(ValueError, match="unknown vm_rescheduling snapshot"):
        family.load("medium_shuffle_20")


@pytest.mark.data
def test_the_manifest_holds_both_snapshots(data_folder):
    assert len(cache.entries("vm_rescheduling")) == 2
