import pytest

from landmark_spark.core.own_process import OwnProcessError, run_python


def test_it_gets_its_arguments_and_variables_and_what_it_writes_is_returned():
    code = "import os, sys; print(sys.argv[1:], os.environ['COLOUR'])"
    assert run_python(code, "a b", "c", environment={"COLOUR": "red"}) == "['a b', 'c'] red\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('first\\n\\nlast\\n\\n')", "^last$"),
        ("raise ValueError('why')", "^ValueError: why$"),
        ("import os; os._exit(3)", "^no message$"),
    ],
)
def test_where_it_fails_the_last_line_of_its_errors_is_the_reason(code, message):
    with pytest.raises(OwnProcessError, match=message):
        run_python(code)
