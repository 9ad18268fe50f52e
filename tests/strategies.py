"""Hypothesis strategies for instances of every family."""

from hypothesis import strategies as st

from gapgym.instances.job_shop import JobShopInstance
from gapgym.instances.memory_mapping import AllocationInstance, MappingInstance
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


#: Problem to small instances of it, for the contracts that every family keeps.
INSTANCES = {
    "job_shop": job_shops() | stochastic_job_shops(),
    "memory_allocation": allocations(),
    "memory_mapping": mappings(),
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
}

#: The same without what is decided under uncertainty, where a solution with hindsight cannot always
#: be followed.
CERTAIN_INSTANCES = {
    "job_shop": job_shops(),
    "memory_allocation": allocations(),
    "memory_mapping": mappings(),
    "tardiness": tardiness_instances(),
}
