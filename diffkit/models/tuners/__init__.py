"""What is trained."""

from diffkit.models.tuners.base import Tuner
from diffkit.models.tuners.full import FullTuner
from diffkit.models.tuners.lora import LoRATuner

__all__ = ["FullTuner", "LoRATuner", "Tuner"]
