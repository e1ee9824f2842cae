"""The shapes world: captioned pictures that code draws, for models small enough to train anywhere."""

from diffkit.datasets.shapes.captions import caption, full_caption
from diffkit.datasets.shapes.concept_pictures import (
    concept_backgrounds,
    concept_captions,
    concept_images,
    concept_scenes,
    write_concept_images,
)
from diffkit.datasets.shapes.concept_prompts import ConceptPrompts
from diffkit.datasets.shapes.concepts import CONCEPTS, Concept, get_concept
from diffkit.datasets.shapes.dataset import ShapesDataset
from diffkit.datasets.shapes.prompts import ShapesPrompts
from diffkit.datasets.shapes.scene import Scene, draw, random_scene
from diffkit.datasets.shapes.scenes import ShapesScenes, shown

__all__ = [
    "CONCEPTS",
    "Concept",
    "ConceptPrompts",
    "Scene",
    "ShapesDataset",
    "ShapesPrompts",
    "ShapesScenes",
    "caption",
    "concept_backgrounds",
    "concept_captions",
    "concept_images",
    "concept_scenes",
    "draw",
    "full_caption",
    "get_concept",
    "random_scene",
    "shown",
    "write_concept_images",
]
