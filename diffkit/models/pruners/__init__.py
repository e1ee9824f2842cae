"""What is cut away: the slot, which stands before the tuners."""

from diffkit.models.pruners.base import Pruner
from diffkit.models.pruners.block_removal import BlockRemoval
from diffkit.models.pruners.student import prune, weight_map
from diffkit.models.pruners.variants import VARIANTS

__all__ = ["VARIANTS", "BlockRemoval", "Pruner", "prune", "weight_map"]
