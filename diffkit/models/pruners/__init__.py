"""What is cut away: the slot, which stands before the tuners."""

from diffkit.models.pruners.base import Pruner

__all__ = ["Pruner"]
