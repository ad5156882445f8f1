"""What a later step cannot do is said before the first one: nobody trains for hours to read it then."""

from __future__ import annotations

import sys

import pytest
from fake_stedgeai import make_installation

from stm32pose.config.load import load_config
from stm32pose.errors import UserError
from stm32pose.operations.checks import check_steps
from stm32pose.programs import PROGRAMS

H7 = {"serie": "STM32H7", "board": "STM32H747I-DISCO"}
TRAIN = {
    "model": {"model_name": "custom", "input_shape": [64, 64, 3]},
    "dataset": {"training_path": "x", "test_path": "y", "keypoints": 17},
    "training": {},
}


@pytest.fixture(autouse=True)
def _no_programs(tmp_path, monkeypatch):
    """None of ST's programs is on this machine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for program in PROGRAMS.values():
        for variable in program.variables:
            monkeypatch.delenv(variable, raising=False)


def checked(mode: str, *, here: bool = True, **sections) -> None:
    check_steps(load_config({"operation_mode": mode, **TRAIN, **sections}, check_paths=False), here=here)


BOARD = {"board": "STM32H747I-DISCO"}
ONNX = "onnx_quantizer"


@pytest.mark.parametrize(
    ("mode", "sections", "message"),
    [
        ("chain_tqe", {"quantization": {"operating_mode": "full_auto"}}, "quantization.operating_mode: "),
        (
            "chain_tqe",
            {"quantization": {"quantizer": ONNX, "onnx_extra_options": {"WeightSymetric": True}}},
            "did you mean 'WeightSymmetric'",
        ),
        (
            "chain_tqe",
            {"quantization": {"quantizer": ONNX, "onnx_extra_options": {"SmoothQuant": True}}},
            "neural-compressor",
        ),
        ("chain_tqeb", {"benchmarking": {**BOARD, "backend": "stedgeai"}}, "stedgeai is not found"),
        (
            "chain_tqeb",
            {
                "benchmarking": {"board": "STM32N6570-DK", "backend": "cloud"},
                "tools": {"stedgeai": {"neural_art": "p@/nowhere.json"}},
            },
            "tools.stedgeai.neural_art: /nowhere.json does not exist",
        ),
        ("chain_tqe", {"evaluation": {"target": "stedgeai_n6"}}, "stedgeai is not found"),
        ("chain_tqd", {"deployment": {"hardware_setup": {**H7, "board": "STM32H747I-DISKO"}}}, "STM32H747I-DISCO'?"),
        (
            "chain_qd",
            {
                "model": {"model_path": "m.keras", "model_type": "head_spe"},
                "deployment": {"hardware_setup": {"serie": "STM32N6", "board": "STM32N6570-DK"}, "dry_run": True},
            },
            "model.model_type: got head_spe; ST's application for the STM32N6 decodes heatmaps_spe and yolo_mpe",
        ),
        (
            "chain_qd",
            {"model": {"model_path": "m.keras", "model_type": "simcc_spe"}, "deployment": {"hardware_setup": H7}},
            "model.model_type: got simcc_spe, which has no decoder in C yet; available: heatmaps_spe, spe, yolo_mpe",
        ),
        ("chain_tqd", {"deployment": {"hardware_setup": {**H7, "serie": "STM32U5"}}}, "hardware_setup.serie"),
        ("chain_tqd", {"deployment": {"hardware_setup": H7, "IDE": "IAR"}}, "deployment.IDE: got 'IAR'"),
        ("chain_td", {"deployment": {"hardware_setup": H7}}, "quantize it first"),
        ("chain_tqd", {"deployment": {"hardware_setup": H7}}, "stedgeai is not found"),
        ("chain_tp", {"dataset": {**TRAIN["dataset"], "prediction_path": "*.jpg"}}, "dataset.prediction_path"),
    ],
)
def test_refused_before_the_training(mode, sections, message):
    with pytest.raises(UserError) as caught:
        checked(mode, **sections)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "sections"),
    [
        ("chain_tqeb", {"benchmarking": {**BOARD, "backend": ["auto", "estimate"]}}),
        ("chain_tqd", {"deployment": {"hardware_setup": H7, "dry_run": True}}),
        ("chain_tqe", {"quantization": {"quantizer": ONNX, "operating_mode": "full_auto"}}),
    ],
)
def test_what_can_be_done_passes(mode, sections):
    checked(mode, **sections)


def test_form_alone_needs_no_program():
    checked("chain_tqeb", here=False, benchmarking={**BOARD, "backend": "stedgeai"})
    checked("chain_tqd", here=False, deployment={"hardware_setup": H7})


def test_a_program_that_is_there_passes(tmp_path):
    program = make_installation(tmp_path / "st", "4.0")
    tools = {"stedgeai": {"path_to_stedgeai": str(program)}}
    checked("chain_tqeb", benchmarking={**BOARD, "backend": "stedgeai"}, tools=tools)


def test_nothing_heavy_is_imported():
    import subprocess

    code = (
        "import sys\n"
        "from stm32pose.config.load import load_config\n"
        "from stm32pose.operations.checks import check_steps\n"
        "config = load_config({'operation_mode': 'chain_qebpd', 'model': {'model_path': 'm.keras'},"
        " 'dataset': {'keypoints': 17, 'test_path': 'x', 'quantization_path': 'x', 'prediction_path': '.'},"
        " 'benchmarking': {'board': 'STM32H747I-DISCO'},"
        " 'deployment': {'dry_run': True, 'hardware_setup': {'serie': 'STM32H7', 'board': 'STM32H747I-DISCO'}}},"
        " check_paths=False)\n"
        "check_steps(config, here=False)\n"
        "print([name for name in ('tensorflow', 'keras', 'onnx', 'onnxruntime', 'requests') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
