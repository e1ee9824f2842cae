"""UNets for OpenVINO, an optional package: files, and what runs them in a pipeline."""

from diffkit.export.openvino.convert import write_openvino
from diffkit.export.openvino.library import load_openvino_library, openvino_version
from diffkit.export.openvino.network import OpenVINOUNet, executed_kernels, read_openvino_info

__all__ = [
    "OpenVINOUNet",
    "executed_kernels",
    "load_openvino_library",
    "openvino_version",
    "read_openvino_info",
    "write_openvino",
]
