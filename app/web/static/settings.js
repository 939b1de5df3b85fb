// The settings' forms: each is saved by itself, a switch at once; a value that may not be is told at its field.
"use strict";
(() => {
  const root = document.documentElement;
  const notice = document.querySelector("[data-notice]");

  function unlock() {
    for (const field of document.querySelectorAll("[data-needs-admin]")) field.disabled = root.dataset.admin !== "yes";
  }
  new MutationObserver(unlock).observe(root, { attributes: true, attributeFilter: ["data-admin"] });
  unlock();

  const fieldOf = (form) => form.querySelector("input, select, textarea");

  async function send(form, path, body) {
    const field = fieldOf(form);
    const line = form.querySelector(".field-error");
    line.textContent = "";
    field.removeAttribute("aria-invalid");
    const answer = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }).catch(() => null);
    const told = (await answer?.json().catch(() => null)) ?? {};
    if (answer?.ok) return told;
    line.textContent = told.error?.message ?? told.error ?? "The router did not answer.";
    field.setAttribute("aria-invalid", "true");
    field.focus();
    return null;
  }

  function read(form) {
    const field = fieldOf(form);
    const text = field.value.trim();
    if (form.dataset.kind === "switch") return field.checked;
    if (form.dataset.kind === "number") return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
    if (form.dataset.kind !== "json") return field.value;
    try { return JSON.parse(text); } catch { return text; }
  }

  function put(form, value) {
    const field = fieldOf(form);
    if (form.dataset.kind === "switch") field.checked = value;
    else field.value = typeof value === "object" ? JSON.stringify(value) : String(value);
  }

  function settle(form, value) {
    put(form, value);
    form.querySelector(".badge").textContent = "changed";
    notice.textContent = `${form.dataset.setting} is now ${fieldOf(form).type === "checkbox" ? (value ? "on" : "off") : JSON.stringify(value)}.`;
  }

  async function save(form) {
    const told = await send(form, "/dashboard/api/settings", { [form.dataset.setting]: read(form) });
    if (told) settle(form, told.updated[form.dataset.setting]);
    else if (form.dataset.kind === "switch") fieldOf(form).checked = !fieldOf(form).checked;
  }

  async function override(form, tokens) {
    const name = form.dataset.override;
    if (tokens !== null && !(Number.isInteger(tokens) && tokens >= 1024)) {
      form.querySelector(".field-error").textContent = "a whole number from 1024 on; empty: no override";
      fieldOf(form).focus();
      return;
    }
    const told = await send(form, "/dashboard/api/settings", { num_ctx_overrides: { [name]: tokens } });
    if (!told) return;
    fieldOf(form).value = tokens ?? "";
    notice.textContent = tokens === null ? `${name} has no override.` : `${name} is asked for with ${tokens} tokens where dynamic_num_ctx is on.`;
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    event.preventDefault();
    if (form.dataset.setting) save(form);
    else if (form.dataset.override) override(form, fieldOf(form).value.trim() === "" ? null : Number(fieldOf(form).value));
  });
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-kind=switch]");
    if (form) save(form);
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-do], button[data-use]");
    const form = button?.form;
    if (!form) return;
    if (button.dataset.use) override(form, Number(button.dataset.use));
    else {
      const told = await send(form, `/dashboard/api/settings/${encodeURIComponent(form.dataset.setting)}/${button.dataset.do}`, {});
      if (told) settle(form, told.updated[form.dataset.setting]);
    }
  });
})();
