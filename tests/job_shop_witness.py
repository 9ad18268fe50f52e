"""The job shop environment a second time: everything recomputed from the partial schedule.

Plain Python from the definitions in the environment's documentation; no incremental state.
"""

import math


class Witness:
    """A job shop and the operations scheduled so far."""

    def __init__(self, instance, schedule="active", delta=1.0):
        self.p = instance.processing_times.tolist()
        self.machines = instance.machines.tolist()
        self.lengths = instance.num_operations.tolist()
        self.n, self.m = instance.num_jobs, instance.num_machines
        self.schedule, self.delta = schedule, delta
        mean = sum(map(sum, self.p)) / sum(self.lengths)
        self.unit = 2.0 ** round(math.log2(mean)) if mean else 1.0
        self.scheduled = []  # (job, operation, machine, start, end)
        self.initial_value = self.value = self.bound()

    def dispatch(self, j):
        k = self.next(j)
        m = self.machines[j][k]
        start = self.est(j)
        self.scheduled.append((j, k, m, start, start + self.p[j][k]))
        self.value = self.bound()

    def next(self, j):
        return sum(job == j for job, *_ in self.scheduled)

    def unfinished(self):
        return [j for j in range(self.n) if self.next(j) < self.lengths[j]]

    def job_ready(self, j):
        return max((end for job, _, _, _, end in self.scheduled if job == j), default=0)

    def machine_ready(self, m):
        return max((end for _, _, machine, _, end in self.scheduled if machine == m), default=0)

    def machine(self, j):
        return self.machines[j][self.next(j)]

    def est(self, j):
        return max(self.job_ready(j), self.machine_ready(self.machine(j)))

    def time(self, j):
        return self.p[j][self.next(j)]

    def ect(self, j):
        return self.est(j) + self.time(j)

    def work(self, j):
        return sum(self.p[j][self.next(j) :])

    def waiting(self, m):
        """Unscheduled operations of a machine."""
        pairs = ((j, k) for j in range(self.n) for k in range(self.next(j), self.lengths[j]))
        return [(j, k) for j, k in pairs if self.machines[j][k] == m]

    def load(self, m):
        return sum(self.p[j][k] for j, k in self.waiting(m))

    def machine_value(self, m):
        waiting = self.waiting(m)
        if not waiting:
            return self.machine_ready(m)
        head = min(sum(self.p[j][:k]) for j, k in waiting)
        tail = min(sum(self.p[j][k + 1 :]) for j, k in waiting)
        return max(self.machine_ready(m), head) + self.load(m) + tail

    def bound(self):
        """The larger of the makespan, the chains and the machines' bounds."""
        return max(
            max((end for *_, end in self.scheduled), default=0),
            max((self.est(j) + self.work(j) for j in self.unfinished()), default=0),
            max(self.machine_value(m) for m in range(self.m)),
        )

    def available(self):
        jobs = self.unfinished()
        if not jobs or self.schedule == "semi-active":
            return jobs
        if self.schedule == "non-delay":
            now = min(map(self.est, jobs))
            return [j for j in jobs if self.est(j) == now]
        best = min(jobs, key=lambda j: (self.ect(j), self.est(j), j))
        conflict = [j for j in jobs if self.machine(j) == self.machine(best)]
        first, end = min(map(self.est, conflict)), self.ect(best)
        latest = first + self.delta * (end - first)
        return [
            j
            for j in conflict
            if self.est(j) == first
            or (self.est(j) <= latest and (self.est(j) < end or self.ect(j) == end))
        ]

    def globals(self):
        now = min(map(self.est, self.available()))
        return {
            "progress": len(self.scheduled) / sum(self.lengths),
            "jobs_unfinished": len(self.unfinished()) / self.n,
            "num_candidates": len(self.available()),
            "log_jobs_per_machine": math.log(self.n / self.m),
            "bound_rise": (self.value - self.initial_value) / self.unit,
            "time_left": (self.value - now) / self.unit,
        }

    def columns(self, j):
        """The named columns of an available job."""
        available, m = self.available(), self.machine(j)
        now = min(map(self.est, available))
        rivals = [i for i in available if i != j and self.machine(i) == m]
        others = [pair for pair in self.waiting(m) if pair != (j, self.next(j))]
        tail = self.work(j) - self.time(j)
        longest = max(map(self.work, rivals), default=tail)
        other_tail = min((sum(self.p[i][k + 1 :]) for i, k in others), default=tail)
        in_units = {
            "processing_time": self.time(j),
            "work_remaining": self.work(j),
            "work_done": sum(self.p[j][: self.next(j)]),
            "job_ready": self.job_ready(j) - now,
            "wait": self.est(j) - now,
            "machine_ready": self.machine_ready(m) - now,
            "completion": self.ect(j) - min(map(self.ect, available)),
            "slack": self.value - self.est(j) - self.work(j),
            "rival_rise": self.ect(j) + longest - self.value,
            "machine_rise": self.ect(j) + self.load(m) - self.time(j) + other_tail - self.value,
            "machine_load": self.load(m),
            "machine_slack": self.value - self.machine_value(m),
        }
        jobs = self.unfinished()
        longer_tails = [i for i in jobs if self.work(i) - self.time(i) > tail]
        more_work = [i for i in rivals if self.work(i) > self.work(j)]
        return {
            **{name: value / self.unit for name, value in in_units.items()},
            "operations_remaining": self.lengths[j] - self.next(j),
            "queue": sum(self.machine(i) == m for i in jobs),
            "share": self.time(j) / self.work(j) if self.work(j) else 1.0,
            "tail_rank": len(longer_tails) / len(jobs),
            "rival_rank": len(more_work) / len(rivals) if rivals else 0.0,
            **self.ahead(j),
        }

    def ahead(self, j):
        """The columns about the machines that the job visits later."""
        jobs, later = self.unfinished(), range(self.next(j) + 1, self.lengths[j])
        names = ("time", "ready", "queue", "load", "slack")
        found = {f"next{i}_{name}": 0.0 for i in (1, 2, 3) for name in names}
        found |= {"starves": 0.0, "bottleneck_slack": 0.0, "bottleneck_work": 0.0}
        arrival = self.ect(j)
        for i, k in enumerate(later[:3], start=1):
            m = self.machines[j][k]
            queue = sum(self.machine(other) == m for other in jobs)
            found[f"next{i}_time"] = self.p[j][k] / self.unit
            found[f"next{i}_ready"] = (self.machine_ready(m) - arrival) / self.unit
            found[f"next{i}_queue"] = queue
            found[f"next{i}_load"] = self.load(m) / self.unit
            found[f"next{i}_slack"] = (self.value - self.machine_value(m)) / self.unit
            if i == 1:
                found["starves"] = float(queue == 0 and self.machine_ready(m) <= arrival)
            arrival += self.p[j][k]
        if later:
            at = min(later, key=lambda k: self.value - self.machine_value(self.machines[j][k]))
            slack = self.value - self.machine_value(self.machines[j][at])
            found["bottleneck_slack"] = slack / self.unit
            found["bottleneck_work"] = sum(self.p[j][later[0] : at]) / self.unit
        return found
