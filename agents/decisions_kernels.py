"""Ragged lists of candidates: Numba kernels between a simulator's view and flat arrays."""

# Kernels are typed by Numba.
# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

import numba
import numpy as np


@numba.njit(cache=True, nogil=True)
def gather(rows, offsets, view, flat):
    """Copy the available candidates of some rows into flat arrays, row after row; O(columns) each.

    ``view`` are candidates (B, A, F), globals (B, G), candidate nodes (B, A, K), available (B, A)
    and num_available (B,); ``flat`` are candidates (C, F), globals (M, G), nodes (C, K), actions
    (C,) and segments (C,).
    """
    candidates, columns, nodes, available, num_available = view
    flat_candidates, flat_columns, flat_nodes, actions, segments = flat
    for i in range(len(rows)):
        b, at = rows[i], offsets[i]
        flat_columns[i] = columns[b]
        for k in range(num_available[b]):
            action = available[b, k]
            actions[at + k] = action
            segments[at + k] = i
            flat_candidates[at + k] = candidates[b, action]
            for kind in range(flat_nodes.shape[1]):
                flat_nodes[at + k, kind] = nodes[b, action, kind]


@numba.njit(cache=True, nogil=True)
def choose(scores, noise, temperatures, offsets, places):
    """The place of the largest noisy score in each list; the first one of equals.

    With Gumbel noise, a list's places are drawn with probabilities ``exp(score / temperature)``.
    """
    for i in range(len(places)):
        best, place = -np.inf, 0
        for k in range(offsets[i], offsets[i + 1]):
            value = scores[k] + temperatures[i] * noise[k]
            if value > best:
                best, place = value, k - offsets[i]
        places[i] = place


@numba.njit(cache=True, nogil=True)
def place_of(chosen, actions, offsets, places):
    """The place of an action in each list; -1 where it is not available."""
    for i in range(len(chosen)):
        places[i] = -1
        for k in range(offsets[i], offsets[i + 1]):
            if actions[k] == chosen[i]:
                places[i] = k - offsets[i]
                break
