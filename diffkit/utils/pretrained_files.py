"""The files of a model: in which format its weights are, and whether that may be read."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from diffkit.utils.model_faults import model_fault
from diffkit.utils.pretrained import PretrainedError
from diffkit.utils.pretrained_hub import files_beneath, look_up
from diffkit.utils.quiet import no_loading_bars

#: Names of weight files, of diffusers and of transformers; those of several files have an index.
SAFE = ("diffusion_pytorch_model.safetensors", "model.safetensors")
PICKLED = ("diffusion_pytorch_model.bin", "pytorch_model.bin")
INDEX = ".index.json"


@dataclass(frozen=True)
class ModelFiles:
    """A model that can be loaded: a pipeline or one network.

    Attributes:
        source: a folder, or a hub id.
        files: the paths of its files, with ``/``.
        given: how it was named, for messages.
        key: the argument that named it, for messages.
    """

    source: str | Path
    files: frozenset[str]
    given: str
    key: str = "pretrained"

    def parts(self) -> list[str]:
        """The folders with weights of a network."""
        folders = sorted({file.partition("/")[0] for file in self.files if "/" in file})
        return [name for name in folders if f"{name}/config.json" in self.files and self.weights(name)]

    def weights(self, part: str) -> str:
        """The format of a part's weights: ``safetensors``, ``pickle`` where there is nothing else, or an empty text.

        Args:
            part: the folder; an empty text is the model itself.
        """
        prefix = f"{part}/" if part else ""
        for kind, names in (("safetensors", SAFE), ("pickle", PICKLED)):
            if any(prefix + name + end in self.files for name in names for end in ("", INDEX)):
                return kind
        return ""

    def check(self, parts: Iterable[str], allow_pickle: bool) -> None:
        """Refuses parts that lack weights, or that have only pickled ones unless they are allowed.

        Refuses a model too whose configs ask for code, or whose weights are something else than they are called.

        Raises:
            PretrainedError: it names all of them.
        """
        kinds = {part: self.weights(part) for part in parts}
        missing = [part for part, kind in kinds.items() if not kind]
        if missing:
            raise PretrainedError(self.given, f"has no weights{_of(missing)}. {self._held(missing)}", self.key)
        pickled = [part for part, kind in kinds.items() if kind == "pickle"]
        if pickled and not allow_pickle:
            raise PretrainedError(
                self.given, f"has only pickled weights (.bin){_of(pickled)}. A pickle can hold code, so it is read "
                "only where you allow it, and then for its tensors alone.", self.key, flag="allow_pickle=True")
        if fault := model_fault(self.source, self.files, kinds):
            raise PretrainedError(self.given, fault, self.key)

    def safetensors_option(self, part: str) -> dict[str, bool]:
        """The argument of ``from_pretrained`` that takes the weights that are there."""
        return {"use_safetensors": self.weights(part) != "pickle"}

    def _held(self, missing: Iterable[str]) -> str:
        """What it has instead."""
        inside = sorted(file for file in self.files if "" in missing or file.partition("/")[0] in missing)
        if inside:
            return f"It holds {', '.join(inside[:8])}{', …' if len(inside) > 8 else ''}."
        return f"It has {', '.join(self.parts()) or 'no networks at all'}."


def _of(parts: list[str]) -> str:
    """Which parts a message is about; nothing where it is the model itself."""
    return f" for {', '.join(parts)}" if any(parts) else ""


def find_model(source: str | Path, key: str = "pretrained") -> ModelFiles:
    """Looks which files a model has, and loads nothing.

    Args:
        source: a folder, or a hub id.
        key: the argument that named it.

    Raises:
        PretrainedError: the hub does not give it.
    """
    if isinstance(source, Path):
        return ModelFiles(source, files_beneath(source), str(source), key)
    try:
        where, files = look_up(source)
    except PretrainedError as error:
        error.key = key
        raise
    return ModelFiles(where, files, source, key)


@contextmanager
def reading(model: ModelFiles) -> Iterator[None]:
    """Turns what libraries raise about files inside ``with`` into one message, and hides their loading bars.

    Raises:
        PretrainedError: a file is missing, damaged, does not fit or holds more than tensors.
    """
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    try:
        with no_loading_bars():
            yield
    except PretrainedError:
        raise
    except (OSError, ValueError, UnpicklingError, SafetensorError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise PretrainedError(model.given, f"cannot be loaded: {said[0]}", model.key) from error
