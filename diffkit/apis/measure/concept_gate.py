"""Which concepts a miniature can be taught: its VAE must keep them, and nothing else may look like them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.measure import report
from diffkit.apis.measure.pictures import SETTINGS, Say, sample, score, through_vae
from diffkit.apis.measure.vae import recognised, resolution
from diffkit.datasets import ConceptPrompts, ShapesDataset
from diffkit.datasets.shapes import CONCEPTS, concept_images, get_concept
from diffkit.evaluation import ConceptAccuracy, concept_hit

PICTURES = 5
#: At least so many of five pictures are recognised after the VAE.
LEAST_RECOGNISED = 4
#: At most this share of pictures that do not show the concept is taken for it.
MOST_FALSE = 0.05


def measure_concept_gate(
    pretrained: str | Path = "mini-sd",
    *,
    concepts: Sequence[str] = (),
    n: int = 256,
    generated: int = 32,
    out: str | Path = "docs/results/concept_gate",
    command: str = "diffkit measure concept-gate",
    say: Say = print,
) -> str:
    """Holds concepts against the gate, writes ``<out>.json`` and ``<out>.md``, and returns the table.

    A concept passes when at least 4 of its 5 pictures are recognised after the VAE, and at most 5 % of the
    controls are taken for it: ordinary drawings after the VAE, and pictures that the untaught model paints of
    "a sks heart" (or another shape).

    Args:
        pretrained: see :func:`diffkit.utils.pretrained.resolve_pretrained`.
        concepts: names; all by default.
        n: ordinary drawings, half of them with patterns.
        generated: pictures of the untaught model for each concept; 0 leaves this control out.
        out: path of the results without suffix.
        command: what the results say they were made by.
        say: called with lines of progress.
    """
    names = [concept for concept in concepts or CONCEPTS if get_concept(concept)]
    pipe = load_pipeline(pretrained)
    side = resolution(pipe)
    ordinary = ShapesDataset(n, side, seed=1, textured=0.5)
    controls = through_vae(pipe, [ordinary.picture(i) for i in range(n)])
    facts = report.about(
        command, pretrained=str(pretrained), weights=report.pretrained_digest(pretrained))
    results: dict[str, Any] = {"about": facts, "concepts": {}}
    for name in names:
        say(f"Concept {name}")
        results["concepts"][name] = gate_of(pipe, name, controls, generated, say)
    file = Path(out).with_suffix(".json")
    report.write_results(file, results)
    text = gate_table(results)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    return text


def gate_of(
    pipe: Any, name: str, controls: Sequence[np.ndarray], generated: int, say: Say = print
) -> dict[str, Any]:
    """What the gate asks of one concept, and whether it passes.

    Args:
        pipe: the untaught pipeline.
        name: of the concept.
        controls: pictures, after the VAE, that do not show it.
        generated: pictures to paint of "a sks" and its shape.
        say: called with lines of progress.
    """
    side = resolution(pipe)
    pictures = concept_images(name, PICTURES, resolution=side)
    found: dict[str, Any] = {
        "before": sum(concept_hit(picture, name, side)["hit"] for picture in pictures),
        "after": sum(recognised(pipe, name, pictures)),
        "pictures": PICTURES,
        "ordinary": float(np.mean([concept_hit(picture, name, side)["hit"] for picture in controls])),
        "ordinary_n": len(controls),
    }
    if generated:
        samples = sample(pipe, ConceptPrompts(name, generated), SETTINGS, say=say)
        base = score(ConceptAccuracy(name, side), samples)
        found |= {"untaught": base["hit"], "untaught_n": base["hit_n"]}
    found["passes"] = (
        found["after"] >= LEAST_RECOGNISED and max(found["ordinary"], found.get("untaught", 0)) <= MOST_FALSE
    )
    return found


def gate_table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    rows = []
    for name, found in results["concepts"].items():
        untaught = f"{found['untaught']:.3f} (n = {found['untaught_n']})" if "untaught" in found else "-"
        rows.append((
            f"{name} ({get_concept(name).description})", f"{found['before']} of {found['pictures']}",
            f"{found['after']} of {found['pictures']}", f"{found['ordinary']:.3f} (n = {found['ordinary_n']})",
            untaught, report.yes(found["passes"])))
    head = ("concept", "recognised", "after the VAE", "ordinary pictures taken for it",
            "pictures of the untaught model", "passes")
    return report.table(head, rows) + "\n" + report.footer(results["about"])
