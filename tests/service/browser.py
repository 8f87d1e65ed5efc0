"""Drives the Chromium of this machine through a page, in the environment of deploy/, which has Playwright and axe-core.

It reads from standard input, as JSON, an address, options of the browser and steps, and writes what it saw.
"""

import json
import sys
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

# Nothing but the page: without these a new browser asks its maker's hosts first.
ALONE = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
]
STATE = """() => {
  const focused = document.activeElement;
  const named = [...document.querySelectorAll("#ask [name]")];
  const label = focused.labels?.[0]?.innerText;
  return {
    url: location.href,
    title: document.title,
    language: document.documentElement.lang,
    text: document.body.innerText,
    answer: document.getElementById("answer")?.innerText,
    focus: focused.getAttribute("aria-label") ?? label ?? focused.innerText,
    invalid: named.filter((one) => one.getAttribute("aria-invalid") === "true").map((one) => one.name),
    errors: named.map((one) => document.getElementById(`${one.name}-error`).textContent).filter(Boolean),
    fields: Object.fromEntries(named.filter((one) => one.value).map((one) => [one.name, one.value])),
    imperial: Object.fromEntries(
      [...document.querySelectorAll("#ask .parts input")].map((one) => [one.getAttribute("aria-label"), one.value]),
    ),
    cookies: document.cookie,
    stored: localStorage.length + sessionStorage.length,
  };
}"""


def step(page: Page, kind: str, *arguments: str) -> Any:
    """Do one step; `see` gives the state of the page, `axe` what axe-core finds, the others nothing."""
    match kind, *arguments:
        case "fill", label, text:
            page.get_by_label(label, exact=True).fill(text)
        case "choose", label, option:
            page.get_by_label(label, exact=True).select_option(label=option)
        case "check", label:
            page.get_by_label(label, exact=True).check()
        case "click", role, name:
            page.get_by_role(role, name=name, exact=True).click()  # type: ignore[arg-type]
        case "press", *keys:
            for key in keys:
                page.keyboard.press(key)
        case "wait", selector:
            page.wait_for_selector(selector, timeout=20_000)
        case ("see",):
            return page.evaluate(STATE)
        case ("axe",):
            violations = Axe().run(page).response["violations"]
            return [[one["id"], [node["html"] for node in one["nodes"]]] for one in violations]
        case "focus", selector:
            page.focus(selector)
        case "scroll", selector:
            page.locator(selector).evaluate("element => element.scrollIntoView()")
        case "picture", path:
            page.screenshot(path=path)
        case _:
            raise ValueError(f"no such step: {kind}")
    return None


def main() -> None:
    """Do what standard input says."""
    asked = json.load(sys.stdin)
    requests: list[list[str]] = []
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked["chromium"], args=ALONE)
        page = browser.new_page(**asked["options"])
        page.set_default_timeout(20_000)
        page.on("request", lambda request: requests.append([request.method, request.url]))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(asked["address"])
        seen = [step(page, *one) for one in asked["steps"]]
        browser.close()
    found = [one for one in seen if one is not None]
    json.dump({"seen": found, "requests": requests, "errors": errors}, sys.stdout)


if __name__ == "__main__":
    main()
