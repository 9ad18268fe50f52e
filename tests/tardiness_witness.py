"""The tardiness environments a second time: everything recomputed from scratch at every decision.

Plain Python from the definitions in the environment's documentation; no incremental state.
"""

import itertools
import math


def power_of_two_near(values):
    mean = sum(values) / len(values)
    return 2.0 ** round(math.log2(mean)) if mean else 1.0


class Machine:
    """An instance and the jobs sequenced so far."""

    def __init__(self, instance, mask="all", arrivals=False):
        self.n = instance.num_jobs
        self.p, self.d = instance.processing_times.tolist(), instance.due_dates.tolist()
        self.w = instance.weights.tolist()
        self.durations = instance.durations.tolist()
        releases, setups = instance.release_dates, instance.setups
        self.r = [0] * self.n if releases is None else releases.tolist()
        self.setups = [[0] * self.n] * (self.n + 1) if setups is None else setups.tolist()
        self.mask, self.arrivals = mask, arrivals
        self.time_unit, self.weight_unit = power_of_two_near(self.p), power_of_two_near(self.w)
        self.sequence = []
        edd = sorted(range(self.n), key=lambda j: (self.d[j], self.p[j], j))
        edd_cost = self.cost(self.ends(edd, self.p))
        self.scale = max(edd_cost, self.time_unit * self.weight_unit)
        self.initial_value = self.value()

    def ends(self, sequence, durations):
        """(job, completion) of the jobs of a sequence."""
        end, last, found = 0, -1, []
        for j in sequence:
            end = max(end, self.r[j]) + self.setups[last + 1][j] + durations[j]
            last = j
            found.append((j, end))
        return found

    def cost(self, ends):
        return sum(self.w[j] * max(0, end - self.d[j]) for j, end in ends)

    def schedule(self, j):
        self.sequence.append(j)

    def waiting(self):
        return [j for j in range(self.n) if j not in self.sequence]

    def known(self):
        """The waiting jobs that have arrived."""
        now = self.now()
        return [j for j in self.waiting() if not self.arrivals or self.r[j] <= now]

    def now(self):
        end = self.ends(self.sequence, self.durations)[-1][1] if self.sequence else 0
        first = min((self.r[j] for j in self.waiting()), default=0)
        return max(end, first) if self.arrivals else end

    def unavoidable(self, j):
        """Tardiness of a waiting job if it came next after the shortest setup."""
        rows = [self.setups[0], *(self.setups[i + 1] for i in range(self.n) if i != j)]
        end = max(self.now(), self.r[j]) + min(row[j] for row in rows) + self.p[j]
        return max(0, end - self.d[j])

    def value(self):
        done = self.cost(self.ends(self.sequence, self.durations))
        return done + sum(self.w[j] * self.unavoidable(j) for j in self.waiting())

    def available(self):
        allowed = [j for j in self.known() if self.mask == "all" or not self.swap_improves(j)]
        return allowed or self.known()

    def swap_improves(self, j):
        if not self.sequence:
            return False
        *before, last = self.sequence
        kept = self.ends([*before, last, j], self.p)
        swapped = self.ends([*before, j, last], self.p)
        return self.cost(swapped) < self.cost(kept) and swapped[-1][1] <= kept[-1][1]

    def setup(self, j):
        return self.setups[self.sequence[-1] + 1 if self.sequence else 0][j]

    def globals(self):
        waiting, now = self.known(), self.now()
        work, due = sum(self.p[j] for j in waiting), [self.d[j] for j in waiting]
        return {
            "mean_processing_time": work / len(waiting) / self.time_unit,
            "max_processing_time": max(self.p[j] for j in waiting) / self.time_unit,
            "elapsed": now / self.time_unit,
            "remaining": work / self.time_unit,
            "progress": len(self.sequence) / self.n,
            "num_candidates": len(self.available()),
            "value_rise": (self.value() - self.initial_value) / self.scale,
            "tardy_share": sum(self.unavoidable(j) > 0 for j in waiting) / len(waiting),
            "tightness": 1 - (sum(due) / len(due) - now) / work,
            "due_date_range": (max(due) - min(due)) / work,
        }

    def columns(self, j):
        """The named columns of an available job."""
        waiting, now = self.known(), self.now()
        p, d, w = self.p[j], self.d[j] - now, self.w[j]
        others = [i for i in waiting if i != j]
        work = sum(self.p[i] for i in waiting)
        ready, slack, modified = max(0, self.r[j] - now), d - p, max(p, d)
        in_units = {
            "processing_time": p,
            "due_date": d,
            "slack": slack,
            "modified_due_date": modified,
            "ready": ready,
            "setup": self.setup(j),
            "tardiness": max(0, ready + self.setup(j) + p - d),
            "due_date_gap": modified - min(max(self.p[i], self.d[i] - now) for i in waiting),
            "last_slack": d - work,
        }
        time, weight = p / self.time_unit, w / self.weight_unit
        own = max(w, 0.5) / self.weight_unit
        late = [i for i in others if self.unavoidable(i) > 0]
        late_share = sum(self.w[i] for i in late) / max(1, sum(self.w[i] for i in waiting))
        in_means = max(0, slack) / (work / len(waiting))
        return {
            **{name: value / self.time_unit for name, value in in_units.items()},
            "weight": weight,
            "wspt": weight / time,
            "log_wspt": math.log(own / time),
            "atc_half": math.log(own / time) - in_means / 0.5,
            "atc_two": math.log(own / time) - in_means / 2,
            "covert": weight / time * max(0, 1 - max(0, slack) / (2 * p)),
            "weighted_due_date": modified / self.time_unit / own,
            "delay": time * late_share,
            "earlier": self.share(others, lambda i: (self.d[i], self.p[i], i), j),
            "shorter": self.share(others, lambda i: (self.p[i], self.d[i], i), j),
            "dominators": sum(self.dominates(i, j) for i in others) / len(waiting),
        }

    def share(self, others, key, j):
        return sum(key(i) < key(j) for i in others) / (len(others) + 1)

    def dominates(self, i, j):
        ours = (self.p[i], self.d[i], -self.w[i])
        theirs = (self.p[j], self.d[j], -self.w[j])
        if ours == theirs:
            return i < j
        return all(a <= b for a, b in zip(ours, theirs, strict=True))


def optimum(instance, first=()):
    """The least cost of all sequences that begin with the given jobs, by enumeration."""
    machine = Machine(instance)
    rest = [j for j in range(machine.n) if j not in first]
    return min(
        machine.cost(machine.ends((*first, *order), machine.durations))
        for order in itertools.permutations(rest)
    )


class Lists:
    """The decomposition of an unweighted instance: open lists, and jobs whose ends are fixed."""

    def __init__(self, instance):
        self.p, self.d = instance.processing_times.tolist(), instance.due_dates.tolist()
        self.n, self.unit = len(self.p), power_of_two_near(self.p)
        jobs = self.edd(range(self.n))
        self.open = [(jobs, 0)]
        self.fixed = {}  # job to completion
        self.scale = max(self.cost(jobs, 0), self.unit)
        self.initial_value = self.value()

    def edd(self, jobs):
        return sorted(jobs, key=lambda j: (self.d[j], self.p[j], j))

    def ends(self, jobs, start):
        return [(j, start + sum(self.p[i] for i in jobs[: k + 1])) for k, j in enumerate(jobs)]

    def cost(self, jobs, start):
        return sum(max(0, end - self.d[j]) for j, end in self.ends(jobs, start))

    def bound(self, jobs, start):
        return sum(max(0, start + self.p[j] - self.d[j]) for j in jobs)

    def value(self):
        fixed = sum(max(0, end - self.d[j]) for j, end in self.fixed.items())
        return fixed + sum(self.bound(jobs, start) for jobs, start in self.open)

    def longest(self, jobs):
        return max(jobs, key=lambda j: (self.p[j], jobs.index(j)))

    def split(self, r):
        """The longest job, its completion, and the two sides of the last list if it goes to r."""
        jobs, start = self.open[-1]
        job = self.longest(jobs)
        others = [j for j in jobs if j != job]
        end = start + sum(self.p[j] for j in others[:r]) + self.p[job]
        return job, end, (others[:r], start), (others[r:], end)

    def total(self, r):
        job, end, before, behind = self.split(r)
        return self.cost(*before) + max(0, end - self.d[job]) + self.cost(*behind)

    def places(self):
        jobs, _ = self.open[-1]
        first = jobs.index(self.longest(jobs))
        found = []
        for r in range(first, len(jobs)):
            end = self.split(r)[1]
            between = jobs[first + 1 : r]
            if any(end <= self.d[i] + self.p[i] for i in between):
                continue
            if any(self.total(r) >= self.total(i) for i in range(first, r)):
                continue
            if r + 1 < len(jobs) and self.total(r) > self.total(r + 1):
                continue
            found.append(r)
        return found

    def place(self, r):
        job, end, before, behind = self.split(r)
        self.open.pop()
        self.fixed[job] = end
        self.open += [side for side in (behind, before) if side[0]]
        while self.open and (order := self.plain_optimum(*self.open[-1])):
            _, start = self.open.pop()
            self.fixed |= dict(self.ends(order, start))

    def plain_optimum(self, jobs, start):
        if sum(end > self.d[j] for j, end in self.ends(jobs, start)) <= 1:
            return jobs
        if all(start + self.p[j] >= self.d[j] for j in jobs):
            return sorted(jobs, key=lambda j: self.p[j])
        return None

    def mdd(self, jobs, start):
        left, order = list(jobs), []
        while left:
            now = start + sum(self.p[j] for j in order)
            order.append(
                min(left, key=lambda j: (max(now + self.p[j], self.d[j]), self.p[j], left.index(j)))
            )
            left.remove(order[-1])
        return self.cost(order, start)

    def estimate(self, r):
        job, end, before, behind = self.split(r)
        return self.mdd(*before) + max(0, end - self.d[job]) + self.mdd(*behind)

    def globals(self):
        jobs, start = self.open[-1]
        job, size = self.longest(jobs), len(jobs)
        work, due = sum(self.p[j] for j in jobs), [self.d[j] for j in jobs]
        return {
            "progress": len(self.fixed) / self.n,
            "open_lists": len(self.open),
            "num_candidates": len(self.places()),
            "jobs_in_list": size / self.n,
            "elapsed": start / self.unit,
            "work": work / self.unit,
            "processing_time": self.p[job] / self.unit,
            "due_date": (self.d[job] - start) / self.unit,
            "edd_place": jobs.index(job) / size,
            "tardy_share": sum(end > self.d[j] for j, end in self.ends(jobs, start)) / size,
            "tightness": 1 - (sum(due) / size - start) / work,
            "due_date_range": (max(due) - min(due)) / work,
            "value_rise": (self.value() - self.initial_value) / self.scale,
        }

    def columns(self, r):
        """The named columns of an available place."""
        jobs, start = self.open[-1]
        job, end, before, behind = self.split(r)
        places = self.places()
        in_units = {
            "completion": end - start,
            "work_behind": sum(self.p[j] for j in behind[0]),
            "tardiness": max(0, end - self.d[job]),
            "edd_gap": self.total(r) - min(map(self.total, places)),
            "edd_before": self.cost(*before),
            "edd_behind": self.cost(*behind),
            "bound_before": self.bound(*before),
            "bound_behind": self.bound(*behind),
        }
        in_units |= dict.fromkeys(("mdd_before", "mdd_behind", "mdd_gap"), 0)
        if len(places) > 1:
            in_units["mdd_before"], in_units["mdd_behind"] = self.mdd(*before), self.mdd(*behind)
            in_units["mdd_gap"] = self.estimate(r) - min(map(self.estimate, places))
        return {
            **{name: value / self.unit for name, value in in_units.items()},
            "shift": (r - jobs.index(job)) / self.n,
            "jobs_before": len(before[0]) / self.n,
            "jobs_behind": len(behind[0]) / self.n,
        }


class Sequence:
    """A complete sequence, and the job that has been chosen to move."""

    def __init__(self, instance, moves=None):
        self.machine = Machine(instance)
        self.n, p, d = self.machine.n, self.machine.p, self.machine.d
        self.moves = self.left = moves or self.n
        self.order = sorted(range(self.n), key=lambda j: (d[j], p[j], j))
        self.chosen = None
        self.initial_value, self.scale = self.cost(self.order), self.machine.scale

    def cost(self, order):
        return self.machine.cost(self.machine.ends(order, self.machine.p))

    def value(self):
        return self.cost(self.order)

    def moved(self, action, chosen):
        """The sequence after an action of the second phase."""
        j, order = (action - 1) // 2, list(self.order)
        k, q = order.index(chosen), order.index(j)
        if action % 2:
            order[k], order[q] = j, chosen
        else:
            order.remove(chosen)
            order.insert(q, chosen)
        return order

    def available(self):
        """The actions; an insertion next to the chosen job is left out: it is a swap."""
        if not self.left:
            return []
        if self.chosen is None:
            return [0, *(1 + 2 * j for j in range(self.n))] if self.n > 1 else [0]
        at, found = self.order.index(self.chosen), []
        for j in range(self.n):
            distance = abs(self.order.index(j) - at)
            found += [1 + 2 * j] * (distance > 0) + [2 + 2 * j] * (distance > 1)
        return found

    def play(self, action):
        if action == 0:
            self.left = 0
        elif self.chosen is None:
            self.chosen = (action - 1) // 2
        else:
            self.order = self.moved(action, self.chosen)
            self.chosen = None
            self.left -= 1

    def gain(self, action):
        """Of the move; where the job is chosen, of its best insertion."""
        if self.chosen is not None:
            return self.value() - self.cost(self.moved(action, self.chosen))
        j = (action - 1) // 2
        others = [i for i in range(self.n) if i != j]
        return max(self.value() - self.cost(self.moved(2 + 2 * i, j)) for i in others)

    def of_job(self, j):
        machine = self.machine
        end = dict(machine.ends(self.order, machine.p))[j]
        return {
            "processing_time": machine.p[j] / machine.time_unit,
            "weight": machine.w[j] / machine.weight_unit,
            "slack": (machine.d[j] - end) / machine.time_unit,
            "tardiness": max(0, end - machine.d[j]) / machine.time_unit,
            "cost": machine.cost([(j, end)]) / self.scale,
            "position": self.order.index(j) / self.n,
        }

    def globals(self):
        machine = self.machine
        found = dict.fromkeys(("processing_time", "weight", "slack", "position"), 0.0)
        if self.chosen is not None:
            found = {name: self.of_job(self.chosen)[name] for name in found}
        late = [end > machine.d[j] for j, end in machine.ends(self.order, machine.p)]
        return {
            "phase": float(self.chosen is not None),
            "moves_left": self.left / self.moves,
            "num_candidates": len(self.available()),
            "cost_now": self.value() / self.scale,
            "cost_fall": (self.initial_value - self.value()) / self.scale,
            "tardy_share": sum(late) / self.n,
            **{f"chosen_{name}": value for name, value in found.items()},
        }

    def columns(self, action):
        """The named columns of an available action."""
        move = {"stop": 0.0, "gain": 0.0, "distance": 0.0, "is_insertion": 0.0}
        if action == 0:
            zeros = dict.fromkeys(self.of_job(0), 0.0)
            return {**move, **zeros, "stop": 1.0}
        j = (action - 1) // 2
        move["gain"] = self.gain(action) / self.scale
        if self.chosen is not None:
            move["distance"] = (self.order.index(j) - self.order.index(self.chosen)) / self.n
            move["is_insertion"] = float(action % 2 == 0)
        return {**move, **self.of_job(j)}
