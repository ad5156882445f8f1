"""`connect` and `CloudClient`: ST Edge AI Developer Cloud for the rest of this project."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from stm32pose.benchmark.developer_cloud.account import Account
from stm32pose.benchmark.developer_cloud.addresses import Addresses
from stm32pose.benchmark.developer_cloud.api import Api
from stm32pose.benchmark.developer_cloud.benchmark import CloudBoard, find_board, read_boards, run_benchmark
from stm32pose.benchmark.developer_cloud.core import Analysis, Core, Generated, convert_to_nbg
from stm32pose.benchmark.developer_cloud.credentials import Ask, interactive_credentials
from stm32pose.benchmark.developer_cloud.files import INPUTS, OUTPUTS, Files
from stm32pose.benchmark.developer_cloud.http import Http
from stm32pose.benchmark.developer_cloud.jobs import Progress
from stm32pose.benchmark.developer_cloud.neural_art import checked_pools, put_profile, takes_profile
from stm32pose.benchmark.developer_cloud.options import Position, code_options, mcu_options, mpu_options, read_json
from stm32pose.benchmark.developer_cloud.redaction import Redactor
from stm32pose.benchmark.developer_cloud.results import benchmark_figures, mpu_figures
from stm32pose.benchmark.developer_cloud.retries import Timing
from stm32pose.benchmark.developer_cloud.tokens import TokenStore
from stm32pose.benchmark.developer_cloud.versions import Version, choose_version, read_versions
from stm32pose.benchmark.figures import Figures
from stm32pose.boards.board import Board

__all__ = ["CloudClient", "connect", "interactive_credentials"]

log = logging.getLogger(__name__)

NBG = ".nb"
CORE_S = 300.0


def connect(
    *,
    ask: Ask | None = None,
    progress: Progress | None = None,
    addresses: Addresses | None = None,
    timing: Timing | None = None,
    store: TokenStore | None = None,
) -> CloudClient:
    """A client that is logged in.

    The token comes from STM32POSE_CLOUD_TOKEN, else the stored one, refreshed where the server wants that, else a
    sign-in with STM32AI_USERNAME and STM32AI_PASSWORD, else one with what `ask` gives.

    Args:
        ask: gives user name and password, called at most three times; None: nobody is there to ask.
        progress: told one line at each change of a job.
        addresses: where the service is; None: `Addresses.from_environment()`.
        timing, store: other waiting times, another place for the token.

    Raises:
        LoginNeeded: no token, and nobody to ask; says how to log in.
        WrongCredentials, AccountBlocked, LoginFailed, TokenExpired, TokenFileUnsafe: see their classes.
        ConnectionLost, TlsFailed, RateLimited, ServerBroken: the service cannot be used.
        ConfigError: an address in the environment is none.
    """
    addresses = addresses or Addresses.from_environment()
    http = Http(timing or Timing(), Redactor())
    try:
        account = Account(http, addresses, store or TokenStore(addresses.host), ask)
        account.open()
    except BaseException:
        http.close()
        raise
    log.info("Developer Cloud: logged in as %s (token from %s)", account.user, account.where)
    return CloudClient(Api(http, addresses, account), progress)


class CloudClient:
    """The service for one account. A context manager. Not for several threads at once: connect once a thread.

    Every method may raise `TokenExpired`, `Refused`, `RouteNotFound`, `RateLimited`, `ServerBroken`, `ConnectionLost`
    and `TlsFailed`, beside what it names itself. An uploaded model is removed again, whatever happens.
    """

    def __init__(self, api: Api, progress: Progress | None = None) -> None:
        self._api = api
        self._files = Files(api)
        self._progress = progress
        self._versions: list[Version] | None = None

    def __enter__(self) -> CloudClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def user(self) -> str:
        """Who is logged in."""
        return self._api.account.user

    @property
    def token_place(self) -> str:
        """Where the token is kept."""
        return self._api.account.where

    def version(self, wanted: str | None = None) -> str:
        """The service's name of a version of ST Edge AI Core; None: the newest. VersionNotFound: lists those there."""
        if self._versions is None:
            self._versions = read_versions(self._api.http, self._api.addresses)
        return choose_version(self._versions, wanted)

    def boards(self) -> dict[str, CloudBoard]:
        """The boards there are, by name."""
        return read_boards(self._api)

    def benchmark(
        self,
        model: Path,
        board: Board,
        *,
        optimization: str = "balanced",
        version: str | None = None,
        timeout_s: float = 2500,
        tag: str = "",
        hsp: int = 4096,
        neural_art: str | None = None,
        memory_pools: Path | None = None,
    ) -> Figures:
        """Run a model on a board of ST's and return what it costs there.

        A model for an STM32MP2 that is no .nb file is converted to one first; `note` says so.

        Args:
            model: .tflite, .onnx, .h5, .keras or .nb file.
            optimization: `balanced`, `time` or `ram`; an STM32N6 has none.
            timeout_s: for the time in the queue and on the board together.
            tag: what ST files the request under; empty: nothing.
            hsp: BRAM words of an STM32U3C5's HSP unit.
            neural_art: of an STM32N6: `PROFILE@FILE` or a profile's name; None: the service's default. `note` names it.
            memory_pools: ST's .mpool file; None: the one that the profile names.

        Raises:
            BoardNotFound, VersionNotFound, UploadFailed, NbgFailed, QueueTimeout.
            BenchmarkFailed: in the server's words.
            UserError: no such model file; or the profile or the memory pools cannot be read.
        """
        chosen = self.version(version)
        place = find_board(self.boards(), board)
        if board.kind == "mpu" and board.series == "STM32MP2" and model.suffix.lower() != NBG:
            with TemporaryDirectory(prefix="stm32pose-") as folder:
                graph = self.to_nbg(model, Path(folder) / f"{model.stem}{NBG}", timeout_s=timeout_s)
                figures = self._benchmark(graph, board, place, {**mpu_options(board), "version": chosen}, timeout_s)
            note = f"converted to a network binary graph first; {figures.note}".removesuffix("; ")
            return replace(figures, note=note)
        if board.kind == "mpu":
            return self._benchmark(model, board, place, {**mpu_options(board), "version": chosen}, timeout_s)
        options = mcu_options(board, optimization, hsp=hsp, tag=tag, memory_pools=memory_pools)
        if not takes_profile(options):
            return self._benchmark(model, board, place, {**options, "version": chosen}, timeout_s)
        profile = put_profile(options, neural_art)
        options |= code_options(None, compiler=profile.options or ())
        if profile.memory_pools is not None and memory_pools is None:
            options["mpool"] = read_json(profile.memory_pools, "a memory pool file")
        figures = self._benchmark(model, board, place, {**options, "version": chosen}, timeout_s)
        return replace(figures, note=f"Neural-ART profile {profile.label}; {figures.note}".removesuffix("; "))

    def analyze(
        self,
        model: Path,
        board: Board | None = None,
        *,
        optimization: str = "balanced",
        version: str | None = None,
        timeout_s: float = CORE_S,
        tag: str = "",
        hsp: int = 4096,
    ) -> Analysis:
        """Sizes and MACs without a board. AnalyzeFailed: in the server's words. QueueTimeout."""
        core = self._core(version, timeout_s)
        options = mcu_options(board, optimization, hsp=hsp, tag=tag)
        with self._files.uploaded(model) as name:
            return core.analysis("analyze", name, options, board.name if board else "")

    def validate(
        self,
        model: Path,
        board: Board | None = None,
        *,
        inputs: Path | None = None,
        outputs: Path | None = None,
        optimization: str = "balanced",
        version: str | None = None,
        timeout_s: float = CORE_S,
        tag: str = "",
        hsp: int = 4096,
    ) -> Analysis:
        """How far the generated code is from the model: `figures.validation`, one entry an output.

        Args:
            inputs, outputs: .npy or .npz files to validate with; absent: the tool's random ones.

        Raises:
            ValidateFailed: in the server's words. UploadFailed, QueueTimeout.
        """
        core = self._core(version, timeout_s)
        options = mcu_options(board, optimization, hsp=hsp, tag=tag)
        sent: list[tuple[str, str]] = []
        try:
            for key, path, kind in (("valinput", inputs, INPUTS), ("valoutput", outputs, OUTPUTS)):
                if path is not None:
                    options[key] = self._files.upload(path, kind=kind)
                    sent.append((options[key], kind))
            with self._files.uploaded(model) as name:
                return core.analysis("validate", name, options, board.name if board else "")
        finally:
            for file, kind in sent:
                self._files.discard(file, kind)

    def generate(
        self,
        model: Path,
        board: Board | None = None,
        *,
        output: Path,
        optimization: str = "balanced",
        version: str | None = None,
        timeout_s: float = CORE_S,
        tag: str = "",
        hsp: int = 4096,
        input_type: str | None = None,
        output_type: str | None = None,
        inputs_position: Position | None = None,
        outputs_position: Position | None = None,
        c_api: str | None = None,
        neural_art: str | None = None,
        memory_pools: Path | None = None,
    ) -> Generated:
        """C code of a model, unpacked into `output`; with a board also ST's runtime library for its series.

        Args:
            optimization: as `benchmark`.
            input_type, output_type, inputs_position, outputs_position, c_api: as `options.code_options`.
            neural_art: of an STM32N6: `PROFILE@FILE` or a profile's name; None: the service's default.
            memory_pools: ST's .mpool file, for an STM32N6; None: the one that the profile names.

        Raises:
            UserError: the profile or the memory pools cannot be read.
            GenerateFailed: in the server's words. QueueTimeout.
            ServerBroken: the archive is damaged, or would write outside `output`.
        """
        options = mcu_options(board, optimization, hsp=hsp, tag=tag)
        profile = put_profile(options, neural_art)
        options |= code_options(
            board,
            input_type=input_type,
            output_type=output_type,
            inputs_position=inputs_position,
            outputs_position=outputs_position,
            c_api=c_api,
            compiler=profile.options or (),
        )
        pools = memory_pools or profile.memory_pools
        files = {"mpool": checked_pools(pools)} if pools else {}
        core = self._core(version, timeout_s)
        with self._files.uploaded(model) as name:
            return core.generate(name, options, output, files)

    def to_nbg(self, model: Path, output: Path, *, timeout_s: float = CORE_S) -> Path:
        """The network binary graph of a model for an STM32MP2, written to `output`. NbgFailed, QueueTimeout."""
        with self._files.uploaded(model) as name:
            try:
                made = convert_to_nbg(self._api, name, timeout_s, self._progress)
                return self._files.download(made, output)
            finally:
                # By the upload's unique name: a conversion that failed does not tell that of its file.
                self._files.discard_made_of(name)

    def models(self) -> list[str]:
        """Names of the models the account has on the service."""
        return self._files.names()

    def upload(self, model: Path) -> str:
        """Keep a model on the service; returns its name there. UploadFailed."""
        return self._files.upload(model)

    def download(self, name: str, output: Path) -> Path:
        """Fetch a model into `output`. ModelNotFound."""
        return self._files.download(name, output)

    def delete(self, name: str) -> None:
        """Remove a model from the service. ModelNotFound."""
        self._files.delete(name)

    def close(self) -> None:
        """Close all connections."""
        self._api.http.close()

    def _benchmark(self, model: Path, board: Board, place: CloudBoard, options: dict, timeout_s: float) -> Figures:
        with self._files.uploaded(model) as name:
            answer = run_benchmark(self._api, board, place, name, options, timeout_s=timeout_s, progress=self._progress)
        return mpu_figures(answer, board.name) if board.kind == "mpu" else benchmark_figures(answer, board.name)

    def _core(self, version: str | None, timeout_s: float) -> Core:
        return Core(self._api, self.version(version), timeout_s, self._progress)
