"""The trainers by name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from ..envs.registry import simulator_of
from .imitation import Imitation
from .sampling import one_thread
from .selflabel import selflabel
from .training import Labeller, Progress, TrainConfig, Trainer

_log = logging.getLogger("gapgym")
#: Time limit of a solver that labels, in seconds, where none is given.
_LABEL_SECONDS = 5.0
METHODS = ("selflabel", "imitation", "ppo")


def train(
    problem: str,
    method: str,
    folder: Path | str,
    *,
    device: str = "cpu",
    tell: Callable[[Progress], None] = lambda _: None,
    settings: Mapping[str, Any] | None = None,
) -> Path:
    """Train a policy.

    Args:
        problem: Problem to play.
        method: ``selflabel``, ``imitation`` or ``ppo``.
        folder: Folder for the policy and the state; a training that was begun there is continued.
        device: Where gradients are computed, ``cpu`` or ``cuda``.
        tell: Called after each update.
        settings: Fields of :class:`TrainConfig`.

    Returns:
        The file of the best policy.

    Raises:
        ValueError: If an argument is not understood.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}, expected one of: {', '.join(METHODS)}.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r}: no such GPU here, expected 'cpu'.")
    given = dict(settings or {})
    known = [field.name for field in fields(TrainConfig)]
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"unknown setting {unknown[0]!r}, expected some of: {', '.join(known)}.")
    if method == "imitation":
        given.setdefault("solver", "cp_sat")
        given.setdefault("solver_time_limit", _LABEL_SECONDS)
    try:
        config = TrainConfig(problem, method, **given)
    except TypeError as error:
        raise ValueError(f"settings {given}: {error}.") from None
    known_options = simulator_of(problem, config.mode).options()
    for name in config.options:
        if name not in known_options:
            listed = ", ".join(known_options)
            raise ValueError(f"unknown option {name!r}, expected some of: {listed}.")
    folder = Path(folder)
    if method == "ppo":
        from .ppo import train_ppo

        return train_ppo(config, folder, device, tell)
    label: Labeller = selflabel if method == "selflabel" else Imitation(folder / "labels")
    with one_thread():
        return Trainer(config, label, folder, device).run(tell)
