"""How the simulators' Numba kernels are compiled, and the one argument that they take.

A simulator's kernels stand in one module, ``envs/<family>_kernels.py``: Numba's cache does not
notice when a function of another file has changed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from numba import njit, types
from numba.experimental import structref

#: An entry point: called from Python with the struct of all arrays, loops over the rows.
kernel: Any = njit(cache=True, nogil=True, error_model="numpy")

#: A part of a kernel: takes arrays, never the struct, and is inlined without reference counting.
#: Counting arrays in and out of calls took more than half of a decision's time.
part: Any = njit(  # type: ignore[call-overload]
    cache=True, nogil=True, error_model="numpy", forceinline=True, _nrt=False
)

#: A part that is called seldom, or large: not inlined, which spares compile time.
called_part: Any = njit(  # type: ignore[call-overload]
    cache=True, nogil=True, error_model="numpy", _nrt=False
)

#: The arrays of every simulator's view, as ``Simulator`` allocates them.
VIEW_FIELDS = (
    *("candidates", "globals", "action_mask", "candidate_nodes", "available", "num_available"),
    *("value", "initial_value", "scale", "reward", "done", "infeasible"),
)


def array_struct(name: str, module: str, fields: Sequence[str]) -> Any:
    """A Numba struct type with the given fields, usable in kernels as ``name(*arrays)``.

    A kernel that takes thirty arrays pays for unboxing each of them at every call; a struct holds
    them all behind one pointer, which makes a single episode several times faster.

    Args:
        name: Name of the type.
        module: ``__name__`` of the module that keeps it: Numba's cache finds the type there.
        fields: Names of the arrays, in the order of the constructor.
    """
    type_name = f"{name}Type"
    struct_type = type(type_name, (types.StructRef,), {"__module__": module})
    structref.register(struct_type)  # type: ignore[no-untyped-call]
    proxy = type(name, (structref.StructRefProxy,), {"__module__": module, "__slots__": ()})
    structref.define_proxy(proxy, struct_type, list(fields))  # type: ignore[no-untyped-call]
    setattr(sys.modules[module], type_name, struct_type)
    return proxy
