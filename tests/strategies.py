"""Hypothesis strategies for instances of every family."""

from hypothesis import strategies as st

from gapgym.instances.job_shop import FlexibleJobShopInstance, JobShopInstance
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


#: Problem to small instances of it, for the contracts that every family keeps.
INSTANCES = {
    "job_shop": job_shops() | stochastic_job_shops(),
    "flexible_job_shop": flexible_job_shops(),
    "tardiness": tardiness_instances() | stochastic_tardiness_instances(),
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
CERTAIN_INSTANCES = {"job_shop": job_shops(), "tardiness": tardiness_instances()}

#: Problem to the options of its family's ``generate`` that give a small instance of it.
GENERATE = {"flexible_job_shop": {"num_jobs": 4, "num_machines": 3, "kind": "flexible"}}
