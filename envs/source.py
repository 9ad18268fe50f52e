"""Where an environment's instances come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..instances.core import Instance
from ..instances.registry import load_from, named_generator

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
        items = instance if isinstance(instance, list | tuple) else [instance]
        if not items:
            raise ValueError("instance: an empty list, expected at least one instance.")
        self._items = [self._resolve(item) for item in items]

    def _resolve(self, item: Any) -> Instance | Draw:
        if isinstance(item, Instance):
            return item
        if isinstance(item, str):
            text = item.removeprefix(f"{self._family}/")
            generator = named_generator(self._family, text)
            if generator is not None and "-s" not in text:
                return lambda rng: generator(seed=rng)
            loaded: Instance = load_from(self._family, text)
            return loaded
        if callable(item):
            draw: Draw = item
            return draw
        if hasattr(item, "__fspath__"):
            read: Instance = load_from(self._family, str(item))
            return read
        raise ValueError(
            f"instance: {type(item).__name__}, expected an instance, a name, a file, a generator or"
            " a list of these."
        )

    def __len__(self) -> int:
        return len(self._items)

    def draw(self, rng: np.random.Generator) -> Any:
        """One instance; reproducible from the generator's state."""
        first = len(self._items) == 1
        item = self._items[0 if first else int(rng.integers(len(self._items)))]
        return item if isinstance(item, Instance) else item(rng)

    def find(self, item: Any) -> Any:
        """The instance that ``reset(options={"instance": item})`` asks for."""
        resolved = self._resolve(item)
        return resolved if isinstance(resolved, Instance) else resolved(np.random.default_rng(0))

    def limits(
        self, measure: Callable[[Any], dict[str, int]], given: Mapping[str, int] | None
    ) -> dict[str, int]:
        """Padded sizes: those given, and the largest seen for the others.

        Raises:
            ValueError: If a given limit has no such name.
        """
        rng = np.random.default_rng(0)
        seen: dict[str, int] = {}
        for item in self._items:
            drawn = [item] if isinstance(item, Instance) else [item(rng) for _ in range(_SAMPLES)]
            for instance in drawn:
                for what, count in measure(instance).items():
                    seen[what] = max(seen.get(what, 0), count)
        for what in given or {}:
            if what not in seen:
                raise ValueError(f"limits: unknown {what!r}, expected some of: {', '.join(seen)}.")
        return {**seen, **(given or {})}
