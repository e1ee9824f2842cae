"""Errors of a training that cannot go on."""


class ResumeError(ValueError):
    """A checkpoint does not fit the training that should go on from it."""


class NonFiniteError(RuntimeError):
    """The loss or the gradients were not finite too many times in a row."""


class DiskFullError(OSError):
    """A checkpoint did not fit on the disk; whatever was there before is untouched."""


class ProcessLostError(RuntimeError):
    """Another process of the training has ended."""


class WorkDirBusyError(RuntimeError):
    """Another training writes to this work folder."""


def check_keys(what: str, own: object, given: object) -> None:
    """Compares two collections of names, in their order if they have one.

    Args:
        what: begins the message.
        own: names that this training has.
        given: names that the checkpoint has.

    Raises:
        ResumeError: they differ; the message lists how.
    """
    ours, theirs = list(own), list(given)  # type: ignore[call-overload]
    ordered = isinstance(own, list) and isinstance(given, list)
    if ours == theirs if ordered else set(ours) == set(theirs):
        return
    missing, extra = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    parts = [
        f"{len(names)} {label} (first: {', '.join(names[:3])})"
        for names, label in ((missing, "missing in the checkpoint"), (extra, "only in the checkpoint"))
        if names
    ]
    raise ResumeError(f"{what} do not fit the checkpoint: {'; '.join(parts) or 'another order'}")
