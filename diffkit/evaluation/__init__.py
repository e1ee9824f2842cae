"""Metrics: what a picture shows, and how much of that was asked for."""

from diffkit.evaluation.alignment import CLIPImageSimilarity, CLIPTextSimilarity, DINOImageSimilarity
from diffkit.evaluation.concept_accuracy import ConceptAccuracy, concept_hit
from diffkit.evaluation.cost import Macs, count_parameters, unet_macs
from diffkit.evaluation.prompt_accuracy import PromptAccuracy
from diffkit.evaluation.quality import InceptionQuality
from diffkit.evaluation.reconstruction import ReconstructionAccuracy, psnr
from diffkit.evaluation.reference import Diversity, ReferenceSimilarity
from diffkit.evaluation.shapes_analyser import Reading, analyse
from diffkit.evaluation.shares import standard_error
from diffkit.evaluation.similarity import ssim

__all__ = [
    "CLIPImageSimilarity",
    "CLIPTextSimilarity",
    "ConceptAccuracy",
    "DINOImageSimilarity",
    "Diversity",
    "InceptionQuality",
    "Macs",
    "PromptAccuracy",
    "Reading",
    "ReconstructionAccuracy",
    "ReferenceSimilarity",
    "analyse",
    "concept_hit",
    "count_parameters",
    "psnr",
    "ssim",
    "standard_error",
    "unet_macs",
]
