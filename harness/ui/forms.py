"""Airflow's own dialogs as people fill them in: the one of a connection, and the one behind Trigger."""

from __future__ import annotations

import re
from collections.abc import Mapping

from playwright.sync_api import Locator, Page, expect

SECTIONS = {
    "1. Account": ("sdkappid", "secret_key"),
    "2. Mutual TLS": ("client_cert", "private_key", "private_key_passphrase", "ca_cert"),
    "3. Network": ("proxy",),
}


def dialog_of(page: Page) -> Locator:
    """The dialog that is open; Airflow gives it no name."""
    dialog = page.locator("[role=dialog][data-scope=dialog][data-state=open]")
    dialog.wait_for()
    return dialog


def field(dialog: Locator, name: str) -> Locator:
    """The control of an extra of a connection, or of a parameter of a DAG."""
    return dialog.locator(f"[name=element_{name}]")


def open_section(dialog: Locator, title: str) -> None:
    """Open one of the form's sections, which closes the one that was open; nothing where it is open already."""
    heading = dialog.get_by_role("button", name=title)
    if heading.get_attribute("aria-expanded") != "true":
        heading.click()
    expect(heading).to_have_attribute("aria-expanded", "true")


def add_connection(page: Page, conn_id: str) -> Locator:
    """Open the dialog for a new connection of ours, from the list of connections."""
    page.get_by_role("button", name="Add Connection").click()
    dialog = dialog_of(page)
    dialog.get_by_role("textbox", name="Connection ID").fill(conn_id)
    kind = dialog.get_by_role("combobox", name="Connection Type")
    kind.fill("TIM AV")
    page.get_by_role("option", name="TIM AV").click()
    dialog.get_by_role("button", name="2. Mutual TLS").wait_for()
    return dialog


def edit_connection(page: Page, conn_id: str) -> Locator:
    """Open the dialog of a connection that there is."""
    row(page, conn_id).get_by_role("button", name="Edit Connection").click()
    return dialog_of(page)


def fill_connection(dialog: Locator, standard: Mapping[str, str | int], extra: Mapping[str, str | int]) -> None:
    """Type into a connection's dialog: standard fields by the beginning of their labels, the others by their keys."""
    if standard:
        open_section(dialog, "Standard Fields")
    for label, value in standard.items():
        dialog.get_by_label(re.compile(f"^{label}")).fill(str(value))
    for title, names in SECTIONS.items():
        given = [name for name in names if name in extra]
        if given:
            open_section(dialog, title)
        for name in given:
            field(dialog, name).fill(str(extra[name]))


def save(page: Page, dialog: Locator) -> None:
    """Press Save, and see the dialog gone."""
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("[role=dialog][data-scope=dialog][data-state=open]")).to_have_count(0)


def row(page: Page, conn_id: str) -> Locator:
    """A connection's row in the list."""
    return page.get_by_role("row").filter(has=page.get_by_role("cell", name=conn_id, exact=True))


def press_test(page: Page, conn_id: str) -> tuple[str, str]:
    """Press a connection's Test button; what kind of message appears (`success`, `error`), and its text."""
    messages = page.locator("[data-scope=toast][data-part=root]")
    before = messages.count()
    row(page, conn_id).get_by_role("button", name="Test Connection").click()
    expect(messages).to_have_count(before + 1)
    newest = messages.first
    return str(newest.get_attribute("data-type")), newest.inner_text()


def shown_values(dialog: Locator) -> dict[str, str]:
    """What the open section's controls hold, by their names."""
    found: dict[str, str] = dialog.locator("input[name], textarea[name]").evaluate_all(
        "controls => Object.fromEntries(controls.map((control) => [control.name, control.value]))"
    )
    return found


def open_trigger(page: Page) -> Locator:
    """Press Trigger on a DAG's page."""
    page.get_by_role("button", name=re.compile("^Trigger")).first.click()
    return dialog_of(page)
