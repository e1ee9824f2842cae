"""The anatomy of mini-sdxl, with random weights: Stable Diffusion XL at a seven-hundredth of the size.

Three levels of two layers, several transformer layers where it has several, text of two encoders and the sizes of the
picture as conditioning: rules for SDXL's layers hold here too. Two things differ. The upper level has attention, which
SDXL's has not: it has 8 x 8 places, and mini-sd does most of its work there. And the middle level has the most
transformer layers, for the same reason. Pictures have 64 px, and the VAE and the tokenizer are those of mini-sd.
"""

from diffkit.datasets import ShapesDataset
from diffkit.models import LatentDiffusion, StableDiffusionXL

model = dict(
    type=LatentDiffusion,
    pretrained=None,
    family=dict(type=StableDiffusionXL, scratch=dict(
        unet=dict(
            sample_size=8, in_channels=16, out_channels=16, layers_per_block=2, norm_num_groups=8,
            block_out_channels=(48, 64, 64), cross_attention_dim=64 + 32, attention_head_dim=2,
            transformer_layers_per_block=(1, 2, 1), use_linear_projection=True,
            down_block_types=("CrossAttnDownBlock2D",) * 3, up_block_types=("CrossAttnUpBlock2D",) * 3,
            addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32),
        vae=dict(
            sample_size=64, latent_channels=16, layers_per_block=1, norm_num_groups=1,
            block_out_channels=(16, 32, 64, 64),
            down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4),
        text_encoder=dict(
            hidden_size=64, intermediate_size=256, num_hidden_layers=3, num_attention_heads=4, projection_dim=64),
        # wider weights than usual: its states then begin about as large as those of the trained encoder
        text_encoder_2=dict(
            hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, projection_dim=32,
            initializer_factor=3.0),
        scheduler=dict(prediction_type="v_prediction"),
        tokenizer=dict(corpus=dict(type=ShapesDataset, length=4000), vocab_size=1000, max_length=32))),
    generation=dict(num_inference_steps=25, guidance_scale=4.0))
