"""DICOS files of each bag: one DX image per energy bin and a Threat Detection Report, written with pydicom."""
