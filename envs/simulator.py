"""The simulator: B episodes side by side as arrays, and one transition for all who play.

A simulator has *rows* (episodes) and *slots* (instances). Its arrays come in three groups:

- ``data``, slot first: the instances; rows that play the same instance share a slot, so that
  copying a row costs its state alone and a batch on few instances stays in the processor's cache;
- ``state``, row first: what changes from decision to decision;
- ``view``, row first: what the world sees (columns, masks, rewards).

One Numba struct carries all of them into the family's kernels, which loop over the rows, update
incrementally and write into the view. The Gymnasium shells, rules, searches and trainers all use
this class; it is their only transition.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..instances.core import BoolArray, FloatArray, Instance, IntArray, Solution
from ..instances.registry import family_of

Arrays = dict[str, npt.NDArray[Any]]
Rows = Sequence[int] | IntArray


class NotExpressible(ValueError):  # noqa: N818
    """A solution that the environment's decisions cannot reproduce."""


@dataclass(frozen=True)
class Shape:
    """Padded sizes of an observation.

    Attributes:
        candidates: Number of actions, A.
        nodes: Node type to the number of nodes of that type, in the order of ``node_columns``.
        edges: Number of edges of all types together.
    """

    candidates: int
    nodes: Mapping[str, int] = field(default_factory=dict)
    edges: int = 0


class Columns(Mapping[str, npt.NDArray[np.float64]]):
    """The named columns of a batch of decisions, NaN where a candidate is not available.

    ``c["wait"]`` is ``(B, A)``; a global column is ``(B, 1)``.
    """

    def __init__(self, simulator: Simulator, rows: slice | IntArray) -> None:
        self._simulator = simulator
        self._rows = rows
        self._unavailable = simulator.view["action_mask"][rows] == 0
        #: Names that were looked up, in order.
        self.used: list[str] = []

    def __getitem__(self, name: str) -> npt.NDArray[np.float64]:
        simulator = self._simulator
        if name in simulator.candidate_columns:
            index = simulator.candidate_columns.index(name)
            column = simulator.view["candidates"][self._rows, :, index].astype(np.float64)
            column[self._unavailable] = np.nan
        elif name in simulator.global_columns:
            index = simulator.global_columns.index(name)
            column = simulator.view["globals"][self._rows, index : index + 1].astype(np.float64)
        else:
            raise KeyError(f"unknown column {name!r}, expected one of: {', '.join(self)}.")
        self.used.append(name)
        return column

    def __iter__(self) -> Iterator[str]:
        yield from self._simulator.candidate_columns
        yield from self._simulator.global_columns

    def __len__(self) -> int:
        return len(self._simulator.candidate_columns) + len(self._simulator.global_columns)


class Simulator(ABC):
    """B episodes of one environment.

    A family provides the class attributes and the abstract methods; everything else is here.

    Args:
        num_rows: Number of episodes, B.
        size: Padded sizes, as :meth:`measure` names them; larger instances are refused.
        num_slots: Number of instances that can be held at once; at least, and by default,
            ``num_rows + 1``.
        graph: Whether to keep the arrays of the graph observation.
        skip_forced: Whether decisions with one candidate are played by the simulator itself. Then
            ``initial_value`` is the value at the first real decision; an episode without any is
            over when it begins.
    """

    #: Family of the problem; instances are looked up there by name.
    family: ClassVar[str]
    #: Problem that it simulates; instances of another are refused.
    problem: ClassVar[str]
    #: Name of the instance that is played where none is given: small, seeded, without files.
    default_instance: ClassVar[str]
    #: Named generators that ``gapgym speed`` measures, up to the largest real size.
    speed_instances: ClassVar[tuple[str, ...]]
    #: Names of the global columns, G.
    global_columns: ClassVar[tuple[str, ...]]
    #: Node type to the names of its columns; empty without a graph observation.
    node_columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: (source node type, relation, target node type) of each edge type.
    edge_types: ClassVar[tuple[tuple[str, str, str], ...]] = ()
    #: Types of the nodes that a candidate refers to, K of them.
    candidate_node_types: ClassVar[tuple[str, ...]] = ()
    #: Whether nodes and edges stay the same during an episode.
    static_graph: ClassVar[bool] = True
    #: A good rule as a sum of terms of columns with weights, on the scale of logits: what a policy
    #: plays before it has learned anything. Terms are ``"x"``, ``"log x"`` and ``"x / y"``.
    prior: ClassVar[Mapping[str, float]] = {}
    #: Named generators of the instances that policies learn from.
    training_instances: ClassVar[tuple[str, ...]] = ()
    #: Messages of an infeasible end, by code; code 0 means feasible.
    infeasibilities: ClassVar[tuple[str, ...]] = ("", "the action is not in the mask")

    #: Names of the arrays in the kernels' struct, in the order of its constructor.
    fields: ClassVar[tuple[str, ...]]

    #: Names of the candidate columns, F; options may choose among them.
    candidate_columns: tuple[str, ...]

    def __init__(
        self,
        num_rows: int,
        size: Mapping[str, int],
        *,
        num_slots: int | None = None,
        graph: bool = False,
        skip_forced: bool = False,
    ) -> None:
        self.num_rows = num_rows
        self.num_slots = max(num_rows + 1, num_slots or 0)  # one is always free to be written
        self.size = dict(size)
        self.shape = self.shape_of(size)
        self.graph = graph
        self.skip_forced = skip_forced
        self._instances: list[Any] = [None] * self.num_slots
        self._slot_of: dict[int, int] = {}  # id of an instance to its slot
        self._users = np.zeros(self.num_slots, dtype=np.int64)
        self._references = np.full(self.num_slots, np.nan)  # for the gaps, by slot; NaN: not yet
        self.data, self.state = self.allocate()
        self.state["slot"] = np.full(num_rows, -1, dtype=np.int64)
        self.view = self._allocate_view()
        self._pack()

    @classmethod
    def options(cls) -> tuple[str, ...]:
        """Names of the options that change what is decided, e.g. ``"schedule"``."""
        parameters = inspect.signature(cls.__init__).parameters.values()
        names = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
        return (*names, "skip_forced")

    # What a family provides.

    @classmethod
    @abstractmethod
    def measure(cls, instance: Any) -> dict[str, int]:
        """The sizes of an instance that padding must cover, by name."""

    @classmethod
    @abstractmethod
    def shape_of(cls, size: Mapping[str, int]) -> Shape:
        """The padded shapes for given sizes."""

    @abstractmethod
    def allocate(self) -> tuple[Arrays, Arrays]:
        """The family's ``data`` (slot first) and ``state`` (row first) arrays."""

    @abstractmethod
    def pack(self, arrays: tuple[npt.NDArray[Any], ...]) -> Any:
        """The kernels' struct of the arrays named in ``fields``."""

    @abstractmethod
    def write(self, slot: int, instance: Any) -> None:
        """Write an instance into the ``data`` arrays; padding included."""

    @abstractmethod
    def begin_rows(self, rows: IntArray) -> None:
        """Kernel: start an episode in the given rows and write their view."""

    @abstractmethod
    def advance(self, actions: IntArray) -> None:
        """Kernel: play one action in every row that has not ended and write the view."""

    @abstractmethod
    def solutions(self, rows: IntArray) -> list[Any]:
        """The solutions of the rows, complete or partial, as arrays of their own."""

    @abstractmethod
    def guide(self, solution: Any, row: int) -> int:
        """The action in the row's state that follows a solution.

        Raises:
            NotExpressible: If no available action does.
        """

    # What everyone uses.

    def _allocate_view(self) -> Arrays:
        rows, shape = self.num_rows, self.shape
        view: Arrays = {
            "candidates": np.zeros((rows, shape.candidates, len(self.candidate_columns)), "f4"),
            "globals": np.zeros((rows, len(self.global_columns)), "f4"),
            "action_mask": np.zeros((rows, shape.candidates), "i1"),
            "available": np.zeros((rows, shape.candidates), "i4"),
            "num_available": np.zeros(rows, "i8"),
            "reward": np.zeros(rows, "f8"),
            "done": np.ones(rows, "?"),
            "infeasible": np.zeros(rows, "i8"),
            "value": np.zeros(rows, "f8"),
            "initial_value": np.zeros(rows, "f8"),
            "scale": np.ones(rows, "f8"),
        }
        if self.graph:
            width = max(len(columns) for columns in self.node_columns.values())
            nodes, edges = sum(shape.nodes.values()), shape.edges
            first = self.num_slots if self.static_graph else rows
            graph: Arrays = {
                "nodes": np.zeros((first, nodes, width), "f4"),
                "node_type": np.full((first, nodes), -1, "i1"),
                "edges": np.full((first, edges, 2), -1, "i4"),
                "edge_type": np.full((first, edges), -1, "i1"),
            }
            (self.data if self.static_graph else view).update(graph)
        kinds = len(self.candidate_node_types) if self.graph else 0
        view["candidate_nodes"] = np.full((rows, shape.candidates, kinds), -1, "i4")
        return view

    def _pack(self) -> None:
        arrays = self.data | self.state | self.view
        self.arrays = self.pack(tuple(arrays[name] for name in self.fields))

    def load(self, rows: Rows, instances: Sequence[Any]) -> None:
        """Put instances into rows; :meth:`begin` starts their episodes.

        Args:
            rows: Distinct row numbers.
            instances: One instance per row; the same object may appear often.

        Raises:
            ValueError: If an instance is of another problem or larger than the padded sizes.
        """
        slots = self.state["slot"]
        for row, instance in zip(rows, instances, strict=True):
            old, slot = int(slots[row]), self._slot(instance)
            self._users[slot] += 1
            if old >= 0:
                self._users[old] -= 1
            slots[row] = slot

    def _slot(self, instance: Any) -> int:
        known = self._slot_of.get(id(instance))
        if known is not None:
            return known
        self._check(instance)
        slot = self._free_slot()
        if self._instances[slot] is not None:
            del self._slot_of[id(self._instances[slot])]
            self._instances[slot] = None
        self.write(slot, instance)
        self._references[slot] = np.nan
        self._instances[slot] = instance  # keeps the object, and so its id, alive
        self._slot_of[id(instance)] = slot
        return slot

    def _free_slot(self) -> int:
        if len(self._slot_of) < self.num_slots:
            return next(i for i, held in enumerate(self._instances) if held is None)
        return int(np.argmin(self._users))  # an instance that no row plays

    def _check(self, instance: Any) -> None:
        if not isinstance(instance, Instance) or instance.problem != self.problem:
            raise ValueError(
                f"{type(instance).__name__}: expected an instance of the problem {self.problem!r}."
            )
        for what, count in self.measure(instance).items():
            if count > self.size[what]:
                raise ValueError(
                    f"{instance.name or 'instance'}: {count} {what}, expected at most"
                    f" {self.size[what]} (see limits)."
                )

    def begin(self, rows: Rows | None = None) -> None:
        """Start an episode in the given rows (default: all)."""
        chosen = np.arange(self.num_rows) if rows is None else np.asarray(rows, dtype=np.int64)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < self.num_rows:
            raise ValueError(f"rows {chosen.tolist()}, expected 0..{self.num_rows - 1}.")
        if (self.state["slot"][chosen] < 0).any():
            raise ValueError("begin: a row without an instance, expected load before.")
        self.begin_rows(chosen)

    def step(self, actions: npt.ArrayLike) -> None:
        """Play one action in every row; a row that has ended stays ended, with reward 0.

        Args:
            actions: ``(B,)`` integers. One that is not in the mask ends its row as infeasible.

        Raises:
            ValueError: If ``actions`` has another shape, or is not made of integers.
        """
        given = np.asarray(actions)
        if given.shape != (self.num_rows,) or given.dtype.kind not in "iu":
            raise ValueError(
                f"actions {given.dtype} {given.shape}, expected integers ({self.num_rows},)."
            )
        self.advance(np.ascontiguousarray(given, dtype=np.int64))

    def instance(self, row: int) -> Any:
        """The instance that a row plays."""
        return self._instances[self.state["slot"][row]]

    def solution(self, row: int) -> Any:
        """The solution of a row; partial while its episode runs."""
        return self.solutions(np.array([row]))[0]

    def cost(self, row: int) -> float:
        """Value of the row's state; at its end the objective as a number.

        After an infeasible action it is ``upper_bound``, or more where the value was more.
        """
        return float(self.view["value"][row])

    def objectives(self, rows: IntArray) -> npt.NDArray[Any]:
        """The objectives of rows that have ended: integers, or objects where they are tuples."""
        return self.view["value"][rows].astype(np.int64)

    def gaps(self, rows: IntArray) -> FloatArray:
        """Gaps of the rows' costs, as ``gapgym.instances.gap`` defines them.

        The reference is the best known objective of a public instance, else the family's
        ``lower_bound``.
        """
        slots = self.state["slot"][rows]
        for slot in np.unique(slots[np.isnan(self._references[slots])]).tolist():
            self._references[slot] = _reference(self._instances[slot])
        cost, reference = self.view["value"][rows], self._references[slots]
        scale = np.where(reference == 0, np.nan, np.abs(reference))
        return np.where(cost == reference, 0.0, (cost - reference) / scale)

    def columns(self, rows: IntArray | None = None) -> Columns:
        """The named columns of the current decisions, of all rows or of some."""
        return Columns(self, slice(None) if rows is None else rows)

    def graph_arrays(self, rows: IntArray | slice) -> Arrays:
        """Nodes and edges of the given rows, as copies."""
        names = ("nodes", "node_type", "edges", "edge_type")
        if not self.static_graph:
            return {name: self.view[name][rows].copy() for name in names}
        slots = self.state["slot"][rows]
        return {name: self.data[name][slots] for name in names}

    def copy_rows(self, source: Rows, target: Rows) -> None:
        """Make the target rows equal to the source rows, instance included.

        Args:
            source: Row numbers; may repeat.
            target: Distinct row numbers, as many.
        """
        source, target = np.asarray(source, np.int64), np.asarray(target, np.int64)
        slots = self.state["slot"]
        np.subtract.at(self._users, slots[target][slots[target] >= 0], 1)
        for group in (self.state, self.view):
            for array in group.values():
                array[target] = array[source]
        np.add.at(self._users, slots[target], 1)

    def save(self, rows: Rows) -> Arrays:
        """A copy of the rows' state and view, for :meth:`restore`.

        It stays valid as long as the rows' instances stay loaded.
        """
        rows = np.asarray(rows, np.int64)
        saved = {
            f"{kind}.{name}": array[rows]
            for kind, group in (("state", self.state), ("view", self.view))
            for name, array in group.items()
        }
        saved["instance"] = np.empty(len(rows), dtype=object)
        saved["instance"][:] = [self.instance(row) for row in rows]
        return saved

    def restore(self, rows: Rows, saved: Arrays) -> None:
        """Put rows back to what :meth:`save` copied.

        Raises:
            ValueError: If an instance of the saved rows is no longer loaded.
        """
        rows = np.asarray(rows, np.int64)
        slots = self.state["slot"]
        for slot, instance in zip(saved["state.slot"], saved["instance"], strict=True):
            if self._instances[slot] is not instance:
                raise ValueError(f"restore: {instance.name or 'an instance'} is no longer loaded.")
        np.subtract.at(self._users, slots[rows][slots[rows] >= 0], 1)
        for key, array in saved.items():
            kind, _, name = key.partition(".")
            if name:
                (self.state if kind == "state" else self.view)[name][rows] = array
        np.add.at(self._users, slots[rows], 1)

    def replay(self, solutions: Sequence[Solution]) -> list[list[int]]:
        """Follow one solution per row, from the beginning, to the end.

        Args:
            solutions: One per row, of the instance loaded there.

        Returns:
            The actions of each row. The rows are left at the end of their episodes.

        Raises:
            NotExpressible: If a solution cannot be followed, naming the first decision.
        """
        self.begin()
        taken: list[list[int]] = [[] for _ in solutions]
        actions = np.zeros(self.num_rows, dtype=np.int64)
        while True:
            live = np.flatnonzero(~self.view["done"][: len(solutions)])
            if not live.size:
                return taken
            for row in live.tolist():
                try:
                    actions[row] = self.guide(solutions[row], row)
                except NotExpressible as error:
                    raise NotExpressible(f"decision {len(taken[row])}: {error}") from None
                taken[row].append(int(actions[row]))
            self.step(actions)

    def live(self) -> BoolArray:
        """``(B,)`` whether each row's episode still runs."""
        return np.logical_not(self.view["done"])

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["arrays"], state["_slot_of"]  # a pointer, and ids of this process
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        held = enumerate(self._instances)
        self._slot_of = {id(instance): i for i, instance in held if instance is not None}
        self._pack()


def simulator_for(simulators: Mapping[str, type[Simulator]], mode: str | None) -> type[Simulator]:
    """The simulator of a mode; the first one where none is given.

    Raises:
        ValueError: If there is no such mode.
    """
    if mode is None:
        return next(iter(simulators.values()))
    if mode not in simulators:
        raise ValueError(f"mode {mode!r}, expected one of: {', '.join(simulators)}.")
    return simulators[mode]


def _reference(instance: Any) -> float:
    """Best published objective of an instance, or else its lower bound, as a number."""
    family = family_of(instance)
    published = family.best_known(instance) if instance.name else None
    value = published.upper if published is not None else None
    value = family.lower_bound(instance) if value is None else value
    return float(value) if isinstance(value, int) else np.nan
