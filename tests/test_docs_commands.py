"""What the documents tell people to type is what the project takes; what can be run in seconds is run."""

import ast
import importlib
import os
import re
import shutil

import pytest
import yaml
from conftest import TINY
from document_commands import ROOT, commands, documents, fences
from landmark_store import NUM_SHARDS, make_store

from landmark_spark.cli import command_parser, job_parser, main
from landmark_spark.config import load_config
from landmark_spark.pipeline import STAGES
from landmark_spark.planning import choose

COMMANDS = commands()
OURS = [each for each in COMMANDS if each.words[0] == "landmark-spark"]
SCRIPTS = [each for each in COMMANDS if each.words[0] != "landmark-spark"]


def ids(chosen):
    return [str(each) for each in chosen]


def test_the_documents_are_found_and_have_commands():
    assert {"README.md", "docs/quickstart.md", "docs/reliability.md"} <= {each.document for each in OURS}
    names = {each.words[1] for each in OURS}
    assert {"run", "plan", "status", "verify-store", "gc", "calibrate", "matches", "evaluate", "ingest"} <= names
    assert len(OURS) >= 30


@pytest.mark.parametrize("command", OURS, ids=ids(OURS))
def test_commands_are_parsed_and_their_settings_known(command, capsys):
    try:
        options = command_parser().parse_args(command.words[1:])
    except SystemExit:
        pytest.fail(f"{command}: {capsys.readouterr().err}")
    config = getattr(options, "config", None)
    if config is not None and str(config).startswith("conf/"):
        load_config(ROOT / config, options.overrides)
    elif hasattr(options, "overrides"):
        load_config(None, options.overrides)
    if hasattr(options, "only"):
        retried = {name: getattr(options, name) for name in ("first", "last", "only", "force", "shard", "retry")}
        choose(**retried)
    for variant in getattr(options, "variants", ()):
        load_config(None, variant.partition(":")[2].split(","))


@pytest.mark.parametrize("command", SCRIPTS, ids=ids(SCRIPTS))
def test_scripts_and_the_files_they_are_given_are_there(command, capsys):
    script = ROOT / command.words[0]
    assert script.is_file()
    assert os.access(script, os.X_OK) or command.words[0] in ("scripts/environment",)
    if command.words[0] == "scripts/bench" and len(command.words) > 1 and command.words[1].islower():
        assert f'"{command.words[1]}"' in (ROOT / "scripts" / "benchmarks" / "__main__.py").read_text()
    for place, word in enumerate(command.words[1:], start=1):
        if re.fullmatch(r"(jobs|conf|tests|docs)/\S+", word):
            assert (ROOT / word).exists(), word
        if command.words[0] == "scripts/submit" and word.startswith("jobs/"):
            try:
                options = parse_job(word.removeprefix("jobs/").removesuffix(".py"), command.words[place + 1 :])
            except SystemExit:
                pytest.fail(f"{command}: {capsys.readouterr().err}")
            load_config(None, options.overrides)
            choose(shard=getattr(options, "shard", None))


def parse_job(name, words):
    """Parse the options of a file in jobs/: of a stage, of the pipeline, or of a command that has a job of its name."""
    if name in {each.name for each in STAGES} | {"pipeline"}:
        return job_parser(None if name == "pipeline" else name).parse_args(words)
    return command_parser().parse_args([name, *words])


def of_language(name):
    return [each for each in fences() if each.language == name]


@pytest.mark.parametrize("fence", of_language("yaml"), ids=lambda fence: f"{fence.document}:{fence.line}")
def test_yaml_blocks_are_configurations(fence, tmp_path):
    if any(set(each) & {"apiVersion", "kind", "services"} for each in yaml.safe_load_all(fence.text)):
        pytest.skip("for Kubernetes or Docker, not for this project")
    path = tmp_path / "block.yaml"
    path.write_text(fence.text, encoding="utf-8")
    load_config(path)


@pytest.mark.parametrize("fence", of_language("python"), ids=lambda fence: f"{fence.document}:{fence.line}")
def test_python_blocks_import_what_is_there(fence):
    tree = ast.parse(fence.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("landmark_spark"):
            module = importlib.import_module(node.module)
            for each in node.names:
                assert hasattr(module, each.name), each.name


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings_that_are_there(document):
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, heading = target.partition("#")
        place = (document.parent / path).resolve() if path else document
        assert place.exists(), target
        if heading:
            heads = re.findall(r"^#+ (.*)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in heads}
            assert heading in slugs, target


ON_SMALL = ("calibrate", "matches")
ON_FINISHED = ("run", "plan", "status", "verify-store", "gc", "ladder", "evaluate", "describe", "answers")
STAND_INS = ("C", "my.yaml", "own.yaml", "mine/own.yaml", "conf/toy.yaml")  # for which the tiny world's store stands
KNOWN = {"--config", "--set", "--only", "--from", "--to", "--wait", "--json", "--markdown", "--repair", "--csv"}
"""Options with which a command takes seconds on a finished store, where nothing is stale."""


def why_not_run(command):
    """Return why a command is parsed only; None where it is run."""
    name, words = command.words[1], command.words[2:]
    config = words[words.index("--config") + 1] if "--config" in words else ""
    overrides = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    reasons = [
        ("has tests of its own", name not in (*ON_SMALL, *ON_FINISHED, "ingest")),
        ("needs the real photos, and minutes to half an hour", config.startswith("conf/mini")),
        ("makes stages anew, which takes minutes", (name == "run" and "--set" in words) or "--force" in words),
        ("has options with tests of their own", name in ON_FINISHED and options_of(words) - KNOWN),
        ("runs the pipeline again", "--with" in words),
        ("names another store", any(each.startswith("store=") for each in overrides)),
        ("is for a cluster", name in ON_FINISHED and "--config" in words and config not in STAND_INS),
        ("would run the whole toy world", name in ON_FINISHED[:6] and not config),
    ]
    if name == "ingest":
        return None
    return next((reason for reason, holds in reasons if holds), None)


def options_of(words):
    return {each.partition("=")[0] for each in words if each.startswith("--")}


def distinct(chosen):
    """Return one of each command, wherever it stands."""
    return list({each.words: each for each in chosen}.values())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The configuration of a store of features and verifications, written without Spark."""
    folder = tmp_path_factory.mktemp("documents")
    store = make_store(folder / "store")
    settings = {"store": store.url, "index": {"num_shards": NUM_SHARDS}, "local_features": {"kind": "sift"}}
    (folder / "C").write_text(yaml.safe_dump(settings))
    return folder / "C"


PARSED_ONLY = [each for each in distinct(OURS) if why_not_run(each)]
SMALL = [each for each in distinct(OURS) if each.words[1] in ON_SMALL and why_not_run(each) is None]
RUN = [each for each in distinct(OURS) if each.words[1] in ON_FINISHED and why_not_run(each) is None]
INGEST = [each for each in distinct(OURS) if each.words[1] == "ingest"]


def test_every_command_is_run_or_parsed_only():
    assert len(distinct(OURS)) == len(PARSED_ONLY) + len(SMALL) + len(RUN) + len(INGEST)
    assert len(RUN) >= 10 and len(SMALL) >= 3 and len(INGEST) >= 2


@pytest.mark.parametrize("command", PARSED_ONLY, ids=ids(PARSED_ONLY))
def test_commands_that_are_parsed_only_say_why(command):
    pytest.skip(f"parsed only, it {why_not_run(command)}: {command}")


@pytest.mark.parametrize("command", SMALL, ids=ids(SMALL))
def test_commands_on_features_run(small, command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(small, "C")
    stand_ins = {"TEST_ID": "t0", "ID": "1", "conf/toy.yaml": "C", "conf/mini.yaml": "C", "FILE.png": "match.png"}
    words = [stand_ins.get(each, each) for each in command.words[1:]]
    assert main(words) == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", INGEST, ids=ids(INGEST))
def test_folders_are_ingested(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in (
        *(f"photos/{place}/{number}.jpg" for place in "ab" for number in range(3)),
        "unknown/1.jpg",
        "others/2.jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    assert main(list(command.words[1:])) == 0, capsys.readouterr().err
    output = command.words[command.words.index("--output") + 1]
    assert f"next: landmark-spark run --config {output}/own.yaml" in capsys.readouterr().out
    load_config(f"{output}/own.yaml")


@pytest.fixture(scope="module")
def world(tmp_path_factory, finished):
    """A folder in which C and the documents' configurations mean the finished store of the tiny world."""
    folder = tmp_path_factory.mktemp("documents")
    settings = {"store": str(finished), "spark": {"master": "local[2]"}}
    for each in TINY:
        key, _, value = each.partition("=")
        section, _, name = key.partition(".")
        settings.setdefault(section, {})[name] = yaml.safe_load(value)
    settings["descriptors"]["sides"] = str(settings["descriptors"]["sides"])
    for name in STAND_INS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(yaml.safe_dump(settings))
    (folder / "runs").mkdir()
    (folder / "runs" / "toy").symlink_to(finished)
    return folder


@pytest.mark.jvm
@pytest.mark.parametrize("command", RUN, ids=ids(RUN))
def test_commands_on_a_finished_store_run(world, command, monkeypatch, capsys):
    monkeypatch.chdir(world)
    assert main(list(command.words[1:])) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert printed
    if command.words[1] == "run":
        assert "Nothing to do: everything is up to date." in printed


PLANNED = [each for each in PARSED_ONLY if each.words[1] == "run" and set(each.words) & set(STAND_INS)]


@pytest.mark.jvm
@pytest.mark.parametrize("command", PLANNED, ids=ids(PLANNED))
def test_runs_that_are_parsed_only_can_be_planned(world, command, monkeypatch, capsys):
    monkeypatch.chdir(world)
    options = [word for word in command.words[2:] if word not in ("--log-format", "json")]  # of run alone
    assert main(["plan", *options]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    if {"--set", "--force"} & set(command.words):
        assert re.search(r"^\w+ +run +[1-9]", printed, re.MULTILINE), printed


def test_stage_names_of_the_documents_are_stages():
    names = {each.name for each in STAGES}
    for command in COMMANDS:
        for place, word in enumerate(command.words[:-1]):
            if word in ("--only", "--from", "--to") and command.words[place + 1] not in ("download", "speed"):
                following = command.words[place + 1]
                assert following in names or command.words[0] == "scripts/bench", str(command)
