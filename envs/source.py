"""Where an environment's instances come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..instances.core import Instance
from ..instances.registry import resolve

Draw = Callable[[np.random.Generator], Any]

#: How many draws of a generator determine the padded sizes.
_SAMPLES = 16


class InstanceSource:
    """Instances to draw from, one per episode.

    Args:
        family: Family that names belong to.
        instance: An instance, a name or file, a named generator (``"uniform-20x15"``), a function
            ``f(rng) -> instance``, or a list of these.

    Raises:
        ValueError: If it is none of these, or a name is unknown.
    """

    def __init__(self, family: str, instance: Any) -> None:
        self._family = family
        self._items = self._resolved(instance)

    def _resolved(self, given: Any) -> list[Instance | Draw]:
        if isinstance(given, list | tuple):
            if not given:
                raise ValueError("instance: an empty list, expected at least one instance.")
            return [item for part in given for item in self._resolved(part)]
        if isinstance(given, str | os.PathLike):
            found = resolve(self._family, os.fspath(given))
            return [found if isinstance(found, Instance) else _drawing(found)]
        if isinstance(given, Instance) or callable(given):
            return [given]
        raise ValueError(
            f"instance: {type(given).__name__}, expected an instance, a name, a file, a generator"
            " or a list of these."
        )

    def __len__(self) -> int:
        return len(self._items)

    def draw(self, rng: np.random.Generator, chosen: Any = None) -> Any:
        """One instance; reproducible from the generator's state.

        Args:
            rng: The episode's generator.
            chosen: What to draw from instead, as the class takes it.

        Raises:
            ValueError: If a function of the generator returns no instance.
        """
        items = self._items if chosen is None else self._resolved(chosen)
        return _one(items[int(rng.integers(len(items))) if len(items) > 1 else 0], rng)

    def limits(
        self, measure: Callable[[Any], dict[str, int]], given: Mapping[str, int] | None
    ) -> dict[str, int]:
        """Padded sizes: those given, and the largest seen for the others.

        Raises:
            ValueError: If a given limit has no such name, or is below 1.
        """
        rng = np.random.default_rng(0)
        seen: dict[str, int] = {}
        for item in self._items:
            for _ in range(1 if isinstance(item, Instance) else _SAMPLES):
                for what, count in measure(_one(item, rng)).items():
                    seen[what] = max(seen.get(what, 0), count)
        for what, limit in (given or {}).items():
            if what not in seen:
                raise ValueError(f"limits: unknown {what!r}, expected some of: {', '.join(seen)}.")
            if limit < 0:
                raise ValueError(f"limits: {limit} {what}, expected at least 0.")
        return {**seen, **(given or {})}


def _drawing(generator: Callable[..., Any]) -> Draw:
    return lambda rng: generator(seed=rng)


def _one(item: Instance | Draw, rng: np.random.Generator) -> Any:
    drawn = item if isinstance(item, Instance) else item(rng)
    if not isinstance(drawn, Instance):
        raise ValueError(f"instance: a function gave {type(drawn).__name__}, expected an instance.")
    return drawn
