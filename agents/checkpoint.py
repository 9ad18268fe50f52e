"""Policies in files: safetensors with JSON metadata, never pickle.

The file holds the weights and, as metadata, the policy's configuration and how it was made.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .policy import Policy, PolicyConfig

_FORMAT = "gapgym policy 1"


def save(policy: Policy, path: Path | str, made: Mapping[str, Any] | None = None) -> None:
    """Write a policy; the file is complete or not there.

    Args:
        policy: The policy.
        path: The file.
        made: How it was made, as JSON data: command, seed, seconds, scores.
    """
    from safetensors.torch import save as to_bytes

    path = Path(path)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in policy.state_dict().items()}
    metadata = {
        "format": _FORMAT,
        "config": policy.config.to_json(),
        "made": json.dumps(dict(made or {}), sort_keys=True),
    }
    write_bytes(path, to_bytes(tensors, metadata))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then give it its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: Path | str, problem: str | None = None) -> Policy:
    """The policy in a file.

    Args:
        path: The file.
        problem: Problem that it must play; any by default.

    Raises:
        ValueError: If the file is no such policy: truncated, of another format, of another problem.
    """
    config, _ = describe(path)
    if problem is not None and config.problem != problem:
        raise ValueError(f"{path}: a policy for {config.problem}, expected one for {problem}.")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    policy = Policy(config)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: {error}, expected a policy.") from None
    expected = {name: tuple(tensor.shape) for name, tensor in policy.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(set(expected) | set(found)):
        if expected.get(name) != found.get(name):
            raise ValueError(
                f"{path}: weights {name!r} {found.get(name)}, expected {expected.get(name)}."
            )
    if wrong := next((n for n, t in tensors.items() if not torch.isfinite(t).all()), None):
        raise ValueError(f"{path}: weights {wrong!r} are not finite, expected numbers.")
    policy.load_state_dict(tensors)
    policy.eval()
    return policy


def describe(path: Path | str) -> tuple[PolicyConfig, dict[str, Any]]:
    """The configuration of the policy in a file, and how it was made; reads the header alone.

    Raises:
        ValueError: If the file holds no policy.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file, expected a policy (safetensors).")
    metadata = _metadata(path)
    if metadata.get("format") != _FORMAT:
        raise ValueError(
            f"{path}: format {metadata.get('format')!r}, expected {_FORMAT!r} (safetensors)."
        )
    try:
        config = PolicyConfig.from_json(metadata.get("config", ""))
        made = json.loads(metadata.get("made", "{}"))
        if not isinstance(made, dict):
            raise ValueError(f"made {made!r}, expected an object.")
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    return config, made


def _metadata(path: Path) -> dict[str, Any]:
    """The metadata in the header: its length (8 bytes, little endian), then JSON."""
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        size = path.stat().st_size
        if not 0 < length <= size - 8:
            raise ValueError(f"{path}: no safetensors header, expected a policy.")
        header = file.read(length)
    try:
        metadata = json.loads(header).get("__metadata__", {})
    except (UnicodeDecodeError, ValueError, AttributeError, RecursionError):
        raise ValueError(f"{path}: no safetensors header, expected a policy.") from None
    return metadata if isinstance(metadata, dict) else {}
