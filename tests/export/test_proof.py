"""The proof beside a quantised network: what comes back from the file is what was written, and lies as it lay."""

import torch

from diffkit.export.quantized import Proof, read_proof
from diffkit.export.quantized.proof import write_proof


def proof(prompt):
    generator = torch.Generator().manual_seed(0)
    inputs = {"sample": torch.randn(2, 4, 5, 5, generator=generator), "timestep": torch.tensor([3, 900]),
              "encoder_hidden_states": torch.randn(2, 7, 3, generator=generator)}
    return Proof(inputs, inputs["sample"] * 2, [prompt], [7], torch.zeros(1, 4, 4, 3, dtype=torch.uint8),
                 {"num_inference_steps": 2}, "cpu", 1)


def test_inputs_begin_where_tensors_in_memory_do_whatever_the_prompts_are(tmp_path):
    """The last bits of products depend on it: a proof with a longer prompt must not fail by chance."""
    for length in range(1, 65, 9):
        written = proof("x" * length)
        write_proof(written, tmp_path)
        found = read_proof(tmp_path)
        assert found.prompts == written.prompts and found.seeds == [7] and found.threads == 1
        assert all(torch.equal(found.inputs[name], value) for name, value in written.inputs.items())
        assert torch.equal(found.output, written.output)
        assert {value.data_ptr() % 64 for value in found.inputs.values()} == {0}, length
