"""Metrics of reconstructions and concepts: all right on the truth, all wrong on other pictures."""

import numpy as np
import pytest

from diffkit.datasets import ConceptPrompts, NamedGroups, ShapesPrompts, ShapesScenes
from diffkit.datasets.shapes import concept_images, concept_scenes, draw
from diffkit.evaluation import ConceptAccuracy, PromptAccuracy, ReconstructionAccuracy, psnr
from diffkit.evaluation.shares import mean_and_error, shares
from diffkit.registry import METRICS


def test_shares_have_error_and_number():
    assert shares({"a": [True, True, False, True], "none": []}) == {
        "a": 0.75, "a_se": pytest.approx((0.75 * 0.25 / 4) ** 0.5), "a_n": 4}


def test_mean_and_error():
    found = mean_and_error("db", [1.0, 2.0, 3.0])
    assert found == {"db": 2.0, "db_se": pytest.approx(1 / 3**0.5), "db_n": 3}
    assert mean_and_error("db", [4.0]) == {"db": 4.0, "db_se": 0.0, "db_n": 1}


def test_psnr():
    grey = np.full((8, 8, 3), 100, dtype=np.uint8)
    assert psnr(grey, grey) == 100.0
    assert psnr(grey, grey + np.uint8(5)) == pytest.approx(20 * np.log10(255 / 5))
    assert psnr(grey, np.full_like(grey, 95)) == psnr(grey, np.full_like(grey, 105))  # no wrap-around of uint8
    with pytest.raises(ValueError, match="second must have the shape of first"):
        psnr(grey, grey[:4])


def test_reconstruction_accuracy():
    scenes = ShapesScenes(12, seed=3)
    pictures = [scenes.picture(i) for i in range(12)]
    wanted = [scenes[i]["expected"] for i in range(12)]
    right = METRICS.build({"type": "ReconstructionAccuracy"})
    right.process(None, [
        {"image": p, "original": p, "expected": e} for p, e in zip(pictures, wanted, strict=True)])
    result = right.evaluate(12)
    assert result["reconstruction/sc"] == 1.0 and result["reconstruction/texture"] == 1.0
    assert result["reconstruction/psnr"] == 100.0 and result["reconstruction/psnr_n"] == 12
    wrong = ReconstructionAccuracy()
    grey = np.full_like(pictures[0], 128)
    wrong.process(None, [
        {"image": grey, "original": p, "expected": e} for p, e in zip(pictures, wanted, strict=True)])
    result = wrong.evaluate(12)
    assert result["reconstruction/sc"] == 0.0 and result["reconstruction/psnr"] < 20


def test_reconstruction_accuracy_of_photographs_is_only_psnr():
    metric = ReconstructionAccuracy()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    metric.process(None, [{"image": noise, "original": noise}, {"image": noise, "original": noise, "expected": {}}])
    assert set(metric.evaluate(2)) == {f"reconstruction/psnr{end}" for end in ("", "_se", "_n")}


def samples_of(concept, shown, n=16):
    prompts = ConceptPrompts(concept, n)
    other = {each.background: draw(each) for each in concept_scenes(shown, 4) + concept_scenes(shown, 4, unseen=True)}
    return [{**prompts[i], "image": other[prompts[i]["background"]]} for i in range(n)]


def test_concept_accuracy():
    metric = METRICS.build({"type": "ConceptAccuracy", "concept": "striped_heart"})
    metric.process(None, samples_of("striped_heart", "striped_heart"))
    result = metric.evaluate(16)
    for name in ("hit", "shape", "colour", "texture", "background", "hit_seen", "hit_unseen"):
        assert result[f"concept/{name}"] == 1.0 and result[f"concept/{name}_se"] == 0.0
    assert result["concept/hit_n"] == 16 and result["concept/hit_seen_n"] == result["concept/hit_unseen_n"] == 8


def test_concept_accuracy_tells_seen_backgrounds_from_others():
    metric = ConceptAccuracy("striped_heart")
    ring = concept_images("striped_ring", 1)[0]
    metric.process(None, [
        {**sample, "image": sample["image"] if sample["seen"] else ring}
        for sample in samples_of("striped_heart", "striped_heart")])
    result = metric.evaluate(16)
    assert (result["concept/hit"], result["concept/hit_seen"], result["concept/hit_unseen"]) == (0.5, 1.0, 0.0)
    assert result["concept/hit_se"] == pytest.approx(0.125)


def test_concept_accuracy_of_one_group():
    right, wrong = concept_images("striped_heart", 1)[0], concept_images("striped_ring", 1)[0]
    samples = [{"image": right, "group": "heart"}, {"image": wrong, "group": "ring"}]
    for group, hit, count in (("heart", 1.0, 1), ("ring", 0.0, 1), (None, 0.5, 2)):
        metric = ConceptAccuracy("striped_heart", group=group)
        metric.process(None, samples)
        result = metric.evaluate(2)
        assert result["concept/hit"] == hit and result["concept/hit_n"] == count


def test_every_sample_has_an_entry_so_that_processes_can_share_them():
    """What several processes have found is cut to the number of samples: the last ones of a share may come twice."""
    metric = METRICS.build({"type": "ConceptAccuracy", "concept": "striped_heart", "group": "a"})
    blank = np.zeros((64, 64, 3), dtype=np.uint8)
    metric.process(None, [{"image": blank, "group": group} for group in "ab"])
    assert len(metric.results) == 2 and metric.evaluate(2)["concept/hit_n"] == 1


def test_concept_accuracy_needs_a_picture_and_a_known_concept():
    with pytest.raises(ValueError, match=r"must have 'image'; a sample lacks \['image'\]"):
        ConceptAccuracy("striped_heart").process(None, [{"prompt": "x"}])
    with pytest.raises(ValueError, match="concept must be one of striped_heart"):
        ConceptAccuracy("striped_hart")


def test_prompt_accuracy_by_group():
    groups = NamedGroups({"plain": ShapesPrompts(4), "textured": {"type": "ShapesPrompts", "n": 2, "kind": "textured"}})
    metric = PromptAccuracy()
    pictures = [draw(groups.groups["plain"].scene(i)) for i in range(4)]
    metric.process(None, [
        {**groups[i], "image": pictures[i] if i < 4 else np.zeros((64, 64, 3), np.uint8)} for i in range(6)])
    result = metric.evaluate(6)
    assert result["prompt/plain/sc"] == 1.0 and result["prompt/plain/sc_n"] == 4
    assert result["prompt/textured/sc"] == 0.0 and result["prompt/textured/texture_n"] == 2
    assert "prompt/plain/texture" not in result and "prompt/sc" not in result
