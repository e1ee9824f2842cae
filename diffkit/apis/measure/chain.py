"""The chain distil, personalise, quantise on a miniature: what each part of it leaves of the subject."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.measure import report
from diffkit.apis.measure.chain_report import chain_table
from diffkit.apis.measure.entries import Entries
from diffkit.apis.measure.exam import Exam, exam_subjects
from diffkit.apis.measure.pictures import Say
from diffkit.apis.measure.training import integer_bytes, recipe, train_apart
from diffkit.evaluation import count_parameters
from diffkit.export.quantized import quantized_layers
from diffkit.models.twin import empty_unet
from diffkit.utils.pretrained import as_the_user_named, resolve_pretrained
from diffkit.utils.step_folder import read_step_folder

#: What a row can begin with that is no row: the distilled model, which all seeds share.
STUDENT = "student"
STUDENT_CONFIG = "mini_sd_distill_small"
_INTEGERS = "mini_sd_small_dreambooth_lora_qat_kd"


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        label: its parts in words.
        config: the name of the shipped config of its last part.
        begins_with: the row whose last step folder it is trained on, or ``STUDENT``; empty for the whole model.
        integers: its UNet is quantised, and painted with so.
    """

    label: str
    config: str
    begins_with: str = ""
    integers: bool = False


#: What is measured, by the name that ``--rows`` takes; a row comes after the one that it begins with.
ROWS = {
    "teacher_lora": Row("the whole model, personalised", "mini_sd_dreambooth_lora"),
    "student_lora": Row("distilled, personalised", "mini_sd_small_dreambooth_lora", STUDENT),
    "student_lora_int8": Row("distilled, personalised, quantised", _INTEGERS, "student_lora", integers=True),
    "personal_first": Row("personalised, distilled", "mini_sd_distill_personal", "teacher_lora"),
    "personal_first_int8": Row("personalised, distilled, quantised", _INTEGERS, "personal_first", integers=True),
}


def measure_chain(
    *,
    rows: Sequence[str] = tuple(ROWS),
    seeds: Sequence[int] = (0, 1, 2),
    student: str | Path | None = None,
    sampling_seeds: int = 4,
    per_background: int = 2,
    ordinary: int = 64,
    cfg_options: dict[str, Any] | None = None,
    work_dir: str | Path = "work_dirs/measure_chain",
    out: str | Path = "docs/results/chain",
    command: str = "diffkit measure chain",
    say: Say = print,
) -> str:
    """Trains each row with each seed, from the step folder of the row before, and asks what it leaves.

    ``<out>.json`` is written after each, so that a run that was broken off goes on where it was: what the file has of
    the same recipe and exam is not done again, and no training that is there is repeated. The rows that a row
    begins with are trained for it, but asked only where they are named too.

    Args:
        rows: of ``ROWS``.
        seeds: of the trainings, but for that of the student.
        student: a step folder of ``mini_sd_distill_small``, trained already; None trains it, once, as the config is.
        sampling_seeds: how many seeds a model is sampled with.
        per_background: pictures of the concept on each background, for each of them.
        ordinary: ordinary prompts, half of them with patterns.
        cfg_options: values that replace those of every config, by dotted key; ``model.pretrained`` replaces the whole
            model alone.
        work_dir: where the trainings go, ``<work_dir>/<row>/seed<N>`` and ``<work_dir>/student``.
        out: path of the results without suffix.
        command: what the results say they were made by.
        say: called with lines of progress.

    Returns:
        The tables, as Markdown.

    Raises:
        ValueError: a row is unknown, or ``student`` is no step folder with a whole pipeline.
        RuntimeError: a training has failed.
    """
    report.check_names("rows", rows, ROWS)
    file = Path(out).with_suffix(".json")
    entries = Entries(file, Path(work_dir) / ".results.lock", report.about(command, options=cfg_options or {}))
    chain = _Chain(entries, Path(work_dir), cfg_options or {}, None if student is None else _checked(student),
                   (sampling_seeds, per_background, ordinary), say)
    for seed in seeds:
        for name in (name for name in ROWS if name in rows):
            chain.row(name, seed)
    text = chain_table(report.read_results(file), {name: row.label for name, row in ROWS.items()})
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    return text


class _Chain:
    """What one call does, entry by entry of the results file."""

    def __init__(self, entries: Entries, work_dir: Path, options: Mapping[str, Any], student: Path | None,
                 exam: tuple[int, int, int], say: Say) -> None:
        self.entries, self.work_dir, self.options, self.say = entries, work_dir, dict(options), say
        self.given, self.exam = student, exam
        self._student: Path | None = None
        self._trained: dict[tuple[str, int], tuple[Path, dict[str, float]]] = {}

    def row(self, name: str, seed: int) -> dict[str, Any]:
        """Trains what is not there, asks and returns what was found."""
        whole, cfg = self._config("teacher_lora", seed), self._config(name, seed)
        exam = Exam(whole.model.pretrained, exam_subjects(cfg.test_dataloader.dataset), *self.exam, self.say)

        def found() -> dict[str, Any]:
            chain = _chain_of(name)
            step, spent = self.trained(name, seed)
            self.say(f"{ROWS[name].label}, seed {seed}: its pictures")
            return {**spent, "chain_cpu_seconds": sum(self.trained(part, seed)[1]["cpu_seconds"] for part in chain),
                    "student": report.pretrained_digest(self.student()) if _has_student(name) else None,
                    **kept_of(step, ROWS[name].integers), **exam.take([step])}

        return self.entries.once(["runs", name, str(seed)], {"recipe": recipe(cfg), **exam.settings}, found)

    def trained(self, name: str, seed: int) -> tuple[Path, dict[str, float]]:
        """The last step folder of a row, and what its training took; it is trained where it is not there."""
        if (name, seed) not in self._trained:
            cfg = self._config(name, seed)
            self.say(f"{ROWS[name].label}, seed {seed}: {ROWS[name].config}")
            self._trained[name, seed] = train_apart(cfg, ROWS[name].config, self._options(name, seed))
        return self._trained[name, seed]

    def student(self) -> Path:
        """The step folder of the distilled model, which is trained where none was given."""
        if self._student is None:
            spent: Mapping[str, float]
            if self.given is None:
                cfg = self._load(STUDENT_CONFIG, self.options, STUDENT)
                self.say(f"the student: {STUDENT_CONFIG}")
                self._student, spent = train_apart(cfg, STUDENT_CONFIG, self.options)
            else:
                self._student = self.given
                spent = report.read_results(self.given.parent / "spent.json").get("spent", {})
            key = {"weights": report.pretrained_digest(self._student), "cost_known": bool(spent)}
            self.entries.once([STUDENT], key, lambda: spent)
        return self._student

    def _options(self, name: str, seed: int) -> dict[str, Any]:
        """What replaces values of a row's config: the seed, and what it begins with."""
        options, before = {**self.options, "randomness.seed": seed}, ROWS[name].begins_with
        if before:
            step = self.student() if before == STUDENT else self.trained(before, seed)[0]
            options["model.pretrained"] = str(step.resolve())
        return options

    def _config(self, name: str, seed: int) -> Any:
        return self._load(ROWS[name].config, self._options(name, seed), f"{name}/seed{seed}")

    def _load(self, name: str, options: dict[str, Any], where: str) -> Any:
        from diffkit.apis.configs import load_config

        return load_config(name, work_dir=self.work_dir / where, cfg_options=options)


def _chain_of(name: str) -> list[str]:
    """A row and those before it, from which it begins."""
    before = ROWS[name].begins_with
    return [*(_chain_of(before) if before in ROWS else []), name]


def _has_student(name: str) -> bool:
    return ROWS[_chain_of(name)[0]].begins_with == STUDENT


def kept_of(step: Path, integers: bool) -> dict[str, Any]:
    """The UNet that a user keeps of a step folder.

    Args:
        step: the folder.
        integers: whether it has to be quantised.

    Returns:
        ``parameters``: of the UNet, adapters not counted; ``bytes``: of its files as integers, or of its float32
        weights with adapters added into them; ``integer_layers``: how many layers it paints with as integers;
        ``kept``: ``calibrated`` or ``trained``, which of both the training of integers has kept.

    Raises:
        RuntimeError: it is to be quantised and is not, or the other way round.
    """
    pipe: Any = load_pipeline(None, [step], device="cpu")
    layers, parameters = len(quantized_layers(pipe.unet)), count_parameters(empty_unet(pipe.unet.config))
    if bool(layers) != integers:
        wanted = "some" if integers else "none"
        raise RuntimeError(f"{step} paints with {layers} layers of integers, where {wanted} must be.")
    found = {"parameters": parameters, "bytes": integer_bytes(step) if integers else 4 * parameters,
             "integer_layers": layers}
    return {**found, "kept": report.read_results(step.parent / "quantization.json")["kept"]} if integers else found


def _checked(student: str | Path) -> Path:
    """The folder of a student that was given."""
    with as_the_user_named(pretrained="student"):
        path = resolve_pretrained(student)
    folder = read_step_folder(path) if isinstance(path, Path) else None
    if folder is None or not folder.is_pipeline:
        raise ValueError(f"student: {str(student)!r} holds no whole pipeline; give a step folder of {STUDENT_CONFIG}.")
    return folder.path
