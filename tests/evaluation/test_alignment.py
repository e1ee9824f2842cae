"""CLIP and DINO figures against transformers' own forward passes, on small random networks."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffkit.datasets import PromptDataset
from diffkit.evaluation.encoders import ClipEncoder, DinoEncoder, get_encoder, prepare
from diffkit.evaluation.weights import MetricWeightsError
from diffkit.registry import METRICS
from tests.evaluation.judges import pictures, save_clip, save_dino

TEXTS = ["a photo of a dog", "a red cat on a table", "a photo of a cat", "dog " * 100]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return str(save_clip(tmp_path_factory.mktemp("judges") / "clip"))


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    return str(save_dino(tmp_path_factory.mktemp("judges") / "dino"))


def reference_clip(folder, images, texts):
    """Vectors of length 1 by the whole forward pass of CLIPModel, with its own image processor."""
    from transformers import CLIPModel, CLIPTokenizer
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    pixels = processor([Image.fromarray(image) for image in images], return_tensors="pt")["pixel_values"]
    tokens = CLIPTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        found = CLIPModel.from_pretrained(folder).eval()(**tokens, pixel_values=pixels)
    return found.image_embeds.numpy(), found.text_embeds.numpy()


def test_clip_vectors_and_figures_are_those_of_transformers(clip):
    images = pictures(4)
    expected_images, expected_texts = reference_clip(clip, images, TEXTS)
    encoder = ClipEncoder(clip, "cpu")
    np.testing.assert_allclose(encoder.images(images), expected_images, atol=1e-4)
    np.testing.assert_allclose(encoder.texts(TEXTS), expected_texts, atol=1e-4)
    metric = METRICS.build({"type": "CLIPTextSimilarity", "weights": clip, "device": "cpu"})
    for image, text in zip(images, TEXTS, strict=True):  # one by one: batches change nothing
        metric.process(None, [{"image": image, "prompt": text}])
    cosines = (expected_images * expected_texts).sum(1)
    result = metric.evaluate(4)
    assert result["alignment/clip_t"] == pytest.approx(cosines.mean(), abs=1e-4)
    assert result["alignment/clip_t_se"] == pytest.approx(cosines.std(ddof=1) / 2, abs=1e-4)
    assert result["alignment/clip_score"] == pytest.approx((2.5 * cosines.clip(0)).mean(), abs=1e-4)
    assert result["alignment/clip_score_n"] == 4


def test_the_text_may_be_another_field(clip):
    image = pictures(1)[0]
    metric = METRICS.build({"type": "CLIPTextSimilarity", "weights": clip, "field": "caption", "device": "cpu"})
    metric.process(None, [{"image": image, "prompt": "a sks dog", "caption": TEXTS[0]}])
    cosine = (ClipEncoder(clip, "cpu").images([image]) @ ClipEncoder(clip, "cpu").texts(TEXTS[:1]).T).item()
    assert metric.evaluate(1)["alignment/clip_t"] == pytest.approx(cosine, abs=1e-6)
    with pytest.raises(ValueError, match="lacks \\['caption'\\]"):
        metric.process(None, [{"image": image, "prompt": "a"}])


def test_pictures_are_prepared_as_torchvision_does():
    image = pictures(1, (40, 60))[0]
    found = prepare(image, 32, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    resized = np.asarray(Image.fromarray(image).resize((48, 32), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), resized[:, 8:40], atol=1e-6)
    assert prepare(image[:, :40], 36, 32, (0.5,) * 3, (0.5,) * 3).shape == (3, 32, 32)


@pytest.mark.parametrize("kind", ["clip", "dino"])
def test_similarity_to_a_subject(kind, clip, dino, tmp_path, request):
    for subject, seed in (("dog", 1), ("cat", 2)):
        (tmp_path / subject).mkdir()
        for number, image in enumerate(pictures(3, seed=seed)):
            Image.fromarray(image).save(tmp_path / subject / f"{number}.png")
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    weights = clip if kind == "clip" else dino
    encoder = get_encoder(kind, weights, "cpu", False)
    made = pictures(2)
    name = {"clip": "CLIPImageSimilarity", "dino": "DINOImageSimilarity"}[kind]
    metric = METRICS.build({"type": name, "references": str(tmp_path), "weights": weights, "device": "cpu"})
    metric.process(None, [{"image": made[0], "subject": "dog"}, {"image": made[1], "subject": "cat"}])
    vectors = encoder.images(made)
    expected = [np.mean([vector @ real for real in encoder.images(pictures(3, seed=seed))])
                for vector, seed in zip(vectors, (1, 2), strict=True)]
    result = metric.evaluate(2)
    assert result[f"alignment/{kind}_i"] == pytest.approx(np.mean(expected), abs=1e-5)
    assert result[f"alignment/{kind}_i_n"] == 2
    with pytest.raises(ValueError, match="holds no pictures"):
        metric.process(None, [{"image": made[0], "subject": "bird"}])
    with pytest.raises(ValueError, match="not the name of a folder"):
        metric.process(None, [{"image": made[0], "subject": "../dog"}])


def test_dino_is_the_class_token_of_transformers(dino):
    from transformers import ViTModel

    images = pictures(2, (64, 64))
    pixels = torch.stack([prepare(image, 37, 32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) for image in images])
    with torch.no_grad():
        tokens = ViTModel.from_pretrained(dino, add_pooling_layer=False).eval()(pixel_values=pixels).last_hidden_state
    expected = torch.nn.functional.normalize(tokens[:, 0]).numpy()
    np.testing.assert_allclose(DinoEncoder(dino, "cpu").images(images), expected, atol=1e-4)


def test_an_encoder_is_loaded_once(clip):
    assert get_encoder("clip", clip, "cpu", False) is get_encoder("clip", clip, "cpu", False)


@pytest.mark.parametrize(("options", "message"), [
    ({}, "Fetch it where there is a network, `hf download openai/clip-vit-base-patch32"),
    ({"weights": "./nowhere"}, "is neither a folder nor a model of the hub"),
    ({"weights": "a/b/c"}, "is neither a folder nor a model of the hub")])
def test_missing_weights_say_what_to_fetch(options, message):
    with pytest.raises(MetricWeightsError, match=message):
        METRICS.build({"type": "CLIPTextSimilarity", "device": "cpu", **options})


def test_a_folder_without_safetensors_is_named(tmp_path):
    with pytest.raises(MetricWeightsError, match="The folder has to hold"):
        METRICS.build({"type": "CLIPTextSimilarity", "device": "cpu", "weights": str(tmp_path)})


def test_prompt_sets_carry_the_caption(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "a sks dog", "caption": "a dog", "subject": "dog"}\n')
    assert PromptDataset(file=str(file))[0]["caption"] == "a dog"
