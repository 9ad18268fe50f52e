"""Pods that are equal in all that matters, counted instead of told apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..instances.core import IntArray
from ..instances.pod_packing import PodPackingInstance


@dataclass(frozen=True)
class Groups:
    """Groups of pods with equal requests, priority, specification and protection.

    Attributes:
        members: Pods of each group, in order.
        current: ``(G, N)`` members of the group that run on the node now.
        pending: ``(G,)`` members that do not run now.
    """

    members: tuple[IntArray, ...]
    current: IntArray
    pending: IntArray

    @property
    def sizes(self) -> IntArray:
        """``(G,)`` number of members."""
        return np.array([len(m) for m in self.members], dtype=np.int64)


def groups(instance: PodPackingInstance) -> Groups:
    """The groups of an instance."""
    index = group_of_pod(instance)
    order = np.argsort(index, kind="stable")
    members = tuple(np.split(order, np.cumsum(np.bincount(index))[:-1]))
    current = np.zeros((len(members), instance.num_nodes), dtype=np.int64)
    pending = np.zeros(len(members), dtype=np.int64)
    for g, pods in enumerate(members):
        now = instance.current[pods]
        np.add.at(current[g], now[now >= 0], 1)
        pending[g] = np.count_nonzero(now < 0)
    return Groups(members, current, pending)


def group_of_pod(instance: PodPackingInstance) -> IntArray:
    """``(P,)`` the group of each pod."""
    key = np.column_stack(
        [instance.requests, instance.priorities, instance.spec_of_pod, instance.protected]
    )
    index = np.unique(key, axis=0, return_inverse=True)[1]
    return np.asarray(index.reshape(-1), dtype=np.int64)


def counts(found: Groups, nodes: IntArray, num_nodes: int) -> IntArray:
    """``(G, N)`` members of each group on each node of a placement."""
    table = np.zeros((len(found.members), num_nodes), dtype=np.int64)
    for g, pods in enumerate(found.members):
        np.add.at(table[g], nodes[pods][nodes[pods] >= 0], 1)
    return table


def assign(instance: PodPackingInstance, found: Groups, table: IntArray) -> IntArray:
    """A placement with so many members of the groups on the nodes, of the least disruption.

    As many as may stay where they run. Then, as an eviction costs no less than a move or less,
    running pods or pending ones go first to the places that are left.
    """
    nodes = np.full(instance.num_pods, -1, dtype=np.int64)
    for pods, row in zip(found.members, table, strict=True):
        left = row.copy()
        now = instance.current[pods]
        rest = []
        for pod, node in zip(pods.tolist(), now.tolist(), strict=True):
            if node >= 0 and left[node] > 0:
                nodes[pod] = node
                left[node] -= 1
            else:
                rest.append(pod)
        runs_first = instance.evict_cost >= instance.move_cost
        rest.sort(key=lambda pod: ((instance.current[pod] < 0) == runs_first, pod))
        places = np.repeat(np.arange(len(left)), left).tolist()
        for pod, node in zip(rest, places, strict=False):
            nodes[pod] = node
    return nodes


def settled(instance: PodPackingInstance, nodes: IntArray) -> IntArray:
    """The placement with equal pods exchanged so that more of them stay where they run."""
    if not instance.running.any():
        return nodes
    found = groups(instance)
    return assign(instance, found, counts(found, nodes, instance.num_nodes))
