"""Hypothesis strategies for instances of every family."""

from hypothesis import strategies as st

from gapgym.instances.job_shop import JobShopInstance
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
    "tardiness": tardiness_instances() | stochastic_tardiness_instances(),
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
}

#: The same without what is decided under uncertainty, where a solution with hindsight cannot always
#: be followed.
CERTAIN_INSTANCES = {
    "job_shop": job_shops(),
    "tardiness": tardiness_instances(),
    "vm_rescheduling": vm_clusters(),
}
