"""Pod packing: data, quantities, generators, the referee, bounds."""

import itertools
import json
import pickle
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import pod_packings

import gapgym
from gapgym.instances.pod_packing import (
    PodPackingInstance,
    PodPackingSolution,
    generate,
    generate_paper,
    lower_bound,
    metrics,
    objective,
    pod_costs,
    scalar,
    upper_bound,
    validate,
    write,
)
from gapgym.instances.pod_packing_constraints import constraints
from gapgym.instances.pod_packing_model import canonical
from gapgym.instances.pod_packing_quantity import milli, parse_quantity, units
from gapgym.instances.pod_packing_state import empty_state, rules, start_state


def cluster(**fields):
    """Two nodes of 4 cpu and 4 bytes; three pods of two tiers."""
    given = {
        "capacities": [[4, 4, 9], [4, 4, 9]],
        "requests": [[2, 2, 1], [3, 1, 1], [1, 3, 1]],
        "priorities": [5, 5, 1],
        **fields,
    }
    return PodPackingInstance(**given)


@pytest.mark.data
def test_quantities_are_those_of_kubernetes(data_folder):
    table = json.loads((data_folder / "pod_packing/kube_scheduler_vectors.json").read_text())
    valid, invalid = table["quantity"]["valid"], table["quantity"]["invalid"]
    assert (len(valid), len(invalid)) == (96, 12)
    for text, value in valid:
        assert parse_quantity(text) == Fraction(value), text
    for text in invalid:
        with pytest.raises(ValueError, match=r"quantity .* expected"):
            parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "cpu", "other"),
    [
        ("1500m", 1500, 2),
        ("2", 2000, 2),
        ("1Ki", 1024000, 1024),
        ("0.1", 100, 1),
        ("1e3", 10**6, 1000),
    ],
)
def test_quantities_are_rounded_up(text, cpu, other):
    assert (milli(text), units(text)) == (cpu, other)


@pytest.mark.parametrize("text", ["1K", "1 ", "NaN", "0x1", "1_000", "1e3Ki", "9" * 200, "1e99999"])
def test_what_is_no_quantity_is_refused(text):
    with pytest.raises(ValueError, match="quantity"):
        parse_quantity(text)


@pytest.mark.data
def test_the_papers_instances_are_made_from_their_seeds(data_folder):
    goldens = json.loads((data_folder / "pod_packing/paper_goldens.json").read_text())
    for golden in goldens:
        n, p, k, u = map(int, re.findall(r"\d+", golden["combo"]))
        made = generate_paper(n, p, k, u / 100, seed=golden["seed"])
        assert (
            made.capacities.tolist()
            == [[golden["node_cpu_m"], golden["node_mem_bytes"], max(30, 3 * p)]] * n
        )
        columns = (made.requests[:, :2], made.priorities, made.workloads)
        assert np.column_stack(columns).tolist() == golden["pods_cpu_mem_prio_rs"]
        name = f"pod_packing/paper_{n}x{p}x{k}x{u}_"
        assert any(gapgym.load(f"{name}{i:02d}") == made for i in range(100))


def test_a_generated_instance_is_loaded_by_its_name():
    for made in (generate_paper(4, 20, 2, 1.05, seed=12345), generate(5, 17, seed=3)):
        assert gapgym.load(f"pod_packing/{made.name}") == made


@pytest.mark.data
def test_slices_of_the_trace_fill_their_nodes(data_folder):
    made = gapgym.load("pod_packing/openb_16_0")
    share = made.requests.sum(axis=0) / made.capacities.sum(axis=0)
    assert 0.8 < share.max() <= 1.05
    assert set(made.tiers.tolist()) <= {1, 2, 3}


@given(instance=pod_packings())
def test_json_and_pickle_return_an_equal_instance(instance, tmp_path_factory):
    path = tmp_path_factory.mktemp("pods") / "cluster.json"
    write(instance, path)
    assert gapgym.load(f"pod_packing/{path}") == instance
    assert pickle.loads(pickle.dumps(instance)) == instance
    solution = PodPackingSolution(instance.current)
    assert PodPackingSolution.from_json(solution.to_json()) == solution
    assert len(solution.to_frame()) == instance.num_pods


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"priorities": [1, 2]}, r"priorities: 2 values, expected 3 \(one per pod\)"),
        ({"current": [0, 0, -1]}, "node-0: 5 of cpu requested by the pods on it, 4 allocatable"),
        ({"current": [2, 0, 0]}, "default/pod-0: current 2, expected -1..1"),
        (
            {"requests": [[5, 1, 1], [1, 1, 1], [1, 1, 1]]},
            "default/pod-0: 5 of cpu requested, no node has more than 4",
        ),
        ({"requests": [[1, 1, 2]] * 3}, "default/pod-0: 2 of 'pods', expected 1"),
        ({"requests": [[-1, 1, 1]] * 3}, "default/pod-0: requests -1 of cpu, expected 0"),
        ({"protected": [1, 0, 0]}, "default/pod-0: protected and pending"),
        ({"objective": "fast"}, "objective 'fast', expected one of: place_first"),
        ({"objective": "weighted", "weights": (1,)}, r"weights \(1,\), expected 2 integers"),
        ({"objective": "weighted", "weights": (2**60, 1)}, "expected below 2\\^53"),
        ({"evict_cost": -1}, "evict_cost -1, expected an integer >= 0"),
        ({"pod_names": ("a", "a", "b")}, "pod_names: 'a' twice"),
        ({"resources": ("cpu", "memory", "x")}, "expected 'pods' among them"),
        ({"pod_specs": ("[",)}, "pod_specs 0: '\\[', expected the JSON text of an object"),
        ({"capacities": [[4, 4]]}, r"capacities \(1, 2\), expected \(1, 3\)"),
        ({"node_names": (1, 2)}, "node_names: int, expected texts"),
    ],
)
def test_what_is_no_cluster_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        cluster(**fields)


# The referee.


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([0, 0, -1], "node-0: 5 of cpu requested, 4 allocatable"),
        ([0, 2, -1], "default/pod-1: node 2, expected -1..1"),
        ([0, 1], r"nodes \(2,\), expected \(3,\)"),
    ],
)
def test_a_wrong_placement_is_refused_by_name(nodes, message):
    with pytest.raises(ValueError, match=message):
        validate(cluster(), PodPackingSolution(nodes))


def test_protected_pods_stay():
    instance = cluster(current=[0, -1, -1], protected=[1, 0, 0])
    with pytest.raises(ValueError, match="default/pod-0: protected, expected to stay on node-0"):
        validate(instance, PodPackingSolution([1, -1, -1]))


SPECS = {
    "bound to the node 'node-1'": ({"nodeName": "node-1"}, {}),
    "node selector disk=ssd, the node has None": ({"nodeSelector": {"disk": "ssd"}}, {}),
    "taint t is not tolerated": ({}, {"taints": [{"key": "t", "effect": "NoExecute"}]}),
    "the node is unschedulable": ({}, {"unschedulable": True}),
    "no term of its required node affinity matches": (
        {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "n", "operator": "Gt", "values": ["5"]}]}
                    ]
                }
            }
        },
        {"labels": {"n": "5"}},
    ),
    "hard spread, the node has no zone": (
        {"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1}]},
        {},
    ),
    "required affinity, the node has no zone": ({"podAffinity": [{"topologyKey": "zone"}]}, {}),
}


@pytest.mark.parametrize("message", SPECS)
def test_each_filter_is_judged_for_new_pods_only(message):
    pod, node = SPECS[message]
    fields = {"pod_specs": (canonical(pod),), "node_specs": (canonical(node), "{}")}
    with pytest.raises(ValueError, match=message):
        validate(cluster(**fields), PodPackingSolution([0, -1, -1]))
    validate(cluster(**fields, current=[0, -1, -1]), PodPackingSolution([0, -1, -1]))


TOLERATIONS = [
    ({"operator": "Exists"}, True),
    ({"key": "t", "operator": "Exists"}, True),
    ({"key": "t", "value": "v"}, True),
    ({"key": "t", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
    ({"key": "t", "value": "w"}, False),
    ({"key": "t", "operator": "Exists", "effect": "NoExecute"}, False),
    ({"key": "s", "operator": "Exists"}, False),
]


@pytest.mark.parametrize(("toleration", "tolerated"), TOLERATIONS)
def test_tolerations_as_kubernetes_defines_them(toleration, tolerated):
    instance = cluster(
        pod_specs=(canonical({"tolerations": [toleration]}),),
        node_specs=(
            canonical({"taints": [{"key": "t", "value": "v", "effect": "NoSchedule"}]}),
            "{}",
        ),
    )
    assert constraints(instance).allowed.tolist() == [[tolerated, True]]
    if tolerated:
        validate(instance, PodPackingSolution([0, -1, -1]))
    else:
        with pytest.raises(ValueError, match="not tolerated"):
            validate(instance, PodPackingSolution([0, -1, -1]))


def accepted(instance, nodes):
    try:
        validate(instance, PodPackingSolution(nodes))
    except ValueError:
        return False
    return True


@given(instance=pod_packings(), data=st.data())
def test_rules_allow_exactly_what_the_referee_accepts(instance, data):
    """Pods come one by one: the incremental rules and the referee agree on every step."""
    world, state = start_state(instance)
    pending = [i for i in range(instance.num_pods) if instance.current[i] < 0]
    for i in data.draw(st.permutations(pending)):
        j = data.draw(st.integers(0, instance.num_nodes - 1))
        allowed = bool(rules.allows(i, j, world, state))
        after = state[1].copy()
        after[i] = j
        assert accepted(instance, after) == allowed
        if allowed:
            rules.put(i, j, True, world, state)


@given(instance=pod_packings(), data=st.data())
def test_putting_and_taking_leaves_no_trace(instance, data):
    world, state = start_state(instance)
    before = [array.copy() for array in state]
    taken = []
    for i in data.draw(st.permutations(range(instance.num_pods))):
        if state[1][i] >= 0:
            taken.append((i, state[1][i]))
            rules.take(i, False, world, state)
    np.testing.assert_array_equal(state[0], empty_state(instance)[0])
    assert not state[5].any()
    assert not state[6].any()
    for i, j in reversed(taken):
        rules.put(i, j, False, world, state)
    for k in (0, 1, 5, 6):  # the order of a node's pods does not matter
        np.testing.assert_array_equal(before[k], state[k])


def test_the_objectives_by_hand():
    places = PodPackingSolution([1, 0, -1])
    instance = cluster(current=[0, -1, 1])  # one moves, one of the lower tier is evicted
    assert objective(instance, places) == (-2, 0, 1, 2)
    assert objective(replace(instance, objective="tiered"), places) == (-2, 1, 0, 2)
    weighted = replace(instance, objective="weighted", weights=(7, 3))
    assert objective(weighted, places) == 3 + 1 + 2
    paper = replace(instance, evict_cost=1, move_cost=2)
    assert objective(paper, places) == (-2, 0, 2, 1)
    found = metrics(instance, places)
    assert found["placed_per_priority"] == [2, 0]
    assert (found["pending"], found["moves"], found["evictions"]) == (1, 1, 1)
    assert found["cpu_allocated"] == pytest.approx(5 / 8)
    assert pod_costs(instance) == (100, 10)
    assert scalar(instance, (-2, 0, 1, 2)) == scalar(instance, (-2, 0, 1, 2)) == 10 + 3


@given(instance=pod_packings(), data=st.data())
def test_every_placement_lies_between_the_bounds(instance, data):
    nodes = [
        instance.current[i]
        if instance.protected[i]
        else data.draw(st.integers(-1, instance.num_nodes - 1))
        for i in range(instance.num_pods)
    ]
    if not accepted(instance, nodes):
        return
    value = objective(instance, PodPackingSolution(nodes))
    assert lower_bound(instance) <= value <= upper_bound(instance)
    worst = scalar(instance, upper_bound(instance))
    assert 0 <= scalar(instance, value) <= worst


@given(instance=pod_packings(max_workloads=3))
def test_default_weights_order_placements_as_place_first_does(instance):
    """By enumeration: a pod outweighs all that is less important."""
    weighted = replace(instance, objective="weighted", weights=())
    first = replace(instance, objective="place_first")
    seen = []
    for nodes in itertools.product(range(-1, instance.num_nodes), repeat=instance.num_pods):
        if len(seen) < 60 and accepted(instance, list(nodes)):
            solution = PodPackingSolution(list(nodes))
            value = objective(first, solution)
            seen.append((value[: instance.num_tiers], objective(weighted, solution)))
    for (placed, cost), (other, other_cost) in itertools.combinations(seen, 2):
        if placed < other:
            assert cost < other_cost


def test_the_bound_of_totals_by_hand():
    assert lower_bound(cluster()) == (-2, -1, 0, 0)
    crowded = cluster(requests=[[4, 4, 1]] * 3)
    assert lower_bound(crowded) == (-2, 0, 0, 0)
    assert lower_bound(replace(crowded, objective="weighted", weights=(5, 2))) == 2
    assert lower_bound(replace(crowded, objective="weighted", weights=(2, 5))) == 0


def test_host_ports_of_another_address_do_not_clash():
    def port(address):
        return canonical({"hostPorts": [{"protocol": "TCP", "hostPort": 80, "hostIP": address}]})

    instance = cluster(
        capacities=[[9, 9, 9]] * 2,
        pod_specs=(port("10.0.0.1"), port("10.0.0.2"), port("0.0.0.0")),
        spec_of_pod=[0, 1, 2],
    )
    assert accepted(instance, [0, 0, -1])
    assert not accepted(instance, [0, -1, 0])
    requests, capacities = constraints(instance).requests, constraints(instance).capacities
    assert (requests[[0, 1]].sum(axis=0) <= capacities[0]).all()
    assert (requests[[0, 2]].sum(axis=0) > capacities[0]).any()
    big = [[9, 9, 9]] * 2
    clash = cluster(capacities=big, pod_specs=(port("0.0.0.0"),), current=[0, -1, 0])
    with pytest.raises(ValueError, match="node-0: two pods on it use one host port"):
        constraints(clash)
