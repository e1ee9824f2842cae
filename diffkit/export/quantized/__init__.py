"""Quantised networks: integer layers, their files, and the way back."""

from diffkit.export.quantized.backend import enable_kernels, kernel_fault
from diffkit.export.quantized.codes import LayerCodes, pack, unpack, weight_limits
from diffkit.export.quantized.files import INFO_FILE, WEIGHTS_FILE, write_quantized
from diffkit.export.quantized.layers import QuantizedConv2d, QuantizedLayer, QuantizedLinear, quantized_layers
from diffkit.export.quantized.load import load_quantized, read_info
from diffkit.export.quantized.network import dequantized, quantized_bytes, quantized_copy, weights_sha256
from diffkit.export.quantized.proof import Proof, proof_output, read_proof
from diffkit.export.quantized.steps import as_floats, load_in_place_of, take_quantized

__all__ = [
    "INFO_FILE",
    "WEIGHTS_FILE",
    "LayerCodes",
    "Proof",
    "QuantizedConv2d",
    "QuantizedLayer",
    "QuantizedLinear",
    "as_floats",
    "dequantized",
    "enable_kernels",
    "kernel_fault",
    "load_in_place_of",
    "load_quantized",
    "pack",
    "proof_output",
    "quantized_bytes",
    "quantized_copy",
    "quantized_layers",
    "read_info",
    "read_proof",
    "take_quantized",
    "unpack",
    "weight_limits",
    "weights_sha256",
    "write_quantized",
]
