"""The decisions: one simulator per environment, and the two Gymnasium shells around it.

Importing this registers the environments with Gymnasium.
"""

from .registry import ENVIRONMENTS, register

register()

__all__ = ["ENVIRONMENTS", "register"]
