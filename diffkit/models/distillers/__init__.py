"""What a teacher adds to the loss: the slot, which is attached last."""

from diffkit.models.distillers.base import Distiller

__all__ = ["Distiller"]
