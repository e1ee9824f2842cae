"""The optional package ``openvino``, as it is used here."""

import sys
from typing import Any


def load_openvino_library() -> Any:
    """Imports OpenVINO, and keeps it from reporting its use to its makers.

    Raises:
        ImportError: it is not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # as if it were not installed
    try:
        import openvino
    except ImportError as error:
        raise ImportError("this needs the package `openvino`: pip install openvino") from error
    return openvino


def openvino_version() -> str:
    """Such as ``2026.4.1``."""
    return str(load_openvino_library().__version__).split("-")[0]
