"""What is trained."""

from diffkit.models.tuners.base import Tuner
from diffkit.models.tuners.cross_attention import CrossAttentionTuner
from diffkit.models.tuners.full import FullTuner
from diffkit.models.tuners.lora import LoRATuner
from diffkit.models.tuners.textual_inversion import TextualInversion

__all__ = ["CrossAttentionTuner", "FullTuner", "LoRATuner", "TextualInversion", "Tuner"]
