"""The policy: one network for every family.

A policy scores candidates. Its inputs are the named columns of the candidates, a few terms of them
(see ``terms.py``), the global columns and, with ``graph``, the nodes that a candidate refers to:

- *Prior*: a log-linear rule over terms that the environment declares. Its weights are learned; the
  network's own part of the score begins at 0, so an untrained policy plays the rule.
- *Decoder*: a small network per candidate. Candidates hear of each other through a few summary
  tokens, each an attention-weighted mean over the candidates: O(A), not O(A^2).
- *Encoder* (``graph``): relational graph convolutions (Schlichtkrull et al. 2018, arXiv:1703.06103)
  over the typed nodes and edges of the instance; run once per episode where the graph is static.
- *Value*: the expected rest of the return, in the units of the rewards.

Nothing here knows a family; sizes are free, so a policy plays instances of any size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..envs.simulator import Simulator
from ..instances.registry import load_from
from .decisions import Decisions
from .graph import Graphs
from .terms import Terms


@dataclass(frozen=True)
class PolicyConfig:
    """What a policy is made of; plain data, kept in its checkpoint.

    Attributes:
        problem: Problem that it plays.
        mode: Mode of the environment, empty for the first one.
        options: Options of the simulator.
        columns: Names of the candidate columns.
        globals: Names of the global columns.
        prior: Terms of the prior and the weights that they begin with.
        graph: Whether there is an encoder.
        node_columns: Widths of the node types' columns.
        relations: Number of edge types, reversed ones apart.
        candidate_nodes: Number of nodes that a candidate refers to.
        hidden: Width of the layers.
        tokens: Number of summary tokens.
        layers: Layers of the encoder.
    """

    problem: str
    columns: tuple[str, ...]
    globals: tuple[str, ...]
    prior: Mapping[str, float]
    mode: str = ""
    options: Mapping[str, Any] | None = None
    graph: bool = False
    node_columns: tuple[int, ...] = ()
    relations: int = 0
    candidate_nodes: int = 0
    hidden: int = 64
    tokens: int = 4
    layers: int = 2

    def to_json(self) -> str:
        """The configuration as JSON, the prior's terms in the order of their weights."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> PolicyConfig:
        """The configuration that :meth:`to_json` wrote.

        Raises:
            ValueError: If it is none.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            for name in ("columns", "globals", "node_columns"):
                data[name] = tuple(data[name])
            config = cls(**data)
        except (TypeError, KeyError, AttributeError, RecursionError, ValueError) as error:
            raise ValueError(f"{error}, expected a policy's configuration.") from None
        config._check()
        return config

    def _check(self) -> None:
        """Raise ``ValueError`` if a field is of another kind, or too large to be meant."""
        texts = (*self.columns, *self.globals, *self.prior, self.problem, self.mode)
        counts = {
            "hidden": self.hidden,
            "tokens": self.tokens,
            "layers": self.layers,
            "relations": self.relations,
            "candidate_nodes": self.candidate_nodes,
        }
        if not isinstance(self.prior, Mapping) or not all(isinstance(t, str) for t in texts):
            raise ValueError("a policy's configuration with names that are none.")
        for name, count in counts.items():
            least = 0 if name in ("relations", "candidate_nodes") else 1
            if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= 4096:
                raise ValueError(f"{name} {count!r}, expected an integer from {least} to 4096.")
        if self.hidden % self.tokens:
            raise ValueError(f"hidden {self.hidden}, expected a multiple of tokens {self.tokens}.")
        if not all(isinstance(w, int) and 0 < w < 4096 for w in self.node_columns):
            raise ValueError(f"node_columns {self.node_columns}, expected widths.")
        if not all(isinstance(w, int | float) for w in self.prior.values()):
            raise ValueError(f"prior {dict(self.prior)}, expected weights.")


def config_for(
    simulator_class: type[Simulator],
    *,
    mode: str = "",
    options: Mapping[str, Any] | None = None,
    graph: bool = False,
    **sizes: int,
) -> PolicyConfig:
    """The configuration of a new policy for a simulator.

    Raises:
        ValueError: If a graph is wanted and the simulator has none.
    """
    instance = load_from(simulator_class.family, simulator_class.default_instance)
    sample = simulator_class(1, simulator_class.measure(instance), **(options or {}))
    if graph and not simulator_class.node_columns:
        raise ValueError(f"{simulator_class.problem}: no graph, expected columns alone.")
    widths = tuple(len(columns) for columns in simulator_class.node_columns.values())
    return PolicyConfig(
        problem=simulator_class.problem,
        mode=mode,
        options=dict(options or {}),
        columns=sample.candidate_columns,
        globals=simulator_class.global_columns,
        prior=_prior(simulator_class, sample.candidate_columns),
        graph=graph,
        node_columns=widths if graph else (),
        relations=len(simulator_class.edge_types) if graph else 0,
        candidate_nodes=len(simulator_class.candidate_node_types) if graph else 0,
        **sizes,
    )


def _prior(simulator_class: type[Simulator], columns: Sequence[str]) -> dict[str, float]:
    """The terms of the environment's prior whose columns are there."""
    kept = {}
    for term, weight in simulator_class.prior.items():
        words = [word for word in term.split() if word not in ("log", "/")]
        if all(word in columns for word in words):
            kept[term] = weight
    return kept


def check_fits(config: PolicyConfig, simulator: Simulator) -> None:
    """Raise ``ValueError`` where a policy was made for other columns than a simulator's."""
    widths = tuple(len(columns) for columns in simulator.node_columns.values())
    for what, ours, theirs in (
        ("columns", config.columns, tuple(simulator.candidate_columns)),
        ("globals", config.globals, tuple(simulator.global_columns)),
        ("node columns", config.node_columns, widths if config.graph else ()),
        ("edge types", config.relations, len(simulator.edge_types) if config.graph else 0),
    ):
        if ours != theirs:
            raise ValueError(f"a policy for the {what} {ours}, expected {theirs}: train it again.")


class Policy(nn.Module):
    """Scores the candidates of decisions.

    Args:
        config: What it is made of.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.terms = Terms(config.columns, tuple(config.prior))
        weights = torch.tensor(list(config.prior.values()), dtype=torch.float32)
        self.prior = nn.Parameter(weights)
        width, inputs = config.hidden, len(config.columns) + len(config.prior)
        self.first = nn.Linear(inputs, width)
        self.second = nn.Linear(width, width)
        self.attention = nn.Linear(width, config.tokens)
        self.context = nn.Linear(width + len(config.globals), width)
        self.third = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)
        self.value = nn.Linear(width, 1)
        self.encoder = Encoder(config) if config.graph else None
        for layer in (self.score, self.value):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.value.bias)

    def encode(self, graphs: Graphs | None) -> Tensor | None:
        """What the decoder needs of the graphs: ``(count * stride, K * hidden)`` padded nodes."""
        if self.encoder is None or graphs is None:
            return None
        encoded: Tensor = self.encoder(graphs)
        return encoded

    def forward(
        self, decisions: Decisions, graphs: Graphs | None = None, encoded: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Scores and values.

        Args:
            decisions: M decisions with C candidates together.
            graphs: Their graphs, for a policy with an encoder.
            encoded: What :meth:`encode` made of the graphs; by default it is made here.

        Returns:
            ``(C,)`` scores, the logits of the choice, and ``(M,)`` values.
        """
        x, segments, count = decisions.candidates, decisions.segments, decisions.count
        terms = self.terms(x)
        inputs = torch.cat([squashed(x), squashed(terms)], dim=1)
        h = self.first(inputs)  # (C, hidden)
        if self.encoder is not None:
            if graphs is None:
                raise ValueError("a policy with an encoder, expected graphs.")
            encoded = self.encode(graphs) if encoded is None else encoded
            h = h + _of_candidates(decisions, graphs, encoded)
        h = torch.relu(self.second(torch.relu(h)))
        pooled = self._summaries(h, segments, count)  # (M, hidden)
        context = torch.cat([pooled, squashed(decisions.globals)], dim=1)
        context = torch.relu(self.context(context))
        u = torch.relu(self.third(h) + context[segments])
        scores = terms @ self.prior + self.score(u).squeeze(1)
        return scores, self.value(context).squeeze(1)

    def _summaries(self, h: Tensor, segments: Tensor, count: int) -> Tensor:
        """Each token's attention-weighted mean of its share of the features."""
        weights = segment_softmax(self.attention(h), segments, count)  # (C, tokens)
        values = h.view(len(h), self.config.tokens, -1) * weights.unsqueeze(2)
        return h.new_zeros((count, h.shape[1])).index_add(0, segments, values.flatten(1))


class Encoder(nn.Module):
    """Node embeddings of instance graphs, projected for the decoder."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        from torch_geometric.nn import RGCNConv

        self._width = width = config.hidden
        self.inputs = nn.ModuleList(
            [nn.Linear(max(config.node_columns), width) for _ in config.node_columns]
        )
        self.layers = nn.ModuleList(
            [RGCNConv(width, width, 2 * config.relations) for _ in range(config.layers)]
        )
        self.output = nn.Linear(width, config.candidate_nodes * width, bias=False)

    def forward(self, graphs: Graphs) -> Tensor:
        """``(count * stride, K * hidden)``, 0 for padding."""
        x = graphs.features.new_zeros((len(graphs.features), self._width))
        features = squashed(graphs.features)
        for kind, layer in enumerate(self.inputs):
            chosen = graphs.types == kind
            x[chosen] = layer(features[chosen, : layer.in_features])
        for layer in self.layers:
            x = x + torch.relu(layer(torch.relu(x), graphs.edges, graphs.relations))
        nodes: Tensor = self.output(torch.relu(x))
        padded = nodes.new_zeros((graphs.count * graphs.stride, nodes.shape[1]))
        return padded.index_copy(0, graphs.places, nodes)


def _of_candidates(decisions: Decisions, graphs: Graphs, encoded: Tensor | None) -> Tensor:
    """Sum of what the encoder says of a candidate's nodes: ``(C, hidden)``."""
    assert encoded is not None
    device = encoded.device
    graph = torch.from_numpy(graphs.graph_of_row[decisions.graphs]).to(device)
    nodes = decisions.nodes  # (C, K)
    kinds = nodes.shape[1]
    places = graph[decisions.segments].unsqueeze(1) * graphs.stride + nodes.clamp(min=0)
    split = encoded.view(len(encoded), kinds, -1)
    found = torch.stack([split[places[:, k], k] for k in range(kinds)], dim=1)
    return (found * (nodes >= 0).unsqueeze(2)).sum(dim=1)


def squashed(x: Tensor) -> Tensor:
    """``sign(x) ln(1 + |x|)``: near the value for small ones, and large ones stay in reach."""
    return x.abs().log1p().copysign(x)


def segment_softmax(scores: Tensor, segments: Tensor, count: int) -> Tensor:
    """Softmax of ``(C, ...)`` scores within segments."""
    return segment_log_softmax(scores, segments, count).exp()


def segment_log_softmax(scores: Tensor, segments: Tensor, count: int) -> Tensor:
    """Logarithm of the softmax of ``(C, ...)`` scores within ``count`` segments."""
    shape = (count, *scores.shape[1:])
    index = segments.view(-1, *([1] * (scores.dim() - 1))).expand_as(scores)
    largest = scores.detach().new_full(shape, -torch.inf)
    largest = largest.scatter_reduce(0, index, scores.detach(), "amax")
    shifted = scores - largest[segments]
    total = scores.new_zeros(shape).index_add(0, segments, shifted.exp())
    return shifted - total.log()[segments]
