"""The configuration file: defaults, a round trip, and errors that name the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.config import Config, ConfigError, dump, load


def test_dump_reads_back_to_the_same_value(tmp_path: Path) -> None:
    config = Config.model_validate(
        {
            "lane": {"name": 'lane "7" µ', "state_dir": str(tmp_path)},
            "scanner": {"row_binning": 2},
            "inference": {"threshold": 0.7},
            "gateway": {"feed": "tcp://127.0.0.1:*", "requests": "tcp://[::1]:7151", "curve": False},
            "emulator": {"seed": 3, "faults": {"packet_loss": 0.02}},
        }
    )
    file = tmp_path / "lane.toml"
    file.write_text(dump(config), encoding="utf-8")
    assert load(file) == config


def test_no_file_means_all_defaults() -> None:
    assert load(None) == Config()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[scanner]\nrow_binning = 3\n", r"scanner\.row_binning = 3"),
        ("[retrieval]\nmodle = 'map'\n", r"retrieval\.modle"),
        ("[verdict]\ndeadline_s = -1\n", r"verdict\.deadline_s = -1"),
        ("[lane\n", "not valid TOML"),
        ("[gateway]\nfeed = '127.0.0.1:7150'\n", r"give tcp://address:port"),
        ("[gateway]\nfeed = 'tcp://eth0:7150'\n", r"give tcp://address:port"),
        ("[gateway]\ncurve = false\nrequests = 'tcp://0.0.0.0:7151'\n", r"requests = .*lets everybody in"),
        ("[gateway]\ncurve = false\nkarabo = 'tcp://*:7152'\n", r"karabo = .*lets everybody in"),
        ("[gateway]\ncurve = false\nfeed = 'tcp://[::]:7150'\n", r"feed = .*lets everybody in"),
    ],
)
def test_errors_name_file_and_key(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "lane.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=expected) as caught:
        load(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read"):
        load(tmp_path / "absent.toml")
