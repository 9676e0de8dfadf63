"""The rules of the code's shape, read from its own imports."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("enforcer", "authserver", "country_app")

ROOMS = (
    *(
        "errors",
        "units",
        "secret",
        "clients",
        "shares",
        "share_report",
        "counters",
        "native",
        "exposition",
        "yamltext",
        "telemetry",
        "settings",
        "wire",
        "tokens",
    ),
    *("policy", "decision_log", "proxy", "decision_api", "analysis"),
    *("config", "operations", "server", "doctor", "kubernetes", "cli"),
)
"""From the ground up: a room imports itself and those before it."""

PURE = (
    *(
        "errors",
        "units",
        "secret",
        "clients",
        "shares",
        "counters",
        "exposition",
        "wire.fields",
        "wire.target",
        "wire.dialing.address_list",
    ),
    *("settings.limits", "settings.forwarding"),
    *("tokens.bearer", "tokens.challenge", "tokens.cache", "tokens.limiter", "tokens.documents.strict_json"),
    *(
        "tokens.documents.refresh_schedule",
        "tokens.introspection.response",
        "tokens.introspection.breaker",
        "tokens.claims",
        "tokens.identity",
    ),
    *("tokens.introspection.metadata", "tokens.jwt.jws", "tokens.jwt.jwks", "tokens.jwt.jwt"),
    *("tokens.claims", "tokens.identity", "tokens.jwt.fault", "tokens.dpop.origins"),
    *("tokens.dpop.binding", "tokens.dpop.possession", "tokens.dpop.replay_cache", "tokens.dpop.proof"),
    *("policy.rules", "policy.matcher", "policy.decision"),
    *("analysis.evaluator", "analysis.explain", "analysis.explanation_text", "analysis.policy_tests", "analysis.junit"),
    *("analysis.request_heads", "analysis.candidates"),
    *(
        "analysis.lint",
        "analysis.strength",
        "analysis.denial_report",
        "analysis.learn.path_templates",
        "analysis.learn.uses",
        "analysis.learn.hosts",
        "analysis.learn.proposals",
        "analysis.learn.learner",
        "analysis.rule_yaml",
    ),
    *("analysis.openapi.nodes", "analysis.openapi.security", "analysis.openapi.reader", "analysis.openapi.outcome"),
    *("analysis.openapi.proposals", "analysis.openapi.comparison"),
    *("decision_log.record", "decision_log.buffer", "decision_log.redaction"),
    *("proxy.messages.forwarding", "proxy.messages.responses", "proxy.messages.head"),
    *("decision_api.contracts", "decision_api.answers", "decision_api.grpc.protobuf", "decision_api.grpc.check"),
    *("yamltext.objects", "yamltext.json_diff", "yamltext.documents", "yamltext.writer", "yamltext.editor"),
    *("yamltext.aliases", "kubernetes.inject.pod.choice", "kubernetes.inject.pod.protocols"),
    *("yamltext.stream", "kubernetes.settings", "kubernetes.selectors", "kubernetes.sidecar", "kubernetes.workloads"),
    *("kubernetes.annotations", "kubernetes.inject.pod.pod_template", "kubernetes.inject.pod.uninject"),
    *("kubernetes.inject.pod.ports", "kubernetes.inject.pod.probes", "kubernetes.inject.objects.services"),
    *(
        "kubernetes.inject.objects.networkpolicies",
        "kubernetes.inject.bypass_report",
        "kubernetes.inject.objects.scaling",
        "kubernetes.inject.diagnostics",
        "kubernetes.inject.surroundings",
        "kubernetes.inject.objects.api_server",
    ),
    *("kubernetes.inject.report", "kubernetes.inject.manifest_set", "kubernetes.inject.workload_pass"),
    *("kubernetes.inject.injector", "kubernetes.inject.prepare", "kubernetes.inject.check"),
    *("kubernetes.pod_templates", "kubernetes.verify.enforcers", "kubernetes.verify.services"),
    *("kubernetes.verify.network_policies", "kubernetes.verify.pods", "kubernetes.verify.verdicts"),
    *(
        "kubernetes.verify.report",
        "kubernetes.verify.object_set",
        "kubernetes.cluster_check",
        "kubernetes.carried_options",
    ),
    *("kubernetes.inject.uninjector", "kubernetes.webhook.admission", "kubernetes.webhook.review"),
)
"""The modules that decide: no event loop, socket, clock, environment or logger."""

IMPURE = {
    "asyncio",
    "uvloop",
    "socket",
    "ssl",
    "select",
    "time",
    "datetime",
    "logging",
    "os",
    "subprocess",
    "threading",
}


@dataclass(eq=False)
class Module:
    """One module: its dotted name, where it is, and its tree, which is read when a test needs it."""

    name: str
    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text("utf-8"))

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree."""
        return list(ast.walk(self.tree))

    @property
    def room(self) -> str:
        """The part of the package that it belongs to; the package itself is nobody's."""
        return self.name.split(".")[1] if "." in self.name else ""

    @cached_property
    def imports(self) -> list[str]:
        """Dotted names of what it imports, also within functions; `from a import b` is `a.b`."""
        return list(_imports(self.nodes))

    @cached_property
    def imports_to_run(self) -> list[str]:
        """The imports without those for types only."""
        guarded = {id(inner) for node in self.nodes if _is_for_types_only(node) for inner in ast.walk(node)}
        return list(_imports(node for node in self.nodes if id(node) not in guarded))


def _imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _read(package: str) -> Iterator[Module]:
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield Module(".".join(parts).removesuffix(".__init__"), path)


MODULES = {module.name: module for package in PACKAGES for module in _read(package)}
ENFORCER = [module for name, module in MODULES.items() if name.startswith("enforcer.")]


def by_name(module: Module) -> str:
    return module.name


def _imported_module(name: str) -> str:
    """`enforcer.wire.fields.fold` is of the module `enforcer.wire.fields`."""
    while name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name


def test_every_module_is_in_a_room() -> None:
    """A new one is given its place in the order."""
    assert {module.room for module in ENFORCER} - {"__main__"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_itself_and_rooms_before_it(room: str) -> None:
    """One way, no back and forth; imports for types only count too."""
    allowed = {"", *ROOMS[: ROOMS.index(room) + 1]}
    imported = {
        (module.name, MODULES[name].room)
        for module in ENFORCER
        if module.room == room
        for name in map(_imported_module, module.imports)
        if name in MODULES
    }
    assert {(name, other) for name, other in imported if other not in allowed} == set()


FOLDERS = sorted({module.path.parent for module in ENFORCER})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_no_folder_has_more_than_a_dozen_modules(folder: Path) -> None:
    """A listing is understood at a glance; what is more becomes folders in it."""
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 12


def _circle(room: str) -> list[str]:
    """Return the modules of a room that take part in an import circle, imports for types only included."""
    inside = {module.name: module for module in ENFORCER if module.room == room}
    imported = {
        name: {_imported_module(text) for text in module.imports} & inside.keys() - {name}
        for name, module in inside.items()
    }
    left = dict(imported)
    while removable := {
        name for name in left if not imported[name] & left.keys() or not any(name in imported[other] for other in left)
    }:
        left = {name: needed for name, needed in left.items() if name not in removable}
    return sorted(left)


@pytest.mark.parametrize("room", ROOMS)
def test_no_import_circle_inside_a_room(room: str) -> None:
    """A room is read in one order; imports for types only count too."""
    assert _circle(room) == []


def _reached(module: Module) -> Iterator[Module]:
    """Yield a module and all of ours that it needs to run; imports for types only are not needed."""
    reached = {module.name: module}
    waiting = [module]
    while waiting:
        current = waiting.pop()
        yield current
        for name in map(_imported_module, current.imports_to_run):
            if name in MODULES and name not in reached:
                reached[name] = MODULES[name]
                waiting.append(MODULES[name])


@pytest.mark.parametrize("name", PURE)
def test_what_decides_has_no_event_loop_socket_clock_or_logger(name: str) -> None:
    """The core never waits: time comes in as an argument. It imports none of these, nor anything of ours that does."""
    impure = {
        (needed.name, imported)
        for needed in _reached(MODULES[f"enforcer.{name}"])
        for imported in needed.imports_to_run
        if imported.partition(".")[0] in IMPURE
    }
    assert impure == set()


@pytest.mark.parametrize("name", PURE)
def test_what_decides_has_nothing_asynchronous(name: str) -> None:
    """A function that decides returns."""
    waiting = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)
    assert not any(isinstance(node, waiting) for node in MODULES[f"enforcer.{name}"].nodes)


def _calls(module: Module, name: str) -> Iterator[ast.Call]:
    for node in module.nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
            yield node


def test_only_the_decision_makes_a_permit() -> None:
    """Nothing is forwarded that `decide` did not allow."""
    makers = {module.name for module in ENFORCER if any(_calls(module, "Allow"))}
    assert makers == {"enforcer.policy.decision"}


def test_a_permit_is_made_in_no_other_way() -> None:
    """Neither under another name, nor past its constructor."""
    for module in ENFORCER:
        names = [alias for node in module.nodes if isinstance(node, ast.ImportFrom) for alias in node.names]
        assert not [alias for alias in names if alias.name == "Allow" and alias.asname]
        assert not [call for call in _calls(module, "__new__") if any(ast.unparse(arg) == "Allow" for arg in call.args)]
        assert not [call for call in _calls(module, "replace") if "permit" in ast.unparse(call)]
    tree = MODULES["enforcer.policy.decision"].tree
    (allow,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Allow"]
    assert "final" in map(ast.unparse, allow.decorator_list)
    (decide,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "decide"]
    inside = {id(node) for node in ast.walk(decide)}
    assert all(id(call) in inside for call in _calls(MODULES["enforcer.policy.decision"], "Allow"))


def test_only_a_comparison_proves_possession() -> None:
    """A bound token passes for nothing that somebody else says."""
    makers = {module.name for module in ENFORCER if any(_calls(module, "Proven"))}
    assert makers == {"enforcer.tokens.dpop.possession"}
    of_a_key = {module.name for module in ENFORCER if any(_calls(module, "with_key"))}
    assert of_a_key == {"enforcer.tokens.dpop.proof", "enforcer.analysis.evaluator"}


def test_a_request_head_takes_a_permit() -> None:
    """Forgetting the check does not type-check."""
    tree = MODULES["enforcer.proxy.messages.forwarding"].tree
    (head,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "request_head"]
    first = head.args.args[0]
    assert first.annotation is not None
    assert ast.unparse(first.annotation) == "Allow"
    assert not head.args.defaults


def _package(name: str) -> str:
    return name.partition(".")[0]


def test_the_three_packages_know_nothing_of_each_other() -> None:
    """The authorization server and the app are counterparts of the product, and no part of it."""
    imported = {(module.name, _package(name)) for module in MODULES.values() for name in module.imports}
    assert {(name, other) for name, other in imported if other in PACKAGES and other != _package(name)} == set()


def test_no_module_is_longer_than_500_lines() -> None:
    """A module has one job, and can be read in one go."""
    lengths = {name: len(module.path.read_text("utf-8").splitlines()) for name, module in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 500} == {}


MIRRORED = [
    module.name.removeprefix("enforcer.")
    for module in ENFORCER
    if module.room in ("decision_api", "decision_log", "proxy") and module.path.name != "__init__.py"
]


def _test_module(name: str) -> Path:
    *room, last = name.split(".")
    return ROOT.joinpath("tests", *room, f"test_{last}.py")


def test_each_pure_module_has_its_test_module() -> None:
    """And so has every module of the request path: the tests mirror the modules."""
    assert [name for name in sorted({*PURE, *MIRRORED}) if not _test_module(name).is_file()] == []


HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"][
    "hooks"
]["custom"]
COMPILED = [
    module
    for module in ENFORCER
    if module.path.name != "__init__.py"
    and any(f"{module.name}.".startswith(f"enforcer.{name}.") for name in HOOK["compiled"])
    and module.name.removeprefix("enforcer.") not in HOOK["interpreted"]
]
"""The modules that `hatch_build.py` compiles."""

BASES = {"Protocol", "NamedTuple", "Enum", "IntEnum", "StrEnum", "Generic", "ABC", "Exception", "dict"}
"""Base classes of compiled classes that are not ours. Others would turn them into slower, interpreted classes."""


def test_the_request_path_is_compiled() -> None:
    """All of it, except the modules that are listed with a reason each."""
    assert {"wire", "tokens", "policy", "decision_log", "proxy", "decision_api"} <= {*HOOK["compiled"]}
    assert {module.room for module in COMPILED} == {*HOOK["compiled"]}


@pytest.mark.parametrize("name", HOOK["interpreted"])
def test_each_exception_exists_and_has_a_reason(name: str) -> None:
    """A module that is gone, or that compiles by now, is not listed."""
    assert any(f"enforcer.{name}.".startswith(f"enforcer.{compiled}.") for compiled in HOOK["compiled"])
    assert f"enforcer.{name}" in MODULES
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert re.search(rf'^  "{re.escape(name)}", # \S.{{20,}}$', text, re.MULTILINE)


def test_no_compiled_class_has_a_base_that_is_not_compiled() -> None:
    """It would have to be an interpreted class itself, and each of its attributes a look-up in a dictionary."""
    classes = [(module.name, node) for module in COMPILED for node in module.nodes if isinstance(node, ast.ClassDef)]
    allowed = BASES | {node.name for _, node in classes}
    bases = {(name, ast.unparse(base).partition("[")[0]) for name, node in classes for base in node.bases}
    assert {(name, base) for name, base in bases if base not in allowed} == set()


@pytest.mark.parametrize("module", COMPILED, ids=by_name)
def test_no_compiled_function_nests_another(module: Module) -> None:
    """A compiled closure is an object that refers to itself, so only the garbage collector frees it."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    nested = [
        inner.lineno
        for node in module.nodes
        if isinstance(node, functions)
        for inner in ast.walk(node)
        if isinstance(inner, functions) and inner is not node
    ]
    assert nested == []
