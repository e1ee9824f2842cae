"""What tools, the command line and notebooks call.

Importing this package loads nothing heavy: its modules import torch, MMEngine and diffusers inside their
functions. They are all imported here because a module and its function share their name:
``diffkit.apis.train`` has to be the function, whichever is imported first.
"""

from diffkit.apis.configs import config_root, copy_config, find_config, list_configs, load_config
from diffkit.apis.export_step import export_step
from diffkit.apis.kohya import export_kohya, import_kohya
from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.merge_into_pipeline import merge_into_pipeline
from diffkit.apis.push_to_hub import push_to_hub
from diffkit.apis.test import test
from diffkit.apis.text_to_image import demo_lora, text_to_image
from diffkit.apis.train import train

__all__ = [
    "config_root",
    "copy_config",
    "demo_lora",
    "export_kohya",
    "export_step",
    "find_config",
    "import_kohya",
    "list_configs",
    "load_config",
    "load_pipeline",
    "merge_into_pipeline",
    "push_to_hub",
    "test",
    "text_to_image",
    "train",
]
