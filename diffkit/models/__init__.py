"""The model and everything that fills its slots."""

from diffkit.models.distillers import ConsistencyDistiller, DenoiserDistiller, Distiller
from diffkit.models.families import Conditioning, Family, StableDiffusion, StableDiffusionXL
from diffkit.models.generation import GenerationSettings, generate
from diffkit.models.latent_diffusion import LatentDiffusion
from diffkit.models.losses import DebiasedWeight, HuberLoss, MinSNRWeight, MSELoss, RelativeMSELoss, SmoothL1Loss
from diffkit.models.noise import InputPerturbation, OffsetNoise, PyramidNoise, WhiteNoise
from diffkit.models.objectives import Denoising, Objective, Reconstruction
from diffkit.models.pruners import BlockRemoval, Pruner
from diffkit.models.quantizers import NeuralCompressorQuantizer, QATQuantizer, Quantizer
from diffkit.models.step import Step
from diffkit.models.timesteps import (
    CubicTimesteps,
    EarlierTimesteps,
    GridTimesteps,
    LaterTimesteps,
    RangeTimesteps,
    UniformTimesteps,
)
from diffkit.models.tuners import CrossAttentionTuner, FullTuner, LoRATuner, TextualInversion, Tuner

__all__ = [
    "BlockRemoval", "Conditioning", "ConsistencyDistiller", "CrossAttentionTuner", "CubicTimesteps", "DebiasedWeight",
    "DenoiserDistiller", "Denoising", "Distiller", "EarlierTimesteps", "Family", "FullTuner", "GenerationSettings",
    "GridTimesteps", "HuberLoss", "InputPerturbation", "LatentDiffusion", "LaterTimesteps", "LoRATuner", "MSELoss",
    "MinSNRWeight", "NeuralCompressorQuantizer", "Objective", "OffsetNoise", "Pruner", "PyramidNoise", "QATQuantizer",
    "Quantizer", "RangeTimesteps", "Reconstruction", "RelativeMSELoss", "SmoothL1Loss", "StableDiffusion",
    "StableDiffusionXL", "Step", "TextualInversion", "Tuner", "UniformTimesteps", "WhiteNoise", "generate"]
