"""What is frozen costs no gradient: none is computed for its weights, and none of what only they need is kept."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from diffkit.models import LatentDiffusion

LORA = {"unet": {"type": "LoRATuner", "rank": 2}}
TEACHER = {"type": "DenoiserDistiller", "objectives": {"loss_output": {"weight": 0.5}}}


def build(folder, **options):
    return LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(folder), **{"tuners": LORA, **options})


def total(model):
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    terms = model(pixel_values=pixels, prompt=["a dog"], key=["a"])
    return sum(value for name, value in terms.items() if "loss" in name)


def leaves(loss):
    """The tensors for which a backward pass computes gradients."""
    found, seen, nodes = [], set(), [loss.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            found += [node.variable] if hasattr(node, "variable") else []
            nodes += [child for child, _ in node.next_functions]
    return found


class Convolutions(TorchDispatchMode):
    """Notes for each convolution's backward pass whether it computes gradients of its input, weight and bias."""

    def __init__(self):
        super().__init__()
        self.masks = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.convolution_backward.default:
            self.masks.append(tuple(args[-1]))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("tuners", [LORA, {"unet": {"type": "FullTuner", "pattern": "attn2"}}], ids=["lora", "full"])
def test_no_gradient_of_a_frozen_weight_is_computed(sd_folder, tuners):
    model = build(sd_folder, tuners=tuners, distiller=TEACHER)
    loss = total(model)
    trained = {id(value) for value in model.trainable_parameters().values()}
    assert {id(value) for value in leaves(loss)} == trained
    with Convolutions() as seen:
        loss.backward()
    assert seen.masks and {mask[1:] for mask in seen.masks} == {(False, False)}


def test_what_is_computed_is_seen_where_it_is_wanted(sd_folder):
    model = build(sd_folder, tuners={"unet": {"type": "FullTuner"}})
    loss = total(model)
    assert {id(value) for value in leaves(loss)} == {id(value) for value in model.trainable_parameters().values()}
    with Convolutions() as seen:
        loss.backward()
    assert all(mask[1:] == (True, True) for mask in seen.masks)


def test_encoders_run_without_a_graph_and_the_teacher_in_inference_mode(sd_folder):
    model = build(sd_folder, distiller=TEACHER, cache_text=False, cache_latents=False)
    seen = {}
    parts = {"vae": model.get_submodule("vae").encoder, "text": model.get_submodule("text_encoder"),
             "teacher": model.distiller.teacher.unet, "student": model.get_submodule("unet")}
    for name, part in parts.items():
        part.register_forward_hook(lambda part, inputs, output, name=name: seen.update(
            {name: (torch.is_inference_mode_enabled(), _first(output).requires_grad, part.training)}))
    total(model)
    assert seen == {"vae": (False, False, False), "text": (False, False, False), "teacher": (True, False, False),
                    "student": (False, True, True)}


def _first(output):
    return output if isinstance(output, torch.Tensor) else output[0]
