"""Packing the pods of a cluster one by one: what kube-scheduler decides.

The pods that do not run wait in a queue: earlier batches first, in a batch the higher priority,
then the lower number. The next one is put on a node that passes all filters, or left pending. With
``preempt``, a node is also offered if the pod would fit there without pods of lower priority; then
kube-scheduler's rule says which of them go back to the end of the queue, each at most twice.

The value of a state is what is decided: the cost of the pods that were left pending and of those
that run elsewhere than before (see ``scalar`` in ``instances/pod_packing.py``). Without
``preempt`` it is a lower bound on the final cost that never falls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.pod_packing import PodPackingInstance, PodPackingSolution
from . import pod_packing_kernels as kernels
from .env import SchedulingEnv
from .pod_packing_common import PodSimulator
from .simulator import Arrays, NotExpressible, Shape, Simulator
from .vector import SchedulingVectorEnv

COLUMNS = (
    "leave",
    "cpu_left",
    "memory_left",
    "least_left",
    "imbalance",
    "dot_product",
    "peers",
    "preempts",
    "was_here",
)

GLOBAL_COLUMNS = (
    "cpu",
    "memory",
    "tier",
    "workload_share",
    "tries",
    "free_cpu",
    "free_memory",
    "queue",
    "running",
    "value",
    "num_candidates",
)


class PodPackingSimulator(PodSimulator):
    """Clusters side by side; see :class:`PodPackingEnv` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded sizes.
        preempt: Whether nodes are offered where less important pods would have to go.
        **common: See :class:`Simulator`.
    """

    fields = kernels.FIELDS
    candidate_columns = COLUMNS
    global_columns = GLOBAL_COLUMNS
    speed_instances = ("paper-8x64", "paper-32x256", "mixed-32x256")
    # Best fit: the fullest node that is left, and pending only where there is none.
    prior: ClassVar[Mapping[str, float]] = {"leave": -6.0, "least_left": -4.0}
    training_instances = ("paper-4x16", "paper-4x32", "paper-8x32", "paper-8x64", "mixed-6x24")

    def __init__(
        self, num_rows: int, size: Mapping[str, int], *, preempt: bool = False, **common: Any
    ) -> None:
        if not isinstance(preempt, bool):
            raise ValueError(f"preempt {preempt!r}, expected true or false.")
        self.preempt = preempt
        super().__init__(num_rows, size, **common)

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """One candidate per node, and one to leave the pod pending."""
        return cls.graph_shape(size["nodes"] + 1, size)

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        data, state = self.allocate_common()
        rows, pods = self.num_rows, self.size["pods"]
        state |= {
            "queue": np.zeros((rows, pods * (2 + kernels.RETRIES)), "i8"),
            "tries": np.zeros((rows, pods), "i8"),
            "scratch": np.zeros((rows, self.size["budgets"]), "i8"),
            "victims": np.zeros((rows, pods), "i8"),
        }
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: PodPackingInstance) -> None:
        """Write an instance into a slot; O(P R + C N).

        Raises:
            ValueError: If no pod waits.
        """
        if instance.running.all():
            name = instance.name or "instance"
            raise ValueError(f"{name}: all pods run, expected at least one that waits.")
        self.write_common(slot, instance)

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.preempt, self.skip_forced)

    def advance(self, actions: IntArray) -> None:
        """Place one pod, or leave it pending, in every row."""
        kernels.advance(self.arrays, actions, self.preempt, self.skip_forced)

    def guide(self, solution: PodPackingSolution, row: int) -> int:
        """The pod's node in the solution.

        Raises:
            NotExpressible: If the pod cannot come there now: a running pod has to leave first.
        """
        pod = int(self.state["clock"][row, kernels.POD])
        node = int(solution.nodes[pod])
        if node < 0:
            return 0
        if not self.view["action_mask"][row, 1 + node]:
            names = self.instance(row)
            raise NotExpressible(
                f"{names.pod_names[pod]} cannot come to {names.node_names[node]} now."
            )
        return 1 + node


class PodPackingEnv(SchedulingEnv):
    """Put pods on nodes, one by one, as they wait in the queue.

    ## Action Space
    ``Discrete(nodes + 1)``: 0 leaves the pod pending, ``1 + j`` puts it on node ``j``.

    ## Observation Space
    A ``Dict``; shares of a resource are of the node's capacity.

    | key | shape | meaning |
    |---|---|---|
    | ``candidates`` | (A, F) float32 | a row per action, columns as named below; 0 if unavailable |
    | ``globals`` | (G,) float32 | as named below |
    | ``action_mask`` | (A,) int8 | 1 for the actions that may be chosen |

    With ``observation="graph"`` also ``nodes``, ``node_type``, ``edges``, ``edge_type`` (static:
    the cluster's nodes, the pods and their workloads, linked by membership and by where pods ran at
    first) and ``candidate_nodes`` (A, 2): the action's node, -1 for action 0, and the pod.

    Candidate columns: ``leave``: 1 for action 0, for which the others are 0; ``cpu_left``,
    ``memory_left``: free share of the node with the pod on it (below 0 where others have to go);
    ``least_left``: the smaller of the two; ``imbalance``: their difference; ``dot_product`` of the
    pod's request and what is free, in shares; ``peers``: share of the pod's workload that runs on
    the node; ``preempts``: 1 if pods of lower priority have to go; ``was_here``: 1 on the node
    where it ran at first. Global columns: ``cpu``, ``memory``: the pod's request in mean nodes;
    ``tier``: 0 for the highest priority, below 1; ``workload_share``: share of all pods that are of
    its workload; ``tries``: how often it was offered before; ``free_cpu``, ``free_memory``: shares
    of the cluster; ``queue``: pods that wait, by all; ``running``: share of the pods; ``value`` of
    the state, by ``scale``; ``num_candidates``.

    ## Rewards
    Minus the rise of the value, divided by ``scale``, the cost of all pods pending: the return is
    ``-(cost - initial_value) / scale``. The cost, ``scalar`` of the objective, charges 10 for a
    pending pod of the lowest tier and ten times as much with each tier above, 2 for an eviction and
    1 for a move; with the objective ``weighted`` it is the objective. It is a surrogate where the
    objective is a tuple: ``info["objective"]`` holds the tuple, by which results are compared.

    ## Starting State
    The pods run where the instance says. Instances are drawn by the environment's seed if several
    are given.

    ## Episode End
    Terminates when the queue is empty. An action outside the mask terminates the episode at the
    cost of ``upper_bound`` (only protected pods run), with the reason in ``info["infeasible"]``.
    ``info`` then holds ``objective``, ``solution``, ``gap``, ``instance``.

    ## Arguments
    ``instance``: the cluster (see :class:`SchedulingEnv`); ``preempt``: see the module;
    ``observation``: ``"candidates"`` or ``"graph"``; ``limits``: padded ``nodes``, ``pods``,
    ``resources`` (with one per host port in use), ``tiers``, ``workloads``, ``specs``, ``terms``,
    ``domains``, ``budgets``; ``skip_forced``: play decisions with one candidate.

    Replay is exact for solutions that leave running pods where they are and whose new pods can come
    in the order of the queue; with required affinity or hard spreading another order may be needed.

    ## Version History
    v0: initial version.
    """

    simulators: ClassVar[Mapping[str, type[Simulator]]] = {"queue": PodPackingSimulator}


class PodPackingVectorEnv(SchedulingVectorEnv):
    """Many :class:`PodPackingEnv` in one simulator."""

    simulators = PodPackingEnv.simulators
