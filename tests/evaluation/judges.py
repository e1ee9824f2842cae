"""Small networks that judge pictures, with random weights, saved as users have them."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from diffkit.evaluation.inception import InceptionNetwork
from diffkit.evaluation.lpips import LpipsNetwork
from diffkit.models.families.scratch import build_tokenizer

CORPUS = ["a photo of a dog", "a red cat on a table"]


def pictures(n: int, size: tuple[int, int] = (48, 40), seed: int = 0) -> list[np.ndarray]:
    """Coloured blobs, uint8 ``[H, W, 3]``."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 4, 5, 3)).astype(np.uint8)
    return [np.kron(each, np.ones((size[0] // 4, size[1] // 5, 1), dtype=np.uint8)) for each in coarse]


def save_clip(folder: Path) -> Path:
    """A CLIP of a few channels, and its tokenizer."""
    from transformers import CLIPConfig, CLIPModel

    tokenizer = build_tokenizer(CORPUS)
    tokenizer.save_pretrained(folder)
    sides = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    words = {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id, "max_position_embeddings": 77,
             "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    config = CLIPConfig(text_config={**sides, **words}, vision_config={**sides, "image_size": 32, "patch_size": 8},
                        projection_dim=12)
    CLIPModel(config).save_pretrained(folder)
    return folder


def save_dino(folder: Path) -> Path:
    """A vision transformer of a few channels."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    ViTModel(ViTConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=32,
                       patch_size=8), add_pooling_layer=False).save_pretrained(folder)
    return folder


def save_inception(file: Path) -> Path:
    """The Inception network, whose normalisations do something."""
    torch.manual_seed(0)
    network = InceptionNetwork()
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            value.normal_(0, 0.1)
    save_file(network.state_dict(), file)
    return file


def save_lpips(file: Path, net: str = "alex") -> Path:
    """The network of LPIPS, with positive weights of the layers as the real one has."""
    torch.manual_seed(0)
    network = LpipsNetwork(net)
    for name, value in network.state_dict().items():
        if name.startswith("lin"):
            value.abs_()
    save_file(network.state_dict(), file)
    return file
