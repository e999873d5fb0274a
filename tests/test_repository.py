"""What the repository promises about itself: who may import whom, pure cores, budgets, documents that match the code."""

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from protocol import config

ROOT = Path(__file__).parents[1]
ROOMS = ("protocol", "device_sim", "gateway", "ledger", "deploy")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70

# room: what it may import of ours. Everything else of ours is refused.
IMPORTS = {
    "protocol": ("protocol",),
    "device_sim": ("protocol", "device_sim"),
    "gateway": ("protocol", "gateway", "ledger.client"),
    "ledger": ("protocol", "ledger"),
    "deploy": ("protocol", "deploy"),
}
# Modules that decide and never act, as prefixes of dotted names.
PURE = (
    "protocol",
    "device_sim.agent",
    "device_sim.cutting",
    "device_sim.sources.body",
    "device_sim.sources.home",
    "gateway.admission",
    "gateway.positions",
    "gateway.anchor",
    "gateway.receipts",
    "gateway.ingress.session",
    "gateway.ingress.packets",
    "gateway.detect",
    "gateway.alerts.lifecycle",
    "gateway.alerts.book",
    "gateway.alerts.escalation",
    "ledger.client.answers",
    "ledger.client.exchanges",
    "ledger.monitor.edge",
    "ledger.monitor.judging",
    "ledger.rules",
    "ledger.questions",
    "ledger.contracts",
    "ledger.founding",
    "ledger.policy",
    "ledger.policyfile",
    "ledger.registry",
    "ledger.devices",
    "ledger.anchors",
    "ledger.witness.gathering",
    "ledger.witness.history",
    "ledger.witness.judging",
    "ledger.witness.rationing",
    "ledger.retention",
    "ledger.credentials.model",
    "ledger.credentials.exchange.dcql",
    "ledger.credentials.exchange.oid4vci",
    "ledger.credentials.exchange.oid4vp",
    "ledger.credentials.rules",
    "ledger.credentials.types",
    "ledger.credentials.vc",
    "ledger.credentials.verdict",
    "ledger.credentials.codes",
    "ledger.credentials.hiring.authority",
    "ledger.credentials.hiring.exclusions",
    "ledger.credentials.hiring.holdings",
    "ledger.credentials.hiring.life",
    "ledger.credentials.hiring.posts",
    "ledger.credentials.hiring.review",
)
IMPURE_MODULES = frozenset(
    "asyncio logging os random secrets select shutil signal socket sqlite3 ssl subprocess tempfile threading time "
    "urllib http click httpx paho aiomqtt starlette uvicorn sqlite_utils prometheus_client".split()
)
PURE_EXCEPTIONS = {"random": ("Random",)}  # a seeded generator is a value that the caller hands in
PURE_SUBMODULES = ("urllib.parse",)  # functions of texts
NUMPY_ROOMS = ("gateway.detect", "device_sim.sources.replay")  # the rest of a device and of a ledger loads no numpy


def modules() -> list[Path]:
    """Every Python module of the product."""
    found = [ROOT / "vigil.py"]
    for room in ROOMS:
        found += sorted((ROOT / room).rglob("*.py"))
    return found


def dotted(path: Path) -> str:
    """The dotted name of a module's path."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.AST) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each import in a module: (module, names taken from it)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports in full"
            yield node.module or "", tuple(alias.name for alias in node.names)


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether the dotted `name` is one of `prefixes` or lies under one."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


PATHS = modules()
TREES = {path: ast.parse(path.read_text()) for path in PATHS}


@pytest.mark.parametrize("path", PATHS, ids=dotted)
def test_a_module_imports_only_what_its_room_may(path: Path) -> None:
    name = dotted(path)
    allowed = (*IMPORTS.get(name.split(".")[0], (*ROOMS, "vigil")),)
    if name == "ledger.client" or name.startswith("ledger.client."):
        allowed = ("protocol", "ledger.client")
    for module, names in imported(TREES[path]):
        if module.split(".")[0] in (*ROOMS, "vigil", "tests", "bench"):
            whole = [module] if within(module, allowed) else [f"{module}.{item}" for item in names] or [module]
            for item in whole:
                assert within(item, allowed), f"{name} may not import {item}"
        if module.split(".")[0] == "numpy":
            assert within(name, NUMPY_ROOMS), f"{name} may not import numpy"


# Of a use case, a log process loads its contract and what that reads; the rest runs in the party.
USE_CASES = ("ledger.credentials",)
IN_THE_LOG = ("ledger.credentials.rules", "ledger.credentials.model")


def test_contracts_ask_each_other_and_import_only_the_port_and_the_registry() -> None:
    kept = [
        dotted(path)
        for path in PATHS
        if any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CONTRACT" for node in TREES[path].body)
    ]
    assert {"ledger.registry", "ledger.policy", "ledger.anchors", "ledger.devices"} <= set(kept)
    for path in PATHS:
        own = [name for name in (*kept, *IN_THE_LOG) if within(dotted(path), (name,))]
        for module, names in imported(TREES[path]) if own else ():
            if within(module, ("ledger",)):
                beside = [name for name in IN_THE_LOG if within(dotted(path), (name.rpartition(".")[0],))]
                allowed = ("ledger.rules", "ledger.questions", "ledger.registry", *own, *beside)
                reached = [module] if within(module, allowed) else [f"{module}.{item}" for item in names] or [module]
                assert all(within(each, allowed) for each in reached), f"{dotted(path)} imports {module}"


def in_the_log(name: str) -> bool:
    """Whether a log process may load the module."""
    return within(name, ("ledger",)) and (not within(name, ("ledger.party", *USE_CASES)) or within(name, IN_THE_LOG))


def test_no_module_of_the_log_imports_a_partys_rooms_or_names_its_key() -> None:
    """A log holds no party's key: what reaches it is signed already."""
    log = [path for path in PATHS if in_the_log(dotted(path))]
    assert len(log) > 20 and any(within(dotted(path), ("ledger.party",)) for path in PATHS)
    for path in log:
        for module, names in imported(TREES[path]):
            reached = {module, *(f"{module}.{item}" for item in names)}
            assert not any(within(each, ("ledger.party",)) for each in reached), f"{dotted(path)} imports {module}"
            whole = [module] if within(module, IN_THE_LOG) else [f"{module}.{item}" for item in names] or [module]
            for each in whole:
                assert not within(each, USE_CASES) or within(each, IN_THE_LOG), f"{dotted(path)} imports {each}"
        texts = {node.value for node in ast.walk(TREES[path]) if isinstance(node, ast.Constant)}
        assert "party.key" not in texts, f"{dotted(path)} names a party's key file"


def test_a_log_process_loads_nothing_of_a_party_and_of_a_use_case_its_contract_alone() -> None:
    """Whatever the imports look like: what is there once the log and all its contracts are loaded."""
    ask = "import sys, ledger.service, ledger.contracts, ledger.http.app; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.split())
    assert "ledger.log.engine" in loaded and set(IN_THE_LOG) <= loaded
    beyond = {name for name in loaded if within(name, ("ledger.party", *USE_CASES)) and not within(name, IN_THE_LOG)}
    assert beyond == set(USE_CASES), "the packages themselves, which are empty"


def test_nothing_that_a_simulation_judges_knows_its_ground_truth() -> None:
    for path in PATHS:
        for module, names in imported(TREES[path]):
            for each in (module, *(f"{module}.{item}" for item in names)):
                room = next((name for name in USE_CASES if within(each, (f"{name}.simulate",))), None)
                asks = room and within(dotted(path), (f"{room}.simulate", f"{room}.cli"))
                assert room is None or asks, f"{dotted(path)} imports {each}"


@pytest.mark.parametrize("path", [path for path in PATHS if within(dotted(path), PURE)], ids=dotted)
def test_a_core_is_pure(path: Path) -> None:
    for module, names in imported(TREES[path]):
        top = module.split(".")[0]
        if top in IMPURE_MODULES and module not in PURE_SUBMODULES:
            assert names and set(names) <= set(PURE_EXCEPTIONS.get(top, ())), f"{dotted(path)} imports {module}"
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "eval", "exec"}, (
                f"{dotted(path)} calls {node.func.id}"
            )


@pytest.mark.parametrize("path", PATHS, ids=dotted)
def test_a_module_stays_within_its_budget(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MODULE_LINES_MAX, f"{lines} lines"
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", PATHS, ids=dotted)
def test_a_module_says_what_it_is_for_and_so_does_what_is_public_in_it(path: Path) -> None:
    assert ast.get_docstring(TREES[path]), "say in the first sentence what the module is for"
    for node in TREES[path].body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize("path", PATHS, ids=dotted)
def test_no_module_catches_everything(path: Path) -> None:
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else ""
            assert caught and not re.search(r"\b(Base)?Exception\b", caught), f"line {node.lineno}: name what you catch"


def committed() -> list[Path]:
    """Every text file that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = [name for name in listed.stdout.decode().split("\0") if name]
    if listed.returncode:
        names = [str(path.relative_to(ROOT)) for path in PATHS]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_no_file_names_a_package_index_or_a_path_of_a_machine() -> None:
    index_hosts = [
        "py" + "pi.org",
        "python" + "hosted.org",
        "registry.npm" + "js",
        "proxy.golang" + ".org",
        "crates" + ".io",
    ]
    machine_paths = ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/runner"]
    for path in committed():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for word in index_hosts + machine_paths:
            assert word not in text, f"{path.relative_to(ROOT)} names {word}"


def test_the_lock_pins_every_package_by_hash_and_names_no_index() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9][a-z0-9._-]*)==\S+ \\$", lock, flags=re.MULTILINE)
    assert len(pins) > 20
    assert "--index-url" not in lock and "://" not in lock
    assert len(re.findall(r"^[a-z0-9][a-z0-9._-]*==", lock, flags=re.MULTILINE)) == len(pins), "a pin has no hash"


SETTINGS = (
    ("device", "device_sim.settings"),
    ("gateway", "gateway.settings"),
    ("ledger", "ledger.settings"),
    ("party", "ledger.party.settings"),
    ("witness", "ledger.witness.settings"),
)


@pytest.mark.parametrize(("table", "module"), SETTINGS, ids=[table for table, _ in SETTINGS])
def test_every_setting_is_in_the_example_file_which_loads(table: str, module: str) -> None:
    text = (ROOT / "deploy" / "vigil.example.toml").read_text()
    settings = importlib.import_module(module).Settings
    section = text.split(f"[{table}]", 1)[1].split("\n[", 1)[0]
    for field in dataclasses.fields(settings):
        assert re.search(rf"^#? ?{field.name} = ", section, flags=re.MULTILINE), (
            f"[{table}] {field.name} is not documented"
        )
    uncommented = re.sub(r"^# ?(\w+ = )", r"\1", section, flags=re.MULTILINE)
    config.resolve(settings, table, text=f"[{table}]{uncommented}")


def commands(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Every leaf command with its words."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, (*words, name))
    else:
        yield " ".join(words), command


def test_every_command_is_in_the_readme_and_has_json_and_help() -> None:
    readme = (ROOT / "README.md").read_text()
    cli = importlib.import_module("vigil").cli
    found = dict(commands(cli, ("vigil",)))
    assert len(found) > 10
    for words, command in found.items():
        assert f"`{words}" in readme, f"README does not name `{words}`"
        assert command.help, f"{words} has no help"
        assert any("--json" in param.opts for param in command.params), f"{words} has no --json"


def test_the_readmes_snippet_runs(tmp_path: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert snippets
    for snippet in snippets:
        ran = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.strip(), "a snippet should show something"


def test_every_path_that_the_architecture_names_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:protocol|device_sim|gateway|ledger|deploy|tests|bench)/[\w./-]+)`", text))
    assert named
    for name in named:
        assert (ROOT / name).exists(), f"ARCHITECTURE.md names {name}, which is not here"
