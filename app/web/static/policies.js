// A policy's form: what was changed is sent to be tried on the recorded decisions, saved, undone, reset.
"use strict";
(() => {
  const form = document.querySelector("form[data-policy]");
  const fields = [...form.querySelectorAll("[data-path]")];
  const said = form.querySelector("[data-said]");
  const table = document.querySelector("[data-preview-table]");
  const previewSaid = document.querySelector("[data-preview-said]");
  const written = (field) => (field.dataset.kind === "switch" ? String(field.checked) : field.value.trim());
  const before = new Map(fields.map((field) => [field, field.tagName === "SELECT" ? [...field.options].find((one) => one.defaultSelected)?.value : field.dataset.kind === "switch" ? String(field.defaultChecked) : field.defaultValue]));

  function read(field) {
    if (field.dataset.kind === "switch") return field.checked;
    const text = field.value.trim();
    if (field.dataset.kind === "number") return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
    try { return JSON.parse(text); } catch { return text; }
  }

  function fault(field, words) {
    field.setAttribute("aria-invalid", String(Boolean(words)));
    const line = document.getElementById(`${field.dataset.path}.error`);
    if (line) line.textContent = words;
  }

  const changes = () => Object.fromEntries(fields.filter((field) => written(field) !== before.get(field)).map((field) => [field.dataset.path, read(field)]));

  async function send(what) {
    for (const field of fields) fault(field, "");
    said.textContent = "";
    const body = JSON.stringify({ changes: changes() });
    const path = `/dashboard/api/policies/${encodeURIComponent(form.dataset.policy)}/${what}`;
    const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body }).catch(() => null);
    const told = (await answer?.json().catch(() => null)) ?? {};
    if (answer?.ok) return told;
    const words = told.error?.message ?? told.error ?? "The router did not answer.";
    const field = fields.find((one) => one.dataset.path === told.place);
    if (field) {
      fault(field, words);
      field.focus();
    } else said.textContent = words;
    return null;
  }

  function show(told) {
    const words = told.decisions ? `${told.elsewhere} of ${told.decisions} recorded requests would have gone elsewhere.` : "No decision of this kind is recorded yet.";
    previewSaid.textContent = words;
    said.textContent = words;
    table.hidden = !told.moved.length;
    table.tBodies[0].replaceChildren(...told.moved.map((one) => {
      const row = document.createElement("tr");
      const link = document.createElement("a");
      link.href = `/dashboard/requests/${encodeURIComponent(one.request_id)}`;
      link.textContent = one.request_id;
      const head = document.createElement("th");
      head.scope = "row";
      head.append(link);
      row.append(head, ...[one.model, one.before || "nobody", one.after || "nobody"].map((text) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        return cell;
      }));
      return row;
    }));
  }

  async function act(what) {
    const told = await send(what);
    if (!told) return;
    if (what === "preview") show(told);
    else location.reload();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(event.submitter?.dataset.do ?? "preview");
  });
  form.addEventListener("click", (event) => {
    const button = event.target.closest("button[type=button][data-do]");
    if (button) act(button.dataset.do);
  });
})();
