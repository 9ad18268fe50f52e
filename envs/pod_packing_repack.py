"""Repacking a cluster: pods are moved, evicted and placed until nothing better is in sight.

A move takes two decisions: which pod (or to stop), then where to (or to evict it). A place must be
free when a pod comes to it: pods that stand in the way have to go first. The value of a state is
its cost now (``scalar`` in ``instances/pod_packing.py``).

Protected pods stay, and so do those on which others may rest, which a required affinity or a hard
spread selects; PodDisruptionBudgets limit how many of the pods that run at the start are out of
their places. These are restrictions: an optimum may need what they exclude.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import IntArray
from ..instances.pod_packing import PodPackingInstance, PodPackingSolution
from . import pod_packing_repack_kernels as kernels
from .env import SchedulingEnv
from .pod_packing_common import MOVABLE, PodSimulator
from .simulator import Arrays, NotExpressible, Shape, Simulator
from .vector import SchedulingVectorEnv

COLUMNS = (
    *("stop", "evict", "cpu", "memory", "tier", "pending", "disrupted", "targets", "gain"),
    *("cpu_left", "memory_left", "least_left", "was_here"),
)

GLOBAL_COLUMNS = (
    *("phase", "moves_left", "free_cpu", "free_memory", "num_pending", "value"),
    *("chosen_cpu", "chosen_memory", "chosen_tier", "num_candidates"),
)


class PodRepackSimulator(PodSimulator):
    """Clusters side by side; see :class:`PodRepackEnv` for what is decided and observed.

    Args:
        num_rows: Number of episodes, B.
        size: Padded sizes.
        moves: Number of moves after which an episode ends; twice the pods by default.
        **common: See :class:`Simulator`.
    """

    fields = kernels.FIELDS
    candidate_columns = COLUMNS
    global_columns = GLOBAL_COLUMNS
    default_instance = "crowded-4x16-s0"
    speed_instances = ("crowded-8x64", "crowded-32x256")

    def __init__(
        self, num_rows: int, size: Mapping[str, int], *, moves: int | None = None, **common: Any
    ) -> None:
        if moves is not None and (
            isinstance(moves, bool) or not isinstance(moves, int) or moves < 1
        ):
            raise ValueError(f"moves {moves!r}, expected an integer >= 1.")
        self.moves = moves or 0
        super().__init__(num_rows, size, **common)

    @classmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """One candidate per pod or node, whichever are more, and one to stop or evict."""
        return cls.graph_shape(1 + max(size["nodes"], size["pods"]), size)

    def allocate(self) -> tuple[Arrays, Arrays]:
        """Slot-first data and row-first state."""
        data, state = self.allocate_common()
        rows, pods = self.num_rows, self.size["pods"]
        state |= {
            "fits": np.zeros((rows, pods, self.size["nodes"]), "i1"),
            "num_fits": np.zeros((rows, pods), "i8"),
        }
        return data, state

    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The struct of all arrays."""
        return kernels.pack(arrays)

    def write(self, slot: int, instance: PodPackingInstance) -> None:
        """Write an instance into a slot; O(P R + C N)."""
        self.write_common(slot, instance)

    def begin_rows(self, rows: IntArray) -> None:
        """Reset the given rows."""
        kernels.begin(self.arrays, rows, self.moves, self.skip_forced)

    def advance(self, actions: IntArray) -> None:
        """Choose a pod, or move the chosen one, in every row."""
        kernels.advance(self.arrays, actions, self.skip_forced)

    def guide(self, solution: PodPackingSolution, row: int) -> int:
        """The next pod that has to go or come, or its place.

        Pods that are to end pending go first, then those whose places are free; a circle is broken
        by an eviction.

        Raises:
            NotExpressible: If a pod may not be moved, or its place does not become free.
        """
        count = self.instance(row).num_pods
        now, then = self.state["node_of"][row, :count], solution.nodes
        chosen = int(self.state["clock"][row, kernels.CHOSEN])
        mask = self.view["action_mask"][row]
        if chosen >= 0:
            node = int(then[chosen])
            return 1 + node if node >= 0 and mask[1 + node] else 0
        changed = now != then
        if not changed.any():
            return 0
        fits = self.state["fits"][row, :count]
        ready = (then >= 0) & (fits[np.arange(count), np.maximum(then, 0)] > 0)
        allowed = mask[1 : 1 + count] > 0
        for wave in ((then < 0), ready, (now >= 0)):
            found = np.flatnonzero(changed & allowed & wave)
            if found.size:
                return 1 + int(found[0])
        pod = int(np.flatnonzero(changed)[0])
        fixed = now[pod] >= 0 and not self.data["pods"][self.state["slot"][row], pod, MOVABLE]
        reason = "may not be moved" if fixed else "cannot come to its place"
        raise NotExpressible(f"{self.instance(row).pod_names[pod]} {reason}.")


class PodRepackEnv(SchedulingEnv):
    """Move, evict and place the pods of a cluster in which some wait.

    ## Action Space
    ``Discrete(1 + max(pods, nodes))``. In the first phase 0 stops and ``1 + i`` chooses pod ``i``;
    in the second 0 evicts it and ``1 + j`` puts it on node ``j``.

    ## Observation Space
    A ``Dict``; shares of a resource are of the node's capacity.

    | key | shape | meaning |
    |---|---|---|
    | ``candidates`` | (A, F) float32 | a row per action, columns as named below; 0 if unavailable |
    | ``globals`` | (G,) float32 | as named below |
    | ``action_mask`` | (A,) int8 | 1 for the actions that may be chosen |

    With ``observation="graph"`` also ``nodes``, ``node_type``, ``edges``, ``edge_type`` (static:
    see :class:`PodPackingEnv`) and ``candidate_nodes`` (A, 2): the node that the pod runs on or is
    to go to, -1 for none, and the pod.

    Candidate columns: ``stop``, ``evict``: 1 for action 0; of the pod ``cpu``, ``memory``: request
    in mean nodes; ``tier``: 0 for the highest priority, below 1; ``pending``; ``disrupted``: 1 if
    it is out of the place where it ran at first; ``targets``: share of the nodes that it could go
    to; ``gain``: fall of the cost by the move, of a pending pod in the first phase that of placing
    it, by ``scale``; of the node with the pod on it ``cpu_left``, ``memory_left``: free shares;
    ``least_left``: the smaller one; ``was_here``: 1 where it ran at first. Global columns:
    ``phase``: 1 if a pod is chosen; ``moves_left``: share; ``free_cpu``, ``free_memory``: shares of
    the cluster; ``num_pending``: share of the pods; ``value`` by ``scale``; ``chosen_cpu``,
    ``chosen_memory``, ``chosen_tier`` of the chosen pod; ``num_candidates``.

    ## Rewards
    Minus the rise of the cost, divided by ``scale``, the cost of all pods pending; as in
    :class:`PodPackingEnv`. An evicted pod costs until it is placed again.

    ## Starting State
    The pods run where the instance says. Instances are drawn by the environment's seed if several
    are given.

    ## Episode End
    Terminates when the policy stops, or after the last move. An action outside the mask terminates
    the episode at the cost of ``upper_bound`` (only protected pods run), with the reason in
    ``info["infeasible"]``. ``info`` then holds ``objective``, ``solution``, ``gap``, ``instance``.

    ## Arguments
    ``instance``: the cluster (see :class:`SchedulingEnv`); ``moves``: number of moves, by default
    twice the pods; ``observation``: ``"candidates"`` or ``"graph"``; ``limits``: as in
    :class:`PodPackingEnv`; ``skip_forced``: play decisions with one candidate.

    Replay is exact for solutions that the restrictions named in the module admit, with the default
    of ``moves``.

    ## Version History
    v0: initial version.
    """

    simulators: ClassVar[Mapping[str, type[Simulator]]] = {"repack": PodRepackSimulator}


class PodRepackVectorEnv(SchedulingVectorEnv):
    """Many :class:`PodRepackEnv` in one simulator."""

    simulators = PodRepackEnv.simulators
