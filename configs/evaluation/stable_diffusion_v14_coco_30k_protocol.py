"""The protocol of BK-SDM: 30,000 captions of MS-COCO, 25 steps, 512 px scaled to 256; FID, inception score, CLIP."""

from mmengine.config import read_base

with read_base():
    from .._base_.default_runtime import *
    from .._base_.models.stable_diffusion_v15 import *

from mmengine.dataset import DefaultSampler

from diffkit.datasets import PromptDataset, collate_samples
from diffkit.engine import PictureLoop
from diffkit.evaluation import CLIPTextSimilarity, InceptionQuality
from diffkit.models import FullTuner

# nothing is trained; model.pretrained is what to measure, and a tuner has to be there
model.update(
    pretrained="CompVis/stable-diffusion-v1-4",
    tuners=dict(unet=dict(type=FullTuner, component="unet", pattern=r"^conv_out\.bias$")),
    generation=dict(num_inference_steps=25, guidance_scale=7.5, height=512, width=512, sampler="pndm"))
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    dataset=dict(type=PromptDataset, file="data/mscoco_val2014_30k/metadata.csv", seed=1234),
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=collate_samples))
test_cfg = dict(type=PictureLoop, resize=256)
test_evaluator = [
    dict(type=InceptionQuality, weights="data/weights/inception-2015-12-05.safetensors",
         real="data/mscoco_val2014_41k_full/real_im256.npz"),
    dict(type=CLIPTextSimilarity, weights="laion/CLIP-ViT-g-14-laion2B-s34B-b88K")]
