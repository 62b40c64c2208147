"""Finding an export's files: each layout people have, and what is missing, in one line."""

import pytest

from landmark_spark.core.delf_export import DelfExportError, digest_export, find_export

MODEL = ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
PCA = ["mean.datum", "pca_proj_mat.datum"]
NAMES = [*(f"model/{name}" for name in MODEL), *(f"pca/{name}" for name in PCA)]


@pytest.fixture
def export(tmp_path):
    """The official layout, with what extraction does not read besides."""
    for name in [*NAMES, "pca/pca_variances.datum", "model/.hidden", "readme.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_the_official_layout_is_found_without_what_is_not_read(export):
    files = find_export(export)
    assert list(files) == sorted(NAMES)
    assert all(path.read_text() == name for name, path in files.items())


def test_the_model_folder_alone_means_the_same_export(export):
    assert find_export(export / "model") == find_export(export)


def test_a_saved_model_of_another_name_has_its_pca_within(export):
    inside = export / "model" / "pca"
    (export / "pca").rename(inside)
    renamed = (export / "model").rename(export / "delf")
    found = find_export(renamed)
    assert list(found) == sorted(NAMES)
    (renamed / "pca").rename(export / "pca")
    assert [name for name in find_export(renamed) if name.startswith("pca")] == []  # a stranger's, beside it


def test_the_digest_is_of_names_and_contents_and_not_of_the_place(export, tmp_path_factory):
    before = digest_export(find_export(export))
    moved = tmp_path_factory.mktemp("other") / "export"
    export.rename(moved)
    assert digest_export(find_export(moved)) == digest_export(find_export(moved / "model")) == before
    (moved / "pca" / "pca_variances.datum").write_bytes(b"not read")
    assert digest_export(find_export(moved)) == before
    (moved / "model" / "variables" / "variables.data-00000-of-00001").write_bytes(b"other")
    assert digest_export(find_export(moved)) != before


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (
            "model/saved_model.pb",
            r"should have saved_model.pb in it or in model/. Received: .* with model, pca, readme",
        ),
        ("model/variables/variables.data-00000-of-00001", r"should have variables/variables.data-\.\.\. beside"),
        ("pca/pca_proj_mat.datum", "Missing: pca/pca_proj_mat.datum"),
        ("pca/mean.datum", "Missing: pca/mean.datum"),
    ],
)
def test_a_lost_file_is_named(export, lost, message):
    (export / lost).unlink()
    with pytest.raises(DelfExportError, match=message):
        find_export(export)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DelfExportError, match="a DELF export should be a folder. Received: .*none"):
        find_export(tmp_path / "none")
    with pytest.raises(DelfExportError, match="with nothing"):
        find_export(tmp_path)


def test_the_official_graph_without_its_variables_is_refused(delf_fixtures):
    with pytest.raises(DelfExportError, match="should have variables/variables.data"):
        find_export(delf_fixtures / "delf_v1_20171026")
