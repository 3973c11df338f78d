"""All motion axes of a scanner, opened from plain tables and sharing one port per controller."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from firmware_bridge.motion.aries import AriesAxis, AriesController
from firmware_bridge.motion.axis import Axis, AxisError
from firmware_bridge.motion.esp import EspAxis, EspController


class Axes(dict[str, Axis]):
    """Axes by name. Use from one thread; context manager."""

    def __init__(self) -> None:
        super().__init__()
        self._controllers: dict[str, EspController | AriesController] = {}
        self._numbers: dict[str, list[int]] = {}

    def __enter__(self) -> Axes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give every port back; the axes hold their positions."""
        for controller in self._controllers.values():
            controller.close()
        self._controllers.clear()
        self.clear()

    def stop_all(self) -> None:
        """Stop every axis. An axis that cannot be told does not keep the others from it; its error comes last."""
        first: Exception | None = None
        # Controllers that are told without an answer come first: a dead one must not delay them.
        for name in sorted(self._controllers, key=lambda name: isinstance(self._controllers[name], AriesController)):
            try:
                self._controllers[name].stop(self._numbers[name])
            except (AxisError, OSError) as error:
                first = first or error
        if first is not None:
            raise first


def open_axes(controllers: Mapping[str, Mapping[str, Any]], axes: Mapping[str, Mapping[str, Any]]) -> Axes:
    """Open ``axes`` on ``controllers``.

    A controller has ``protocol`` ('esp' or 'aries') and ``port`` (a serial path or tcp://host:number); an axis has
    ``controller``, ``axis``, ``unit`` ('um' or 'mrad'), the soft limits ``lower`` and ``upper``, and for ARIES
    ``steps_per_unit``. Raises ``LinkError`` or :class:`AxisError` naming the controller; nothing stays open then.
    """
    opened = Axes()
    try:
        for name in dict.fromkeys(axis["controller"] for axis in axes.values()):
            if name not in controllers:
                raise ValueError(f"controller {name!r} of an axis is not among {', '.join(controllers) or 'none'}")
            opened._controllers[name] = _open_controller(name, controllers[name])
            opened._numbers[name] = [axis["axis"] for axis in axes.values() if axis["controller"] == name]
        for name, axis in axes.items():
            opened[name] = _open_axis(name, axis, opened._controllers[axis["controller"]])
    except BaseException:
        opened.close()
        raise
    return opened


def _open_controller(name: str, table: Mapping[str, Any]) -> EspController | AriesController:
    port: str | Path = table["port"]
    if table["protocol"] == "esp":
        return EspController(port, f"motion controller {name}")
    if table["protocol"] == "aries":
        return AriesController(port, f"motion controller {name}")
    raise ValueError(f"protocol {table['protocol']!r} of controller {name}: choose 'esp' or 'aries'")


def _open_axis(name: str, table: Mapping[str, Any], controller: EspController | AriesController) -> Axis:
    limits = float(table["lower"]), float(table["upper"])
    if isinstance(controller, EspController):
        return EspAxis(controller, table["axis"], unit=table["unit"], limits=limits, name=name)
    return AriesAxis(
        controller,
        table["axis"],
        unit=table["unit"],
        limits=limits,
        steps_per_unit=table["steps_per_unit"],
        name=name,
    )
