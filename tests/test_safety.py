"""Input is not run, and the network is not used unasked."""

import ast
import fnmatch
import os
import pathlib
import subprocess
import sys

import pytest
from absl import flags

from attngan_tf import evaluate, prepare
from export.serving import server_flags

ROOT = pathlib.Path(__file__).resolve().parents[1]

# What runs what it reads, with the one place that may call it.
RUNS_INPUT = {
    "eval": None,
    "exec": None,
    "compile": None,
    "__import__": None,
    "os.system": None,
    "os.popen": None,
    "pickle.load": None,
    "pickle.loads": None,
    "pickle.Unpickler": None,
    # Given only stand-ins for the names that a pickle asks for.
    "pickle._Unpickler": "attngan_tf.data.pickles",
    "shelve.open": None,
    "marshal.load*": None,
    "dill.*": None,
    "joblib.load": None,
    "yaml.load*": None,
    "yaml.full_load*": None,
    "yaml.unsafe_load*": None,
    "*.enable_unsafe_deserialization": None,
}
# Calls that are safe with one argument only, which must be written down.
NEEDS = {
    "torch.load": ("weights_only", True),
    "*.load_model": ("safe_mode", True),
}
NEVER = {"shell": True, "allow_pickle": True}

# Modules that talk to others, and the flags whose help says so.
TALKS = {
    "attngan_tf.evaluation.features.keras_models": (
        "evaluate",
        "backend_weights",
    ),
    "attngan_tf.models.inception": ("prepare", "inception_weights"),
    "attngan_tf.data.workers": ("prepare", "beam_options"),
    "attngan_tf.training.distribution": ("prepare", "distribution"),
    "attngan_tf.training.rendezvous": ("prepare", "distribution"),
    "export.serving.*": ("serve", "host"),
    # Its arguments are addresses, and it does nothing else.
    "export.client": None,
}
NETWORK = (
    "apache_beam.*",
    "ftplib.*",
    "grpc.*",
    "http.*",
    "requests.*",
    "smtplib.*",
    "socket.*",
    "urllib.request*",
    "waitress.*",
    "keras.utils.get_file",
    "keras.applications.*",
    "tensorflow.distribute.MultiWorker*",
    "tensorflow_datasets.load",
    "tfds.load",
)
QUIET = {"socket.gethostname"}


def sources() -> dict[str, str]:
    found = {}
    for package in ("attngan_tf", "export"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


def full_names(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names[alias.asname or alias.name] = full
    return names


def used(tree: ast.AST) -> list[tuple[str, ast.AST]]:
    """Full dotted names of everything that is called, or named at all."""
    names, found = full_names(tree), []
    for node in ast.walk(tree):
        parts, inner = [], node
        while isinstance(inner, ast.Attribute):
            parts.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and (parts or inner is node):
            start = names.get(inner.id, inner.id)
            found.append((".".join([start, *parts]), node))
    return found


def matches(name: str, patterns) -> str | None:
    return next((p for p in patterns if fnmatch.fnmatchcase(name, p)), None)


def input_faults(module: str, source: str) -> list[str]:
    tree = ast.parse(source)
    called = {id(x.func): x for x in ast.walk(tree) if isinstance(x, ast.Call)}
    faults = []
    for name, node in used(tree):
        pattern = matches(name, RUNS_INPUT)
        if pattern and RUNS_INPUT[pattern] != module:
            faults.append(f"{module} uses {name}")
        pattern, call = matches(name, NEEDS), called.get(id(node))
        if pattern and call:
            given = {k.arg: getattr(k.value, "value", 0) for k in call.keywords}
            argument, value = NEEDS[pattern]
            if given.get(argument) is not value:
                faults.append(f"{module} calls {name} without {argument}")
    for call in called.values():
        for keyword in call.keywords:
            harmless = getattr(keyword.value, "value", None) is False
            if keyword.arg in NEVER and not harmless:
                faults.append(f"{module} gives {keyword.arg}")
    return faults


def test_no_input_is_run():
    for module, source in sources().items():
        assert input_faults(module, source) == []
    for path in (ROOT / ".ci").iterdir():
        if path.read_text().startswith("#!/usr/bin/env python3"):
            assert input_faults(path.name, path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "exec(open(path).read())",
        "import pickle\npickle.load(file)",
        "from pickle import loads\nloads(data)",
        "import pickle as p\nread = p.Unpickler",
        "import pickle\nclass A(pickle._Unpickler): pass",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, allow_pickle=choice)",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import keras\nkeras.saving.load_model(path)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "import os\nos.system(command)",
        "import subprocess\nsubprocess.run(command, shell=True)",
    ],
)
def test_what_runs_input_is_found(source):
    assert input_faults("module", source)


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile(pattern)",
        "model.eval()",
        "import torch\ntorch.load(path, weights_only=True)",
        "import pickle\npickle.dump(words, file)",
        "import yaml\nyaml.safe_load(text)",
        "import json\njson.load(file)",
    ],
)
def test_what_does_not_is_left_alone(source):
    assert input_faults("module", source) == []


def talks(source: str) -> set[str]:
    """What a source uses of the network's libraries, by imported names."""
    tree = ast.parse(source)
    imported = set(full_names(tree).values())
    roots = {name.split(".")[0] for name in imported}
    names = imported | {x for x, _ in used(tree) if x.split(".")[0] in roots}
    # An imported module alone does nothing yet, unless all it does is talk.
    names -= QUIET | {"socket"}
    return {
        x for x in names if matches(x, NETWORK) or matches(f"{x}.", NETWORK)
    }


def test_what_talks_to_others_says_so_in_its_help():
    helps = {"prepare": prepare, "evaluate": evaluate, "serve": server_flags}
    for program, module in helps.items():
        values = flags.FlagValues()
        module.define_flags(values)
        helps[program] = values
    seen = set()
    for module, source in sources().items():
        if not talks(source):
            continue
        pattern = matches(module, TALKS)
        assert pattern, (module, talks(source))
        seen.add(pattern)
        if TALKS[pattern]:
            program, flag = TALKS[pattern]
            text = helps[program][flag].help
            assert "download" in text or "network" in text, flag
    assert seen == set(TALKS)


def test_talking_is_found():
    assert talks("import socket\nsocket.create_connection(place)")
    assert talks("from urllib import request\nrequest.urlopen(url)")
    assert talks("import keras\nkeras.utils.get_file('a', 'b')")
    assert talks("import tensorflow_datasets as tfds\ntfds.load('mnist')")
    assert not talks("import socket\nsocket.gethostname()")


# Python tells a hook of every connection and look-up that is tried.
NO_NETWORK = """
import os, sys
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        with open(os.environ["TRIED"], "a") as file:
            print(event, arguments, file=file)
        raise OSError(f"there is no network: {arguments}")
sys.addaudithook(hook)
"""
# The packages of the extra `serve`.
NO_SERVER = """
sys.modules.update(dict.fromkeys(["grpc", "orjson", "waitress"]))
"""
OFFLINE = """
import sys
from absl import flags
from attngan_tf.cli import command
from attngan_tf import evaluate, generate, prepare, train
from export import saved_model
config, work, out = sys.argv[1:4], sys.argv[4], sys.argv[5]
def run(module, define, *arguments):
    values = flags.FlagValues()
    define(values)
    module.main(values, values(["command", *arguments])[1:])
run(prepare, prepare.define_flags, *config)
run(train, command.define_config_flags, *config, f"--workdir={work}")
run(generate, generate.define_flags, f"--workdir={work}",
    f"--output={out}/pictures", "a red bird")
run(evaluate, evaluate.define_flags, f"--workdir={work}",
    "--num_images=100", "--metrics=r_precision,diversity")
run(saved_model, saved_model.define_flags, f"--workdir={work}",
    f"--export_dir={out}/model")
"""


def outside() -> list[str]:
    """A command's start that takes the network away, where permitted."""
    start = ["unshare", "--map-root-user", "--net"]
    try:
        tried = subprocess.run([*start, "true"], capture_output=True)
    except OSError:
        return []
    return start if tried.returncode == 0 else []


@pytest.mark.slow
def test_commands_need_no_network_and_no_server(tiny_config, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK + NO_SERVER)
    tried = tmp_path / "tried"
    config = tiny_config(damsm_steps=2, gan_steps=2, workdir="")
    flagfile = tmp_path / "tiny.flags"
    flagfile.write_text(
        "".join(
            f"--{name}={value}\n"
            for name, value in vars(config).items()
            if value is not None and name not in ("workdir", "prepared_dir")
        )
    )
    arguments = [f"--flagfile={flagfile}", f"--prepared_dir={tmp_path}/data"]
    arguments += ["--distribution=one_device", f"{tmp_path}/run"]
    done = subprocess.run(
        [*outside(), sys.executable, "-c", OFFLINE, *arguments, str(tmp_path)],
        env=os.environ
        | {
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "TRIED": str(tried),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert not tried.exists(), tried.read_text()
    assert (tmp_path / "pictures" / "contact_sheet.png").exists()
    assert (tmp_path / "model" / "1" / "saved_model.pb").exists()
    # The hook itself: a connection is tried, refused, and told.
    attempt = "import socket; socket.create_connection(('127.0.0.1', 9))"
    refused = subprocess.run(
        [sys.executable, "-c", attempt],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "TRIED": str(tried)},
        capture_output=True,
        text=True,
    )
    assert "there is no network" in refused.stderr
    assert "socket.getaddrinfo" in tried.read_text()
