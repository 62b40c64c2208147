"""The program has no door by which data becomes code: no pickles, no eval, no shell, no unsafe loaders."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "landmark_spark").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")])
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__"}
ATTRIBUTES = {
    *(
        "yaml.load",
        "yaml.load_all",
        "yaml.full_load",
        "yaml.unsafe_load",
        "yaml.Loader",
        "yaml.UnsafeLoader",
        "yaml.FullLoader",
    ),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "torch.load", "tempfile.mktemp"),
    *(
        "pd.read_pickle",
        "pandas.read_pickle",
        "markupsafe.Markup.unescape",
        "keras.config.enable_unsafe_deserialization",
    ),
}
# Between a process and the child that it started itself, through a pipe that nobody else has; never from a file.
PIPES = {"landmark_spark/barrier.py", "landmark_spark/child_process.py"}
OPTIONS = {"allow_pickle": (False,), "shell": (False,), "safe_mode": (True,), "autoescape": (True,)}


def dotted(node):
    """Return the name that an expression writes out, such as os.path.join; "" for any other expression."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def doors(text):
    """Return (line, what) of every way in a source by which data could become code."""
    found = []
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            found += [
                (node.lineno, f"{node.module}.{each.name}")
                for each in node.names
                if f"{node.module}.{each.name}" in ATTRIBUTES
            ]
        found += [(node.lineno, name) for name in names if name.split(".")[0] in MODULES]
        if isinstance(node, ast.Attribute) and dotted(node) in ATTRIBUTES:
            found.append((node.lineno, dotted(node)))
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in CALLS:
                found.append((node.lineno, node.func.id))
            for each in node.keywords:
                allowed = OPTIONS.get(each.arg)
                if allowed is not None and not (isinstance(each.value, ast.Constant) and each.value.value in allowed):
                    found.append((node.lineno, each.arg))
            name = dotted(node.func)
            if name in ("np.load", "numpy.load") and not any(each.arg == "allow_pickle" for each in node.keywords):
                found.append((node.lineno, f"{name} without allow_pickle"))
            if name.endswith(("saving.load_model", "models.load_model")) and not any(
                e.arg == "safe_mode" for e in node.keywords
            ):
                found.append((node.lineno, f"{name} without safe_mode"))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_has_a_door_for_data_to_become_code(path):
    text = path.read_text(encoding="utf-8")
    allowed = {"pickle"} if path.relative_to(ROOT).as_posix() in PIPES else set()
    assert [each for each in doors(text) if each[1] not in allowed] == []
    assert not allowed or ("recv_bytes" in text and "pickle.load(" not in text)


def test_templates_mark_nothing_as_safe():
    templates = list((ROOT / "landmark_spark").rglob("*.jinja"))
    assert templates
    for path in templates:
        text = path.read_text(encoding="utf-8")
        assert "|safe" not in text.replace(" ", "") and "autoescape" not in text


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "from os import system",
        "os.system('x')",
        "eval(x)",
        "yaml.load(x)",
        "yaml.load(x, Loader=yaml.UnsafeLoader)",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=flag)",
        "subprocess.run(x, shell=True)",
        "keras.saving.load_model(x)",
        "keras.saving.load_model(x, safe_mode=False)",
        "Environment(autoescape=False)",
    ],
)
def test_the_doors_are_seen(text):
    assert doors(text)


@pytest.mark.parametrize(
    "text", ["re.compile(x)", "yaml.safe_load(x)", "np.load(x, allow_pickle=False)", "subprocess.run([x])"]
)
def test_what_is_no_door_is_not_taken_for_one(text):
    assert doors(text) == []
