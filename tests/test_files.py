"""Files are whole, or as they were before."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from stm32pose.errors import UserError, first_line
from stm32pose.files import replacing, write_whole


def test_text_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "deep" / "a.txt", "é\r\n\n")
    assert path.read_bytes() == "é\r\n\n".encode()
    write_whole(path, b"\x00", sync=False)
    assert path.read_bytes() == b"\x00"
    assert list(path.parent.iterdir()) == [path]


def interrupted(path: Path, error: BaseException) -> None:
    with replacing(path) as partial:
        assert partial.name == path.name
        partial.write_text("half")
        raise error


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "run.json", "old")
    message = r"^[^\n]*run.json: cannot be written \(No space left on device\); what was there before is untouched$"
    with pytest.raises(UserError, match=message):
        interrupted(path, OSError(errno.ENOSPC, "full"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_ends_it_goes_on_and_nothing_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        interrupted(tmp_path / "new.txt", error())
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file/x.txt: cannot be written \([^\n]*\)$"):
        write_whole(tmp_path / "file" / "x.txt", "text")


def test_another_file_that_fails_is_named(tmp_path: Path) -> None:
    error = FileNotFoundError(errno.ENOENT, "gone", str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"copy: cannot be written \(No such file or directory: .*absent\)$"):
        interrupted(tmp_path / "copy", error)


def test_first_line() -> None:
    assert first_line(ValueError("\n  one \ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"
    assert len(first_line(ValueError("x" * 1000))) == 200
