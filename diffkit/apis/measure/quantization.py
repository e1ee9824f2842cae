"""Quantised miniatures beside the float one: calibrated, trained, and after textual inversion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffkit.apis.configs import load_config
from diffkit.apis.measure import report
from diffkit.apis.measure.exam import Exam, exam_subjects
from diffkit.apis.measure.pictures import Say
from diffkit.apis.measure.quantization_exam import QuantizationExam
from diffkit.apis.measure.quantization_report import quantization_table
from diffkit.apis.measure.training import integer_bytes, recipe, train_once


@dataclass(frozen=True)
class Arm:
    """A row of the table.

    Attributes:
        label: the method in words.
        bits: its number format, as the table says it.
        config: the name of a shipped config.
        options: values that replace those of the config, by dotted key.
        calibrated: the arm that it is compared with; empty for one that is not trained.
        after: the config of the word that is learned in floats first, or empty.
    """

    label: str
    bits: str
    config: str
    options: dict[str, Any] = field(default_factory=dict)
    calibrated: str = ""
    after: str = ""


_W8, _W4, _WORD = "mini_sd_qat_kd", "mini_sd_qat_w4a8", "mini_sd_textual_inversion"
#: Hooks of every arm: the exam measures, so that the hook only has to do what it cannot leave out.
_HOOKS = {"custom_hooks.1.predictions": 2, "custom_hooks.1.pictures": 2, "custom_hooks.1.keep_better": False}
_NOISE = {"model.objective.loss_weight": 1.0}
_LAYERS = [f"{block}.resnets.{number}" for block in ("down_blocks.0", "down_blocks.1", "down_blocks.2", "down_blocks.3",
                                                     "mid_block") for number in (0, 1)]
_LAYERS += [f"up_blocks.{block}.resnets.{number}" for block in range(4) for number in range(3)]

#: What is measured, by the name that ``--arms`` takes.
ARMS = {
    "w8a8_minmax": Arm("calibrated, min/max ranges", "W8A8", "mini_sd_ptq_w8a8", {
        "model.quantizer.weight_range": "minmax", "model.quantizer.activation_range": "minmax"}),
    "w8a8": Arm("calibrated, ranges of least squared error", "W8A8", "mini_sd_ptq_w8a8"),
    "w8a8_kd": Arm("QAT, output KD", "W8A8", _W8, calibrated="w8a8"),
    "w4a8": Arm("calibrated, ranges of least squared error", "W4A8", "mini_sd_ptq_w4a8"),
    "w4a8_noise": Arm("QAT, noise, no KD", "W4A8", _W4, {**_NOISE, "model.distiller": None}, calibrated="w4a8"),
    "w4a8_kd": Arm("QAT, output KD", "W4A8", _W4, calibrated="w4a8"),
    "w4a8_all": Arm("QAT, noise, output KD and KD of 22 layers", "W4A8", _W4, {
        **_NOISE, "model.distiller.objectives.loss_layers": {
            "weight": 0.5 / len(_LAYERS), "loss": {"type": "RelativeMSELoss"},
            "pairs": [[name, name] for name in _LAYERS]}}, calibrated="w4a8"),
    "nc_rtn": Arm("neural-compressor: RTN", "W4, linear layers alone", "mini_sd_ptq_nc_rtn"),
    "nc_gptq": Arm("neural-compressor: GPTQ", "W4, linear layers alone", "mini_sd_ptq_nc_gptq"),
    "nc_rtn_groups": Arm("neural-compressor: RTN, groups of 32", "W4, linear layers alone", "mini_sd_ptq_nc_rtn", {
        "model.quantizer.options": {"bits": 4, "group_size": 32}}),
    "nc_hqq": Arm("neural-compressor: HQQ, groups of 64", "W4, linear layers alone", "mini_sd_ptq_nc_hqq"),
    "nc_static": Arm("neural-compressor: static (PT2E)", "W8A8", "mini_sd_ptq_nc_static"),
    "word_w8a8_kd": Arm("a word learned in floats, then QAT, 47 layers KD", "W8A8",
                        "mini_sd_textual_inversion_qat_kd", after=_WORD),
}


def measure_quantization(
    *,
    arms: Sequence[str] = tuple(ARMS),
    seeds: Sequence[int] = (0, 1, 2),
    predictions: int = 256,
    pictures: int = 64,
    prompts: int = 96,
    sampling_seeds: int = 2,
    pretrained: str | None = None,
    cfg_options: dict[str, Any] | None = None,
    work_dir: str | Path = "work_dirs/measure_quantization",
    out: str | Path = "docs/results/quantization",
    command: str = "diffkit measure quantization",
    say: Say = print,
) -> str:
    """Quantises with each arm and each seed, and compares what was exported with the float model.

    Every arm is done with one seed before the next. ``<out>.json`` is written after each, so that a run that was broken
    off goes on where it was: what the file has of the same recipe is not done again.

    Args:
        arms: of ``ARMS``.
        seeds: of the trainings, of what is calibrated on, and of what is compared.
        predictions: noisy latents that the UNets are compared on.
        pictures: how many are compared with the float model's from the same noise.
        prompts: pictures whose shape and colour are read, others with each seed; at least ``pictures``.
        sampling_seeds: how many seeds a model with a word is sampled with.
        pretrained: replaces that of the configs.
        cfg_options: values that replace those of every config, by dotted key.
        work_dir: where the trainings go, ``<work_dir>/<arm>/seed<N>``.
        out: path of the results without suffix.
        command: what the results say they were made by.
        say: called with lines of progress.

    Returns:
        The table, as Markdown.

    Raises:
        ValueError: an arm is unknown, or there are fewer prompts than pictures.
    """
    report.check_names("arms", arms, ARMS)
    file = Path(out).with_suffix(".json")
    results = report.read_results(file) or {"exam": {}, "float": {}, "runs": {}}
    results["about"] = report.about(command, options=cfg_options or {})
    measured = _Measured(Path(work_dir), pretrained, cfg_options or {}, say)
    for seed in seeds:
        exam = QuantizationExam(pretrained or "mini-sd", predictions, pictures, prompts, seed, say)
        if results["exam"] != exam.settings:
            results.update(exam=exam.settings, runs={}, float={})
        if str(seed) not in results["float"]:
            results["float"][str(seed)] = exam.take(None)
        for name in arms:
            runs = results["runs"].setdefault(name, {})
            cfg = measured.config(name, seed)
            if runs.get(str(seed), {}).get("recipe") != recipe(cfg):
                say(f"{ARMS[name].bits}, {ARMS[name].label}: seed {seed}")
                step, spent = train_once(cfg)
                taken = measured.word_exam(name, seed, step, sampling_seeds) if ARMS[name].after else exam.take(step)
                runs[str(seed)] = {"recipe": recipe(cfg), **spent, "bytes": integer_bytes(step), **taken}
            report.write_results(file, results)
    text = quantization_table(results, ARMS)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    return text


class _Measured:
    """The configs of the arms, and the words that some begin with."""

    def __init__(self, work_dir: Path, pretrained: str | None, options: Mapping[str, Any], say: Say) -> None:
        self.work_dir, self.pretrained, self.options, self.say = work_dir, pretrained, dict(options), say

    def config(self, name: str, seed: int) -> Any:
        """The config of an arm; a word that it begins with is learned here, unless it was."""
        arm = ARMS[name]
        begins = self.word(name, seed) if arm.after else self.pretrained
        given = {"model.pretrained": str(begins)} if begins else {}
        options = {**self.options, **arm.options, **_HOOKS, **given, "randomness.seed": seed}
        return load_config(arm.config, work_dir=self.work_dir / name / f"seed{seed}", cfg_options=options)

    def word(self, name: str, seed: int) -> Path:
        """The step folder of the word."""
        options = {**self.options, "randomness.seed": seed}
        if self.pretrained:
            options["model.pretrained"] = self.pretrained
        cfg = load_config(ARMS[name].after, work_dir=self.work_dir / "words" / ARMS[name].after / f"seed{seed}",
                          cfg_options=options)
        return train_once(cfg)[0]

    def word_exam(self, name: str, seed: int, step: Path, sampling_seeds: int) -> dict[str, Any]:
        """Hits of the float model with the word, and of the quantised one."""
        cfg, word = self.config(name, seed), self.word(name, seed)
        exam = Exam(self.pretrained or "mini-sd", exam_subjects(cfg.test_dataloader.dataset), sampling_seeds, 2, 2,
                    self.say)
        return {"word": {"float": exam.take([word])["concept"], "quantized": exam.take([word, step])["concept"]}}
