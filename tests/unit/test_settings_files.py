"""Settings from files: which one counts, and what is said of a wrong one."""

import pytest

from worker.settings import read_settings
from worker.settings_files import MisconfiguredError, misspelt, origins

NAMES = ("http_port", "database_url", "batch_size")


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Sets variables; those with a path as content of a file there."""

    def put(**variables):
        for name, value in variables.items():
            if name.endswith("_FILE"):
                path = tmp_path / name
                path.write_text(value)
                monkeypatch.setenv(name, str(path))
            else:
                monkeypatch.setenv(name, value)
        return tmp_path

    return put


def test_the_environment_comes_before_the_settings_file_and_both_before_the_default(environment):
    environment(LIBRARY_SETTINGS_FILE="http_port = 9001\nbatch_size = 32\n", LIBRARY_HTTP_PORT="9002")

    settings = read_settings()

    assert (settings.http_port, settings.batch_size, settings.readers) == (9002, 32, 4)


def test_a_secret_comes_from_a_file_of_its_own(environment):
    environment(LIBRARY_DATABASE_URL_FILE="postgresql://u:secret@db/library\n")

    assert read_settings().database_url == "postgresql://u:secret@db/library"


def test_a_list_in_the_settings_file_may_be_a_list(environment):
    environment(LIBRARY_SETTINGS_FILE='http_names = ["library.example", "other.example"]\n')

    assert read_settings().http_names == ("library.example", "other.example")


def test_it_is_known_where_each_value_comes_from(environment):
    folder = environment(
        LIBRARY_SETTINGS_FILE="batch_size = 32\n",
        LIBRARY_HTTP_PORT="9002",
        LIBRARY_DATABASE_URL_FILE="postgresql://db/library",
    )
    found = origins((*NAMES, "readers"))
    assert found == {
        "http_port": "LIBRARY_HTTP_PORT",
        "database_url": "LIBRARY_DATABASE_URL_FILE",
        "batch_size": str(folder / "LIBRARY_SETTINGS_FILE"),
        "readers": "default",
    }


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"LIBRARY_HTTP_PORT": "many"}, "LIBRARY_HTTP_PORT: Input should be a valid integer"),
        ({"LIBRARY_SETTINGS_FILE": "http_port = 0"}, "http_port: Input should be greater than"),
        ({"LIBRARY_SETTINGS_FILE": "http_prot = 1"}, "'http_prot'; did you mean http_port?"),
        ({"LIBRARY_SETTINGS_FILE": "= 1"}, "is no TOML"),
        ({"LIBRARY_HTTP_PORT_FILE": "many"}, "LIBRARY_HTTP_PORT_FILE: Input should be a valid integer"),
        (
            {"LIBRARY_HTTP_PORT": "1", "LIBRARY_HTTP_PORT_FILE": "1"},
            "LIBRARY_HTTP_PORT_FILE: LIBRARY_HTTP_PORT is given, too",
        ),
    ],
)
def test_a_wrong_one_is_named_with_what_is_right(environment, variables, said):
    environment(**variables)
    with pytest.raises(MisconfiguredError) as refused:
        read_settings()
    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["LIBRARY_SETTINGS_FILE", "LIBRARY_DATABASE_URL_FILE"])
def test_a_file_that_is_not_there_is_named(monkeypatch, tmp_path, name):
    monkeypatch.setenv(name, str(tmp_path / "gone"))
    with pytest.raises(MisconfiguredError, match=f"{name}: .*gone: No such file"):
        read_settings()


def test_what_looks_like_a_setting_is_compared_with_those_there_are():
    environment = {"LIBRARY_HTTP_PROT": "1", "LIBRARY_HTTP_PORT": "1", "LIBRARY_X": "", "HTTP": ""}
    assert misspelt(NAMES, environment) == [
        "LIBRARY_HTTP_PROT is no setting; did you mean LIBRARY_HTTP_PORT?",
        "LIBRARY_X is no setting",
    ]
