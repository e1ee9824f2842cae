"""What tar shards hold: samples as in webdataset, and where their bytes are.

A reader of our own on ``tarfile``: it reads the headers once, jumps over the contents, and afterwards takes any member
by its place. So a draw is a function of the seed and its number, as of every other data set, and a training resumes bit
by bit; the package ``webdataset`` reads shards from front to end through buffers of chance, and a resumed run would see
other data. Nothing is unpacked to the disk.
"""

import tarfile
from dataclasses import dataclass, field
from pathlib import Path

from diffkit.datasets.image_file import MAX_BYTES, SUFFIXES, BadImageError, printable

#: What gzip, bzip2, xz and zstd files begin with.
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True)
class Member:
    """A file in a shard: which shard, where its bytes begin, and how many there are."""

    shard: int
    offset: int
    size: int


@dataclass
class TarSample:
    """The files of one name in a shard, by suffix: ``.jpg``, ``.txt``, ``.json``, ``.seg.png`` …

    ``name`` is ``SHARD:KEY``, for messages.
    """

    name: str
    shard: int
    files: dict[str, Member] = field(default_factory=dict)

    def image(self) -> Member:
        """The picture.

        Raises:
            BadImageError: there is none, or more than one.
        """
        found = [suffix for suffix in self.files if suffix.lower() in SUFFIXES]
        if len(found) != 1:
            raise BadImageError(f"it has {len(found)} pictures ({', '.join(found)})" if found else
                                f"it has no picture, only {', '.join(map(printable, self.files))}")
        return self.files[found[0]]


def index_shard(path: Path, number: int) -> tuple[list[TarSample], str]:
    """Reads the headers of a tar file.

    As in webdataset, files belong together whose path is the same up to the first dot of the file's name.

    Args:
        path: the file.
        number: which shard it is.

    Returns:
        The samples in the order of the file, and why the file ends before its time; empty where it does not.

    Raises:
        ValueError: it is no tar file, or a compressed one.
    """
    with open(path, "rb") as raw:
        head = raw.read(8)
    kind = next((name for magic, name in _COMPRESSED.items() if head.startswith(magic)), None)
    if kind:
        raise ValueError(f"{printable(path)} is compressed with {kind}: unpack it to a plain .tar, of which any member "
                         "can be read by its place")
    samples: dict[str, TarSample] = {}
    size, fault = path.stat().st_size, ""
    try:
        with tarfile.open(path, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # tarfile keeps all headers, with all that is in them
                if not member.isreg() or member.issparse():
                    continue
                if member.offset_data + member.size > size:
                    fault = f"it is cut off within {printable(member.name)}"
                    break
                _add(samples, path.name, number, member)
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        if not samples:
            raise ValueError(f"{printable(path)} is no tar file, or damaged ({error})") from error
        fault = f"damaged or cut off ({error})"
    return list(samples.values()), fault


def _add(samples: dict[str, TarSample], shard: str, number: int, member: tarfile.TarInfo) -> None:
    folder, _, file = member.name.rpartition("/")
    stem, dot, suffix = file.partition(".")
    if not stem or not dot:  # hidden files (those of macOS among them), and files without a suffix
        return
    key = f"{folder}/{stem}" if folder else stem
    sample = samples.setdefault(key, TarSample(f"{shard}:{key}", number))
    sample.files.setdefault(f".{suffix}", Member(number, member.offset_data, member.size))


def read_member(path: Path, member: Member) -> bytes:
    """The bytes of a member.

    Raises:
        BadImageError: there are too many or none of them, or the shard is shorter than it was.
    """
    if not 0 < member.size <= MAX_BYTES:
        raise BadImageError(f"it has {member.size} bytes" + (f", allowed are {MAX_BYTES}" if member.size else ""))
    with open(path, "rb") as file:
        file.seek(member.offset)
        content = file.read(member.size)
    if len(content) < member.size:
        raise BadImageError("the shard is shorter than it was when the training began")
    return content
