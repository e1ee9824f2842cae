"""The keys of a run: the top-level names of a config that mean something."""

from dataclasses import replace
from typing import Any

from diffkit.utils.config_check.imported import dotted_name, is_imported
from diffkit.utils.config_check.resolve import resolve
from diffkit.utils.config_check.roles import CONFIG, RUNNER
from diffkit.utils.config_check.signatures import Signature, signature_of
from diffkit.utils.config_check.symbols import Definition


def keys_of_a_run(runner: Any = None) -> Signature:
    """Returns the keys as the arguments of a call: those of the schema, and the arguments of the runner.

    Args:
        runner: the config's ``runner_type``.
    """
    schema = resolve(CONFIG)
    assert isinstance(schema, Definition)
    keys = replace(signature_of(schema), name="the config")
    symbol = resolve(dotted_name(runner) if is_imported(runner) else RUNNER)
    if isinstance(symbol, Definition):
        own = signature_of(symbol).params
        keys.params.update({k: p for k, p in own.items() if k not in keys.params and k != "cfg"})
    return keys
