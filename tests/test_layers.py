"""The layers of the code: who may import whom, by the sources' imports."""

import ast
import dataclasses
import fnmatch
import graphlib
import pathlib
import sys

import pytest

from attngan_tf import config
from attngan_tf.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[1]

# The first pattern that fits gives the level. A module imports from lower
# levels, and from its own where NEIGHBOURS says so.
LEVELS = [
    ("attngan_tf.config", 0),
    ("attngan_tf.options", 0),
    ("attngan_tf.files", 0),
    ("attngan_tf.command", 0),
    ("attngan_tf.process", 0),
    ("attngan_tf.scratch", 0),
    ("attngan_tf.startup", 0),
    ("attngan_tf.disk", 1),
    ("attngan_tf.captions", 1),
    ("attngan_tf.lettering", 1),
    ("attngan_tf.png", 1),
    ("attngan_tf.data.text", 1),
    ("attngan_tf.models.blocks", 1),
    ("attngan_tf.models.batch_norm", 1),
    ("attngan_tf.models.convolutions", 1),
    ("attngan_tf.models.glu", 1),
    ("attngan_tf.models.attention", 1),
    ("attngan_tf.models.folding", 1),
    ("attngan_tf.models.inception", 1),
    ("attngan_tf.models.resizing", 1),
    ("attngan_tf.models.part_classifier", 1),
    ("attngan_tf.metrics.*", 1),
    ("attngan_tf.models.text_encoder", 2),
    ("attngan_tf.models.image_encoder", 2),
    ("attngan_tf.models.generator", 2),
    ("attngan_tf.models.discriminator", 2),
    ("attngan_tf.models.projected_discriminator", 2),
    ("attngan_tf.losses", 2),
    ("attngan_tf.runs", 2),
    ("attngan_tf.data.*", 3),
    ("attngan_tf.models.build", 3),
    ("attngan_tf.published.*", 3),
    ("attngan_tf.backends.*", 3),
    ("attngan_tf.sampling", 3),
    ("attngan_tf.figures", 3),
    ("attngan_tf.curves", 3),
    ("attngan_tf.training.*", 4),
    ("attngan_tf.model", 4),
    ("attngan_tf.scoring.*", 4),
    ("attngan_tf.drawing", 4),
    ("attngan_tf.flops", 4),
    ("attngan_tf.machine", 4),
    ("attngan_tf.programs", 4),
    ("attngan_tf.report", 4),
    ("attngan_tf.train", 5),
    ("attngan_tf.generate", 5),
    ("attngan_tf.evaluate", 5),
    ("attngan_tf.prepare", 5),
    ("attngan_tf.convert", 5),
    ("attngan_tf.benchmark", 5),
    ("export.*", 5),
]
NEIGHBOURS = [
    ("attngan_tf.config", "attngan_tf.options"),
    ("attngan_tf.config", "attngan_tf.files"),
    ("attngan_tf.command", "attngan_tf.config"),
    ("attngan_tf.command", "attngan_tf.options"),
    ("attngan_tf.command", "attngan_tf.startup"),
    ("attngan_tf.models.blocks", "attngan_tf.models.batch_norm"),
    ("attngan_tf.models.blocks", "attngan_tf.models.convolutions"),
    ("attngan_tf.models.blocks", "attngan_tf.models.glu"),
    ("attngan_tf.models.batch_norm", "attngan_tf.models.glu"),
    ("attngan_tf.models.convolutions", "attngan_tf.models.glu"),
    ("attngan_tf.models.folding", "attngan_tf.models.batch_norm"),
    ("attngan_tf.models.inception", "attngan_tf.models.folding"),
    ("attngan_tf.metrics.*", "attngan_tf.metrics.*"),
    ("attngan_tf.data.*", "attngan_tf.data.*"),
    ("attngan_tf.backends.*", "attngan_tf.backends.*"),
    ("attngan_tf.sampling", "attngan_tf.figures"),
    ("attngan_tf.published.*", "attngan_tf.published.*"),
    ("attngan_tf.training.*", "attngan_tf.training.*"),
    ("attngan_tf.model", "attngan_tf.training.*"),
    ("attngan_tf.scoring.*", "attngan_tf.scoring.*"),
    ("attngan_tf.scoring.*", "attngan_tf.training.*"),
    ("attngan_tf.scoring.*", "attngan_tf.model"),
    ("attngan_tf.drawing", "attngan_tf.model"),
    ("attngan_tf.programs", "attngan_tf.training.*"),
    ("export.*", "export.*"),
]
COMMANDS = [f"attngan_tf.{name}" for name in ("train", "generate", "evaluate")]
COMMANDS += [f"attngan_tf.{name}" for name in ("prepare", "convert")]
COMMANDS += ["attngan_tf.benchmark"]

# What may use a library; everything else in the project may not.
LIBRARIES = [
    # Models and losses are written in keras.ops; keras.ops has no fused BN.
    ("tensorflow", ["attngan_tf.losses", "attngan_tf.models.*"], False),
    ("tensorflow", ["attngan_tf.metrics.*", "attngan_tf.figures"], False),
    ("keras", ["attngan_tf.metrics.*", "attngan_tf.figures"], False),
    # Reports are read-only on workdirs, and need no networks.
    ("tensorflow", ["attngan_tf.runs", "attngan_tf.report"], False),
    ("matplotlib", ["attngan_tf.curves"], True),
    # Its state is the process's.
    ("matplotlib.pyplot", ["attngan_tf.*"], False),
    ("tensorflow", ["attngan_tf.lettering", "attngan_tf.png"], False),
    ("absl.flags", ["attngan_tf.command", *COMMANDS, "export.*"], True),
    ("absl.app", ["attngan_tf.command", "export.*"], True),
]
EXCEPTIONS = {("attngan_tf.models.batch_norm", "tensorflow")}


def fits(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def level(name: str) -> int | None:
    found = [number for pattern, number in LEVELS if fits(name, [pattern])]
    return found[0] if found else None


def project_sources() -> dict[str, str]:
    """Modules by name; packages only say what they are."""
    found = {}
    for package in ("attngan_tf", "export"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] != "__init__":
                found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


def imports(source: str) -> set[str]:
    """Every name imported, also inside of functions: a.b and a.b.c."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            found.add(node.module)
    return found


def edges(sources: dict[str, str]) -> dict[str, set[str]]:
    """The project's modules that each module imports."""
    return {
        name: imports(source) & set(sources) for name, source in sources.items()
    }


def layer_faults(sources: dict[str, str]) -> list[str]:
    faults = [f"{name} has no level" for name in sources if level(name) is None]
    if faults:
        return faults
    for name, used in edges(sources).items():
        for other in sorted(used):
            if name.startswith("attngan_tf") and other.startswith("export"):
                faults.append(f"{name} imports {other}")
            elif other in COMMANDS and not name.startswith("export"):
                faults.append(f"{name} imports the command {other}")
            elif level(other) > level(name) or (
                level(other) == level(name)
                and not any(
                    fits(name, [a]) and fits(other, [b]) for a, b in NEIGHBOURS
                )
            ):
                faults.append(f"{name} imports {other}, not from below")
    return faults


def library_faults(sources: dict[str, str]) -> list[str]:
    faults = []
    for name, source in sources.items():
        used = imports(source)
        for library, patterns, allowed in LIBRARIES:
            uses = any(f"{x}.".startswith(f"{library}.") for x in used)
            excepted = (name, library) in EXCEPTIONS
            if uses and fits(name, patterns) != allowed and not excepted:
                faults.append(f"{name} uses {library}")
    for name in sources:
        if level(name) == 0:
            outside = {x.split(".")[0] for x in imports(sources[name])}
            outside -= {*sys.stdlib_module_names, "absl", "attngan_tf"}
            faults += [f"{name} uses {x}" for x in sorted(outside)]
    return faults


def test_modules_import_from_below_only():
    assert layer_faults(project_sources()) == []


def test_libraries_stay_where_they_belong():
    assert library_faults(project_sources()) == []


def test_no_module_imports_itself_over_others():
    graphlib.TopologicalSorter(edges(project_sources())).prepare()


def test_every_module_is_imported_by_somebody_or_is_a_command():
    sources = project_sources()
    used = set().union(*edges(sources).values())
    # attngan_tf/__init__.py gives `load` of model.
    used |= {"attngan_tf.model", "attngan_tf.startup", *COMMANDS}
    used |= {place.split(":")[0] for place in config.DISCRIMINATORS.values()}
    unused = [x for x in sources if x not in used and "export" not in x]
    assert unused == []


def test_the_client_of_a_server_needs_nothing_of_ours():
    client = ROOT / "export" / "client.py"
    if not client.exists():
        pytest.skip("export/client.py is not there yet")
    used = imports(client.read_text(encoding="utf-8"))
    assert not [x for x in used if x.split(".")[0] in ("attngan_tf", "export")]


def test_the_package_itself_imports_only_how_tensorflow_starts():
    """TensorFlow takes seconds: only who asks for `load` pays."""
    tree = ast.parse((ROOT / "attngan_tf" / "__init__.py").read_text())
    kinds = (ast.Import, ast.ImportFrom)
    (first,) = [node for node in tree.body if isinstance(node, kinds)]
    assert first.module == "attngan_tf.startup"


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("losses", "import attngan_tf.training.gan", "not from below"),
        ("losses", "from attngan_tf.models import build", "not from below"),
        ("losses", "from attngan_tf.models import generator", "below"),
        ("data.text", "from attngan_tf.data import cub", "not from below"),
        ("training.gan", "from attngan_tf import train", "the command"),
        ("train", "from attngan_tf.generate import main", "the command"),
        ("model", "def f():\n  from export import serve", "imports export"),
        ("surprise", "", "no level"),
    ],
)
def test_a_wrong_import_is_found(module, source, fault):
    others = ("training.gan", "models.build", "models.generator", "data.cub")
    others += ("train", "generate")
    sources = {f"attngan_tf.{name}": "" for name in others}
    sources |= {"export.serve": "", f"attngan_tf.{module}": source}
    (found,) = layer_faults(sources)
    assert f"attngan_tf.{module}" in found
    assert fault in found


@pytest.mark.parametrize(
    ("module", "source", "library"),
    [
        ("losses", "import tensorflow as tf", "tensorflow"),
        ("models.blocks", "from tensorflow import nn", "tensorflow"),
        ("metrics.frechet", "import keras", "keras"),
        ("training.gan", "from absl import flags", "absl.flags"),
        ("model", "from absl.flags import FLAGS", "absl.flags"),
        ("report", "import tensorflow as tf", "tensorflow"),
        ("report", "from matplotlib import figure", "matplotlib"),
        ("curves", "from matplotlib import pyplot", "matplotlib.pyplot"),
        ("config", "import numpy", "numpy"),
    ],
)
def test_a_wrong_library_is_found(module, source, library):
    name = f"attngan_tf.{module}"
    assert library_faults({name: source}) == [f"{name} uses {library}"]


def config_attributes(source: str) -> set[str]:
    """Names x of `config.x`, `self.config.x`, `model.config.x`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = getattr(owner, "id", None) or getattr(owner, "attr", None)
            library = getattr(getattr(owner, "value", None), "id", None)
            if name == "config" and library not in ("tf", "keras"):
                found.add(node.attr)
    return found


def test_every_field_of_the_configuration_is_read_by_somebody():
    example = "config.a + self.config.b + tf.config.c + other.d"
    assert config_attributes(example) == {"a", "b"}
    sources = project_sources()
    del sources["attngan_tf.config"]
    read = set().union(*map(config_attributes, sources.values()))
    fields = {field.name for field in dataclasses.fields(Config)}
    assert sorted(fields - read) == []
