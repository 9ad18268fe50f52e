"""The default scheduler against the numbers of Kubernetes' own tests."""

import json
from dataclasses import replace

import numpy as np
import pytest

import gapgym
from gapgym.baselines import pod_packing_kube_kernels as kernels
from gapgym.baselines import pod_packing_scores as scores
from gapgym.baselines.pod_packing_kube import pending_after_default, release, schedule
from gapgym.instances.pod_packing import PodPackingInstance, generate_paper
from gapgym.instances.pod_packing_cluster import _requests, _scoring
from gapgym.instances.pod_packing_constraints import constraints, image_score
from gapgym.instances.pod_packing_model import canonical
from gapgym.instances.pod_packing_quantity import milli, units

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def vectors(data_folder):
    return json.loads((data_folder / "pod_packing/kube_scheduler_vectors.json").read_text())


def amount(resource, text):
    return milli(text) if resource == "cpu" else units(text)


def pod_spec(containers):
    return {"containers": [{"resources": {"requests": c}} for c in containers]}


def requested(containers, names, *, nonzero):
    """What a pod of these containers requests of each resource."""
    spec = pod_spec(containers)
    plain, counted = _requests(spec, "pod"), _scoring(spec, "pod")
    found = dict(zip(("cpu", "memory"), counted, strict=True)) if nonzero else {}
    return [found.get(name, plain.get(name, 0)) for name in names]


def usage(case, names, *, nonzero):
    """Per node: capacities, and what the pods on it request."""
    for node in case["nodes"]:
        capacity = [amount(n, node["allocatable"].get(n, "0")) for n in names]
        used = np.zeros(len(names), dtype=np.int64)
        for pod in case["existing"]:
            if pod["node"] == node["name"]:
                used += requested(pod["containers"], names, nonzero=nonzero)
        yield np.array(capacity), used


STRATEGIES = {
    "least_allocated": scores.LEAST,
    "most_allocated": scores.MOST,
    "requested_to_capacity_ratio": scores.RATIO,
}


@pytest.mark.data
@pytest.mark.parametrize("key", STRATEGIES)
def test_resource_scores_are_those_of_kubernetes(vectors, key):
    for case in vectors[key]:
        names = [name for name, _ in case["resources"]]
        weights = np.array([w for _, w in case["resources"]])
        shape = np.array([(x, 10 * y) for x, y in case.get("shape", [[0, 0], [100, 10]])])
        pod = requested(case["pod"], names, nonzero=True)
        asked = {n for n, r in zip(names, pod, strict=True) if r}
        for (capacity, used), expected in zip(
            usage(case, names, nonzero=True), case["expected"], strict=True
        ):
            kept = np.array([c if n in asked else 0 for n, c in zip(names, capacity, strict=True)])
            counted = capacity if set(names) <= {"cpu", "memory"} else kept
            found = scores.fit_score(STRATEGIES[key], used + pod, counted, weights, shape)
            assert found == expected, case["name"]


@pytest.mark.data
def test_the_broken_line_is_that_of_kubernetes(vectors):
    for case in vectors["broken_linear"]:
        shape = np.array(case["points"])
        for x, y in case["assertions"]:
            assert scores.broken_line(x, shape) == y


@pytest.mark.data
@pytest.mark.parametrize(
    ("key", "version"),
    [("balanced_allocation_v1_23_to_v1_35", "1.32"), ("balanced_allocation_v1_36", "1.36")],
)
def test_balance_scores_are_those_of_each_release(vectors, key, version):
    for case in vectors[key]:
        names = [name for name, _ in case["resources"]]
        pod = np.array(requested(case["pod"], names, nonzero=False))
        if case["expected"] is None:  # the plug-in is skipped for pods that request nothing
            assert not pod.any()
            assert release(version) >= scores.V1_33
            continue
        for (capacity, used), expected in zip(
            usage(case, names, nonzero=False), case["expected"], strict=True
        ):
            asked = [
                c if n in ("cpu", "memory") or r else 0
                for n, c, r in zip(names, capacity, pod, strict=True)
            ]
            found = scores.balance_score(release(version), used, pod, np.array(asked))
            assert found == expected, case["name"]


@pytest.mark.data
def test_normalising_is_that_of_kubernetes(vectors):
    for case in vectors["normalize"]:
        found = np.array(case["scores"])
        scores.normalise(found, case["reverse"])
        assert found.tolist() == case["expected"]


@pytest.mark.data
def test_taints_that_are_not_tolerated_lower_the_score(vectors):
    for case in vectors["taint_toleration_score"]:
        instance = tainted(case["tolerations"], case["node_taints"])
        found = constraints(instance).disliked[0].copy()
        scores.normalise(found, True)
        assert found.tolist() == case["expected"], case["name"]


def tainted(tolerations, taints):
    return PodPackingInstance(
        capacities=[[9, 9, 9]] * len(taints),
        requests=[[1, 1, 1]],
        priorities=[0],
        pod_specs=(canonical({"tolerations": tolerations}),),
        node_specs=tuple(canonical({"taints": t}) for t in taints),
    )


@pytest.mark.data
def test_images_that_are_there_raise_the_score(vectors):
    for case in vectors["image_locality_score"]:
        nodes = case["node_images_mb"]
        instance = PodPackingInstance(
            capacities=[[9, 9, 9]] * len(nodes),
            requests=[[1, 1, 1]],
            priorities=[0],
            pod_specs=(
                canonical(
                    {
                        "images": [f"{mb}" for mb in case["pod_images_mb"]],
                        "containers": len(case["pod_images_mb"]),
                    }
                ),
            ),
            node_specs=tuple(
                canonical({"images": {f"{mb}": mb * MIB for mb in images}}) for images in nodes
            ),
        )
        assert constraints(instance).images[0].tolist() == case["expected"]
    assert image_score(0, 1) == 0
    assert image_score(10**12, 1) == 100


@pytest.mark.data
@pytest.mark.parametrize(
    ("key", "version"), [("expected_before_round", "1.23"), ("expected", "1.32")]
)
def test_spread_scores_are_those_of_each_release(vectors, key, version):
    for case in vectors["topology_spread_score"]:
        found, ignored = raw_spread(case, release(version))
        scores.spread_normalise(found, ignored)
        assert found.tolist() == case[key], case["name"]


def raw_spread(case, version):
    """The raw scores of the candidates, constraint by constraint."""
    candidates = [n for n in case["nodes"] if n["candidate"]]
    keys = [key for key, _ in case["constraints"]]
    ignored = [any(key not in n["labels"] for key in keys) for n in candidates]
    counted = [n for n in case["nodes"] if all(key in n["labels"] for key in keys)]
    raw = np.zeros(len(candidates))
    for k, (key, skew) in enumerate(case["constraints"]):
        kept = [n for n, out in zip(candidates, ignored, strict=True) if not out]
        host = key == "kubernetes.io/hostname"
        size = len(kept) if host else len({n["labels"][key] for n in kept})
        weight = scores.spread_weight(size)
        for at, node in enumerate(candidates):
            if ignored[at]:
                continue
            same = [n for n in counted if n["labels"][key] == node["labels"][key]]
            count = node["matching"][k] if host else sum(n["matching"][k] for n in same)
            raw[at] += scores.spread_term(count, weight, skew)
    return np.array([scores.spread_round(r, version) for r in raw]), np.array(ignored)


@pytest.mark.data
def test_the_search_ends_after_as_many_nodes_as_in_kubernetes(vectors):
    for case in vectors["num_feasible_nodes"]:
        given = case["numAllNodes"], case["percentageOfNodesToScore"]
        assert scores.num_nodes_to_find(*given) == case["expected"]


@pytest.mark.data
def test_the_queue_is_that_of_kubernetes(vectors):
    for case in vectors["priority_sort"]:
        key, stamp = zip(case["p1"], case["p2"], strict=True)
        stamps = np.array([s or 0 for s in stamp])
        assert kernels._less(0, 1, np.array(key), stamps) == case["p1_before_p2"]


@pytest.mark.data
def test_ties_go_to_each_of_the_best_nodes(vectors):
    """Nodes that are filled so that LeastAllocated gives the wanted order."""
    for case in vectors["select_host"]:
        n = len(case["scores"])
        best = max(case["scores"])
        filled = [[100 * (best - s), 100 * (best - s), 1] for s in case["scores"]]
        instance = PodPackingInstance(
            capacities=[[1000, 1000, 10]] * n,
            requests=[*filled, [0, 0, 1]],
            priorities=[0] * (n + 1),
            current=[*range(n), -1],
        )
        chosen = {int(schedule(instance, seed=s)[-1]) for s in range(60)}
        assert chosen == set(case["possible"])
        assert schedule(instance, tie="first")[-1] == case["possible"][0]


@pytest.mark.data
def test_the_resource_filter_is_that_of_kubernetes(vectors):
    table = vectors["node_resources_fit"]
    for case in table["cases"]:
        assert insufficient(case, table["node"]) == sorted(map(tuple, case["insufficient"]))
    limited = table["pods_limit_cases"]
    for case in limited["cases"]:
        with pytest.raises(
            ValueError, match="2 of pods requested by the pods on it, 1 allocatable"
        ):
            cluster_of(case, limited["node"], current=[0, 0])


def containers_of(rows):
    def quantities(row):
        return {
            ("cpu" if k == "cpu_m" else k): (f"{v}m" if k == "cpu_m" else str(v))
            for k, v in row.items()
        }

    return [{"resources": {"requests": quantities(row)}} for row in rows]


def request_of(case):
    spec = {
        "containers": containers_of(case["containers"]),
        "initContainers": containers_of(case.get("init_containers", [])),
        "overhead": containers_of([case.get("overhead", {})])[0]["resources"]["requests"],
    }
    return _requests(spec, "pod")


def insufficient(case, node):
    """By resource: what does not fit, as (name, requested, used, allocatable)."""
    found = []
    for name, wanted in request_of(case).items():
        group = name.partition("/")[0]
        if name in case["ignored_resources"] or group in case["ignored_groups"]:
            continue
        key = "cpu_m" if name == "cpu" else name
        used, capacity = case["used"].get(key, 0), node.get(key, 0)
        if wanted > capacity - used:
            found.append((name, wanted, used, capacity))
    return sorted(found)


def cluster_of(case, node, current):
    wanted = request_of(case)
    names = ("cpu", "memory", "pods")
    rows = [
        [case["used"].get("cpu_m", 0), case["used"].get("memory", 0), 1],
        [wanted.get("cpu", 0), wanted.get("memory", 0), 1],
    ]
    return PodPackingInstance(
        capacities=[[max(node["cpu_m"], 99), max(node["memory"], 99), node["pods"]]],
        requests=rows,
        priorities=[0, 0],
        resources=names,
        current=current,
    )


# Preemption.


def raw(case, table, names):
    """World, state and arrays of a case: some of its nodes are overcommitted on purpose."""
    size = table["resources_cpu_m_and_memory"]
    pods = case["pods"]
    n, count = len(names), len(pods) + 1
    requests = np.array([[*size[p["res"]], 1] for p in pods] + [[*size[case["pod"][1]], 1]])
    priorities = np.array([p["priority"] for p in pods] + [case["pod"][0]])
    spec_of_pod = np.array([int(p["name"] in case.get("pdb_disrupted", [])) for p in pods] + [1])
    empty = np.zeros((2, 0), dtype=np.bool_)
    none = np.zeros(0, dtype=np.int64)
    world = (
        *(requests, spec_of_pod, np.ones((2, n), np.bool_), none, none),
        *(np.zeros((0, n), np.int64), none, np.zeros((0, n), np.bool_), empty, empty),
    )
    state = (
        np.tile(np.array([*size[table["node_allocatable"]], 99]), (n, 1)),
        *(np.full(k, -1) for k in (count, n, count, count)),
        *(np.zeros((0, 1), np.int64) for _ in range(2)),
    )
    for i, pod in enumerate(pods):
        kernels._put(i, names.index(pod["node"]), False, world, state)
    allowed = case.get("pdb_allowed")
    left = np.array([] if allowed is None else [allowed], dtype=np.int64)
    covered = np.array([[True], [False]])[:, : len(left)]
    return priorities, world, state, (covered, left, left.copy())


def victims_on(case, table, node, names):
    """Names of the victims on a node and the violations, or ``None``."""
    priorities, world, state, budget = raw(case, table, names)
    pods, count = case["pods"], len(priorities)
    order = sorted(range(len(pods)), key=lambda i: (-priorities[i], pods[i]["start"], i))
    importance = np.zeros(count, dtype=np.int64)
    importance[order] = range(len(pods))
    victims, before = np.zeros(count, dtype=np.int64), state[0].copy()
    found, violations = kernels._find_victims(
        *(count - 1, names.index(node), priorities, importance, np.ones(count, np.int64)),
        *(np.full(count, -1), budget, world, state, victims),
    )
    np.testing.assert_array_equal(before, state[0])
    if found < 0:
        return None
    return [pods[i]["name"] for i in victims[:found]], violations


@pytest.mark.data
def test_victims_are_those_of_kubernetes(vectors):
    for case in vectors["preemption"]["dry_run"]:
        for node in case["nodes"]:
            found = victims_on(case, vectors["preemption"], node, case["nodes"])
            if node not in case["victims"]:
                assert found is None, case["name"]
                continue
            names, violations = found
            assert sorted(names) == sorted(case["victims"][node]), case["name"]
            assert violations == case["violations"][node], case["name"]


@pytest.mark.data
def test_the_node_whose_victims_hurt_least_is_that_of_kubernetes(vectors):
    for case in vectors["preemption"]["best_candidate"]:
        names = sorted({p["node"] for p in case["pods"]})
        priorities, world, state, budget = raw(case, vectors["preemption"], names)
        tiers = np.searchsorted(np.unique(-priorities), -priorities)
        ones = np.ones(len(tiers), np.int64)
        pods = np.column_stack([priorities, tiers, -ones, -ones, ones])
        starts = np.array([p["start"] for p in case["pods"]] + [99])
        victims, chosen = np.zeros(len(pods), dtype=np.int64), set()
        for _ in range(40):
            node, _ = kernels._preempt(
                len(pods) - 1, pods, tiers * 2**40 + starts, world, state, budget, victims
            )
            chosen.add(names[node])
        assert chosen == set(case["expected"]), case["name"]


def test_preemption_never_makes_the_placement_worse():
    for s in range(20):
        instance = generate_paper(4, 24, 3, 1.05, seed=s)
        placed = [
            np.bincount(
                instance.tier_of_pod[schedule(instance, seed=s, preemption=p) >= 0],
                minlength=instance.num_tiers,
            ).tolist()
            for p in (False, True)
        ]
        assert placed[1][0] >= placed[0][0]


def test_pods_that_never_preempt_wait():
    fields = {
        "capacities": [[4, 4, 9]],
        "requests": [[4, 4, 1], [4, 4, 1]],
        "priorities": [1, 5],
        "current": [0, -1],
    }
    instance = PodPackingInstance(**fields)
    assert schedule(instance).tolist() == [-1, 0]
    assert schedule(instance, preemption=False).tolist() == [0, -1]
    never = replace(instance, pod_specs=(canonical({"preemptionPolicy": "Never"}),))
    assert schedule(never).tolist() == [0, -1]
    protected = replace(instance, protected=[1, 0])
    assert schedule(protected).tolist() == [0, -1]


def test_the_cluster_after_the_default_scheduler_keeps_everything_else():
    instance = generate_paper(4, 16, 4, 0.95, seed=484806185843093489)
    after = pending_after_default(instance, "1.32", seed=3)
    assert (after.current >= 0).sum() < 16
    np.testing.assert_array_equal(after.current, schedule(instance, seed=3, preemption=False))
    assert replace(after, current=instance.current, name=instance.name) == instance


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": "2.0"}, "version '2.0', expected 1.23 or later"),
        ({"strategy": "Best"}, "strategy 'Best', expected one of: LeastAllocated"),
        ({"tie": "last"}, "tie 'last', expected 'random' or 'first'"),
        ({"percentage": 101}, "percentage 101, expected 0..100"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        gapgym.solve(generate_paper(2, 4, 1, 0.9, seed=1), "kube_default", **options)


@pytest.mark.data
@pytest.mark.slow
def test_counts_without_a_solver_call_are_those_of_the_paper(data_folder):
    """Two of the 36 cells that the study ``pod_packing_no_calls`` measures, each over 100 seeds."""
    for name, published in (("paper_4x16x4x90", 23), ("paper_8x32x2x90", 5)):
        count = 0
        for index in range(100):
            instance = gapgym.load(f"pod_packing/{name}_{index:02d}")
            runs = (schedule(instance, seed=index, preemption=p) for p in (True, False))
            count += all((nodes >= 0).all() for nodes in runs)
        assert abs(count - published) <= 6
