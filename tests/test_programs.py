"""Where programs are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from stm32pose.errors import ConfigError
from stm32pose.programs import PROGRAMS, find_program, need_program

WHERE = "tools.stedgeai.path_to_stedgeai"


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path, monkeypatch):
    """No PATH, an empty home, none of the variables."""
    monkeypatch.setenv("PATH", "")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for program in PROGRAMS.values():
        for name in program.variables:
            monkeypatch.delenv(name, raising=False)


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_nothing_found_says_where_it_looked():
    found, tried = find_program("stedgeai")
    assert found is None
    assert tried[:2] == ["PATH", "$STEDGEAI_CORE_DIR (not set)"]
    assert any("X-CUBE-AI" in place for place in tried)


def test_path_then_variables_then_folders_of_the_highest_version(tmp_path, monkeypatch):
    packs = tmp_path / "home/STM32Cube/Repository/Packs/STMicroelectronics/X-CUBE-AI"
    make(packs / "9.1.0/Utilities/linux/stedgeai")
    newest = make(packs / "10.0.0/Utilities/linux/stedgeai")
    assert find_program("stedgeai")[0] == newest
    core = make(tmp_path / "core/Utilities/linux/stedgeai")
    monkeypatch.setenv("STEDGEAI_CORE_DIR", str(tmp_path / "core"))
    assert find_program("stedgeai")[0] == core
    monkeypatch.setenv("STEDGEAI_CORE_DIR", str(newest))
    assert find_program("stedgeai")[0] == newest
    on_path = make(tmp_path / "bin/stedgeai")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_program("stedgeai")[0] == on_path


def test_a_given_path_is_the_only_place(tmp_path, monkeypatch):
    make(tmp_path / "bin/stedgeai")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    gone = tmp_path / "gone/stedgeai"
    assert find_program("stedgeai", gone) == (None, [f"{gone} (does not exist)"])
    empty = tmp_path / "empty"
    empty.mkdir()
    assert find_program("stedgeai", empty) == (None, [f"{empty} (holds no stedgeai)"])
    core = make(tmp_path / "core/Utilities/linux/stedgeai")
    assert find_program("stedgeai", tmp_path / "core")[0] == core
    assert find_program("stedgeai", core)[0] == core
    assert find_program("stedgeai", Path("stedgeai"))[0] == tmp_path / "bin/stedgeai"
    assert find_program("stedgeai", Path("C:/Users/<user>/stedgeai.exe"))[0] == tmp_path / "bin/stedgeai"


def test_need_program_names_key_program_and_places(tmp_path):
    with pytest.raises(ConfigError, match=rf"^{WHERE}: stedgeai is not found \(.*\); looked at PATH, \$STEDGEAI_CORE"):
        need_program("stedgeai", where=WHERE)
    with pytest.raises(ConfigError, match=r"looked at .*gone/stedgeai \(does not exist\)"):
        need_program("stedgeai", str(tmp_path / "gone/stedgeai"), where=WHERE)
    assert need_program("stedgeai", str(make(tmp_path / "stedgeai.exe")), where=WHERE).name == "stedgeai.exe"


def test_a_configuration_cannot_choose_another_program(tmp_path):
    other = make(tmp_path / "rm")
    with pytest.raises(ConfigError, match=rf"^{WHERE}: got {other}; the file must be called stedgeai"):
        need_program("stedgeai", str(other), where=WHERE)
    with pytest.raises(ConfigError, match="must be called"):
        need_program("STM32CubeIDE", str(make(tmp_path / "bash")), where="tools.path_to_cubeIDE")


@pytest.mark.parametrize(
    "name", ["stedgeai_anything.sh", "stedgeai.sh", "stedgeai.py", "stedgeai2", "stedgeai-wrapper.exe", "my_stedgeai"]
)
def test_a_name_that_only_looks_like_the_programs_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=rf"^{WHERE}: got .*{name}; the file must be called stedgeai"):
        need_program("stedgeai", str(make(tmp_path / name)), where=WHERE)


@pytest.mark.parametrize("name", ["stedgeai", "stedgeai.exe", "stedgeai.bat", "STEDGEAI.CMD"])
def test_the_programs_own_names(tmp_path, name):
    assert need_program("stedgeai", str(make(tmp_path / name)), where=WHERE) == tmp_path / name


def test_programs_inside_cube_ide(tmp_path, monkeypatch):
    ide = make(tmp_path / "ide/stm32cubeide")
    externals = "plugins/com.st.stm32cube.ide.mcu.externaltools"
    make(tmp_path / f"ide/{externals}.cubeprogrammer.linux64_2.1.0/tools/bin/STM32_SigningTool_CLI")
    newest = make(tmp_path / f"ide/{externals}.cubeprogrammer.linux64_2.2.0/tools/bin/STM32_SigningTool_CLI")
    assert find_program("STM32_SigningTool_CLI", cube_ide=ide)[0] == newest
    found, tried = find_program("STM32_SigningTool_CLI")
    assert found is None
    assert tried[-1] == "the plugins of STM32CubeIDE (not found)"
    monkeypatch.setenv("STM32_CUBE_IDE_EXE", str(ide))
    assert find_program("STM32_SigningTool_CLI")[0] == newest
    mac = make(tmp_path / "App/Contents/MacOS/STM32CubeIDE")
    make_program = make(tmp_path / f"App/Contents/Eclipse/{externals}.make.macos64_2.1/tools/bin/make")
    assert find_program("make", cube_ide=mac)[0] == make_program


def test_a_variable_with_a_file_serves_its_neighbours_but_never_takes_one_for_another(tmp_path, monkeypatch):
    programmer = make(tmp_path / "bin/STM32_Programmer_CLI")
    monkeypatch.setenv("STM32_PRG_PATH", str(programmer))
    assert find_program("STM32_Programmer_CLI")[0] == programmer
    assert find_program("STM32_SigningTool_CLI")[0] is None
    signing = make(tmp_path / "bin/STM32_SigningTool_CLI")
    assert find_program("STM32_SigningTool_CLI")[0] == signing
    monkeypatch.setenv("STM32_MAKE_EXE", str(make(tmp_path / "tools/mingw32-make.exe")))
    assert find_program("make")[0] == tmp_path / "tools/mingw32-make.exe"
