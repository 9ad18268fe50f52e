"""Programs from PyTorch modules. Torch is imported when a module is traced, and only then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .memory_mapping_program import Instruction, Program

#: Operators that only look at a buffer in another way: their result is the buffer itself.
_VIEWS = frozenset(
    (
        *("view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "squeeze"),
        *("unsqueeze", "slice", "select", "split", "split_with_sizes", "alias", "detach", "unbind"),
        *("as_strided", "lift_fresh_copy", "diagonal", "chunk", "narrow", "_reshape_alias"),
    )
)

#: Pointwise operators and normalisations, which ``fuse`` joins to the producer of an operand.
_POINTWISE = frozenset(
    (
        *("add", "sub", "mul", "div", "relu", "gelu", "sigmoid", "tanh", "silu", "clone", "neg"),
        *("_native_batch_norm_legit_no_training", "native_layer_norm", "_softmax", "rsqrt", "exp"),
        *("hardtanh", "leaky_relu", "elu", "hardswish", "where", "gt", "le", "pow", "_to_copy"),
        *("native_batch_norm", "threshold_backward", "gelu_backward"),
    )
)


def from_torch(
    module: Any,
    example_inputs: Sequence[Any],
    *,
    train: bool = False,
    loss: Callable[[Any], Any] | None = None,
    learning_rate: float = 0.01,
    fuse: bool = False,
    name: str = "",
) -> Program:
    """The program that a module runs, without running it: everything is traced on fake tensors.

    Inference goes through ``torch.export`` and the core decompositions, a training step (forward,
    backward, one step of SGD, whose new parameters are the results) through ``make_fx``. Views are
    folded into the buffers that they look at, operators without a tensor as result are left out.
    FLOPs are those of PyTorch's own counter; an operator that it does not count costs one per
    element of its results. The module may live on the meta device: then no weight is ever made.

    Args:
        module: A ``torch.nn.Module``.
        example_inputs: Its positional arguments.
        train: Whether to trace a training step instead of inference.
        loss: Scalar of the module's output that is minimised; by default the sum of its squares.
        learning_rate: Of the step.
        fuse: Whether to join pointwise operators to the instruction that defines an operand, if it
            is read nowhere else.
        name: Name of the program.

    Returns:
        The program; ``program.instance(capacity=0.25)`` puts it on a machine.

    Raises:
        ValueError: If nothing could be traced.
    """
    graph, weights, inputs = _exported(module, example_inputs)
    if train:
        graph, weights, inputs = _training_step(module, example_inputs, loss, learning_rate)
    traced = _Trace(weights, inputs)
    for node in graph.nodes:
        traced.add(node)
    program = traced.program(name or type(module).__name__)
    if not program.instructions:
        raise ValueError(f"{type(module).__name__}: no instructions, expected at least 1.")
    return fused(program) if fuse else program


def _exported(module: Any, example_inputs: Sequence[Any]) -> tuple[Any, set[str], set[str]]:
    """The graph of the inference, and the names of its weights and inputs."""
    import warnings

    import torch

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about torch's own parts
        exported = torch.export.export(module.eval(), tuple(example_inputs)).run_decompositions()
    signature = exported.graph_signature
    inputs = set(signature.user_inputs)
    names = {node.name for node in exported.graph.nodes if node.op == "placeholder"}
    return exported.graph, names - inputs, inputs


def _training_step(
    module: Any, example_inputs: Sequence[Any], loss: Callable[[Any], Any] | None, rate: float
) -> tuple[Any, set[str], set[str]]:
    """The graph of forward, backward and an SGD step, and the names of its weights and inputs."""
    import warnings

    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    module = module.train()
    parameters = dict(module.named_parameters())
    buffers = dict(module.named_buffers())

    def step(trained: dict[str, Any], fixed: dict[str, Any], inputs: tuple[Any, ...]) -> Any:
        output = torch.func.functional_call(module, (trained, fixed), inputs)
        value = loss(output) if loss is not None else output.square().sum()
        gradients = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
        pairs = zip(trained.values(), gradients, strict=True)
        return [old - rate * new for old, new in pairs if new is not None]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table: Any = torch._decomp.core_aten_decompositions()
        made = make_fx(step, decomposition_table=table, tracing_mode="fake")(
            parameters, buffers, tuple(example_inputs)
        )
    names = [node.name for node in made.graph.nodes if node.op == "placeholder"]
    count = len(parameters) + len(buffers)
    return made.graph, set(names[:count]), set(names[count:])


class _Trace:
    """Collects instructions from the nodes of a graph."""

    def __init__(self, weights: set[str], inputs: set[str]) -> None:
        self.kinds = dict.fromkeys(weights, "weight") | dict.fromkeys(inputs, "input")
        self.sizes: dict[str, int] = {}
        self.parts: dict[str, list[str]] = {}  # name of a node to its buffers
        self.instructions: list[Instruction] = []
        self.results: tuple[str, ...] = ()

    def add(self, node: Any) -> None:
        """Take the next node of the graph."""
        if node.op == "placeholder":
            self._define(node, [node.name])
        elif node.op == "get_attr":
            self.kinds[node.name] = "weight"
            self._define(node, [node.name])
        elif node.op == "output":
            found = [b for operand in node.all_input_nodes for b in self.parts[operand.name]]
            self.results = tuple(dict.fromkeys(found))
        elif node.op == "call_function":
            self._call(node)

    def _call(self, node: Any) -> None:
        op = _operator(node)
        source = node.all_input_nodes[0].name if node.all_input_nodes else ""
        if op == "getitem":
            part = self.parts[source]
            self.parts[node.name] = part[node.args[1] :][:1] if len(part) > 1 else part
            return
        if op in _VIEWS and source:
            self.parts[node.name] = self.parts[source][:1]
            return
        tensors = _tensors(node)
        several = len(tensors) > 1
        names = [f"{node.name}.{i}" if several else node.name for i in range(len(tensors))]
        self._define(node, names)
        read = [b for operand in node.all_input_nodes for b in self.parts[operand.name] if b]
        written = [b for b in self.parts[node.name] if b]
        if written:
            reads = tuple(dict.fromkeys(read))
            self.instructions.append(
                Instruction(node.name, op, reads, tuple(written), _flops(node, tensors))
            )

    def _define(self, node: Any, names: list[str]) -> None:
        """Buffers for the tensors of a node; an empty name for those without elements."""
        tensors = _tensors(node)
        if not tensors:
            self.parts[node.name] = []
            return
        kept = []
        for name, tensor in zip(names, tensors, strict=True):
            size = tensor.numel() * tensor.element_size()
            if size:
                self.sizes[name] = size
                self.kinds.setdefault(name, "temp")
            kept.append(name if size else "")
        self.parts[node.name] = kept

    def program(self, name: str) -> Program:
        """The program, without secondary results that nobody reads."""
        read = {b for i in self.instructions for b in i.reads} | set(self.results)
        instructions = [
            Instruction(i.name, i.op, i.reads, writes, i.flops)
            for i in self.instructions
            if (writes := tuple(b for b in i.writes if b in read))
        ]
        results = tuple(b for b in self.results if b and self.kinds[b] == "temp")
        return Program(tuple(instructions), self.sizes, self.kinds, results, name)


def _operator(node: Any) -> str:
    """``"addmm"`` for ``aten.addmm.default``."""
    schema = getattr(node.target, "_schema", None)
    return str(node.target.__name__ if schema is None else schema.name.rpartition("::")[2])


def _tensors(node: Any) -> list[Any]:
    """The fake tensors that a node gives."""
    value = node.meta.get("val")
    values = value if isinstance(value, list | tuple) else [value]
    return [v for v in values if hasattr(v, "element_size")]


def _flops(node: Any, tensors: list[Any]) -> int:
    from torch.fx import Node, map_arg
    from torch.utils.flop_counter import flop_registry

    counter = flop_registry.get(getattr(node.target, "overloadpacket", None))
    if counter is None:
        return int(max(tensor.numel() for tensor in tensors))

    def value(argument: Node) -> Any:
        return argument.meta["val"]

    arguments, keywords = map_arg(node.args, value), map_arg(node.kwargs, value)
    return int(counter(*arguments, **keywords, out_val=node.meta["val"]))


def fused(program: Program) -> Program:
    """The program with pointwise operators joined to the instructions that feed them.

    An operator of one result is joined to the last instruction before it that defines one of its
    operands, if nobody else reads what that instruction defines, which then needs no buffer.
    """
    readers: dict[str, int] = {}
    for instruction in program.instructions:
        for b in instruction.reads:
            readers[b] = readers.get(b, 0) + 1
    made: list[Instruction] = []
    for instruction in program.instructions:
        last = made[-1] if made else None
        joined = (
            last is not None
            and instruction.op in _POINTWISE
            and len(last.writes) == 1
            and last.writes[0] in instruction.reads
            and readers[last.writes[0]] == 1
            and last.writes[0] not in program.results
        )
        if last is None or not joined:
            made.append(instruction)
            continue
        inner = last.writes[0]
        reads = (*last.reads, *(b for b in instruction.reads if b != inner))
        made[-1] = Instruction(
            f"{last.name}+{instruction.name}",
            f"{last.op}+{instruction.op}",
            tuple(dict.fromkeys(reads)),
            instruction.writes,
            last.flops + instruction.flops,
        )
    return Program(tuple(made), program.sizes, program.kinds, program.results, program.name)
