"""The benchmark harness, with workloads whose figures are known. No measured time decides anything here."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import json
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tabulate", reason="the benchmarks' tables are made by tabulate, which is not installed here")

from bench import document, readme, report, solo
from bench.__main__ import TOPICS, main
from bench.machine import Machine
from bench.pairs import Effort

TINY = ("tests.bench.tiny_rows",)
BROKEN = ("tests.bench.broken_rows",)


def cells_of(text: str, row: str, separator: str = "  ") -> list[str]:
    """The cells of a row in a table of the terminal (two spaces between them) or the page (`|`)."""
    [line] = [line for line in text.splitlines() if line.strip("| ").startswith(row)]
    return [cell.strip() for cell in line.strip("| ").split(separator) if cell.strip()]


@dataclass
class FullRun:
    """What one run of all tiny rows left: its output, the page and the JSON file."""

    output: str
    page: str
    samples: dict[str, Any]


@pytest.fixture(scope="module")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> FullRun:
    folder = tmp_path_factory.mktemp("bench")
    page, samples = folder / "docs" / "page.md", folder / "samples.json"
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert main(["--write", str(page), "--json", str(samples)], TINY, Effort(1, pairs=3, sample=0.001)) == 0
    return FullRun(output.getvalue(), page.read_text(), json.loads(samples.read_text()))


def test_a_row_shows_medians_ratio_processor_time_and_which_requirements_are_reached(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--quick", "--only", "known"], TINY) == 0
    table = capsys.readouterr().out
    assert cells_of(table, "known cost") == [
        *("known cost", "us", "2,000 (2,000 to 2,000)", "other", "8,000 (8,000 to 8,000)", "4.00x (4.00 to 4.00)"),
        *("4,000", "16,000", "4.00x (4.00 to 4.00)", "4x, 4.5x", "yes, no"),
    ]
    assert cells_of(table, "known processor time")[-3:] == [
        *("1.50x (1.50 to 1.50)", "CPU at most 0.7 times, CPU at most 0.6 times", "yes, no"),
    ]
    assert cells_of(table, "known size") == [
        *("known size", "bytes", "10.0 (10.0 to 10.0)", "other", "55.0 (55.0 to 55.0)", "5.50x (5.50 to 5.50)"),
        *("-", "-", "-", "at most 9", "no"),
    ]
    assert cells_of(table, "known growth")[5:] == [
        *("0.18 times (0.18 to 0.18)", "-", "-", "-", "at most 0.2 times", "yes"),
    ]


def test_a_cost_of_nothing_has_no_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "nothing left"], TINY) == 0
    cells = cells_of(capsys.readouterr().out, "nothing left over")
    assert (cells[5], cells[-1]) == ("-", "yes")


def test_a_workload_without_a_clock_of_its_own_is_timed_for_one_operation(full_run: FullRun) -> None:
    [row] = [row for row in full_run.samples["rows"] if row["name"] == "square root"]
    costs = [side for pair in row["pairs"] for side in (pair["ours"], pair["peer"])]
    assert len(costs) == 2 * 3
    assert all(0 < cost["wall"] < 0.001 and 0 < cost["cpu"] < 0.001 for cost in costs)


def test_a_row_that_cannot_run_is_listed_with_the_reason(full_run: FullRun) -> None:
    assert cells_of(full_run.output, "peer is missing")[-1] == "not run"
    assert "Not run: peer is missing: no_such_package can't be imported: No module named" in full_run.output
    assert cells_of(full_run.output, "too large")[-1] == "not run"
    assert "Not run: too large: needs 1000000000.0 GB of memory," in full_run.output


def test_a_row_that_goes_wrong_is_told_and_the_others_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick"], BROKEN) == 1
    output = capsys.readouterr().out
    assert "Not run: killed: gossamer's process died of SIGABRT while being prepared" in output
    assert 'Not run: raising: gossamer raised ValueError("the workload\'s own mistake")\nTraceback' in output
    assert cells_of(output, "sound")[5] == "1.00x (1.00 to 1.00)"


def test_the_page_tells_the_machine_the_versions_and_the_figures(full_run: FullRun) -> None:
    page, samples = full_run.page, full_run.samples
    assert page.startswith(document.INTRODUCTION)
    machine = samples["machine"]
    assert f"## CPython {platform.python_version()}" in page
    assert f"{samples['date']}. {machine['processor']}, {machine['cores']} cores, {machine['kernel']}." in page
    assert "no-such-distribution not installed" in page
    assert cells_of(page, "known cost", "|")[5] == "4.00x (4.00 to 4.00)"
    assert cells_of(page, "crowd of 1,000,000", "|")[5] == "5.50x (5.50 to 5.50)"
    assert "Not run: too large:" in page


def section_of(version: str, text: str) -> str:
    machine = Machine(processor="P", cores=2, kernel="K", python=version, versions={"greenlet": "3"})
    return document.section(machine, text, [])


def test_a_run_replaces_the_section_of_its_version_and_leaves_the_others(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for version, text in (("3.13.0", "one"), ("3.9.1", "two"), ("3.13.7", "three"), ("3.14.0, debug build", "four")):
        document.write(page, section_of(version, text))
    assert page.read_text() == "\n".join(
        [
            document.INTRODUCTION,
            section_of("3.9.1", "two"),
            section_of("3.13.7", "three"),
            section_of("3.14.0, debug build", "four"),
        ]
    )


def test_the_readme_has_the_main_figures_of_each_version_and_marks_what_is_not_reached(tmp_path: Path) -> None:
    heads = " | ".join(report.HEADINGS)
    page = "\n".join(
        f"""
## CPython {version}

2026-11-25. P, 2 cores.

| {heads} |
|---|
| switch round trip | ns | 50.0 (40.0 to 60.0) | greenlet | 400 (390 to 410) | 8.00x (7.00 to 9.00) | 50 | 400 | 8.00x (7.00 to 9.00) | 7x, 9x | yes, no |
| message of a TCP echo, 1,000 connections: Go | us | 9.00 (8.00 to 9.90) | Go | 8.00 (7.00 to 9.00) | 0.90x (0.80 to 1.00) | 4.00 | 6.00 | 1.50x (1.40 to 1.60) | CPU at most 1 times | yes |
"""  # noqa: E501
        for version in ("3.11.7", "3.12.1", "3.13.0")
    )
    target = tmp_path / "README.md"
    target.write_text(f"before\n{readme.BEGIN}old\n{readme.END}after\n")
    readme.write(target, page)
    text = target.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "3.12" not in text
    switching = ["50.0 ns", "400 ns", "8.00x, **not 9x**"]
    assert cells_of(text, "switch round trip", "|") == ["switch round trip; greenlet", *switching, *switching]
    echo = ["4.00 us CPU", "6.00 us CPU", "1.50x CPU"]
    assert cells_of(text, "message of a TCP echo", "|")[1:] == [*echo, *echo]


def test_a_readme_without_a_place_for_the_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match="has no lines"):
        readme.write(tmp_path / "README.md", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "nonsense"], "no row's name contains 'nonsense'; the rows are:\n  square root"),
        (["--quick", "--write"], "--write needs a full run"),
        (["--parked", "0"], "--parked"),
    ],
)
def test_wrong_arguments_are_one_clear_error(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments, TINY)
    assert exit_.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("topic", TOPICS)
def test_every_row_has_its_own_name_and_workloads_that_exist(topic: str) -> None:
    rows = importlib.import_module(topic).rows(1000)
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        for side in (row.ours, row.peer):
            module, function = side.workload.split(":")
            assert callable(getattr(importlib.import_module(module), function))


OUR_WORKLOADS = {
    (side.workload, side.package or "-"): side.parameters
    for topic in TOPICS
    for row in importlib.import_module(topic).rows(1000)
    for side in (row.ours, row.peer)
    if side.package is None or side.package.startswith("gossamer")
}


@pytest.mark.parametrize(("workload", "package"), OUR_WORKLOADS)
def test_each_of_our_workloads_runs_in_a_small_size(workload: str, package: str) -> None:
    if workload.endswith("go_server") and shutil.which("go") is None:
        pytest.skip("Go is not installed")
    if workload == "bench.wsgi:hello_requests" and shutil.which("wrk") is None:
        pytest.skip("wrk is not installed: tools/debian-packages bench brings it")
    if workload.startswith("bench.gevent_wheel") and importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed: the dependency group `gevent` has it")
    sizes = [f"{name}={min(value, 20)}" for name, value in OUR_WORKLOADS[workload, package].items()]
    command = [sys.executable, "-m", "bench.solo", workload, package, *sizes, "--units", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")


def is_running(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False


def test_the_programs_that_a_workload_runs_end_with_it() -> None:
    def descendants(of: str) -> set[int]:
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", of], capture_output=True, text=True)
        return {int(line) for line in listed.stdout.split()}

    code = "import os, signal; from bench import stock; stock.bare_calls(8); print('ready', flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as workload:
        assert workload.stdout is not None
        assert workload.stdout.readline() == b"ready\n"
        programs = descendants(str(workload.pid))
        assert programs
        workload.kill()
    ended = time.monotonic() + 30
    while any(is_running(program) for program in programs):
        assert time.monotonic() < ended
        time.sleep(0.01)


def test_a_workload_can_be_run_alone_for_a_profiler(capsys: pytest.CaptureFixture[str]) -> None:
    assert solo.main(["tests.bench.tiny_rows:number", "-", "--units", "3", "value=7"]) == 0
    assert capsys.readouterr().out == "7.0\n"
    assert solo.main(["tests.bench.tiny_rows:timed_from_outside", "math", "per_unit=2", "--units", "3"]) == 0
