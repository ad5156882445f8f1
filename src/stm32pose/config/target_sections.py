"""Sections `quantization`, `evaluation`, `prediction`, `tools`, `benchmarking`, `deployment` and `mlflow`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stm32pose.config.base import Fraction, Path, PositiveInt, Section

Target = Literal["host", "stedgeai_host", "stedgeai_n6", "stedgeai_h7p"]
TensorType = Literal["int8", "uint8", "float"]
DeployedType = Literal["int8", "uint8", "float", "float32"]
ChannelPosition = Literal["chlast", "chfirst"]


class OnnxParameters(Section):
    """4.x `onnx_quant_parameters`: types and nodes of the ONNX quantizer."""

    weightType: Literal["Int4", "UInt4", "Int8", "UInt8", "Int16", "UInt16"] = "Int8"
    """Type of the weights."""
    activType: Literal["Int4", "UInt4", "Int8", "UInt8", "Int16", "UInt16"] = "Int8"
    """Type of the activations."""
    calibrate_method: Literal["MinMax", "MovingAverage", "Entropy", "Percentile"] = "MinMax"
    """How the range of an activation is found."""
    percentile: float = Field(default=99.999, gt=50, le=100)
    """With `Percentile`: the share of an activation's values that lies inside its range, in percent."""
    op_types_to_quantize: list[str] | None = None
    """ONNX operator types to quantize; null: all."""
    nodes_to_quantize: list[str] | None = None
    """Names of the nodes to quantize; null: all."""
    nodes_to_exclude: list[str] | None = None
    """Names of the nodes that stay in float."""


class IterativeParameters(Section):
    """4.x `iterative_quant_parameters`: the search for layers that need more bits."""

    inspection_split: Fraction | None = None
    """Share of the images that the search measures on."""
    accuracy_tolerance: float | None = Field(default=None, ge=0)
    """Loss of OKS (AP with several people) that is accepted, in points of percent."""


class Quantization(Section):
    """From the float model to int8."""

    quantizer: Literal["TFlite_converter", "onnx_quantizer"] = "TFlite_converter"
    """Which converter; any case is accepted."""
    quantization_type: Literal["PTQ", "QAT"] = "PTQ"
    """After training, or quantization-aware training (a later release)."""
    quantization_input_type: TensorType = "uint8"
    """Type of the network's input."""
    quantization_output_type: TensorType = "int8"
    """Type of the network's outputs."""
    granularity: Literal["per_channel", "per_tensor"] = "per_channel"
    """Weights share a scale per output channel, or per tensor (what the STM32MP2's NPU wants)."""
    optimize: bool = False
    """Equalise ranges before a per-tensor conversion (a later release)."""
    export_dir: str = "quantized_models"
    """Folder of the result, inside the run folder."""
    target_opset: PositiveInt = 17
    """ONNX operator set; a model of a lower one is raised to it."""
    onnx_layout: Literal["NCHW", "NHWC"] = "NCHW"
    """Channel position of the input and the heat maps of a Keras model exported to ONNX. ST's 4.x writes NCHW."""
    fake: bool = False
    """Calibrate on random images: the file shows size and speed, its accuracy means nothing (the report says so)."""
    extra_options: str | None = None
    """3.x: `calib_moving_average` or null."""
    onnx_extra_options: dict[str, Any] = Field(default_factory=dict)
    """4.x: options of ONNX Runtime's static quantizer."""
    op_types_to_quantize: list[str] | None = None
    """ONNX operator types to quantize; null: all."""
    operating_mode: Literal["default", "inspection", "full_auto"] = "default"
    """4.x: plain conversion, layer report, or a search for mixed precision."""
    onnx_quant_parameters: OnnxParameters = OnnxParameters()
    """4.x: types and nodes of the ONNX quantizer."""
    iterative_quant_parameters: IterativeParameters = IterativeParameters()
    """4.x: parameters of the search."""


class OnTarget(Section):
    """Where a model runs and what the firmware expects."""

    target: Target = "host"
    """`host`: this machine; the others run through ST's tools."""
    profile: str = "profile_O3"
    """Neural-ART profile; `auto_valid` skips generation and flashing."""
    input_type: DeployedType = "uint8"
    """Input type of the generated network."""
    output_type: DeployedType = "int8"
    """Output type of the generated network."""
    input_chpos: ChannelPosition = "chlast"
    """Channel position of the input."""
    output_chpos: ChannelPosition = "chlast"
    """Channel position of the outputs."""


class Evaluation(OnTarget):
    """Accuracy of the models."""

    gen_npy_input: bool = False
    """Also write the inputs as one .npy file."""
    gen_npy_output: bool = False
    """Also write the outputs as one .npy file."""
    npy_in_name: str = "npy_inputs"
    """Name of the input file, without suffix."""
    npy_out_name: str = "npy_outputs"
    """Name of the output file, without suffix."""
    worst_images: int = Field(default=12, ge=0, le=100)
    """How many of the worst images are drawn."""
    models: list[Path] = Field(default_factory=list)
    """More model files to evaluate on the same images, for one table that compares them."""


class Prediction(OnTarget):
    """Poses of images without labels."""

    seed: int | None = None
    """Accepted for old files; images are predicted in the order of their names."""
    reid_distance_metric: str | None = None
    """Accepted for old files; it has no meaning for poses."""
    show: bool = False
    """Show every image in a window while it is predicted; Esc or q ends. Without it nothing needs a screen."""
    every: PositiveInt = 1
    """Predict every n-th frame of a video or camera."""
    max_images: PositiveInt | None = None
    """Stop after this many images or frames; a camera goes on until Ctrl-C where it is absent."""
    gallery_images: int = Field(default=100, ge=0)
    """Most images shown in gallery.html; the worst scores come first."""


class Tool(Section):
    """ST Edge AI Core, on the Developer Cloud or here."""

    on_cloud: bool = False
    """Use the Developer Cloud."""
    version: str | None = None
    """Version of ST Edge AI Core; absent: the newest."""
    optimization: Literal["balanced", "time", "ram"] = "balanced"
    """What the tool optimises for."""
    path_to_stedgeai: Path | None = None
    """The `stedgeai` program; absent: looked for."""
    path_to_loader: Path | None = None
    """The script that loads a board (`n6_loader.py`), or its folder; absent: looked for beside `stedgeai`."""
    hsp: int = Field(default=4096, ge=0)
    """BRAM words for the HSP unit (U3C5 boards)."""
    neural_art: str | None = None
    """Neural-ART option on an STM32N6: `PROFILE@user_neuralart.json`; absent: the tool's default profile."""
    timeout_s: PositiveInt = 2500
    """Longest that a benchmark on the cloud, or one run of the program, may take, in seconds."""


class Tools(Section):
    """Programs outside this project."""

    stedgeai: Tool = Tool()
    """ST Edge AI Core (3.x also spelled `stm32ai`)."""
    path_to_cubeIDE: Path | None = None
    """STM32CubeIDE, for deployment on a microcontroller."""


Backend = Literal["auto", "cloud", "stedgeai", "estimate", "emulate"]


class Benchmarking(Section):
    """Cost of the model on a board."""

    board: str
    """ST's board name, see `stm32pose boards`, or the path of a YAML that describes yours."""
    backend: list[Backend] = Field(default_factory=lambda: ["auto"], min_length=1)
    """Where the figures come from: one route, or a list of them to compare; `estimate` needs neither account nor board,
    `auto` takes the best there is and says why. A route that is named and fails is an error."""
    boards: list[str] | None = None
    """Boards of the comparison table; absent: every board known."""
    validate_code: bool = False
    """Also have ST's program compare the code it generates with the model (backend stedgeai; the cloud always does)."""

    @property
    def backends(self) -> tuple[Backend, ...]:
        """The routes asked for, each once, in order."""
        return tuple(dict.fromkeys(self.backend))


CTarget = Literal["generic", "host", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"]


class Export(Section):
    """C code of the newest int8 model (docs/c_code.md): no library, no account, the same code that is emulated."""

    target: CTarget | None = None
    """The processor; absent: that of the board, `generic` (portable C) without one. `host` is built and run here."""
    board: str | None = None
    """ST's board name or a board's YAML: its memories, and a template for its STM32Cube project; absent:
    `benchmarking.board`, then `deployment.hardware_setup.board`, where they are given."""
    ram_limit: str | None = None
    """Most RAM that the network may take, such as `256K` or `1M`: refused before anything is written."""
    folder: str = "c_code"
    """Folder of the result, inside the run folder."""


class HardwareSetup(Section):
    """The board to flash."""

    serie: str
    """Series of the chip, such as STM32N6 or STM32MP2."""
    board: str
    """ST's name of the board."""
    stlink_serial_number: str | None = None
    """Serial number of the ST-LINK, where several are plugged in."""
    ip_address: str | None = None
    """Address of an STM32MP board on the network."""
    output: Literal["UVCL", "SPI"] | None = None
    """NUCLEO-N657X0-Q: the picture goes to a computer over USB (UVCL) or to a display (SPI)."""


class Deployment(Section):
    """Application on the board."""

    hardware_setup: HardwareSetup
    """The board to flash."""
    network: Literal["stedgeai", "c"] = "stedgeai"
    """Whose code of the network: ST's (ST Edge AI Core, here or on the cloud), or `c`, the C that stm32pose generates
    itself (microcontrollers, int8 files): neither account nor program of ST is needed."""
    c_project_path: Path | None = None
    """Folder of the application's sources (ST's, for STM32N6 and STM32MP); absent on other microcontrollers: a minimal
    application is written into the run folder."""
    IDE: str = "GCC"
    """Compiler of the application."""
    verbosity: int = 1
    """How much the build tells."""
    board_deploy_path: Path | None = None
    """Folder on an STM32MP board that receives the application."""
    build_conf: str | None = None
    """3.1: build configuration of the C project."""
    dry_run: bool = False
    """Write every file and show every command, but run none of them: no build, no board touched."""
    flash: bool = True
    """Flash the board after the build."""
    user: str = "root"
    """Account on an STM32MP board."""
    ssh_key: Path | None = None
    """Private key for an STM32MP board; absent: those that ssh tries by itself."""
    launch: bool = False
    """Start the application on the STM32MP board after copying it."""


class Mlflow(Section):
    """Experiment tracking."""

    uri: str = "./experiments_outputs/mlruns"
    """Tracking store: a folder, `sqlite:///FILE` or a server's address."""
    register_model: str | None = None
    """Name under which the run's last model is registered in the store; absent: it is not."""
    system_metrics: bool = False
    """Follow processor, memory and GPU while the run goes."""


class ClearML(Section):
    """Tracking with ClearML (pip install 'stm32pose[clearml]'), beside MLflow or instead of it."""

    project_name: str | None = None
    """ClearML's project; absent: `general.project_name`."""
    task_name: str = "pe_modelzoo_task"
    """ClearML's task."""
    offline: bool = False
    """Keep the task in a local archive instead of sending it to a server."""
