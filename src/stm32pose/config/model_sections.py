"""Sections `general`, `model`, `training` and `postprocessing`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from stm32pose.config.base import (
    Fraction,
    NotNegative,
    OpenFraction,
    Path,
    Positive,
    PositiveInt,
    Section,
    SwitchOrNumbers,
)

ModelType = Literal["heatmaps_spe", "spe", "simcc_spe", "movenet_spe", "hand_spe", "head_spe", "yolo_mpe"]


class General(Section):
    """Names, folders, seeds and hardware limits of a run."""

    project_name: str = "<unnamed>"
    """Name of the MLflow experiment."""
    logs_dir: str = "logs"
    """Folder of TensorBoard and CSV logs, inside the run folder."""
    saved_models_dir: str = "saved_models"
    """Folder of the float models, inside the run folder."""
    deterministic_ops: bool = False
    """Only deterministic TensorFlow kernels: the same seed gives the same weights, more slowly."""
    display_figures: bool = False
    """Open the report in the browser when the run ends. ST's default was True and blocked machines without a screen."""
    global_seed: int | None = 123
    """Seed of weights, order and augmentation; 0 is a seed as good as another, null draws one (and logs it)."""
    gpu_memory_limit: Positive | None = None
    """Memory limit of every GPU in GB; absent: memory grows as needed."""
    num_threads_tflite: PositiveInt = 1
    """Threads of the LiteRT interpreter in evaluation and prediction."""
    num_workers: PositiveInt | None = None
    """Threads of the input pipeline; absent: one a processor core."""


class Model(Section):
    """Which network: a named architecture to build, or a file to load."""

    model_type: ModelType = "heatmaps_spe"
    """What the outputs mean, of one person: heat maps, SimCC's bins, MoveNet's four maps or the keypoints themselves; a
    hand's or a head's landmarks as MediaPipe's files give them; or YOLO's several people."""
    model_path: Path | None = None
    """A .h5, .keras, .tflite or .onnx file (or an https address) to load."""
    model_name: str | None = None
    """`st_movenet_lightning_heatmaps`, `lm_single_pose_v1`, `custom`, or `FILE.py:FUNCTION`, your own builder (trusted
    code: it is run)."""
    backbone: str | None = None
    """In place of `model_name`, a network of the family: `mobilenet_v1`, `mobilenet_v2`, `mobilenet_v3_small`,
    `efficientnet_lite`, `fdmobilenet`, `resnet18`, `resnet50`, `vgg_tiny`, `vgg16`, `vgg19` or `lm_single_pose`. Its
    head follows from `model_type`."""
    neck: Literal["auto", "pyramid", "deconv", "none"] = "auto"
    """What brings a backbone's features to the output's stride: MoveNet's pyramid, SimpleBaseline's deconvolutions, or
    none. `auto`: the pyramid for maps, none for SimCC and direct regression."""
    input_shape: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """(H, W, channels) of the network to build; a file brings its own."""
    alpha: Positive = 1.0
    """Width of the backbone. ImageNet weights (`pretrained: imagenet`) exist for a few, see docs/models.md."""
    pretrained: Path | None = None
    """`imagenet` (downloaded by Keras), a local .h5/.keras whose backbone is matched layer by layer, or null."""
    final_activation: Literal["sigmoid", "softmax", "empty"] = "sigmoid"
    """Activation of the heat maps: sigmoid (3.x, mean-squared error), softmax over the cells (4.x, cross-entropy) or
    none."""
    upsampling: Literal["bilinear", "nearest", "transposed"] = "bilinear"
    """Upsampling in the head; resize-bilinear leaves the NPU of the STM32N6, nearest and transposed convolutions (2x2)
    stay on it."""
    output_stride: Literal[2, 4, 8, 16] | None = None
    """Input pixels a cell of the maps (of the features, for SimCC and regression); null: what neck or network bring."""
    framework: Literal["tf"] = "tf"
    """4.x: what the model is made with. There is TensorFlow only, as in ST's releases."""


class Heatmap(Section):
    """How keypoints become the maps to learn."""

    target: Literal["gaussian", "one_pixel"] = "gaussian"
    """`gaussian` blobs, unbiased; `one_pixel` is what ST's services train on, for comparison."""
    sigma: Positive | None = None
    """Standard deviation of the blob, in heat-map cells (null: 1.5), or in SimCC's bins (null: 4.9 at 192x192)."""


class VisibilityWeights(Section):
    """Factors of the loss; unlabelled joints have none, they never count."""

    occluded: NotNegative = 1.0
    """Of a joint that is labelled and hidden (visibility 1)."""
    visible: NotNegative = 1.0
    """Of a joint that is labelled and seen (visibility 2)."""


class Distillation(Section):
    """A teacher whose outputs are learnt beside the labels, on every training image, labelled or not."""

    teacher: Path
    """A .keras or .h5 file of the same kind and number of keypoints, trained with the same rescaling."""
    weight: Fraction = 0.5
    """Share of the teacher in the loss; 1: the labels have none."""
    temperature: Positive = 1.0
    """Of distributions (softmax maps, logits, SimCC): above 1 their small values count more."""


class Training(Section):
    """Optimizer, duration, callbacks."""

    trainer_name: Literal["pe_trainer"] = "pe_trainer"
    """4.x: accepted for old files, there is one trainer."""
    batch_size: PositiveInt = 32
    """Images a step."""
    epochs: PositiveInt = 100
    """Most epochs; EarlyStopping may end sooner."""
    optimizer: dict[str, dict[str, Any]] = Field(default_factory=lambda: {"Adam": {}})
    """Any Keras optimizer: `Adam` or `Adam: {learning_rate: 1.0e-3}`; the rate may be a schedule in steps, of Keras or
    of docs/schedules.md: `{CosineDecay: {initial_learning_rate: 1.0e-3}}`. `use_ema: True` averages the weights."""
    loss: dict[str, dict[str, Any]] = Field(default_factory=lambda: {"auto": {}})
    """`auto`, or a name with arguments, `wing: {omega: 10, epsilon: 2}`; see docs/losses.md. `auto`: `mse` for sigmoid
    maps, `cross_entropy` for softmax maps, `kl` for SimCC, `rle` for keypoints, `movenet` for MoveNet's four maps."""
    visibility_weights: VisibilityWeights = VisibilityWeights()
    """How much a labelled joint counts in the loss, by its visibility."""
    joint_weights: SwitchOrNumbers = False
    """How much each joint counts in the loss: `True` takes the skeleton's `weights`, or a list of K numbers."""
    distillation: Distillation | None = None
    """Also learn what a larger network says; absent: the labels alone."""
    heatmap: Heatmap = Heatmap()
    """How keypoints become the maps to learn."""
    dropout: Fraction | None = None
    """Rate of every Dropout layer of the model; an error where it has none."""
    frozen_layers: str | None = None
    """Layers that do not learn, ST's syntax: `(0:154)`, `(7:13, 16, -1)`, indices into `model.layers`."""
    callbacks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Keras callbacks and ST's learning-rate schedulers (`LRCosineDecay`, ...; docs/schedules.md) by name with their
    arguments; monitors: loss, oks, val_loss, val_oks, val_pck, val_epe."""
    trained_model_path: Path | None = None
    """Also save the best model to this file."""
    resume_training_from: Path | None = None
    """Run folder to continue: weights, optimizer, epoch, schedule, callbacks, random state and split."""
    dryrun: PositiveInt | None = None
    """Only this many steps an epoch, to try a configuration."""
    overfit: PositiveInt | None = None
    """Train and validate on the same first n images, without augmentation: a network that cannot is broken."""
    health: bool = False
    """Measure gradient, update and dead channels of every layer once an epoch, on one batch: see docs/training.md."""
    jit_compile: bool | None = None
    """XLA; null: never on CPU (ten times slower), on GPU where it wins."""
    mixed_precision: bool = False
    """float16 arithmetic on GPUs. Never a gain on a CPU, and refused there."""
    fused_batch_norm: bool | None = None
    """Faster training maths behind the stock layers (fused batch normalisation, merged padding, fused Adam); files stay
    plain Keras. null: on CPU, where it halves the step, not on GPU."""


class Postprocessing(Section):
    """From network outputs to poses."""

    decode: Literal["dark", "quarter", "argmax"] = "dark"
    """Sub-pixel place of a heat map's peak: DARK, a quarter cell towards the higher neighbour, or the cell centre."""
    kpts_conf_thresh: Fraction = 0.15
    """Joints below this score are drawn as uncertain."""
    confidence_thresh: Fraction | None = None
    """Detections below this score are dropped (several people)."""
    NMS_thresh: OpenFraction | None = None
    """Overlap above which the weaker of two detections is dropped (several people)."""
    max_detection_boxes: PositiveInt | None = None
    """Most detections an image (several people)."""
    plot_metrics: bool = False
    """Draw precision and recall curves into the run folder."""
