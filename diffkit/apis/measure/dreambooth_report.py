"""The table and the contact sheet of the DreamBooth measurement."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from diffkit.apis.measure import report
from diffkit.apis.measure.pictures import Samples
from diffkit.datasets.shapes import concept_images
from diffkit.datasets.shapes.concept_pictures import concept_scenes
from diffkit.utils.images import picture_grid, save_png


def dreambooth_table(results: Mapping[str, Any], descriptions: Mapping[str, str]) -> str:
    """The results as Markdown: one line for the model before training, and one for each variant."""
    before, exam = results["before"], results["exam"]
    base = before["ordinary"]["sc"]
    rows = [(
        "before training", "-", *(f"{before['concept'][name]:.3f}" for name in ("hit", "hit_seen", "hit_unseen")),
        f"{base:.3f}", "1", f"{before['ordinary_taken_for_concept']:.3f}", "-")]
    for name, description in descriptions.items():
        runs = list(results["runs"].get(name, {}).values())
        if runs:
            rows.append(_row(description, runs, base))
    head = ("training", "seeds", "concept", "on backgrounds of its pictures", "on others", "ordinary prompts",
            "of the value before", "ordinary pictures taken for the concept", "CPU seconds")
    text = report.table(head, rows)
    low = min((low for runs in results["runs"].get("full", {}).values() for low in runs["hit_by_sampling_seed"]),
              default=None)
    notes = [
        f"Concept `{', '.join(exam['concepts'])}`, {exam['pictures_of_each_concept']} pictures of it from each model "
        f"with {exam['sampling_seeds']} sampling seeds, and {exam['ordinary_prompts']} ordinary prompts (shape and "
        "colours right); mean ± standard deviation over the training seeds. A hit has shape, both colours and "
        "texture right."]
    if low is not None:
        notes.append(f"The lowest hit rate of the whole recipe, of any training and sampling seed: {low:.3f}.")
    return f"{text}\n" + "\n".join(notes) + "\n\n" + report.footer(results["about"])


def _row(description: str, runs: Sequence[Mapping[str, Any]], base: float) -> tuple[str, ...]:
    ordinary = [run["ordinary"]["sc"] for run in runs]
    return (
        description, str(len(runs)),
        *(report.spread([run["concept"][name] for run in runs]) for name in ("hit", "hit_seen", "hit_unseen")),
        report.spread(ordinary), report.spread([value / base for value in ordinary] if base else [0.0]),
        report.spread([run["ordinary_taken_for_concept"] for run in runs]),
        report.spread([run["cpu_seconds"] for run in runs], 0))


def contact_sheet(path: Path, concept: str, dataset: Mapping[str, Any], before: Samples, after: Samples) -> Path:
    """Saves a picture with the concept's own pictures, and what the model paints before and after.

    Args:
        path: the PNG file.
        concept: its name.
        dataset: the config of the training's dataset.
        before: a picture on each background, of the untaught model.
        after: the same of the taught one.
    """
    number, seed = dataset.get("num_images") or 5, dataset.get("seed", 0)
    columns = max(number, sum(sample["seen"] for sample in before))
    rows = [_tiles("picture", [
        (scene.background, Image.fromarray(image)) for scene, image in zip(
            concept_scenes(concept, number, seed), concept_images(concept, number, seed), strict=True)])]
    for seen, place in ((True, ""), (False, "new: ")):
        for name, samples in (("before", before), ("after", after)):
            rows.append(_tiles(name, [
                (place + sample["background"], Image.fromarray(sample["image"]))
                for sample in samples if sample["seen"] == seen]))
    tiles = [tile for row in rows for tile in _filled(row, columns)]
    grid = picture_grid([image for _, image in tiles], [text for text, _ in tiles], columns, tile=128)
    return save_png(grid, path, {"concept": concept})


Tile = tuple[str, Image.Image]


def _tiles(name: str, pictures: Sequence[Tile]) -> list[Tile]:
    return [(f"{name}, {background}", image) for background, image in pictures]


def _filled(row: list[Tile], columns: int) -> list[Tile]:
    """A row with empty tiles at its end."""
    return row + [("", Image.new("RGB", row[0][1].size, "white"))] * (columns - len(row))
