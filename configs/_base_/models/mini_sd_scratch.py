"""The anatomy of the packaged miniature, with random weights: Stable Diffusion 1.5 at a hundredth of the size.

Block types and layer counts are those of SD 1.5, so every rule for its layers holds here too. The VAE reduces 64 px
to 8 x 8 as SD's reduces 512 px to 64 x 64, with 16 channels instead of 4: a picture keeps a twelfth of its values.
"""

from diffkit.datasets import ShapesDataset
from diffkit.models import LatentDiffusion, StableDiffusion

model = dict(
    type=LatentDiffusion,
    pretrained=None,
    family=dict(type=StableDiffusion, scratch=dict(
        unet=dict(
            sample_size=8, in_channels=16, out_channels=16, layers_per_block=2, norm_num_groups=8,
            block_out_channels=(48, 64, 64, 64), cross_attention_dim=64, attention_head_dim=2,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3),
        vae=dict(
            sample_size=64, latent_channels=16, layers_per_block=1, norm_num_groups=1,
            block_out_channels=(16, 32, 64, 64),
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4),
        text_encoder=dict(
            hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, projection_dim=64),
        # velocity, as in SD 2: first trainings with epsilon did not learn to follow the text
        scheduler=dict(prediction_type="v_prediction"),
        # all words of the captions become tokens; any other word falls to its bytes
        tokenizer=dict(corpus=dict(type=ShapesDataset, length=4000), vocab_size=1000, max_length=32))),
    generation=dict(num_inference_steps=25, guidance_scale=4.0))
