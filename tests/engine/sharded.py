"""Trainings that two processes do one after the other, with whole weights (DDP) and with sharded ones."""

import faulthandler
import json
import os
import shutil
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config

from diffkit.datasets import collate_samples
from diffkit.engine import Runner, ShardedDataParallel
from tests.engine.processes import PATIENCE, context
from tests.tiny import tiny_sd

#: A UNet with two levels: a hundred tensors, so that gathering them takes no time.
SMALL = {"block_out_channels": (8, 16), "layers_per_block": 1, "attention_head_dim": 2,
         "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
         "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
SHARDED = {"model_wrapper_cfg": {"type": ShardedDataParallel}, "default_hooks.checkpoint.async_write": True}
PROMPTS = ["a dog", "a cat", "a bird"]


def config(folder, name, changes):
    cfg = Config({
        "work_dir": str(folder / name),
        "launcher": "pytorch",
        "model": {
            "type": "LatentDiffusion", "family": {"type": "StableDiffusion"}, "pretrained": str(folder / "sd"),
            "tuners": {"unet": {"type": "FullTuner"}}, "generation": {"num_inference_steps": 1},
            "cache_latents": "disk", "cache_folder": str(folder / "cache"),
            "distiller": {
                "type": "DenoiserDistiller", "teacher": str(folder / "teacher"),
                "objectives": {"loss_output": {"weight": 0.5},
                               "loss_feature": {"weight": 0.5, "pairs": "blocks", "connector": "linear"}}}},
        "train_dataloader": {
            "batch_size": 1, "num_workers": 0, "sampler": {"type": "DrawSampler"},
            "dataset": {"type": "ConceptDataset", "data_root": "shapes:striped_heart", "resolution": 32,
                        "instance_prompt": "a photo of a sks dog", "class_prompt": "a photo of a dog",
                        "num_class_images": 3},
            "collate_fn": {"type": collate_samples}},
        "train_cfg": {"max_iters": 5},
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 1e-3, "fused": True},
                          "clip_grad": {"max_norm": 1.0}, "accumulative_counts": 2},
        "default_hooks": {"checkpoint": {"interval": 3}, "logger": {"interval": 1}},
        "custom_hooks": [{"type": "PriorImagesHook", "num_inference_steps": 1, "batch_size": 1},
                         {"type": "EMAHook", "decay": 0.9},
                         {"type": "SampleHook", "prompts": PROMPTS, "interval": 5}],
        "randomness": {"seed": 3}})
    cfg.merge_from_dict(deepcopy(changes))
    return cfg


def train_all(folder, trainings, rank):
    """Does trainings, as one of two processes; ``copy`` of one names another, whose step4 it does itself."""
    handle = os.open(folder / f"log{rank}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    store = torch.distributed.FileStore(str(folder / "store"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    for name, changes in trainings.items():
        faulthandler.dump_traceback_later(PATIENCE - 10)
        changes = dict(changes)
        source = changes.pop("copy", None)
        if source and rank == 0:
            shutil.copytree(folder / source, folder / name)
            shutil.rmtree(folder / name / "step4")
        torch.distributed.barrier()
        train(folder / name, config(folder, name, changes | {"resume": source is not None}), rank)


def train(work_dir, cfg, rank):
    """One training; ``facts<rank>.json`` says what this process had in memory, encoded and painted."""
    runner, painted = Runner.from_cfg(cfg), []
    model = runner.bare_model
    generate = model.generate
    model.generate = lambda prompts, **options: (painted.extend(prompts), generate(prompts, **options))[1]
    runner.train()
    facts = {"painted": painted, "encoded": model.latent_cache.disk.made,
             "teacher": model.distiller and model.distiller.resident_bytes,
             "weights": sum(map(own_bytes, model.unet.parameters())),
             "state": sum(own_bytes(value) for entry in runner.optim_wrapper.optimizer.state.values()
                          for key, value in entry.items() if key != "step")}
    (work_dir / f"facts{rank}.json").write_text(json.dumps(facts))


def own_bytes(tensor):
    return (tensor.to_local() if hasattr(tensor, "to_local") else tensor).nbytes


def make_models(folder):
    tiny_sd(folder / "sd", seed=0, unet=SMALL)
    tiny_sd(folder / "teacher", seed=1, unet=SMALL)


def in_two_processes(folder, trainings):
    """Does trainings, and returns the folder of their work folders."""
    make_models(folder)
    ranks = [context().Process(target=train_all, args=(Path(folder), trainings, rank)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    try:
        for rank, process in enumerate(ranks):
            process.join(PATIENCE * len(trainings))
            assert process.exitcode == 0, (folder / f"log{rank}").read_text()[-4000:]
    finally:
        for process in ranks:
            process.kill()
            process.join()
    return folder
