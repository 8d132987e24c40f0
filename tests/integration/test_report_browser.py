"""The report in a real browser: keyboard, filters, links, themes, phone width; no error, no request, no script run."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("plotly", reason="the extra `report` is not installed")

from browser import browser, requests, wait_for
from itp.report.build import write_report
from itp.report.sources import find_runs
from itp.types import Step
from report_runs import HOSTILE, decision, episode, write_run, write_training


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    episodes = [episode(n, won=n % 4 != 0) for n in range(40)]
    episodes.append(episode(40, won=False, goal=HOSTILE, error=HOSTILE, irreversible=True))
    runs = [
        write_run(folder / "itp", episodes),
        write_run(folder / "act", [episode(n) for n in range(5)], planner="act"),
    ]
    write_report(find_runs([*runs, write_training(folder / "a2c")]), folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(report: Path) -> Iterator[Any]:
    with browser() as chromium:
        yield chromium


@pytest.fixture
def opened(page: Any, report: Path) -> Any:
    page.get("about:blank")
    page.get(report.as_uri())
    wait_for(lambda: page.find_elements("css selector", "html[data-ready]"))
    return page


def press(page: Any, *keys: str) -> None:
    page.find_element("tag name", "body").send_keys(*keys)


def text(page: Any, where: str) -> str:
    """The text of an element, read in the page itself: between finding and asking it could have been drawn anew."""
    found: Any = page.execute_script("return document.querySelector(arguments[0])?.innerText", where)
    assert found is not None, f"the page has no {where}"
    return str(found).strip()


def test_the_overview_draws_its_charts_without_network_or_error(opened: Any) -> None:
    wait_for(lambda: opened.find_elements("css selector", ".js-plotly-plot .main-svg"))
    assert "73.2" in text(opened, "#summary tbody tr"), "30 of 41 episodes are won"
    assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert [url for url in requests(opened) if not url.startswith(("file:", "data:", "blob:", "about:"))] == []


def test_commands_that_were_passed_over_are_told_and_their_text_runs_nothing(page: Any, tmp_path: Path) -> None:
    warning = decision("leap", ("leap", f"The bridge breaks for good. {HOSTILE}")).foresight
    careful = decision("look", ("look", "A bridge."), passed_over=(warning,))
    warned = replace(episode(1), steps=(Step(careful, "A bridge."),))
    write_report(find_runs([write_run(tmp_path / "run", [warned])]), tmp_path / "report.html")
    page.get((tmp_path / "report.html").as_uri())
    wait_for(lambda: page.find_elements("css selector", "html[data-ready]"))
    press(page, "e")
    wait_for(lambda: "Step 1 of 1" in text(page, "#episode"))
    assert "leap → The bridge breaks for good." in text(page, ".said")
    badge = next(one for one in page.find_elements("css selector", ".badges span") if one.text == "plan changed")
    assert badge.get_attribute("title") == "The imagination began with “leap”"
    assert page.execute_script("return window.hacked") is None


def test_an_episode_is_read_by_keyboard(opened: Any) -> None:
    press(opened, "e")
    wait_for(lambda: "Step 1 of 3" in text(opened, "#episode"))
    assert "plan changed" in text(opened, ".badges")
    assert "took another way" in text(opened, ".comparison")
    press(opened, "j")
    assert "Step 2 of 3" in text(opened, "#step")
    assert opened.find_element("css selector", ".imagined del").text.strip() == "cup"
    assert opened.find_element("css selector", ".real ins").text.strip() == "pen"
    assert "The episode was over." in text(opened, ".comparison")
    press(opened, "n")
    wait_for(lambda: "put pen 1 on desk" in text(opened, "#episode h2"))
    press(opened, "G")
    assert "Step 3 of 3" in text(opened, "#step")
    press(opened, "?")
    assert opened.find_element("css selector", "dialog.help").is_displayed()


def test_filters_and_search_narrow_the_list(opened: Any) -> None:
    press(opened, "e")
    opened.find_element("css selector", "[data-filter=failed]").click()
    assert text(opened, "#count") == "11 of 46 episodes"
    opened.find_element("css selector", "[data-filter=irreversible]").click()
    assert text(opened, "#count") == "1 of 46 episodes"
    for name in ("failed", "irreversible"):
        opened.find_element("css selector", f"[data-filter={name}]").click()
    press(opened, "/")
    opened.switch_to.active_element.send_keys("pen 17")
    assert text(opened, "#count") == "1 of 46 episodes"
    assert "put pen 17 on desk" in text(opened, "#rows")


def test_a_link_opens_its_step_and_the_address_follows(opened: Any, report: Path) -> None:
    opened.get("about:blank")
    opened.get(report.as_uri() + "#run=itp&episode=7&step=2")
    wait_for(lambda: "Step 2 of 3" in text(opened, "#step"))
    assert "put pen 6 on desk" in text(opened, "#episode h2")
    press(opened, "j")
    assert opened.current_url.endswith("#run=itp&episode=7&step=3")


def test_hostile_text_is_shown_and_runs_nothing(opened: Any, report: Path) -> None:
    opened.get("about:blank")
    opened.get(report.as_uri() + "#run=itp&episode=41&step=1")
    wait_for(lambda: text(opened, "#episode h2") == HOSTILE)
    assert opened.find_element("css selector", ".error").text == HOSTILE
    assert opened.execute_script("return window.hacked") is None
    assert not opened.find_elements("css selector", "img")


def test_only_rows_in_sight_exist(opened: Any) -> None:
    press(opened, "e")
    assert 10 <= len(opened.find_elements("css selector", ".row")) < 46


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390], ids=["desktop", "phone"])
def test_every_width_and_theme_is_readable(report: Path, dark: bool, width: int, tmp_path: Path) -> None:
    """Nothing is wider than the window, text stands out from its ground; screenshots are left in ITP_ARTEFACTS."""
    artefacts = Path(os.environ.get("ITP_ARTEFACTS", tmp_path))
    artefacts.mkdir(parents=True, exist_ok=True)
    name = f"{'dark' if dark else 'light'}-{width}"
    with browser(width=width, height=850, dark=dark) as page:
        page.get(report.as_uri())
        wait_for(lambda: page.find_elements("css selector", ".js-plotly-plot .main-svg"))
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        ground = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (int(ground[4:].split(",")[0]) < 60) == dark
        page.save_screenshot(str(artefacts / f"overview-{name}.png"))
        page.get("about:blank")
        page.get(report.as_uri() + "#run=itp&episode=2&step=2")
        wait_for(lambda: page.find_elements("css selector", ".comparison"))
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        assert page.find_element("css selector", ".list-pane").is_displayed() == (width > 800)
        page.save_screenshot(str(artefacts / f"episode-{name}.png"))


def test_a_live_page_updates_as_episodes_finish(tmp_path: Path) -> None:
    uvicorn = pytest.importorskip("uvicorn", reason="the extra `serve` is not installed")
    from itp.report.live import live_app
    from itp.trace.store import TraceStore

    run = write_run(tmp_path / "run", [episode(0)])
    server = uvicorn.Server(uvicorn.Config(live_app(find_runs([run])), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        with browser() as page:
            page.get(f"http://127.0.0.1:{port}/")
            wait_for(lambda: page.find_elements("css selector", "html[data-ready]"))
            press(page, "e")
            assert text(page, "#count") == "1 episode"
            TraceStore(run / "traces.jsonl").append(episode(1))
            wait_for(lambda: text(page, "#count") == "2 episodes")
            press(page, "n")
            wait_for(lambda: "put pen 1 on desk" in text(page, "#episode h2"))
            assert [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"] == []
    finally:
        server.should_exit = True
        thread.join(10)
