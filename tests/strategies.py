"""Hypothesis strategies for instances of every family."""

from hypothesis import strategies as st

from gapgym.instances.job_shop import FlexibleJobShopInstance, JobShopInstance
from gapgym.instances.memory_mapping import AllocationInstance, MappingInstance
from gapgym.instances.pod_packing import OBJECTIVES, PodPackingInstance
from gapgym.instances.pod_packing_model import canonical
from gapgym.instances.soc_dag import SoCDagInstance, SoCStreamInstance
from gapgym.instances.tardiness import TardinessInstance
from gapgym.instances.vm_rescheduling import VMReschedulingInstance


@st.composite
def job_shops(draw, max_jobs=4, max_machines=3, max_operations=3, max_time=6, **fields):
    """Job shops whose jobs differ in length, visit machines again, and may take no time."""
    num_machines = draw(st.integers(1, max_machines))
    operation = st.tuples(st.integers(0, num_machines - 1), st.integers(0, max_time))
    job = st.lists(operation, min_size=1, max_size=max_operations)
    jobs = draw(st.lists(job, min_size=1, max_size=max_jobs))
    return JobShopInstance.from_lists(jobs, num_machines=num_machines, **fields)


@st.composite
def stochastic_job_shops(draw, **sizes):
    """Job shops with random durations, of either law."""
    law = draw(st.sampled_from(["uniform", "lognormal"]))
    cv = draw(st.floats(0.05, 0.5))
    scenario = draw(st.integers(0, 2**32))
    return draw(job_shops(**sizes, law=law, cv=cv, scenario=scenario))


@st.composite
def flexible_job_shops(draw, max_jobs=3, max_machines=3, max_operations=3, max_time=4, min_time=0):
    """Flexible job shops with any combination of features."""
    m = draw(st.integers(1, max_machines))
    buffer = draw(st.sampled_from(["unlimited", "blocking", "no-wait"]))
    with_setups = draw(st.booleans())
    times = st.integers(max(min_time, int(with_setups)), max_time)
    operation = st.dictionaries(st.integers(0, m - 1), times, min_size=1, max_size=m)
    job = st.lists(operation, min_size=1, max_size=max_operations)
    jobs = draw(st.lists(job, min_size=1, max_size=max_jobs))
    n = len(jobs)

    def per_job(low, high):
        return draw(st.lists(st.integers(low, high), min_size=n, max_size=n))

    fields = {"buffer": buffer, "release_dates": per_job(0, 3), "weights": per_job(0, 3)}
    fields["due_dates"] = [
        r + d for r, d in zip(fields["release_dates"], per_job(0, 8), strict=True)
    ]
    fields["objective"] = draw(st.sampled_from(["makespan", "weighted_tardiness", "flow_time"]))
    if with_setups:
        rows = [[per_job(0, 2) for _ in range(n + 1)] for _ in range(m)]
        for machine in rows:
            for j in range(n):
                machine[j + 1][j] *= buffer == "unlimited"
        fields["setups"] = rows
    if draw(st.booleans()):
        machine, begin, length = draw(st.integers(0, m - 1)), *per_job(0, 5)[:1], 2
        fields["downtimes"] = [(machine, begin, begin + length)]
    return FlexibleJobShopInstance.from_lists(jobs, m, **fields)


@st.composite
def tardiness_instances(draw, max_jobs=5, max_time=6, plain=False, weighted=True, **fields):
    """Single-machine jobs, many of them equal in something; perhaps with releases and setups."""
    n = draw(st.integers(1, max_jobs))

    def per_job(low, high):
        return draw(st.lists(st.integers(low, high), min_size=n, max_size=n))

    arrays = {
        "processing_times": per_job(1, max_time),
        "due_dates": per_job(-3, 3 * max_time),
    }
    if weighted and draw(st.booleans()):
        arrays["weights"] = per_job(0, 4)
    if not plain and draw(st.booleans()):
        arrays["release_dates"] = per_job(0, 2 * max_time)
    if not plain and draw(st.booleans()):
        arrays["setups"] = [per_job(0, 3) for _ in range(n + 1)]
    return TardinessInstance(**arrays, **fields)


@st.composite
def stochastic_tardiness_instances(draw, **sizes):
    """Single-machine jobs with random durations, of either law."""
    law = draw(st.sampled_from(["uniform", "lognormal"]))
    cv = draw(st.floats(0.05, 0.5))
    scenario = draw(st.integers(0, 2**32))
    return draw(tardiness_instances(**sizes, law=law, cv=cv, scenario=scenario))


@st.composite
def task_graphs(draw, max_tasks=5, max_pes=3, max_time=6, **fields):
    """Task graphs on few PEs: tasks that take no time, or are not supported everywhere."""
    n, m = draw(st.integers(1, max_tasks)), draw(st.integers(1, max_pes))
    time = st.integers(-1, max_time)
    row = st.lists(time, min_size=m, max_size=m).filter(lambda times: max(times) >= 0)
    pairs = [(i, j) for j in range(n) for i in range(j)]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    names = draw(st.permutations(range(n)))
    matrix = st.lists(st.lists(st.integers(1, 3), min_size=m, max_size=m), min_size=m, max_size=m)
    return SoCDagInstance(
        run_times=draw(st.lists(row, min_size=n, max_size=n)),
        edges=[(names[i], names[j]) for i, j in edges],
        data=draw(st.lists(st.integers(0, 8), min_size=len(edges), max_size=len(edges))),
        bandwidth=draw(matrix),
        latency=draw(st.integers(0, 2)),
        rounding=draw(st.sampled_from(["floor", "ceil"])),
        **fields,
    )


@st.composite
def job_streams(draw, max_jobs=4, max_tasks=3, admissions=("backlog", "loss"), noisy=True):
    """Few jobs of one or two small graphs, of which as many find the system full as do not."""
    first = draw(task_graphs(max_tasks=max_tasks, max_pes=2))
    same = {"bandwidth": first.bandwidth, "latency": first.latency, "rounding": first.rounding}
    chain = SoCDagInstance([[2] * first.num_pes] * 2, [[0, 1]], [draw(st.integers(0, 6))], **same)
    times = sorted(draw(st.lists(st.integers(0, 12), min_size=1, max_size=max_jobs)))
    capacity = draw(st.integers(1, 3))
    return SoCStreamInstance.from_profiles(
        [first, chain][: draw(st.integers(1, 2))],
        arrivals="trace",
        trace=[(time, 0) for time in times],
        horizon=draw(st.integers(1, 20)),
        capacity=capacity,
        admission=draw(st.sampled_from(admissions)),
        prefill=draw(st.integers(0, min(capacity, 2))),
        cv=draw(st.sampled_from([0.0, 0.4])) if noisy else 0.0,
        scenario=draw(st.integers(0, 99)),
    )


@st.composite
def pod_packings(
    draw, max_nodes=3, max_workloads=4, max_replicas=2, running=True, ordered=True, **fields
):
    """Small clusters with every constraint now and then, many ties, some pods running.

    Without ``ordered``, none whose new pods have to come in a certain order, and no budgets.
    """
    n = draw(st.integers(1, max_nodes))
    capacities = [
        [draw(st.integers(4, 8)), draw(st.integers(4, 8)), draw(st.integers(2, 4))]
        for _ in range(n)
    ]
    nodes = [draw(_pod_packing_nodes(j)) for j in range(n)]
    least = [min(row[k] for row in capacities) for k in range(2)]
    specs, rows, priorities, workloads, budgets = [], [], [], [], []
    for w in range(draw(st.integers(1, max_workloads))):
        specs.append(canonical(draw(_pod_packing_specs(w, ordered))))
        request = [draw(st.integers(0, least[0])), draw(st.integers(0, least[1])), 1]
        replicas = draw(st.integers(1, max_replicas))
        rows += [request] * replicas
        priorities += [draw(st.integers(0, 2))] * replicas
        workloads += [w] * replicas
        if ordered and draw(st.integers(0, 3)) == 0:
            selector = {"matchLabels": {"app": f"app-{w}"}}
            budget = {"name": f"pdb-{w}", "namespace": "default", "selector": selector}
            budgets.append(canonical({**budget, "allowed": draw(st.integers(0, 1))}))
    given = {
        "capacities": capacities,
        "requests": rows,
        "priorities": priorities,
        "workloads": workloads,
        "batches": workloads,
        "pod_specs": tuple(specs),
        "spec_of_pod": workloads,
        "node_specs": tuple(nodes),
        "budgets": tuple(budgets),
        "objective": draw(st.sampled_from(OBJECTIVES)),
        **fields,
    }
    if not running or draw(st.booleans()):
        return PodPackingInstance(**given)
    current = _first_fit(draw, capacities, rows, specs, workloads)
    protected = [int(c >= 0 and draw(st.integers(0, 4)) == 0) for c in current]
    return PodPackingInstance(**given, current=current, protected=protected)


def _first_fit(draw, capacities, rows, specs, workloads):
    """Where some pods run, by capacity and host ports alone."""
    free = [list(row) for row in capacities]
    with_port, current = set(), []
    for row, w in zip(rows, workloads, strict=True):
        j = draw(st.integers(-1, len(capacities) - 1))
        port = "hostPorts" in specs[w]
        if j >= 0 and (
            any(a > b for a, b in zip(row, free[j], strict=True)) or (port and j in with_port)
        ):
            j = -1
        if j >= 0:
            free[j] = [b - a for a, b in zip(row, free[j], strict=True)]
            if port:
                with_port.add(j)
        current.append(j)
    if min(current) >= 0:
        current[-1] = -1  # one at least waits
    return current


@st.composite
def _pod_packing_nodes(draw, j):
    labels = {"host": f"h{j}", "disk": draw(st.sampled_from(["ssd", "hdd"]))}
    if draw(st.booleans()):
        labels["zone"] = f"z{j % 2}"
    spec = {"labels": labels}
    if draw(st.integers(0, 3)) == 0:
        effect = draw(st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"]))
        spec["taints"] = [{"key": "batch", "value": "yes", "effect": effect}]
    if draw(st.integers(0, 6)) == 0:
        spec["unschedulable"] = True
    return canonical(spec)


@st.composite
def _pod_packing_specs(draw, w, ordered):
    selector = {"matchLabels": {"app": f"app-{draw(st.integers(0, w))}"}}
    key = draw(st.sampled_from(["host", "zone"]))
    term = {"labelSelector": selector, "topologyKey": key}
    spec = {"namespace": "default", "labels": {"app": f"app-{w}"}}
    kind = draw(st.integers(0, 9))
    if kind == 0:
        spec["podAntiAffinity"] = [term]
    elif kind == 1 and ordered:
        spec["podAffinity"] = [term]
    elif kind == 2 and ordered:
        spec["topologySpreadConstraints"] = [{**term, "maxSkew": draw(st.integers(1, 2))}]
    elif kind == 3:
        spec["hostPorts"] = [{"protocol": "TCP", "hostPort": 80}]
    elif kind == 4:
        spec["nodeSelector"] = {"disk": "ssd"}
    elif kind == 5:
        spec["tolerations"] = [{"key": "batch", "operator": "Exists"}]
    return spec


@st.composite
def allocations(draw, max_buffers=5, max_size=5, max_time=5):
    """Buffers, some of them aligned, with or without a capacity."""
    n = draw(st.integers(1, max_buffers))

    def per_buffer(low, high):
        return draw(st.lists(st.integers(low, high), min_size=n, max_size=n))

    lowers = per_buffer(0, max_time)
    uppers = [lower + length for lower, length in zip(lowers, per_buffer(1, max_time), strict=True)]
    sizes = per_buffer(1, max_size)
    aligned = draw(st.booleans())
    return AllocationInstance(
        lowers,
        uppers,
        sizes,
        alignments=per_buffer(1, 3) if aligned else None,
        capacity=draw(st.sampled_from([0, max(sizes), sum(sizes)])),
    )


@st.composite
def mappings(draw, max_instructions=5, max_sources=3, max_time=6, pins=True):
    """Programs whose instructions read a few earlier buffers and define one each."""
    length, sources = draw(st.integers(1, max_instructions)), draw(st.integers(1, max_sources))
    n = length + sources
    accesses = []
    for t in range(length):
        known = st.integers(0, sources + t - 1)
        reads = draw(st.lists(known, min_size=t == 0, max_size=3, unique=True))
        accesses += [(t, b, 0) for b in reads] + [(t, sources + t, 1)]
    when, which, write = zip(*accesses, strict=True)

    def many(count, low, high):
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    slow = many(len(accesses), 0, max_time)
    return MappingInstance(
        compute_times=many(length, 0, 2 * max_time),
        access_instructions=when,
        access_buffers=which,
        access_writes=write,
        slow_times=slow,
        fast_times=[draw(st.integers(0, high)) for high in slow],
        sizes=many(n, 1, 4),
        copy_times=many(n, 0, max_time),
        kinds=[*many(sources, 0, 1), *[2] * length],
        results=many(n, 0, 1),
        pinned=[int(pins and draw(st.integers(0, 5)) == 5) for _ in range(n)],
        capacity=draw(st.integers(1, 10)),
    )


@st.composite
def vm_clusters(draw, max_pms=3, max_vms=7, plain=False, certain=True, most=3, **fields):
    """Small clusters of VMs that fit, with all that constrains moves unless ``plain``."""
    num_pms = draw(st.integers(1, max_pms))
    cores, memory = [[8, 8]] * num_pms, [[8, draw(st.sampled_from([5, 8]))]] * num_pms
    free = [[list(cores[pm]), list(memory[pm])] for pm in range(num_pms)]
    vms = []
    for _ in range(draw(st.integers(0, max_vms))):
        pm, node = draw(st.integers(0, num_pms - 1)), draw(st.sampled_from([0, 1, -1]))
        c, m = draw(st.sampled_from([1, 2, 3, 4, 6])), draw(st.integers(0, 3))
        nodes = [0, 1] if node < 0 else [node]
        if all(free[pm][0][k] >= c and free[pm][1][k] >= m for k in nodes):
            for k in nodes:
                free[pm][0][k] -= c
                free[pm][1][k] -= m
            vms.append((c, m, pm, node))
    columns = [list(column) for column in zip(*vms, strict=True)] or [[], [], [], []]
    arrays = dict(zip(("vm_cores", "vm_memory", "vm_pm", "vm_node"), columns, strict=True))
    sizes = draw(st.sampled_from([[[4, 0, 1]], [[4, 1, 1]], [[3, 0, 2], [8, 1, 1]], [[4, 0, 1]]]))
    fields = {"mnl": draw(st.integers(1, most)), "sizes": sizes, **fields}
    if not plain:
        fields |= draw(vm_constraints(num_pms, arrays["vm_pm"]))
        fields |= draw(st.sampled_from([{}, {}, {"goal": 0.5}, {"goal": 0.0}]))
    if not certain:
        fields |= {"delay": 60.0, "churn": 3.0, "scenario": draw(st.integers(0, 2**32))}
    return VMReschedulingInstance(cores, memory, **arrays, **fields)


@st.composite
def vm_constraints(draw, num_pms, vm_pm):
    """Some of: fixed VMs, PMs that are not active, clusters, a budget, anti-affinity."""
    V = len(vm_pm)

    def bits(count):
        return draw(st.lists(st.sampled_from([1, 1, 1, 0]), min_size=count, max_size=count))

    fields, kind = {}, draw(st.integers(0, 7))
    if kind & 1:
        fields |= {"vm_movable": bits(V), "pm_active": bits(num_pms)}
    if kind & 2:
        fields |= {"pm_cluster": bits(num_pms), "cluster_local": True}
        fields["memory_budget"] = draw(st.integers(0, 8))
    if kind & 4:
        racks = bits(num_pms)
        levels = draw(st.lists(st.integers(0, 1), max_size=2))
        members = []
        for one, level in enumerate(levels):
            seen = set()
            for vm in range(V):
                place = racks[vm_pm[vm]] if level else vm_pm[vm]
                if place not in seen and draw(st.booleans()):
                    seen.add(place)
                    members.append([one, vm])
        fields |= {"pm_rack": racks, "set_level": levels, "set_members": members}
    return fields


#: Problem to small instances of it, for the contracts that every family keeps.
INSTANCES = {
    "job_shop": job_shops() | stochastic_job_shops(),
    "flexible_job_shop": flexible_job_shops(),
    "pod_packing": pod_packings(),
    "tardiness": tardiness_instances() | stochastic_tardiness_instances(),
    "soc_dag": task_graphs(),
    "soc_stream": job_streams(),
    "memory_allocation": allocations(),
    "memory_mapping": mappings(),
    "vm_rescheduling": vm_clusters() | vm_clusters(certain=False),
}

#: (Problem, mode of its environment) to instances, where a mode does not play all of them.
MODE_INSTANCES = {
    ("tardiness", "decompose"): tardiness_instances(plain=True, weighted=False),
    ("tardiness", "improve"): tardiness_instances(plain=True),
}

#: (Problem, solver) to instances, where a solver does not take all of them.
SOLVER_INSTANCES = {
    ("tardiness", "dynasearch"): tardiness_instances(plain=True),
    ("tardiness", "iterated_dynasearch"): tardiness_instances(plain=True),
    ("tardiness", "lagrangian"): tardiness_instances(plain=True),
    ("soc_stream", "cp_sat"): job_streams(admissions=("backlog",)),
}

#: The same, by problem or by (problem, mode), without what makes that a solution cannot always be
#: followed: decisions under uncertainty, an order in which pods have to come.
CERTAIN_INSTANCES = {
    "job_shop": job_shops(),
    "pod_packing": pod_packings(),
    ("pod_packing", "queue"): pod_packings(running=False, ordered=False),
    ("pod_packing", "repack"): pod_packings(ordered=False),
    "tardiness": tardiness_instances(),
    "soc_dag": task_graphs(),
    "soc_stream": job_streams(admissions=("backlog",), noisy=False),
    "memory_allocation": allocations(),
    "memory_mapping": mappings(),
    "vm_rescheduling": vm_clusters(),
}

#: Problem to the options of its family's ``generate`` that give a small instance of it, where no
#: environment has a default one.
GENERATE = {"flexible_job_shop": {"num_jobs": 4, "num_machines": 3, "kind": "flexible"}}
