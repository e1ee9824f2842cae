"""Metrics: what a picture shows, and how much of that was asked for."""

from diffkit.evaluation.concept_accuracy import ConceptAccuracy, concept_hit
from diffkit.evaluation.cost import Macs, count_parameters, unet_macs
from diffkit.evaluation.prompt_accuracy import PromptAccuracy
from diffkit.evaluation.reconstruction import ReconstructionAccuracy, psnr
from diffkit.evaluation.shapes_analyser import Reading, analyse
from diffkit.evaluation.shares import standard_error

__all__ = [
    "ConceptAccuracy",
    "Macs",
    "PromptAccuracy",
    "Reading",
    "ReconstructionAccuracy",
    "analyse",
    "concept_hit",
    "count_parameters",
    "psnr",
    "standard_error",
    "unet_macs",
]
