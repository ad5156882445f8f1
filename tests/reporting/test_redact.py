"""No password of an address in anything that a run writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from stm32pose.config.schema import Config
from stm32pose.errors import UserError
from stm32pose.reporting.redact import redact, redact_folder, redacted
from stm32pose.reporting.report import write_report
from stm32pose.reporting.run import Run
from stm32pose.reporting.tracking import track

SECRET = "http://me:pass@word@127.0.0.1:9/store"  # noqa: S105


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (SECRET, "http://***@127.0.0.1:9/store"),
        ("postgresql://u:p@db/x and http://h/a@b", "postgresql://***@db/x and http://h/a@b"),
        ("https://user:it's3cret@h/x", "https://***@h/x"),
        ("https://user:a#b?c@h/x", "https://***@h/x"),
        ('{"uri": "https://h", "mail": "a@b"}', '{"uri": "https://h", "mail": "a@b"}'),
        ("sqlite:///a@b.db", "sqlite:///a@b.db"),
        ("pck@0.2", "pck@0.2"),
        ("token@host without a scheme", "token@host without a scheme"),
    ],
)
def test_redact(text: str, shown: str):
    assert redact(text) == shown
    assert redacted({"a": [text, 1, None]}) == {"a": [shown, 1, None]}


def test_no_file_of_a_run_has_the_password(tmp_path: Path):
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(f"mlflow:\n  uri: {SECRET}\n")
    config = Config.model_validate({"operation_mode": "evaluation", "mlflow": {"uri": SECRET}})
    redact_folder(folder / ".hydra")
    run = Run(config, folder, overrides=[f"++mlflow.uri={SECRET}"])
    run.results["run"]["error"] = f"{SECRET} cannot be used"
    run.finish("failed")
    write_report(run)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        assert b"pass@word" not in path.read_bytes(), path
        assert b"word@" not in path.read_bytes(), path
    assert "http://***@127.0.0.1:9/store" in (folder / "config.yaml").read_text()
    assert "http://***@127.0.0.1:9/store" in (folder / ".hydra" / "config.yaml").read_text()


def test_no_message_has_the_password(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    config = Config.model_validate({"operation_mode": "evaluation", "mlflow": {"uri": SECRET}})
    told = r"mlflow\.uri: http://\*\*\*@127\.0\.0\.1:9"
    with pytest.raises(UserError, match=told) as caught, track(config, name="x"):
        pytest.fail("the run began")
    assert "word" not in str(caught.value)


def test_a_database_without_its_driver_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    uri = "postgresql://u:sesame@127.0.0.1:1/db"
    config = Config.model_validate({"operation_mode": "evaluation", "mlflow": {"uri": uri}})
    wanted = r"^mlflow.uri: postgresql://\*\*\*@127.0.0.1:1/db cannot be used"
    with pytest.raises(UserError, match=wanted) as caught, track(config, name="x"):
        pass
    assert "sesame" not in str(caught.value)
