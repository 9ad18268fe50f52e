"""Hypothesis strategies for instances of every family."""

from hypothesis import strategies as st

from gapgym.instances.job_shop import JobShopInstance
from gapgym.instances.soc_dag import SoCDagInstance, SoCStreamInstance
from gapgym.instances.tardiness import TardinessInstance


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


#: Problem to small instances of it, for the contracts that every family keeps.
INSTANCES = {
    "job_shop": job_shops() | stochastic_job_shops(),
    "tardiness": tardiness_instances() | stochastic_tardiness_instances(),
    "soc_dag": task_graphs(),
    "soc_stream": job_streams(),
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

#: The same without what is decided under uncertainty, where a solution with hindsight cannot always
#: be followed.
CERTAIN_INSTANCES = {
    "job_shop": job_shops(),
    "tardiness": tardiness_instances(),
    "soc_dag": task_graphs(),
    "soc_stream": job_streams(admissions=("backlog",), noisy=False),
}
