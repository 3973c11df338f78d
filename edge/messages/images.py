"""Phase sums and retrieved images of one bag, slab by slab."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.messages.base import BagMessage, Fault


class Slab(BagMessage):
    """readout → retrieval: phase sums of consecutive columns of one bag, complete in all four groups.

    The last slab of a bag has ``last`` set and may have zero columns. A bag that had to be given up ends
    with a last slab that names the fault. Arrays, float32: ``phase_sums`` (4 groups, 2 bins, rows, columns),
    ``weights`` and ``weights_sq`` (128 detector columns, columns): Σ W and Σ W² of physics.md 4.
    """

    ARRAYS = ("phase_sums", "weights", "weights_sq")
    schema_id: Literal["slab/1"] = "slab/1"
    index: int = Field(ge=0, description="0, 1, 2 … without a gap within one bag")
    last: bool = False
    fault: Fault | None = None
    column0: int = Field(ge=0, description="first column of this slab on the bag's grid")
    columns: int = Field(ge=0, le=256)
    rows: int = Field(ge=0)
    grid_um: float = Field(gt=0, description="column spacing h, µm of belt travel")
    origin_um: float = Field(description="belt travel of column 0 of the bag's grid, µm")
    bag_from_um: float = Field(description="belt travel of the bag's leading edge (light barrier), µm")
    bag_to_um: float | None = Field(None, description="of its trailing edge; set in the last slab at the latest")
    frames: int = Field(0, ge=0, description="frames summed so far for this bag")
    lost_frames: int = Field(0, ge=0, description="frames of this bag known to be lost so far")
    lost_packets: int = Field(0, ge=0)
    first_frame_t_ns: int = 0
    last_frame_t_ns: int = 0
    calibration_id: str = Field("", description="calibration whose pixel mask was applied")


class Recall(BagMessage):
    """verdict → readout: send the spooled slabs of this bag once more, as the scan ``scan_id``.

    A bag of which there is nothing complete is answered by one last slab that names the fault.
    """

    schema_id: Literal["recall/1"] = "recall/1"


class Drift(BaseModel):
    """What the air before a bag says about the masks since the calibration; the tube output is ``air_scale``."""

    model_config = ConfigDict(frozen=True)
    mask_shift_um: float = Field(0.0, description="of the illumination curves, at M1")
    mask_rotation_mrad: float = Field(0.0, description="about the beam: change of the shift, µm per mm of height")
    broadening_um2: tuple[float, float] = Field((0.0, 0.0), description="of the curves' variance, low and high bin")
    corrected: bool = Field(False, description="taken out of this bag's images")
    recalibrate: bool = Field(False, description="beyond the limits at which a new calibration is due")


class ImageSlab(BagMessage):
    """retrieval → inference, archive, console: retrieved images of one slab's columns.

    ``images`` and ``sigma``: float32 (4 channels, 2 bins, rows, columns); ``flags``: uint16 (2, rows, columns).
    """

    ARRAYS = ("images", "sigma", "flags")
    schema_id: Literal["images/1"] = "images/1"
    index: int = Field(ge=0)
    last: bool = False
    fault: Fault | None = None
    column0: int = Field(ge=0)
    columns: int = Field(ge=0, le=256)
    rows: int = Field(ge=0)
    grid_um: float = Field(gt=0)
    row_pitch_um: float = Field(gt=0)
    origin_um: float
    bag_from_um: float
    bag_to_um: float | None = None
    frames: int = Field(0, ge=0)
    lost_frames: int = Field(0, ge=0)
    lost_packets: int = Field(0, ge=0)
    first_frame_t_ns: int = 0
    last_frame_t_ns: int = 0
    calibration_id: str = Field("", description="empty: no valid calibration, nothing was retrieved")
    calibration_created_ns: int = Field(0, ge=0)
    model: str = Field("map", description="retrieval model: paper, full or map")
    kernel_backend: str = Field("", description="host-avx2, cuda-sm87 …")
    air_scale: tuple[float, float] = Field((1.0, 1.0), description="tube output against calibration, per bin")
    drift: Drift | None = Field(None, description="of the masks; None: not measured")
    retrieval_ms: float = Field(0.0, ge=0)
