"""Reading the file: strict YAML, and the line of each part of it."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import click
import yaml

from hostctl.errors import Exit, Failure

#: bytes of a file; values in it, counted as often as they are referred to
LARGEST, MOST = 16 * 1024 * 1024, 1_000_000
#: where something stands in the file: ("clusters", 0, "shards", 1, "role")
Path_ = tuple[str | int, ...]


class Loader(yaml.SafeLoader):
    """Plain data only, and no key twice: the second one would silently win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping; an error names the line of a key that stands twice."""
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
            seen.add(key.value if isinstance(key.value, Hashable) else None)
        return super().construct_mapping(node, deep)


class File:
    """A file's data, and the lines that it stands on."""

    def __init__(self, name: str, text: str, kind: type[Loader] = Loader) -> None:
        self.name = name
        loader = kind(text)
        try:
            self._node = loader.get_single_node()
            if self._node is not None and _size(self._node, {}, ()) > MOST:
                raise Failure(f"{name} is too large.", Exit.REFUSED)
            self.data: Any = None if self._node is None else loader.construct_document(self._node)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            reason = getattr(error, "problem", None) or str(error) or type(error).__name__
            place = f"{name}:{mark.line + 1}" if mark else name
            raise Failure(f"{place}: {reason}", Exit.REFUSED) from None
        finally:
            loader.dispose()

    @classmethod
    def read(cls, path: str) -> File:
        """Read a file, or stdin for ``-``; Failure if that is impossible or it is no YAML."""
        try:
            with click.open_file(path, "rb") as file:
                data = file.read(LARGEST + 1)
            if len(data) > LARGEST:
                raise Failure(f"{path} is too large.", Exit.REFUSED)
            return cls("stdin" if path == "-" else path, data.decode("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"{path} cannot be read: {error}", Exit.USAGE) from None

    @property
    def directory(self) -> Path:
        """Where relative paths of the file begin."""
        return Path() if self.name == "stdin" else Path(self.name).parent

    def line(self, path: Path_) -> int:
        """Return the line of a part, or of what is nearest around it."""
        node = self._node
        line = node.start_mark.line if node else 0
        for step in path:
            if isinstance(node, yaml.MappingNode):
                pair = next(((key, value) for key, value in node.value if key.value == step), None)
                if pair is None:
                    break
                line, node = pair[0].start_mark.line, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line
            else:
                break
        return int(line) + 1


def _size(node: Any, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Return how many values a node stands for: aliases make few bytes mean many."""
    if id(node) in above:
        raise ValueError("a value contains itself")
    if id(node) not in known:
        inner: list[Any] = []
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            inner = node.value
        known[id(node)] = 1 + sum(_size(part, known, (*above, id(node))) for part in inner)
    return known[id(node)]


def spelled(path: Path_) -> str:
    """Return ``clusters[0].shards[1].role``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
