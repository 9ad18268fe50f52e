"""Stable-Baselines3 at home: our vector environments, and our policy as its actor and critic.

```python
import gymnasium as gym
from sb3_contrib import MaskablePPO
from gapgym.agents.sb3 import GapPolicy, VectorEnvAdapter

envs = VectorEnvAdapter(gym.make_vec("gapgym/JobShop-v0", num_envs=64, instance="uniform-6x6"))
model = MaskablePPO(GapPolicy, envs, gamma=1.0).learn(100_000)
```

Masks are asked for by ``env_method("action_masks")``, as sb3-contrib does. The policy scores
candidates one by one, so it plays other sizes than those it was trained on: see :func:`load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
import torch
from gymnasium.vector import AutoresetMode
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from ..envs.vector import SchedulingVectorEnv
from . import checkpoint
from .decisions import Decisions
from .policy import Policy, PolicyConfig, config_for

#: The score of an action that is not allowed.
_NEVER = -1e8


class VectorEnvAdapter(VecEnv):
    """A vector environment of ours as one of Stable-Baselines3.

    Args:
        envs: Made by ``gym.make_vec``; with autoreset mode ``SAME_STEP`` and ``copy=True``, since
            Stable-Baselines3 keeps an observation until after the next step.

    Raises:
        ValueError: If it is another environment or has another mode.
    """

    def __init__(self, envs: gym.vector.VectorEnv[Any, Any, Any]) -> None:
        if not isinstance(envs, SchedulingVectorEnv):
            raise ValueError(f"{type(envs).__name__}, expected a vector environment of gapgym.")
        if envs.autoreset_mode is not AutoresetMode.SAME_STEP or not envs._copy:
            raise ValueError("expected autoreset_mode SAME_STEP and copy=True.")
        self.envs = envs
        self._actions = np.zeros(envs.num_envs, dtype=np.int64)
        self._returns = np.zeros(envs.num_envs)
        self._lengths = np.zeros(envs.num_envs, dtype=np.int64)
        self._first_seed: int | None = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed the next reset: row ``i`` gets ``seed + i``."""
        self._first_seed = seed
        return [None if seed is None else seed + row for row in range(self.num_envs)]

    def reset(self) -> dict[str, npt.NDArray[Any]]:
        """Start all episodes."""
        observation, _ = self.envs.reset(seed=self._first_seed)
        self._first_seed = None
        self._returns[:], self._lengths[:] = 0.0, 0
        return observation

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Keep the actions for :meth:`step_wait`."""
        self._actions = np.asarray(actions, dtype=np.int64)

    def step_wait(self) -> Any:
        """Choose a candidate in every row."""
        observation, rewards, ended, _, infos = self.envs.step(self._actions)
        self._returns += rewards
        self._lengths += 1
        told: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(ended).tolist():
            final = infos["final_info"]
            told[row] = {
                "terminal_observation": infos["final_obs"][row],
                "episode": {"r": float(self._returns[row]), "l": int(self._lengths[row]), "t": 0.0},
                "objective": final["objective"][row],
                "gap": float(final["gap"][row]),
                "TimeLimit.truncated": False,
            }
        self._returns[ended], self._lengths[ended] = 0.0, 0
        return observation, rewards.astype(np.float32), ended, told

    def close(self) -> None:
        """Release the environment."""
        self.envs.close()

    def has_attr(self, attr_name: str) -> bool:
        """Whether the environment has an attribute; sb3-contrib asks for ``action_masks``."""
        return hasattr(self.envs, attr_name)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The attribute, once per row."""
        return [getattr(self.envs, attr_name)] * len(self._rows(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of the environment."""
        setattr(self.envs, attr_name, value)

    def env_method(
        self, method_name: str, *arguments: Any, indices: Any = None, **named: Any
    ) -> Any:
        """The result of a method for all rows, e.g. ``(B, A)`` masks."""
        found = getattr(self.envs, method_name)(*arguments, **named)
        return found if indices is None else found[self._rows(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No row is wrapped."""
        return [False] * len(self._rows(indices))

    def _rows(self, indices: Any) -> npt.NDArray[np.int64]:
        if indices is None:
            return np.arange(self.num_envs)
        return np.atleast_1d(np.asarray(indices, dtype=np.int64))


class GapPolicy(MaskableActorCriticPolicy):
    """Our policy as actor and critic of ``MaskablePPO``.

    Args:
        observation_space: That of the environment.
        action_space: That of the environment.
        lr_schedule: Learning rate over the remaining progress.
        config: A policy's configuration as JSON; see :func:`policy_kwargs`. By default columns go
            without names and without a prior.
        **arguments: Of Stable-Baselines3's policies.
    """

    def __init__(
        self,
        observation_space: gym.spaces.Space[Any],
        action_space: gym.spaces.Space[Any],
        lr_schedule: Schedule,
        config: str = "",
        **arguments: Any,
    ) -> None:
        assert isinstance(observation_space, gym.spaces.Dict)
        self._config = config or _anonymous(observation_space).to_json()
        super().__init__(observation_space, action_space, lr_schedule, **arguments)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        for name in ("mlp_extractor", "action_net", "value_net"):
            delattr(self, name)
        self.network = Policy(PolicyConfig.from_json(self._config))
        self.optimizer = self.optimizer_class(
            self.network.parameters(),
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "config": self._config}

    def forward(
        self, obs: Any, deterministic: bool = False, action_masks: Any = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, values and log-probabilities."""
        distribution, values = self._evaluated(obs, action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: Any, actions: Tensor, action_masks: Any = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values, log-probabilities and entropies."""
        distribution, values = self._evaluated(obs, action_masks)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Any, action_masks: Any = None) -> Any:
        """The distribution of actions."""
        return self._evaluated(obs, action_masks)[0]

    def predict_values(self, obs: Any) -> Tensor:
        """Values of observations."""
        return self._evaluated(obs, None)[1]

    def _evaluated(self, obs: Any, action_masks: Any) -> tuple[Any, Tensor]:
        mask = obs["action_mask"] > 0
        decisions, at = _decisions(obs, mask)
        scores, values = self.network(decisions)
        logits = scores.new_full(mask.shape, _NEVER)
        logits[at] = scores
        distribution = self.action_dist.proba_distribution(action_logits=logits)
        distribution.apply_masking(mask.cpu().numpy() if action_masks is None else action_masks)
        return distribution, values.unsqueeze(1)


def _decisions(obs: Any, mask: Tensor) -> tuple[Decisions, tuple[Tensor, Tensor]]:
    """Padded observations as ragged lists, and where their candidates stand."""
    rows, actions = mask.nonzero(as_tuple=True)
    counts = mask.sum(dim=1).cpu().numpy()
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    count = len(mask)
    decisions = Decisions(
        candidates=obs["candidates"][rows, actions],
        globals=obs["globals"],
        nodes=torch.zeros((len(rows), 0), dtype=torch.int64, device=rows.device),
        actions=actions.cpu().numpy(),
        segments=rows,
        offsets=offsets,
        graphs=np.arange(count),
    )
    return decisions, (rows, actions)


def _anonymous(space: gym.spaces.Dict) -> PolicyConfig:
    """The configuration of a policy for columns whose names nobody tells."""
    columns, columns_of_all = space["candidates"].shape[1], space["globals"].shape[0]  # type: ignore[index]
    return PolicyConfig(
        problem="",
        columns=tuple(f"column_{i}" for i in range(columns)),
        globals=tuple(f"global_{i}" for i in range(columns_of_all)),
        prior={},
    )


def policy_kwargs(
    envs: VectorEnvAdapter,
    hidden: int = 64,
    *,
    mode: str = "",
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Arguments for ``MaskablePPO``'s ``policy_kwargs``: names and the environment's prior.

    Args:
        envs: The environment.
        hidden: Width of the network.
        mode: Mode of the environment, where it is not the first one.
        options: Options of the environment that its solver shall use, too, e.g. ``columns``.
    """
    simulator = envs.envs.simulator
    made = config_for(type(simulator), mode=mode, options=options, hidden=hidden)
    return {"config": made.to_json()}


def load(path: Path | str, envs: VectorEnvAdapter) -> MaskablePPO:
    """A model that ``MaskablePPO.save`` wrote, to be played on environments of other sizes.

    The file is Stable-Baselines3's and may execute code when it is opened: open your own alone.
    """
    spaces = {
        "observation_space": envs.observation_space,
        "action_space": envs.action_space,
        "n_envs": envs.num_envs,
    }
    return MaskablePPO.load(path, env=envs, custom_objects=spaces)


def export(model: MaskablePPO, path: Path | str, made: dict[str, Any] | None = None) -> None:
    """Write a model's policy as safetensors, which ``gapgym solve --solver FILE`` plays.

    Raises:
        ValueError: If the model has another policy, or one without names of columns.
    """
    policy = model.policy
    if not isinstance(policy, GapPolicy):
        raise ValueError(f"{type(policy).__name__}, expected a model with GapPolicy.")
    if not policy.network.config.problem:
        raise ValueError("a policy without names, expected one made with policy_kwargs(envs).")
    checkpoint.save(policy.network, path, made)
