"""No input is executed, and the network is used only where help says so."""

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

# Functions that execute what they read, with the module that may call them.
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
    # Its find_class returns harmless classes only.
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
# Calls that are safe only with an argument, which must be given.
NEEDS = {
    "torch.load": ("weights_only", True),
    "*.load_model": ("safe_mode", True),
}
NEVER = {"shell": True, "allow_pickle": True}

# Modules with network access, and the flags whose help mentions it.
NETWORK_USERS = {
    "attngan_tf.evaluation.features.keras_models": (
        "evaluate",
        "backend_weights",
    ),
    "attngan_tf.models.inception": ("prepare", "inception_weights"),
    "attngan_tf.data.workers": ("prepare", "beam_options"),
    "attngan_tf.training.distribution": ("prepare", "distribution"),
    "attngan_tf.training.rendezvous": ("prepare", "distribution"),
    "export.serving.*": ("serve", "host"),
    # Its arguments are addresses.
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
HARMLESS = {"socket.gethostname"}


def sources() -> dict[str, str]:
    found = {}
    for package in ("attngan_tf", "export"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts)] = path.read_text(encoding="utf-8")
    return found


def full_names(tree: ast.AST) -> dict[str, str]:
    """The full name of each imported name."""
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
    """The full dotted name of everything that is called or referenced."""
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


def test_no_input_is_executed():
    for module, source in sources().items():
        assert input_faults(module, source) == []
    for path in (ROOT / ".ci").iterdir():
        if path.read_text().startswith("#!/usr/bin/env python3"):
            assert input_faults(path.name, path.read_text()) == []


EXECUTING = [
    "eval(text)",
    "exec(open(path).read())",
    "import pickle\npickle.load(file)",
    "from pickle import loads\nloads(data)",
    "import pickle\nclass A(pickle._Unpickler): pass",
    "import numpy as np\nnp.load(path, allow_pickle=True)",
    "import torch\ntorch.load(path)",
    "import torch\ntorch.load(path, weights_only=False)",
    "import keras\nkeras.saving.load_model(path)",
    "import yaml\nyaml.load(text, Loader=yaml.Loader)",
    "import os\nos.system(command)",
    "import subprocess\nsubprocess.run(command, shell=True)",
]


def test_execution_of_input_is_detected():
    assert all(input_faults("module", source) for source in EXECUTING)


ACCEPTED = [
    "import re\nre.compile(pattern)",
    "model.eval()",
    "import torch\ntorch.load(path, weights_only=True)",
    "import yaml\nyaml.safe_load(text)",
    "import json\njson.load(file)",
]


def test_harmless_calls_are_accepted():
    assert not any(input_faults("module", source) for source in ACCEPTED)


def network_access(source: str) -> set[str]:
    """The names of the network's libraries that a source uses."""
    tree = ast.parse(source)
    imported = set(full_names(tree).values())
    roots = {name.split(".")[0] for name in imported}
    names = imported | {x for x, _ in used(tree) if x.split(".")[0] in roots}
    # Importing socket alone is harmless.
    names -= HARMLESS | {"socket"}
    return {
        x for x in names if matches(x, NETWORK) or matches(f"{x}.", NETWORK)
    }


def test_network_access_is_mentioned_in_help_texts():
    helps = {"prepare": prepare, "evaluate": evaluate, "serve": server_flags}
    for program, module in helps.items():
        values = flags.FlagValues()
        module.define_flags(values)
        helps[program] = values
    seen = set()
    for module, source in sources().items():
        if not network_access(source):
            continue
        pattern = matches(module, NETWORK_USERS)
        assert pattern, (module, network_access(source))
        seen.add(pattern)
        if NETWORK_USERS[pattern]:
            program, flag = NETWORK_USERS[pattern]
            text = helps[program][flag].help
            assert "download" in text or "network" in text, flag
    assert seen == set(NETWORK_USERS)


def test_network_access_is_detected():
    assert network_access("import socket\nsocket.create_connection(address)")
    assert network_access("from urllib import request\nrequest.urlopen(url)")
    assert network_access("import keras\nkeras.utils.get_file('a', 'b')")
    assert network_access(
        "import tensorflow_datasets as tfds\ntfds.load('mnist')"
    )
    assert not network_access("import socket\nsocket.gethostname()")


# An audit hook that refuses and records every connection and look-up.
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


def without_network() -> list[str]:
    """A command prefix that removes the network, if that is permitted."""
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
        [
            *without_network(),
            sys.executable,
            "-c",
            OFFLINE,
            *arguments,
            str(tmp_path),
        ],
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
    # The hook itself refuses and records a connection.
    attempt = "import socket; socket.create_connection(('127.0.0.1', 9))"
    refused = subprocess.run(
        [sys.executable, "-c", attempt],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "TRIED": str(tried)},
        capture_output=True,
        text=True,
    )
    assert "there is no network" in refused.stderr
    assert "socket.getaddrinfo" in tried.read_text()
