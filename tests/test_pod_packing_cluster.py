"""Clusters from kubectl's output and from manifests, plans, and bad input."""

import json

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from strategies import pod_packings

import gapgym
from gapgym.experiments.cli import run
from gapgym.instances.pod_packing import (
    PodPackingSolution,
    anonymise,
    objective,
    plan,
    validate,
    verify,
)
from gapgym.instances.pod_packing_cluster import from_objects
from gapgym.instances.pod_packing_constraints import constraints


def node(name="n0", cpu="4", memory="8Gi", **spec):
    labels = {"kubernetes.io/hostname": name}
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "10"}},
    }


def pod(name, cpu="500m", memory="1Gi", owner="web", on=None, phase="Running", **spec):
    metadata = {"name": name, "namespace": "shop", "labels": {"app": owner or "none"}}
    if owner:
        metadata["ownerReferences"] = [{"kind": "ReplicaSet", "name": owner, "controller": True}]
    container = {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    place = {"nodeName": on} if on else {}
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], **place, **spec},
        "status": {"phase": phase},
    }


def dump(tmp_path, *items, name="cluster.json"):
    path = tmp_path / name
    path.write_text(json.dumps({"kind": "List", "items": list(items)}))
    return path


def test_a_dump_gives_the_free_capacity_that_kubectl_describes(tmp_path):
    """Ended pods count nothing; terminating, mirror and DaemonSet pods count and stay."""
    daemon = pod("agent", on="n0")
    daemon["metadata"]["ownerReferences"][0]["kind"] = "DaemonSet"
    mirror = pod("static", on="n0", owner=None)
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    leaving = pod("leaving", on="n0")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    path = dump(
        tmp_path,
        *(node(), pod("a", on="n0"), pod("done", on="n0", phase="Succeeded"), daemon, mirror),
        *(leaving, pod("b"), pod("gated", schedulingGates=[{"name": "wait"}])),
    )
    made = gapgym.load(f"pod_packing/{path}")
    assert made.pod_names == ("shop/a", "shop/agent", "shop/static", "shop/leaving", "shop/b")
    assert made.protected.tolist() == [0, 1, 1, 1, 0]
    used = made.requests[made.running].sum(axis=0)
    assert used.tolist() == [2000, 4 * 2**30, 4]
    assert made.notes == ("scheduling gate: pod left out: 1 object(s), first shop/gated",)


def test_requests_are_the_larger_of_containers_and_init_containers_plus_overhead():
    def container(cpu, **more):
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("300m"), container("200m")],
        "initContainers": [
            container("100m", restartPolicy="Always"),  # a sidecar: runs beside all that follow
            container("900m"),
        ],
        "overhead": {"cpu": "50m"},
    }
    item = pod("a")
    item["spec"] = spec
    made = from_objects([node(), item])
    assert made.requests[0, 0] == 900 + 100 + 50
    limited = pod("b")
    limited["spec"] = {"containers": [{"name": "c", "resources": {"limits": {"cpu": "700m"}}}]}
    assert from_objects([node(), limited]).requests[0, 0] == 700


def test_manifests_expand_to_replicas_with_their_priority(tmp_path):
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod("x")["spec"]}
    template["spec"]["priorityClassName"] = "high"
    documents = [
        node(),
        {"kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000},
        {
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {"replicas": 3, "template": template},
        },
    ]
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    made = gapgym.load(f"pod_packing/{path}")
    assert made.pod_names == ("default/web-0", "default/web-1", "default/web-2")
    assert made.priorities.tolist() == [1000] * 3
    assert made.workload_names == ("Deployment default/web",)
    assert gapgym.load(f"pod_packing/{tmp_path}") == made  # a folder of manifests


def test_what_is_not_understood_is_counted():
    item = pod("a", runtimeClassName="gvisor", volumes=[{"persistentVolumeClaim": {}}])
    soft = [{"weight": 1, "podAffinityTerm": {}}]
    item["spec"]["affinity"] = {
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": soft}
    }
    made = from_objects([node(), item, {"kind": "Widget", "metadata": {"name": "w"}}])
    assert [note.partition(":")[0] for note in made.notes] == [
        "kind Widget ignored",
        "pod field runtimeClassName ignored",
        "preferred podAntiAffinity not scored",
        "volume of kind persistentVolumeClaim not checked",
    ]


def test_budgets_and_tolerations_come_from_the_objects():
    budget = {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "keep", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 1},
    }
    taint = [{"key": "t", "value": "v", "effect": "NoSchedule"}]
    other = pod("c", owner="db", tolerations=[{"key": "t", "operator": "Exists"}])
    made = from_objects([node("n0"), node("n1", taints=taint), budget, pod("a"), other])
    found = constraints(made)
    specs = made.spec_of_pod
    assert found.in_budget[specs].tolist() == [[True], [False]]
    assert found.allowed[specs].tolist() == [[True, False], [True, True]]


def test_an_anonymous_cluster_is_the_same_problem():
    made = gapgym.load("pod_packing/crowded-5x24-s2")
    hidden = anonymise(made)
    text = json.dumps(hidden.to_json())
    for name in ("app-1", "kind-0", "dedicated", "default", "zone-0"):
        assert f'"{name}"' not in text
        assert f"{name}/" not in text
    ours, theirs = constraints(made), constraints(hidden)
    for field in ("allowed", "capacities", "requests", "carry", "match", "domains", "in_budget"):
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))
    assert anonymise(made) == hidden


BAD = {
    "on node 'n9', which is not in the file": [node(), pod("a", on="n9")],
    "cpu: quantity '1x'": [node(), pod("a", cpu="1x")],
    "shop/a: 9000 of cpu requested, no node has more than 4000": [node(), pod("a", cpu="9")],
    "n0: 6000 of cpu requested by the pods on it, 4000 allocatable": [
        *(node(), pod("a", cpu="3", on="n0"), pod("b", cpu="3", on="n0"))
    ],
    "no object of kind Node": [pod("a")],
    "no status.allocatable": [{"kind": "Node", "metadata": {"name": "n0"}}, pod("a")],
    "no pod that runs or waits": [node()],
    "priority class 'gold', expected one": [node(), pod("a", priorityClassName="gold")],
    "expected a Kubernetes object": [node(), 3],
    "no metadata.name": [node(), {"kind": "Pod"}],
    "containers is dict": [node(), {**pod("a"), "spec": {"containers": {}}}],
    "memory -1, expected >= 0": [node(), pod("a", memory="-1")],
    "pod_names: 'shop/a' twice": [node(), pod("a"), pod("a")],
}


@pytest.mark.parametrize("message", BAD)
def test_bad_objects_are_one_line_that_names_them(message, tmp_path, capsys):
    path = dump(tmp_path, *BAD[message])
    assert run(["plan", str(path), "--out", str(tmp_path / "plan.yaml")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "plan.yaml").exists()


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bad.json", '{"kind": "List", "items": [', "line 1: "),
        ("bad.json", "[" * 100000, "nested too deeply"),
        ("bad.yaml", "kind: [Pod", "expected YAML"),
        ("bad.yaml", "kind: !!python/object/apply:os.system ['touch boom']", "expected YAML"),
        ("bad.yaml", BOMB, "line 2: an alias, expected plain YAML"),
        ("bad.yaml", "[" * 500 + "]" * 500, "nested too deeply"),
    ],
)
def test_malformed_files_are_refused_and_nothing_is_executed(
    name, text, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    assert run(["plan", name]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "boom").exists()


def test_a_pod_that_is_too_large_can_be_left_out(tmp_path):
    path = dump(tmp_path, node(), pod("a", cpu="9"), pod("b"))
    made = gapgym.load(f"pod_packing/{path}", leave_out=True)
    assert made.pod_names == ("shop/b",)
    assert "larger than every node: pod left out" in made.notes[0]


# Plans.


def crowded(tmp_path):
    """``big`` fits only if ``a`` moves to the other node."""
    return dump(
        tmp_path,
        *(node("n0"), node("n1"), pod("a", cpu="1", on="n0"), pod("b", cpu="3", on="n1")),
        pod("big", cpu="4", owner="big", priority=9),
    )


@pytest.mark.parametrize("name", ["plan.yaml", "plan.json"])
def test_plan_and_verify_from_the_command_line(name, tmp_path, capsys):
    cluster, out = crowded(tmp_path), tmp_path / name
    assert run(["plan", str(cluster), "--out", str(out), "--time-limit", "5"]) == 0
    assert "value [-1, -2, 0, 1]" in capsys.readouterr().out
    made = yaml.safe_load(out.read_text())
    assert [s["evictions"][0]["metadata"]["name"] for s in made["stages"][:1]] == ["a"]
    assert made["stages"][0]["quotas"] == [
        {"workload": "ReplicaSet shop/web", "node": "n1", "count": 1, "standInFor": ["shop/a"]}
    ]
    assert made["stages"][1]["bindings"][0]["target"]["name"] == "n0"
    assert run(["verify", str(cluster), str(out)]) == 0
    assert "accepted: 2 stages" in capsys.readouterr().out


def tampered(made, change):
    copy = json.loads(json.dumps(made))
    change(copy)
    return copy


CHANGES = {
    "made for another cluster": lambda p: p["cluster"].update(digest="0"),
    "stage 1: n0: 5000 of cpu requested": lambda p: p["stages"].insert(
        0, {"evictions": [], "bindings": p["stages"][1]["bindings"], "quotas": []}
    ),
    "promises": lambda p: p["stages"].pop(),
    "stage 1: shop/a: to the node 'n7'": lambda p: p["stages"][0]["quotas"][0].update(node="n7"),
    "not of the workload": lambda p: p["stages"][0]["quotas"][0].update(workload="x"),
    "evicted where it does not run": lambda p: p["stages"].insert(0, p["stages"][0]),
    "placed while it runs": lambda p: p["stages"][0].update(evictions=[]),
    "which is not in the cluster": lambda p: p["stages"][0]["evictions"][0]["metadata"].update(
        name="z"
    ),
    "expected a list of objects": lambda p: p.update(stages=3),
    "not of kind PlacementPlan": lambda p: p.update(kind="x"),
}


@pytest.mark.parametrize("message", CHANGES)
def test_a_plan_that_was_tampered_with_is_refused(message, tmp_path):
    instance = gapgym.load(f"pod_packing/{crowded(tmp_path)}")
    made = plan(instance, gapgym.solve(instance, "greedy_repair").solution)
    if message == "evicted where it does not run":
        made["stages"][0] = {**made["stages"][0]}
    with pytest.raises(ValueError, match=message):
        verify(instance, tampered(made, CHANGES[message]))


@settings(max_examples=40)
@given(instance=pod_packings())
def test_every_plan_is_accepted_and_leads_to_its_placement(instance):
    for name in ("greedy_repair", "lns"):
        options = {"rounds": 20} if name == "lns" else {}
        result = gapgym.solve(instance, name, **options)
        try:
            made = plan(instance, result.solution)
        except ValueError as error:
            assert "cannot get where it should be" in str(error)  # noqa: PT017 - budgets, orders
            continue
        assert verify(instance, made) == result.solution


def test_a_circle_of_moves_is_cut_by_an_eviction(tmp_path):
    path = dump(
        tmp_path,
        *(node("n0"), node("n1"), pod("a", cpu="4", on="n0"), pod("b", cpu="4", on="n1")),
    )
    instance = gapgym.load(f"pod_packing/{path}")
    swapped = PodPackingSolution([1, 0])
    validate(instance, swapped)
    made = plan(instance, swapped)
    assert [len(s["evictions"]) for s in made["stages"]] == [1, 1, 0]
    assert objective(instance, verify(instance, made)) == (-2, 2)
