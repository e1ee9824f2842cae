"""Pictures and prompts: what a training sees, in an order that follows from the seed and the step."""

from diffkit.datasets.bucket_sampler import BucketSampler
from diffkit.datasets.collate import collate_samples
from diffkit.datasets.concept import ConceptDataset
from diffkit.datasets.concept_list import ConceptListDataset
from diffkit.datasets.draw import Draw, as_draw
from diffkit.datasets.groups import NamedGroups
from diffkit.datasets.hub_image_text import HubImageText
from diffkit.datasets.image_file import BadImageError, open_image
from diffkit.datasets.image_folder import FolderListing, list_images
from diffkit.datasets.image_text import ImageTextDataset
from diffkit.datasets.item_shape import ItemShape
from diffkit.datasets.picture_set import PictureSet
from diffkit.datasets.pictures import open_pictures
from diffkit.datasets.prior import PriorImages
from diffkit.datasets.prompts import PromptDataset
from diffkit.datasets.protocols import CustomConceptPrompts, DreamBoothPrompts
from diffkit.datasets.sampler import DrawSampler
from diffkit.datasets.shapes import CONCEPTS, ConceptPrompts, ShapesDataset, ShapesPrompts, ShapesScenes
from diffkit.datasets.shard_sampler import ShardSampler
from diffkit.datasets.tar_image_text import TarImageText
from diffkit.datasets.templates import TEMPLATES
from diffkit.datasets.transforms import (
    AspectBuckets,
    CenterCrop,
    CenterSquare,
    Compose,
    Cover,
    RandomCrop,
    RandomHorizontalFlip,
    Resize,
    SizeAugment,
    ToTensor,
    default_transforms,
)

__all__ = [
    "CONCEPTS",
    "TEMPLATES",
    "AspectBuckets",
    "BadImageError",
    "BucketSampler",
    "CenterCrop",
    "CenterSquare",
    "Compose",
    "ConceptDataset",
    "ConceptListDataset",
    "ConceptPrompts",
    "Cover",
    "CustomConceptPrompts",
    "Draw",
    "DrawSampler",
    "DreamBoothPrompts",
    "FolderListing",
    "HubImageText",
    "ImageTextDataset",
    "ItemShape",
    "NamedGroups",
    "PictureSet",
    "PriorImages",
    "PromptDataset",
    "RandomCrop",
    "RandomHorizontalFlip",
    "Resize",
    "ShapesDataset",
    "ShapesPrompts",
    "ShapesScenes",
    "ShardSampler",
    "SizeAugment",
    "TarImageText",
    "ToTensor",
    "as_draw",
    "collate_samples",
    "default_transforms",
    "list_images",
    "open_image",
    "open_pictures",
]
