"""The config of a training from the page: a copy of a shipped one, with a few lines more at its end."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.apis.configs import copy_config
from diffkit.app.fields import FieldError, Fields
from diffkit.app.recipes import Recipe, find_recipe, read_recipe_config

MOST_ITERATIONS, MOST_SEED = 100_000, 2**31 - 1
#: Samplings of a training: before it, and so many times until its end.
_SAMPLINGS, _LOGGED = 5, 100
_WORD = re.compile(r"[^\s{}]{1,40}")


@dataclass(frozen=True)
class Wish:
    """What the page asks for.

    Attributes:
        recipe: the config to begin with.
        name: of the training, and of its folder.
        word: what stands for the subject.
        class_word: what kind of thing it is, such as "dog"; empty for none.
        iterations: of the training.
        learning_rate: of the optimizer.
        seed: of everything random.
    """

    recipe: Recipe
    name: str
    word: str
    class_word: str
    iterations: int
    learning_rate: float
    seed: int

    @property
    def subject(self) -> str:
        """The subject in words."""
        return f"{self.word} {self.class_word}".strip()


def read_wish(values: Any) -> Wish:
    """Reads the form of a training.

    Raises:
        FieldError: a field is not allowed.
    """
    fields = Fields(values)
    recipe = find_recipe(fields.text("config"))
    name = fields.text("name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
        raise FieldError("name", f"given {name!r}; allowed: up to 40 letters, digits, - and _, a letter or digit first")
    word = fields.text("word", recipe.word)
    if not _WORD.fullmatch(word):
        raise FieldError("word", f"given {word!r}; allowed: one word of at most 40 characters, no blanks or braces")
    class_word = fields.text("class_word", "")
    if "{" in class_word or "}" in class_word or len(class_word) > 80:
        raise FieldError("class word", f"given {class_word!r}; allowed: at most 80 characters without braces")
    return Wish(recipe, name, word, class_word,
                fields.whole("iterations", 1, MOST_ITERATIONS, recipe.iterations),
                float(fields.number("learning_rate", 1e-8, 1, recipe.learning_rate)),
                fields.whole("seed", 0, MOST_SEED, recipe.seed))


def write_config(wish: Wish, photos: Path, folder: Path) -> Path:
    """Copies the config and its bases, and adds the lines of the wish to the copy.

    Args:
        wish: what to train.
        photos: the folder of the photographs.
        folder: where the config goes.

    Returns:
        The config; ``diffkit check`` and ``diffkit train`` take it as any other.
    """
    path = copy_config(wish.recipe.path, folder / f"{wish.name}.py")[0]
    lines = ["", "# What the app was asked for", *wish_lines(wish, photos)]
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def wish_lines(wish: Wish, photos: Path) -> list[str]:
    """The lines that turn the config into what was asked for. Texts are literals: nothing in them is code."""
    cfg = read_recipe_config(wish.recipe.path)
    dataset = {"data_root": str(photos), "captions": "none", "placeholder": wish.word}
    if isinstance(cfg.train_dataloader.dataset.get("instance_prompt"), str):  # others have sentences to draw from
        dataset["instance_prompt"] = _prompt(cfg, wish)
    if isinstance(cfg.train_dataloader.dataset.get("class_prompt"), str) and wish.class_word:
        dataset["class_prompt"] = f"a photo of {wish.class_word}"
    lines = [f"train_dataloader.dataset.update({_arguments(dataset)})"]
    if wish.recipe.learned:
        lines.append(f"model.tuners.{wish.recipe.learned}.update(placeholder_token={wish.word!r})")
    lines += [f"train_cfg.update(max_iters={wish.iterations})",
              f"optim_wrapper.optimizer.update(lr={wish.learning_rate!r})",
              f"randomness.update(seed={wish.seed})",
              f"default_hooks.logger.update(interval={max(1, wish.iterations // _LOGGED)})"]
    return lines + _schedule(cfg, wish) + _samples(cfg, wish) + _without_test(cfg)


def _prompt(cfg: Any, wish: Wish) -> str:
    """A sentence with ``{}`` for the word. A word alone reads better with an article before it."""
    own = cfg.train_dataloader.dataset.get("instance_prompt")
    if not isinstance(own, str):  # its own sentences, which say nothing of a class
        return "a photo of a {}"
    return f"a photo of {'a ' if 'a {}' in own else ''}{{}} {wish.class_word}".strip()


def _schedule(cfg: Any, wish: Wish) -> list[str]:
    """Warm-up and decay keep their shares of the training."""
    lines = []
    for number, scheduler in enumerate(cfg.get("param_scheduler") or []):
        if wish.iterations == wish.recipe.iterations or "end" not in scheduler:
            continue
        share = wish.iterations / wish.recipe.iterations
        begin = int(scheduler.get("begin", 0) * share)
        end = max(begin + 1, round(scheduler["end"] * share))
        lines.append(f"param_scheduler[{number}].update(begin={begin}, end={end})")
    return lines


def _samples(cfg: Any, wish: Wish) -> list[str]:
    from diffkit.engine.hooks import SampleHook

    prompt = _prompt(cfg, wish).replace("{}", wish.word)
    values = {"prompts": [prompt, f"{prompt} on a red background"],
              "interval": max(1, wish.iterations // _SAMPLINGS)}
    return [f"custom_hooks[{number}].update({_arguments(values)})"
            for number, hook in enumerate(cfg.get("custom_hooks") or []) if hook.get("type") is SampleHook]


def _without_test(cfg: Any) -> list[str]:
    """The test of a config asks for its own subject, which is not this one."""
    return [f"{name} = None" for name in ("test_cfg", "test_dataloader", "test_evaluator") if cfg.get(name)]


def _arguments(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def check_written(path: Path) -> list[str]:
    """What ``diffkit check`` finds in a config that was written: its cautions.

    Raises:
        ConfigError: it has faults; the message lists all.
    """
    from diffkit.utils.config_check import check_config, find_cautions

    return [str(caution) for caution in find_cautions(check_config(path, {}, safe=True), {})]
