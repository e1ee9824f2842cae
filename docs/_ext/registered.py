"""The directive ``registered``: the documentation of everything of diffkit in a registry.

So the reference cannot forget a class::

    ```{registered} TUNERS
    ```
"""

import inspect
from pydoc import locate

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def registered_objects(registry: str) -> list[str]:
    """Full names of what diffkit has in ``diffkit.registry.<registry>``, in the order of registration."""
    from diffkit import registry as registries

    root = getattr(registries, registry)
    root.import_from_location()
    found = [value for value in root.module_dict.values() if value.__module__.startswith("diffkit.")]
    return [f"{value.__module__}.{value.__qualname__}" for value in dict.fromkeys(found)]


class Registered(SphinxDirective):
    """One entry of autodoc for each registered class or function."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        lines = ["```{eval-rst}"]
        for name in registered_objects(self.arguments[0]):
            lines += [f".. auto{'class' if inspect.isclass(locate(name)) else 'function'}:: {name}", ""]
        container = nodes.container()
        self.state.nested_parse(StringList([*lines, "```"], "registered"), 0, container)
        return container.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_directive("registered", Registered)
    return {"parallel_read_safe": True}
