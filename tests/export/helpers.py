"""Adapters with random weights, and pictures to compare."""

import torch
from peft import LoraConfig

from diffkit.export import AdapterArtifact
from tests.tiny import tiny_sd_pipeline, tiny_sdxl_pipeline

_TEXT = ["q_proj", "k_proj", "v_proj", "out_proj"]
TARGETS = {"unet": ["to_q", "to_k", "to_v", "to_out.0"], "text_encoder": _TEXT, "text_encoder_2": _TEXT}
BUILD = {"sd": tiny_sd_pipeline, "sdxl": tiny_sdxl_pipeline}


def add_lora(pipe, component, rank=4, alpha=4, dropout=0.0, **options):
    """Adds a LoRA whose weights differ from zero, as after training."""
    module = getattr(pipe, component)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=TARGETS[component],
                        **options)
    module.add_adapter(config, "default")
    generator = torch.Generator().manual_seed(rank)
    for name, parameter in module.named_parameters():
        if "lora_" in name:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return AdapterArtifact(component, module.eval(), base="some/base")


@torch.no_grad()
def picture(pipe):
    """The picture of a fixed prompt and seed, float [1, 3, 32, 32]."""
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe("a photo of a dog", num_inference_steps=3, height=32, width=32, output_type="pt",
                generator=torch.Generator().manual_seed(0)).images


@torch.no_grad()
def unet_output(pipe):
    """What the UNet makes of fixed inputs."""
    generator = torch.Generator().manual_seed(1)
    width = pipe.unet.config.cross_attention_dim
    more = {}
    if pipe.unet.config.addition_embed_type:
        more["added_cond_kwargs"] = {"text_embeds": torch.randn(1, 32, generator=generator),
                                     "time_ids": torch.tensor([[32.0, 32, 0, 0, 32, 32]])}
    return pipe.unet.eval()(torch.randn(1, 4, 16, 16, generator=generator), 500,
                            torch.randn(1, 77, width, generator=generator), **more).sample
