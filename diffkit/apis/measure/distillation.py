"""Distillation of a miniature: students without training, and with more and more of what a teacher tells them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffkit.apis.measure import report
from diffkit.apis.measure.distillation_report import distillation_table
from diffkit.apis.measure.entries import Entries
from diffkit.apis.measure.exam import Exam, exam_subjects
from diffkit.apis.measure.pictures import Say
from diffkit.apis.measure.student_costs import costs_of
from diffkit.apis.measure.student_exam import StudentExam
from diffkit.apis.measure.student_pictures import contact_sheet
from diffkit.apis.measure.training import recipe, train_apart

_OUTPUT = "model.distiller.objectives.loss_output.weight"
_FEATURE = "model.distiller.objectives.loss_feature.weight"
_TASK_ALONE = {_OUTPUT: 0, _FEATURE: 0, "model.objective.loss_weight": 1.0}


@dataclass(frozen=True)
class Arm:
    """A line of the table.

    Attributes:
        label: in words.
        options: values that replace those of the config, by dotted key.
        whole: trained as long as the config says; the others shorter, which is enough to compare them.
    """

    label: str
    options: dict[str, Any] = field(default_factory=dict)
    whole: bool = False


#: What is compared, by the name that ``--arms`` takes; ``dreambooth`` is the second table.
ARMS = {
    "untrained": Arm("blocks removed, not trained"),
    "task": Arm("the task alone", _TASK_ALONE),
    "task_time": Arm("the task alone, for the CPU time of output and features", _TASK_ALONE),
    "output": Arm("task and teacher's output", {_FEATURE: 0}),
    "feature": Arm("task, output and features"),
    "whole": Arm("task, output and features, to the end", whole=True),
    "dreambooth": Arm("DreamBooth with LoRA"),
}
#: The students, by the name that ``--students`` takes: config of the distillation, and of DreamBooth after it.
STUDENTS = {
    "small": ("mini_sd_distill_small", "mini_sd_small_dreambooth_lora"),
    "tiny": ("mini_sd_distill_tiny", "mini_sd_tiny_dreambooth_lora"),
}
_TEACHER_DREAMBOOTH = "mini_sd_dreambooth_lora"


def measure_distillation(
    *,
    students: Sequence[str] = tuple(STUDENTS),
    arms: Sequence[str] = tuple(ARMS),
    seeds: Sequence[int] = (0, 1, 2),
    n: int = 96,
    heldout: int = 96,
    sampling_seeds: int = 4,
    per_background: int = 2,
    ordinary: int = 64,
    iterations: int = 300,
    pretrained: str | None = None,
    cfg_options: dict[str, Any] | None = None,
    dreambooth_options: dict[str, Any] | None = None,
    work_dir: str | Path = "work_dirs/measure_distillation",
    out: str | Path = "docs/results/distillation",
    image: str | Path = "docs/images/mini_sd_distillation.png",
    command: str = "diffkit measure distillation",
    say: Say = print,
) -> str:
    """Trains each student in each way with each seed, and compares its pictures with the teacher's.

    Every training is a process of its own, so that its memory can be told. ``<out>.json`` is written after each, so
    that a run that was broken off goes on where it was: what the file has of the same recipe is not done again.

    Args:
        students: of ``STUDENTS``.
        arms: of ``ARMS``. ``task_time`` trains ``task`` and ``feature`` too, and ``dreambooth`` trains ``whole``.
        seeds: of the trainings; each has prompts of its own, and the teacher paints those of all.
        n: ordinary prompts of each seed, half of them with patterns.
        heldout: prompts of each seed with pairs of shape and colour that no training shows.
        sampling_seeds: how many seeds a model after DreamBooth is sampled with.
        per_background: pictures of its concept on each background, for each of them.
        ordinary: ordinary prompts after DreamBooth, half of them with patterns.
        iterations: that all arms but ``whole`` are trained for, 1 or more.
        pretrained: replaces the teacher of the configs.
        cfg_options: values that replace those of the distillation's configs, by dotted key.
        dreambooth_options: the same for those of DreamBooth.
        work_dir: where the trainings go, ``<work_dir>/<student>_<arm>/seed<N>``.
        out: path of the results without suffix.
        image: file of the pictures of teacher and students.
        command: what the results say they were made by.
        say: called with lines of progress.

    Returns:
        The tables, as Markdown.

    Raises:
        ValueError: a student or an arm is unknown, or ``iterations`` is below 1.
        RuntimeError: a training has failed.
    """
    for name, given, known in (("students", students, STUDENTS), ("arms", arms, ARMS)):
        report.check_names(name, given, known)
    if iterations < 1:
        raise ValueError(f"iterations is {iterations}; it must be 1 or more.")
    run = _Measurement(
        Path(out).with_suffix(".json"), Path(work_dir), report.about(command, options=cfg_options or {}),
        {**(cfg_options or {}), **({"model.pretrained": pretrained} if pretrained else {})},
        dreambooth_options or {}, (n, heldout), (sampling_seeds, per_background, ordinary), iterations, say)
    for seed in seeds:
        run.teacher(students[0], seed)
        for arm in (name for name in ARMS if name in arms and name not in ("task_time", "dreambooth")):
            for student in students:
                run.student(student, arm, seed)
    if "task_time" in arms:
        for seed in seeds:
            for student in students:
                run.same_time(student, seed)
    run.costs(students)
    if "dreambooth" in arms:
        for seed in seeds:
            run.dreambooth(None, seed)
            for student in students:
                run.dreambooth(student, seed, seeds[0])
    results = report.read_results(run.file)
    text = distillation_table(results, STUDENTS, {name: arm.label for name, arm in ARMS.items()})
    run.file.with_suffix(".md").write_text(text, encoding="utf-8")
    trained = {f"{student}, {ARMS[arm].label}": run.step(student, arm, seeds[0]) for student in students
               for arm in ("task", "feature", "whole") if str(seeds[0]) in results["runs"].get(f"{student}_{arm}", {})}
    if trained:
        contact_sheet(Path(image), run.config(students[0], "feature", seeds[0]).model.pretrained, trained)
    return text


class _Measurement:
    """What one call does, entry by entry of the results file."""

    def __init__(self, file: Path, work_dir: Path, about: Mapping[str, Any], options: dict[str, Any],
                 dreambooth_options: dict[str, Any], prompts: tuple[int, int], exam: tuple[int, int, int],
                 iterations: int, say: Say) -> None:
        self.file, self.work_dir, self.say = file, work_dir, say
        self.entries = Entries(file, work_dir / ".results.lock", about)
        self.options, self.dreambooth_options = options, dreambooth_options
        self.prompts, self.exam, self.iterations = prompts, exam, iterations

    def config(self, student: str, arm: str, seed: int, **more: Any) -> Any:
        return self._load(STUDENTS[student][0], self._options(arm, seed, more), f"{student}_{arm}", seed)

    def step(self, student: str, arm: str, seed: int) -> Path:
        """The folder that a training left."""
        done = report.read_results(self.file)["runs"][f"{student}_{arm}"][str(seed)]
        return self.work_dir / f"{student}_{arm}" / f"seed{seed}" / f"step{done['iterations'] - 1}"

    def teacher(self, student: str, seed: int) -> None:
        pretrained = self.config(student, "feature", seed).model.pretrained
        exam = self._exam(pretrained, seed)
        self.entries.once(["teacher", str(seed)], exam.settings, lambda: exam.take(None))

    def student(self, student: str, arm: str, seed: int, iterations: float | None = None) -> dict[str, Any]:
        """Trains, asks and returns what was found.

        Args:
            student: of ``STUDENTS``.
            arm: of ``ARMS``.
            seed: of training and prompts.
            iterations: instead of those of all arms but ``whole``.
        """
        more = {} if ARMS[arm].whole else shortened(self.config(student, arm, seed), iterations or self.iterations)
        cfg = self.config(student, arm, seed, **more)
        exam = self._exam(cfg.model.pretrained, seed)

        def found() -> dict[str, Any]:
            self.say(f"{student}: {ARMS[arm].label}, seed {seed}")
            if arm == "untrained":
                return exam.take(cfg)
            step, spent = train_apart(cfg, STUDENTS[student][0], self._options(arm, seed, more))
            return {"iterations": cfg.train_cfg.max_iters, **spent, **exam.take(step)}

        known_by = {"recipe": recipe(cfg), **exam.settings}
        return self.entries.once(["runs", f"{student}_{arm}", str(seed)], known_by, found)

    def same_time(self, student: str, seed: int) -> None:
        """The task alone, with as many steps as fit into the processor time of output and features."""
        taught, alone = (self.student(student, arm, seed) for arm in ("feature", "task"))
        self.student(student, "task_time", seed, self.iterations * taught["cpu_seconds"] / alone["cpu_seconds"])

    def costs(self, students: Sequence[str]) -> None:
        """Parameters, multiplications and time of the UNets."""
        configs = {student: self.config(student, "untrained", 0) for student in students}
        teacher = next(iter(configs.values())).model.pretrained
        self.entries.once(["costs"], {"weights": report.pretrained_digest(teacher), "students": sorted(students)},
                          lambda: costs_of(teacher, configs))

    def dreambooth(self, student: str | None, seed: int, taught_with: int = 0) -> None:
        """DreamBooth on the teacher (None), or on the student that was taught to the end with a seed."""
        name = _TEACHER_DREAMBOOTH if student is None else STUDENTS[student][1]
        options = {**self.dreambooth_options, "randomness.seed": seed}
        if student is not None:
            self.student(student, "whole", taught_with)
            options["model.pretrained"] = str(self.step(student, "whole", taught_with).resolve())
        elif "model.pretrained" in self.options:
            options["model.pretrained"] = self.options["model.pretrained"]
        label = student or "teacher"
        cfg = self._load(name, options, f"{label}_dreambooth", seed)
        exam = Exam(cfg.model.pretrained, exam_subjects(cfg.test_dataloader.dataset), *self.exam, self.say)

        def found() -> dict[str, Any]:
            self.say(f"{label}: DreamBooth, seed {seed}")
            step, spent = train_apart(cfg, name, options)
            return {**spent, **exam.take([step])}

        self.entries.once(["dreambooth", label, str(seed)], {"recipe": recipe(cfg), **exam.settings}, found)

    def _exam(self, pretrained: str, seed: int) -> StudentExam:
        return StudentExam(pretrained, *self.prompts, seed, self.work_dir / "teacher", self.say)

    def _options(self, arm: str, seed: int, more: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.options, **ARMS[arm].options, **more, "randomness.seed": seed}

    def _load(self, name: str, options: dict[str, Any], where: str, seed: int) -> Any:
        from diffkit.apis.configs import load_config

        return load_config(name, work_dir=self.work_dir / where / f"seed{seed}", cfg_options=options)


def shortened(cfg: Any, iterations: float) -> dict[str, Any]:
    """Options for so many iterations, rounded; schedules that end with the training do so again, the others stay."""
    share = iterations / cfg.train_cfg.max_iters
    options: dict[str, Any] = {"train_cfg.max_iters": max(1, round(iterations))}
    for i, schedule in enumerate(cfg.param_scheduler):
        if schedule.get("end") == cfg.train_cfg.max_iters:
            options[f"param_scheduler.{i}.begin"] = round(schedule.begin * share)
            options[f"param_scheduler.{i}.end"] = options["train_cfg.max_iters"]
    return options
