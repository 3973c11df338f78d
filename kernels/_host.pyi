"""Types of the compiled module; see host/module.cpp. Arrays are C-ordered, outputs are written in place."""

from kernels.types import F32, F64, I32, U8, U16

def instruction_sets() -> list[str]: ...
def retrieve(
    *,
    samples: F32,
    curves: F32,
    x: float,
    exposure: F32,
    variance: F32,
    model: int,
    prior: F32,
    settings: F32,
    images: F32,
    sigma: F32,
    flags: U16,
    threads: int,
    isa: str,
) -> None: ...
def phase_sums(
    *,
    frames: U16,
    lower: I32,
    fraction: F32,
    good: U8 | None,
    sums: F32,
    capacity: int,
    threads: int,
    isa: str,
) -> None: ...
def place_columns(
    *,
    travel: F64,
    offsets: F64,
    origin: float,
    grid: float,
    taken: int,
    lower: I32,
    fraction: F32,
    weights: F64,
) -> int: ...
def take_sums(*, sums: F32, capacity: int, columns: int, used: int, taken: F32) -> None: ...
def ratio_images(
    *, images: F32, sigma: F32, settings: F32, values: F32, errors: F32, threads: int, isa: str
) -> None: ...
def fit_curves(
    *,
    positions: F32,
    flats: F32,
    least: F32,
    paper: int,
    settings: F32,
    parameters: F32,
    residual: F32,
    threads: int,
    isa: str,
) -> None: ...
def correct_frames(
    *,
    frames: U16,
    good: U8,
    dead_time: F32,
    exposure: F32,
    full_scale: float,
    paralysable: bool,
    settings: F32,
    counts: F32,
    flags: U8,
    threads: int,
    isa: str,
) -> None: ...
def retrieve_stepped(
    *,
    samples: F32,
    curves: F32,
    positions: F32,
    pitch: float,
    exposure: F32,
    variance: F32,
    map: bool,
    prior: F32,
    settings: F32,
    images: F32,
    sigma: F32,
    flags: U16,
    threads: int,
    isa: str,
) -> None: ...
def network_planes(
    *,
    slabs: list[tuple[F32, F32, U16]],
    first: int,
    logarithmic: U8,
    limits: F32,
    floor: float,
    unusable: int,
    planes: F32,
    isa: str,
) -> None: ...
def pack_rows(*, memory: F32, width: int, kept: int, narrow: int) -> None: ...
def retrieve_sinusoid(
    *,
    samples: F32,
    projection: F32,
    basis: F32,
    reference: F32,
    reference_projection: F32,
    reference_basis: F32,
    period: float,
    variance_factor: float,
    settings: F32,
    images: F32,
    sigma: F32,
    flags: U16,
    threads: int,
    isa: str,
) -> None: ...
