"""ConfigMaps and Secrets as the kubelet mounts them: files link into `..data`, a link that is replaced atomically."""

from __future__ import annotations

import base64
import itertools
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

Object = dict[str, Any]

_MODE: Final = 0o644
"""Default mode of files."""


def contents(documents: Iterable[Object]) -> dict[tuple[str, str], dict[str, bytes]]:
    """Return the data of ConfigMaps and Secrets, by kind and name."""
    data: dict[tuple[str, str], dict[str, bytes]] = {}
    for document in documents:
        if document["kind"] in ("ConfigMap", "Secret"):
            binary = document.get("binaryData" if document["kind"] == "ConfigMap" else "data") or {}
            plain = document.get("data" if document["kind"] == "ConfigMap" else "stringData") or {}
            data[document["kind"], document["metadata"]["name"]] = {
                **{name: base64.b64decode(text) for name, text in binary.items()},
                **{name: text.encode() for name, text in plain.items()},
            }
    return data


class Folder:
    """A volume; `group` may read it, like the pod's fsGroup."""

    def __init__(self, path: Path, mode: int = _MODE, group: int | None = None) -> None:
        self.path = path
        # If there is a group, the kubelet lets it read.
        self._mode = mode if group is None else mode | 0o440
        self._group = -1 if group is None else group
        self._versions = itertools.count(1)
        path.mkdir(parents=True)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Replace all files at once; a watcher sees the rename of `..data`."""
        before = self.path / "..data"
        former = before.resolve() if before.is_symlink() else None
        version = self.path / f"..v{next(self._versions)}"
        version.mkdir()
        for name, content in files.items():
            file = version / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            file.chmod(self._mode)
            os.chown(file, -1, self._group)
        link = self.path / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(before)
        for name in {name.partition("/")[0] for name in files}:
            if not (self.path / name).is_symlink():
                (self.path / name).symlink_to(Path("..data", name))
        for entry in self.path.iterdir():
            if entry.is_symlink() and not entry.name.startswith("..") and not entry.exists():
                entry.unlink()
        if former is not None:
            shutil.rmtree(former)


def mounted(volume: Object, data: Mapping[tuple[str, str], Mapping[str, bytes]]) -> dict[str, bytes] | None:
    """Return the files of a volume; None for volumes other than ConfigMaps and Secrets."""
    match volume:
        case {"configMap": {"name": name} as source}:
            return _chosen(data["ConfigMap", name], source.get("items"))
        case {"secret": {"secretName": name} as source}:
            return _chosen(data["Secret", name], source.get("items"))
        case {"projected": {"sources": sources}}:
            files: dict[str, bytes] = {}
            for source in sources:
                kind, named = ("ConfigMap", "configMap") if "configMap" in source else ("Secret", "secret")
                files |= _chosen(data[kind, source[named]["name"]], source[named].get("items"))
            return files
    return None


def _chosen(files: Mapping[str, bytes], items: Iterable[Object] | None) -> dict[str, bytes]:
    return dict(files) if items is None else {item["path"]: files[item["key"]] for item in items}


def settings(volume: Object) -> Object:
    """Return the options of a volume's files."""
    return dict(volume.get("configMap") or volume.get("secret") or volume.get("projected") or {})
