"""DX image of one energy bin: the transmission of the bag, 16 bits."""

from __future__ import annotations

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset
from pydicom.sequence import Sequence

from edge.archive.reader import BagFile, Geometry
from edge.dicos import terms
from edge.dicos.common import DicosError, bag_of, begun_ns, new_dataset
from edge.messages import CHANNELS
from firmware_bridge.scanner import BINS

#: Stored value of air, transmission 1; up to 1.31 fits. Readers want a rescale slope of 1, so that whoever needs the
#: transmission has to divide by this himself; the image comments say so.
AIR = 50_000
#: Stored where the transmission is not known; the smallest that is known is stored as 1.
UNKNOWN = 0
_LARGEST = 0xFFFF


def image(file: BagFile, bin_index: int) -> FileDataset:
    """Image of bin ``bin_index`` of an archived bag; :class:`DicosError` when it has none."""
    geometry = file.geometry
    if geometry is None or not file.has_images or not geometry.columns:
        raise DicosError(f"{file.path}: nothing of bag {file.bag_id} was retrieved, there is no image to write")
    name = BINS[bin_index]
    content_ns = max((slab.t_ns for slab in file.image_headers), default=0) or begun_ns(file)
    made = new_dataset(
        file, terms.DX_CLASS, bag_of(file).image_uid(name), bin_index + 1, content_ns, "transmission per energy bin"
    )
    made.ImageType = ["ORIGINAL", "PRIMARY", terms.ENERGY[name]]
    made.PresentationIntentType = "FOR PROCESSING"
    made.add(DataElement(terms.HANDEDNESS_TAG, "CS", terms.LEFT_HANDED))
    made.add(DataElement(terms.ORIGIN_TAG, "CS", terms.AT_MACHINE))
    made.add(DataElement(terms.ENERGY_TAG, "FL", 0.0))
    made.KVP = file.scanner.tube_kv
    made.XRayTubeCurrentInuA = file.scanner.tube_ma * 1e3
    made.DetectorType = ""
    made.TableSpeed = file.scanner.belt_speed_mm_s
    made.BeltHeight = 0.0
    made.AcquisitionContextSequence = Sequence()
    _pixels(made, file, geometry, bin_index)
    return made


def _pixels(made: FileDataset, file: BagFile, geometry: Geometry, bin_index: int) -> None:
    transmission = file.channel(CHANNELS[0], bin_index)
    known = np.isfinite(transmission)
    stored = np.clip(np.rint(np.where(known, transmission, 0.0) * AIR), UNKNOWN + 1, _LARGEST)
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.Rows, made.Columns = transmission.shape
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit = 15
    made.PixelRepresentation = 0
    made.ImagerPixelSpacing = [f"{geometry.row_pitch_um / 1e3:.6g}", f"{geometry.grid_um / 1e3:.6g}"]
    made.ImagePositionPatient = [0, 0, 0]
    made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    made.BurnedInAnnotation = "NO"
    made.PixelIntensityRelationship = "LIN"
    made.PixelIntensityRelationshipSign = 1
    made.RescaleIntercept, made.RescaleSlope, made.RescaleType = "0", "1", "US"
    made.ImageComments = f"stored value / {AIR} is the transmission; {UNKNOWN} where it is not known"
    made.LossyImageCompression = "00"
    made.PresentationLUTShape = "IDENTITY"
    made.PixelData = np.where(known, stored, UNKNOWN).astype("<u2").tobytes()
