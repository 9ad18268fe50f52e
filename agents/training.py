"""What all trainers share: the loop of updates, validation, checkpoints and resumption.

Whatever an update draws comes from a generator keyed by the seed and the update's number, so that a
run that was killed goes on as if it had not been: with one thread on a CPU, and a number of updates
as limit, the result is the same.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from ..envs.registry import simulator_of
from ..envs.simulator import Simulator
from ..instances.core import FloatArray, IntArray
from ..instances.registry import named_generator
from . import checkpoint, state
from .policy import Policy, config_for, segment_log_softmax
from .sampling import Examples, Player, follow

_log = logging.getLogger("gapgym")

#: First key of the generators of validation instances; training never draws from it.
_VALIDATION = 2**31 - 1
#: Batches that are learned from again.
_KEPT = 10


@dataclass(frozen=True)
class TrainConfig:
    """What is trained, on what, and for how long.

    Attributes:
        problem: Problem to play.
        method: Name of the trainer.
        instances: Named generators; those of the environment by default.
        mode: Mode of the environment, empty for the first one.
        options: Options of the simulator.
        graph: Whether the policy has an encoder.
        hidden: Width of the network.
        layers: Layers of the encoder.
        batch: Instances per update.
        samples: Trajectories per instance and update (self-labelling).
        replays: Further steps per update, on batches of before.
        learning_rate: At the beginning; it falls to a twentieth, as a cosine.
        entropy: Least mean entropy of a decision, in nats; below it, entropy is rewarded.
        updates: Number of updates, or ``None`` for a time limit alone.
        time_limit: Seconds, or ``None`` for a number of updates alone.
        validate_every: Updates between two validations.
        validation: Validation instances per generator.
        seed: Of weights and of all draws.
        solver: Solver whose solutions are the labels (imitation).
        solver_time_limit: Its seconds per instance.
    """

    problem: str
    method: str
    instances: tuple[str, ...] = ()
    mode: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    graph: bool = False
    hidden: int = 64
    layers: int = 2
    batch: int = 12
    samples: int = 32
    replays: int = 2
    learning_rate: float = 1e-3
    entropy: float = 0.02
    updates: int | None = None
    time_limit: float | None = None
    validate_every: int = 20
    validation: int = 8
    seed: int = 0
    solver: str = ""
    solver_time_limit: float | None = None

    def __post_init__(self) -> None:
        if self.updates is None and self.time_limit is None:
            raise ValueError("training without end, expected a number of updates or a time limit.")
        for name in ("batch", "samples", "hidden", "layers", "validate_every", "validation"):
            _check_number(name, getattr(self, name), 1, whole=True)
        for name in ("replays", "seed"):
            _check_number(name, getattr(self, name), 0, whole=True)
        for name in ("learning_rate", "entropy"):
            _check_number(name, getattr(self, name), 0)
        if self.updates is not None:
            _check_number("updates", self.updates, 0, whole=True)
        for name in ("updates", "time_limit", "solver_time_limit"):
            value = getattr(self, name)
            if value is not None:
                _check_number(name, value, 0)
                if not value > 0:
                    raise ValueError(f"{name} {value}, expected more than 0.")
        if self.hidden % 4:
            raise ValueError(f"hidden {self.hidden}, expected a multiple of 4.")


def _check_number(name: str, value: Any, least: int, *, whole: bool = False) -> None:
    """Raise ``ValueError`` if a setting is no (whole) number from ``least`` on."""
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < np.inf:
        kind = "an integer" if whole else "a number"
        raise ValueError(f"{name} {value!r}, expected {kind} of at least {least}.")


@dataclass
class Batch:
    """Instances of one update, by the key that draws them again, and the right actions.

    Attributes:
        update: Number of the update that drew the instances.
        actions: The right actions of each instance's episode.
    """

    update: int
    actions: list[IntArray]


class Labeller(Protocol):
    """Where the right actions come from."""

    def __call__(self, trainer: Trainer, update: int) -> Batch:
        """The batch of an update."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands.

    Attributes:
        update: Number of updates that are done.
        seconds: Time spent, over all resumptions.
        fraction: Share of the budget that is spent.
        loss: Mean loss of the last update.
        score: Last validation score: mean of ``(cost - initial value) / scale``, less is better.
        best: Least one so far.
    """

    update: int
    seconds: float
    fraction: float
    loss: float
    score: float
    best: float


class Trainer:
    """Trains a policy on batches of right actions.

    Args:
        config: What, on what, for how long.
        label: Where right actions come from.
        folder: Folder for ``best.safetensors``, ``state.safetensors`` and ``progress.jsonl``; a
            training that was begun there is continued.
        device: Where gradients are computed.

    Raises:
        ValueError: If the folder holds another training.
    """

    def __init__(
        self, config: TrainConfig, label: Labeller, folder: Path, device: str = "cpu"
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        self._label = label
        self.folder = folder
        self.simulator_class = simulator_of(config.problem, config.mode)
        names = config.instances or self.simulator_class.training_instances
        if not names:
            raise ValueError(f"{config.problem}: no training instances, expected some named.")
        self.generators = [_generator(self.simulator_class, name) for name in names]
        torch.manual_seed(config.seed)
        self.policy = Policy(
            config_for(
                self.simulator_class,
                mode=config.mode,
                options=config.options,
                graph=config.graph,
                hidden=config.hidden,
                layers=config.layers,
            )
        )
        self.averaged = deepcopy(self.policy)  # of the weights of the last updates
        self.averaged.eval()
        self._learner = deepcopy(self.policy).to(self.device)
        self._optimiser = torch.optim.Adam(self._learner.parameters(), lr=config.learning_rate)
        self._kept: deque[tuple[Batch, Examples | None]] = deque(maxlen=_KEPT)
        self.update, self.seconds = 0, 0.0
        self.score = self.best = np.inf
        self._since = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    # The instances.

    def draw(self, update: int) -> list[Any]:
        """The instances of an update, always the same ones."""
        rng = np.random.default_rng([self.config.seed, update])
        kinds = rng.integers(len(self.generators), size=self.config.batch)
        return [self.generators[kind](seed=rng) for kind in kinds]

    def simulator(self, instances: Sequence[Any], copies: int = 1) -> Simulator:
        """A simulator whose rows play the instances, each in so many rows side by side."""
        sizes: dict[str, int] = {}
        for instance in instances:
            for name, size in self.simulator_class.measure(instance).items():
                sizes[name] = max(size, sizes.get(name, 0))
        rows = len(instances) * copies
        simulator = self.simulator_class(
            rows,
            sizes,
            skip_forced=True,
            graph=self.config.graph,
            **self.config.options,
        )
        simulator.load(range(rows), [each for each in instances for _ in range(copies)])
        return simulator

    # The loop.

    def run(self, tell: Callable[[Progress], None] = lambda _: None) -> Path:
        """Train to the end of the budget.

        Args:
            tell: Called after each update.

        Returns:
            The file of the best policy.
        """
        self._since = time.perf_counter() - self.seconds
        if self.update == 0:
            self._validate()
        while self.fraction() < 1:
            loss = self._step()
            self.update += 1
            self.seconds = time.perf_counter() - self._since
            if self.update % self.config.validate_every == 0 or self.fraction() >= 1:
                self._validate()
                self._save_state()
                self._write_progress(loss)
            tell(self.progress(loss))
        return self.folder / "best.safetensors"

    def fraction(self) -> float:
        """Share of the budget that is spent, in updates or in seconds, whichever is more."""
        config = self.config
        shares = []
        if config.updates is not None:
            shares.append(self.update / config.updates)
        if config.time_limit is not None:
            shares.append((time.perf_counter() - self._since) / config.time_limit)
        return min(1.0, max(shares))

    def progress(self, loss: float) -> Progress:
        """Where the training stands."""
        return Progress(
            self.update, self.seconds, self.fraction(), loss, float(self.score), float(self.best)
        )

    def _step(self) -> float:
        """One update: label a batch, learn from it and from some before."""
        batch = self._label(self, self.update)
        self._kept.append((batch, None))
        rng = np.random.default_rng([self.config.seed, self.update, 1])
        chosen = [len(self._kept) - 1]
        chosen += rng.integers(len(self._kept), size=self.config.replays).tolist()
        rate = self.config.learning_rate * _cosine(self.fraction())
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        losses = [self._learn(self._examples(place)) for place in chosen]
        self._publish()
        return float(np.mean(losses))

    def _examples(self, place: int) -> Examples:
        """The decisions of a kept batch; followed once, unless the training was resumed."""
        batch, examples = self._kept[place]
        if examples is None:
            simulator = self.simulator(self.draw(batch.update))
            examples = follow(simulator, batch.actions, graph=self.config.graph)
            self._kept[place] = batch, examples
        return examples

    def _learn(self, examples: Examples) -> float:
        """A gradient step on the cross-entropy of the right actions and the error of the values."""
        decisions = examples.decisions.to(self.device)
        graphs = None if examples.graphs is None else examples.graphs.to(self.device)
        scores, values = self._learner(decisions, graphs)
        log_probabilities = segment_log_softmax(scores, decisions.segments, decisions.count)
        loss = -log_probabilities[examples.chosen.to(self.device)].mean()
        returns = torch.from_numpy(examples.returns).float().to(self.device)
        total = loss + 0.1 * torch.nn.functional.smooth_l1_loss(values, returns)
        entropy = _entropy(log_probabilities, decisions.segments, decisions.count)
        if self.config.entropy > 0:
            total = total + 0.1 * torch.relu(self.config.entropy - entropy)
        self._optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._learner.parameters(), 1.0)
        self._optimiser.step()
        return float(loss.detach())

    def _publish(self) -> None:
        """Copy the learner's weights to the policy that samples, and into the average."""
        decay = min(0.99, (1 + self.update) / (10 + self.update))
        with torch.no_grad():
            for name, tensor in self._learner.state_dict().items():
                self.policy.state_dict()[name].copy_(tensor)
                mean = self.averaged.state_dict()[name]
                mean.mul_(decay).add_(tensor.to(mean.device), alpha=1 - decay)

    # Validation.

    def _validate(self) -> None:
        """Score the averaged policy; keep it if it is the best so far."""
        self.score = validate(self.averaged, self.validation_simulator())
        if self.score < self.best:
            self.best = self.score
            made = {"config": asdict(self.config), "update": self.update, "score": self.score}
            made["seconds"] = round(self.seconds, 1)
            checkpoint.save(self.averaged, self.folder / "best.safetensors", made)

    def validation_simulator(self) -> Simulator:
        """A simulator whose rows play the validation instances."""
        instances = [
            generator(seed=np.random.default_rng([_VALIDATION, kind, index]))
            for kind, generator in enumerate(self.generators)
            for index in range(self.config.validation)
        ]
        return self.simulator(instances)

    def _write_progress(self, loss: float) -> None:
        """Append to ``progress.jsonl``, and to the event file that TensorBoard shows."""
        from torch.utils.tensorboard import SummaryWriter

        now = self.progress(loss)
        with (self.folder / "progress.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(now)) + "\n")
        with SummaryWriter(self.folder / "tensorboard") as writer:
            for name in ("loss", "score", "best", "seconds"):
                writer.add_scalar(name, getattr(now, name), self.update)

    # Resumption.

    def _save_state(self) -> None:
        tensors = state.take(self._learner, self._optimiser)
        for name, tensor in self.averaged.state_dict().items():
            tensors[f"averaged.{name}"] = tensor.cpu().contiguous()
        known = {
            "config": asdict(self.config),
            "update": self.update,
            "seconds": self.seconds,
            "best": float(self.best),
            "kept": [
                [batch.update, [a.tolist() for a in batch.actions]] for batch, _ in self._kept
            ],
        }
        state.save(self.folder / "state.safetensors", known, tensors)

    def _resume(self) -> None:
        path = self.folder / "state.safetensors"
        if not path.is_file():
            return
        known, tensors = state.load(path)
        state.check_config(self.folder, asdict(self.config), known)
        state.put(self._learner, self._optimiser, tensors)
        prefix = "averaged."
        self.averaged.load_state_dict(
            {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        )
        self.policy.load_state_dict({k: v.cpu() for k, v in self._learner.state_dict().items()})
        self.update, self.seconds, self.best = known["update"], known["seconds"], known["best"]
        self._kept.extend(
            (Batch(update, [np.array(a, dtype=np.int64) for a in actions]), None)
            for update, actions in known["kept"]
        )
        _log.info("%s: continued after update %d", self.folder, self.update)


def validate(policy: Policy, simulator: Simulator) -> float:
    """Mean of ``(cost - initial value) / scale`` of the greedy policy, less is better."""
    Player(policy, simulator).play(0.0, np.random.default_rng(0))
    view = simulator.view
    rises: FloatArray = (view["value"] - view["initial_value"]) / view["scale"]
    return float(rises.mean())


def _generator(simulator_class: type[Simulator], name: str) -> Callable[..., Any]:
    found = named_generator(simulator_class.family, name)
    if found is None:
        raise ValueError(f"{name!r}: no generator of {simulator_class.family} with sizes.")
    return cast(Callable[..., Any], found)


def _cosine(fraction: float) -> float:
    """From 1 to 1/20."""
    return 0.05 + 0.95 * (1 + float(np.cos(np.pi * fraction))) / 2


def _entropy(log_probabilities: Tensor, segments: Tensor, count: int) -> Tensor:
    """Mean entropy of the decisions."""
    terms = -(log_probabilities.exp() * log_probabilities)
    return terms.new_zeros(count).index_add(0, segments, terms).mean()
