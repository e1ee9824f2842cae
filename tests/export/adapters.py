"""Step folders with adapters of any kind, with random weights as after training."""

import torch

from diffkit.export import AdapterArtifact, write_artifacts
from diffkit.models.tuners.adapter_kinds import peft_config
from tests.export.helpers import BUILD, TARGETS

OPTIONS = {"lokr": {"decompose_factor": 4}, "oft": {"oft_block_size": 4}}


def add_adapter(pipe, component, kind, rank=2, alpha=3.0, targets=None, options=None, seed=0):
    """Adds an adapter to a component of a pipeline; its weights differ from where they begin."""
    module = getattr(pipe, component)
    before = {id(parameter) for parameter in module.parameters()}
    module.add_adapter(peft_config(kind, targets or TARGETS[component], rank, alpha, 0.0, "gaussian",
                                   options or OPTIONS.get(kind, {})), "default")
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        if id(parameter) not in before:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return AdapterArtifact(component, module.eval(), base=None)


def write_step(folder, kind, base="some/base", family="sd", components=("unet", "text_encoder"), seed=0, **options):
    """Writes a step folder; returns the pipeline in memory that it was written from."""
    pipe = BUILD[family]()
    artifacts = [add_adapter(pipe, component, kind, seed=seed, **options) for component in components]
    artifacts = [AdapterArtifact(each.component, each.module, str(base)) for each in artifacts]
    write_artifacts(artifacts, folder, lambda: pipe, step=3)
    return pipe
