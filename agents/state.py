"""The state of a training in a file: weights, moments and plain data; never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import checkpoint

#: What may differ when a training goes on.
_BUDGET = ("updates", "time_limit")


def take(network: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The weights of a network and the moments of its optimiser, by name."""
    tensors = {f"learner.{n}": t.cpu().contiguous() for n, t in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        for key, tensor in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{name}.{key}"] = torch.as_tensor(tensor).cpu().contiguous()
    return tensors


def put(
    network: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what :func:`take` took.

    Raises:
        ValueError: If the tensors are of another network.
    """
    weights = {
        n.removeprefix("learner."): t for n, t in tensors.items() if n.startswith("learner.")
    }
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{error}, expected the state of this training.") from None
    for name, parameter in network.named_parameters():
        prefix = f"optimiser.{name}."
        found = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        if found:
            step = found.pop("step")  # stays on the CPU
            moments = {key: tensor.to(parameter.device) for key, tensor in found.items()}
            optimiser.state[parameter] = {"step": step, **moments}


def save(path: Path, known: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write the state; the file is complete or as it was before."""
    from safetensors.torch import save as to_bytes

    checkpoint.write_bytes(path, to_bytes(dict(tensors), {"training": json.dumps(known)}))


def load(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What :func:`save` wrote.

    Raises:
        ValueError: If the file holds no state.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            known = json.loads(file.metadata()["training"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        known["config"]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}, expected the state of a training.") from None
    return known, tensors


def check_config(folder: Path, config: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise ``ValueError`` if a state is of a training with other settings; budgets may differ."""
    theirs = known["config"]
    for key, mine in json.loads(json.dumps(config)).items():
        if key not in _BUDGET and mine != theirs.get(key):
            raise ValueError(
                f"{folder}: a training with {key} {theirs.get(key)!r}, expected {mine!r}; choose"
                " another folder."
            )
