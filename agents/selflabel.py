"""Self-labelling: sample many trajectories, and learn the best of them as if it were the answer.

The recipe of Corsini, Porrello, Calderara and Dell'Amico 2024 (arXiv:2401.11849): no labels, no
value function, no rewards but the final cost.
"""

from __future__ import annotations

import numpy as np

from .sampling import Player
from .training import Batch, Trainer


def selflabel(trainer: Trainer, update: int) -> Batch:
    """The best of so many samples of each of the update's instances.

    The first sample of each instance is greedy, so that a good policy is not unlearned.
    """
    instances, samples = trainer.draw(update), trainer.config.samples
    simulator = trainer.simulator(instances, samples)
    temperatures = np.ones((len(instances), samples), dtype=np.float32)
    temperatures[:, 0] = 0.0
    rng = np.random.default_rng([trainer.config.seed, update, 2])
    player = Player(trainer.policy, simulator)
    actions = player.play(temperatures.ravel(), rng, record=True)
    assert actions is not None  # there is no deadline
    costs = simulator.view["value"].reshape(len(instances), samples)
    best = np.argmin(costs, axis=1) + samples * np.arange(len(instances))
    return Batch(update, [actions[row] for row in best])
