"""Hypothesis strategies for instances of every family."""

from hypothesis import strategies as st

from gapgym.instances.job_shop import JobShopInstance


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


#: Problem to small instances of it, for the contracts that every family keeps.
INSTANCES = {"job_shop": job_shops() | stochastic_job_shops()}

#: The same without what is decided under uncertainty, where a solution with hindsight cannot always
#: be followed.
CERTAIN_INSTANCES = {"job_shop": job_shops()}
