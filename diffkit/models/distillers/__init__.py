"""What a teacher adds to the loss: the slot, which is attached last."""

from diffkit.models.distillers.base import Distiller
from diffkit.models.distillers.consistency import ConsistencyDistiller
from diffkit.models.distillers.denoiser import DenoiserDistiller
from diffkit.models.distillers.objective import DistillObjective
from diffkit.models.distillers.pairs import PAIRS
from diffkit.models.distillers.with_teacher import TeacherDistiller

__all__ = ["PAIRS", "ConsistencyDistiller", "DenoiserDistiller", "DistillObjective", "Distiller", "TeacherDistiller"]
