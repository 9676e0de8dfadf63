"""Recognizes the enforcer among a pod's containers, by image, command and configuration.

Names, labels and annotations prove nothing: a container called `enforcer` may run anything.
"""

from __future__ import annotations

import posixpath
import re
from base64 import b64decode
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any, Final

from enforcer.config.documents.document import Document, Table, parse
from enforcer.config.overrides import Override, override, parse_override
from enforcer.errors import ConfigError
from enforcer.kubernetes import names
from enforcer.settings.connections.addresses import parse_server
from enforcer.yamltext.objects import Object, items, section

_PROGRAM: Final = "enforcer"
DEFAULT_COMMAND: Final = ("enforcer", "run", f"{names.POLICY_FOLDER}/{names.POLICY_KEY}")
"""The command of the image."""
_ENFORCE: Final = "enforce"
DEFAULT_LISTENER: Final = "0.0.0.0:8091"
"""The default of `listener.address`."""
_ALL_ADDRESSES: Final = ("", "0.0.0.0", "[::]")  # noqa: S104 - the hosts of a listener, as written

ConfigMaps = Mapping[str, Object]
"""The ConfigMaps of the pod's namespace, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcer:
    """An enforcer in a pod, by its own specification."""

    container: str
    native: bool
    """True for a native sidecar whose startup probe waits for it: containers of the app start after it listens."""
    place: int
    """Index among the init containers of a native sidecar; -1 for a classic one."""
    listen: int | None
    """Port that it listens on at all of the pod's addresses; None if there is none, or if it is not known."""
    admin: int | None
    upstreams: frozenset[int] = frozenset()
    """Ports of the pod that it forwards to. Empty for a gateway, whose app is elsewhere."""
    redirected: frozenset[int] = frozenset()
    """TCP ports that the pod's network redirects to it."""
    reporting: tuple[str, ...] = ()
    """Parts of its policy that are in report mode, where denied requests are forwarded."""
    serves_metrics: bool = False
    """True if its admin server serves the app's metrics."""
    unknown: tuple[str, ...] = ()
    """The unknown properties of it, for people."""


def repository(image: str) -> str:
    """Return the repository of an image, without tag and digest."""
    path, _, last = image.partition("@")[0].rpartition("/")
    return f"{path}/{last.partition(':')[0]}" if path else last.partition(":")[0]


def is_enforcer_image(image: Any, images: Collection[str]) -> bool:
    """Return whether an image is the enforcer's: by the name of its repository, or one of the repositories given."""
    if not isinstance(image, str):
        return False
    name = repository(image)
    return name.rpartition("/")[2] == names.IMAGE or name in images


def find_enforcers(spec: Object, configs: ConfigMaps, images: Collection[str] = ()) -> Iterator[Enforcer]:
    """Yield the enforcers among the containers of a pod that run as long as the pod."""
    for place, written in [
        *((-1, container) for container in items(spec, "containers")),
        *((place, container) for place, container in enumerate(items(spec, "initContainers")) if is_native(container)),
    ]:
        container, unknown = _with_variables(written, configs)
        arguments = _arguments(container, images)
        if arguments is None or arguments[:1] != ["run"]:
            continue
        arguments = [_expanded(word, container) for word in arguments]
        configuration = _Configuration.read(spec, container, arguments[1:], configs)
        listen = _listening(container, configuration.text("listener", "address") or configuration.default_address)
        admin = _listening(container, configuration.text("admin", "address") or "")
        yield Enforcer(
            container=str(container.get("name") or ""),
            native=place >= 0 and admin is not None and _waits(container, admin),
            place=place,
            listen=listen,
            admin=admin,
            upstreams=frozenset(configuration.upstreams()),
            redirected=frozenset(app for app, to in _redirects(spec, configs, images) if to == listen),
            reporting=tuple(configuration.reporting()),
            serves_metrics=any(entry.get("name") == names.APP_METRICS for entry in items(container, "env")),
            unknown=(*configuration.unknown, *unknown),
        )


def has_enforcer(spec: Object, image: str) -> bool:
    """Return whether a pod has an enforcer with this image, of any version, or with an image of the enforcer's name."""
    return any(find_enforcers(spec, {}, {repository(image)}))


def is_native(container: Object) -> bool:
    """Return whether an init container keeps running: a native sidecar."""
    return container.get("restartPolicy") == "Always"


def _arguments(container: Object, images: Collection[str]) -> list[str] | None:
    """Return the arguments of the program `enforcer`; None if the container runs another program."""
    if not is_enforcer_image(container.get("image"), images):
        return None
    words: list[Any] = command_line(container) or [*DEFAULT_COMMAND]
    if not all(isinstance(word, str) for word in words) or posixpath.basename(words[0]) != _PROGRAM:
        return None
    if _is_replaced(container, words[0]):
        return None
    return words[1:]


def _with_variables(container: Object, configs: ConfigMaps) -> tuple[Object, list[str]]:
    """Return a container with the variables of `envFrom` in its `env`, and the objects whose variables are not known.

    Its own variables come last, because they override the others.
    """
    variables, unknown = [], []
    for source in items(container, "envFrom"):
        name = str(section(source, "configMapRef").get("name"))
        if name in configs:
            data = section(configs[name], "data")
            variables += [{"name": f"{source.get('prefix') or ''}{key}", "value": value} for key, value in data.items()]
        else:
            kind, reference = ("secret", "secretRef") if "secretRef" in source else ("configmap", "configMapRef")
            name = str(section(source, reference).get("name"))
            unknown.append(f"{kind}/{name} with its variables is not among the objects")
    return {**container, "env": [*variables, *items(container, "env")]}, unknown


def _is_replaced(container: Object, program: str) -> bool:
    """Return whether a variable, a path or a mount may put another program in the place of the image's."""
    variables = {str(entry.get("name")) for entry in items(container, "env")} - _HARMLESS
    if "PATH" in variables or any(name.startswith(("PYTHON", "LD_")) for name in variables):
        return True
    mounts = [posixpath.normpath(str(mount.get("mountPath"))) for mount in items(container, "volumeMounts")]
    if program != _PROGRAM and not posixpath.isabs(program):
        return True
    folders = [*_CODE, *([] if program == _PROGRAM else [posixpath.normpath(program)])]
    return any(_is_within(mount, folder) or _is_within(folder, mount) for mount in mounts for folder in folders)


_HARMLESS: Final = frozenset({"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONOPTIMIZE", "PYTHONMALLOC"})
_CODE: Final = ("/opt/enforcer", "/usr/lib", "/usr/bin", "/usr/local/lib", "/usr/local/bin", "/bin", "/lib", "/lib64")
"""The folders of images from which the program and its interpreter are loaded."""


def command_line(container: Object) -> list[Any]:
    """Return the command and the arguments of a container, as written."""
    parts = [part for key in ("command", "args") if isinstance(part := container.get(key), list)]
    return [word for part in parts for word in part]


def _expanded(word: str, container: Object) -> str:
    """Return an argument as Kubernetes passes it: with the values of variables, except those that are not known."""
    values = {f"$({entry.get('name')})": entry.get("value") for entry in items(container, "env")}

    def expanded(match: re.Match[str]) -> str:
        value = values.get(match[0])
        return "$" if match[0] == "$$" else value if isinstance(value, str) else match[0]

    return _VARIABLE.sub(expanded, word)


_VARIABLE: Final = re.compile(r"\$\$|\$\([^)]*\)")


def _waits(container: Object, admin: int) -> bool:
    """Return whether a startup probe succeeds only after the enforcer has begun to serve."""
    action = section(container, "startupProbe", "httpGet")
    return (action.get("port"), action.get("path")) == (admin, names.READY_PATH) and not action.get("host")


def _redirects(spec: Object, configs: ConfigMaps, images: Collection[str]) -> Iterator[tuple[int, int]]:
    """Yield the redirects that init containers set up: the app's port, and the port that connections reach instead."""
    for container in items(spec, "initContainers"):
        match _arguments(_with_variables(container, configs)[0], images):
            case ["redirect", app, to] if app.isdecimal() and to.isdecimal() and not is_native(container):
                yield int(app), int(to)


def _listening(container: Object, address: str) -> int | None:
    """Return the port of a listener at all of the pod's addresses; None if it listens elsewhere, or only at some."""
    host, _, port = address.rpartition(":")
    fields = {
        f"[$({entry.get('name')})]": section(entry, "valueFrom", "fieldRef").get("fieldPath")
        for entry in items(container, "env")
    }
    everywhere = host in _ALL_ADDRESSES or fields.get(host) == "status.podIPs"
    return int(port) if everywhere and port.isdecimal() else None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@dataclass(frozen=True, slots=True)
class _Configuration:
    """The configuration that an enforcer runs with: its file, as far as it is known, and its overrides."""

    values: Mapping[str, Any]
    more_rules: Sequence[Object]
    """The rules of the other files beside it."""
    default_address: str
    """The address of a listener that the configuration does not set; empty if the file is not known."""
    unknown: tuple[str, ...]

    @classmethod
    def read(cls, spec: Object, container: Object, arguments: Sequence[str], configs: ConfigMaps) -> _Configuration:
        """Read the configuration of a container from its arguments and the ConfigMaps that it mounts."""
        path, overrides, unknown = _parse_arguments(arguments)
        document = Document(path, Table(), ())
        files, missing = _files(spec, container, path, configs)
        text = files.pop(path, None)
        if text is None:
            unknown.append(missing)
        else:
            try:
                document = parse(path, text.encode("utf-8", "surrogatepass"))
            except ConfigError:
                unknown.append(f"{path} is not readable")
                text = None
        override(document, overrides)
        unknown += _missing_rule_files(document.values, path, files)
        rules = [rule for name, other in files.items() for rule in _rules(name, other)]
        return cls(document.values, rules, "" if text is None else DEFAULT_LISTENER, tuple(unknown))

    def text(self, *path: str) -> str | None:
        """Return a setting that is a text; None if it is not set."""
        value = section(self.values, *path[:-1]).get(path[-1])
        return value if isinstance(value, str) else None

    def upstreams(self) -> Iterator[int]:
        """Yield the ports of the pod itself that requests are forwarded to."""
        named = self.values.get("upstreams")
        urls = [self.text("upstream", "url"), *(upstream.get("url") for upstream in _mappings(named))]
        for url in urls:
            try:
                location = parse_server(url) if isinstance(url, str) else None
            except ValueError:
                continue
            if location is not None and location.unix is None and _is_loopback(location.host):
                yield location.port

    def reporting(self) -> Iterator[str]:
        """Yield the parts of the policy that are in report mode."""
        # A mode that is not known may be `report`.
        if (mode := self.values.get("mode", _ENFORCE)) != _ENFORCE:
            yield f"mode: {mode}"
        if (mode := section(self.values, "rule_defaults").get("mode", _ENFORCE)) != _ENFORCE:
            yield f"rule_defaults.mode: {mode}"
        for rule in (*items(self.values, "rules"), *self.more_rules):
            if (mode := rule.get("mode", _ENFORCE)) != _ENFORCE:
                yield f"rule {rule.get('name') or rule.get('path')}: mode: {mode}"


def _missing_rule_files(values: Mapping[str, Any], path: str, files: Collection[str]) -> Iterator[str]:
    """Yield the entries of `rule_files` that are not known: their rules may be in report mode."""
    entries = values.get("rule_files")
    for entry in entries if isinstance(entries, list) else ():
        place = posixpath.normpath(posixpath.join(posixpath.dirname(path), str(entry)))
        if not any(_is_within(file, place) or fnmatchcase(file, place) for file in files):
            yield f"its rule files {entry} are in no ConfigMap"


def _mappings(value: Any) -> list[Object]:
    return [member for member in value.values() if isinstance(member, dict)] if isinstance(value, dict) else []


def _parse_arguments(arguments: Sequence[str]) -> tuple[str, list[Override], list[str]]:
    """Return the configuration's path, the overrides, and the arguments that are not known."""
    path, overrides, unknown = "config.yaml", [], []
    words = iter(arguments)
    for word in words:
        if word == "--set":
            text = next(words, "")
        elif word.startswith("--set="):
            text = word.removeprefix("--set=")
        else:
            if word.startswith("-"):
                unknown.append(f"the argument {word}")
            else:
                path = word
            continue
        try:
            overrides.append(parse_override(text))
        except ValueError:
            unknown.append(f"the override {text}")
    return path, overrides, unknown


def _rules(name: str, text: str) -> list[Object]:
    """Return the rules of a file that `rule_files` may name; an unreadable one has none, and no enforcer starts.

    The mode of the file's `rule_defaults` is that of its rules.
    """
    try:
        values = parse(name, text.encode("utf-8", "surrogatepass")).values
    except ConfigError:
        return []
    mode = section(values, "rule_defaults").get("mode", _ENFORCE)
    return [{"mode": mode, **rule} for rule in items(values, "rules")]


def _files(spec: Object, container: Object, path: str, configs: ConfigMaps) -> tuple[dict[str, str], str]:
    """Return the texts of all files that a container mounts from ConfigMaps, by path.

    Without a file at `path`, the reason why it is not known.
    """
    volumes = {str(volume.get("name")): volume for volume in items(spec, "volumes")}
    files: dict[str, str] = {}
    missing = ""
    for mount in sorted(items(container, "volumeMounts"), key=lambda mount: str(mount.get("mountPath"))):
        place = posixpath.normpath(str(mount.get("mountPath")))
        # A mount hides what is below it.
        files = {file: text for file, text in files.items() if not _is_within(file, place)}
        reason = ""
        for source in _config_maps(volumes.get(str(mount.get("name")), {})):
            name = str(source.get("name"))
            if mount.get("subPathExpr"):
                reason = f"subPathExpr chooses the file of configmap/{name}"
            elif name in configs:
                texts = _texts(source, _data(configs[name]))
                files |= {posixpath.join(place, file): text for file, text in _mounted(mount, texts)}
                reason = f"configmap/{name} has no key {posixpath.basename(path)}"
            else:
                reason = f"configmap/{name} with its policy is not among the objects"
        missing = reason if _is_within(path, place) else missing
    files = {posixpath.normpath(file): text for file, text in files.items()}
    return files, "" if path in files else missing or f"its configuration {path} is in no ConfigMap"


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _config_maps(volume: Object) -> list[Object]:
    """Return the ConfigMaps that a volume is made of."""
    sources = [volume, *items(section(volume, "projected"), "sources")]
    return [source for each in sources if (source := section(each, "configMap"))]


def _data(config: Object) -> Object:
    """Return the texts of a ConfigMap, also those that are written as Base64."""
    data = dict(section(config, "data"))
    for key, value in section(config, "binaryData").items():
        with suppress(ValueError):
            data[key] = b64decode(str(value)).decode()
    return data


def _texts(source: Object, data: Object) -> dict[str, str]:
    """Return the files that a volume has of a ConfigMap: all keys, or the chosen ones under other names."""
    chosen = {str(item.get("path")): data.get(str(item.get("key"))) for item in items(source, "items")}
    return {file: text for file, text in (chosen or data).items() if isinstance(text, str)}


def _mounted(mount: Object, texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the files of a volume that a mount shows, by their path in it; empty if the mount itself is the file."""
    part = mount.get("subPath")
    for file, text in texts.items():
        if not isinstance(part, str) or not part:
            yield file, text
        elif _is_within(file, posixpath.normpath(part)):
            yield file.removeprefix(posixpath.normpath(part)).removeprefix("/"), text
