// Pulls that a person watches and may cancel, the command for what is checked, deletions with a question before them.
"use strict";
(() => {
  const EVERY_MS = 1000;
  const parser = new DOMParser();
  const notice = document.querySelector("[data-notice]");
  const dialog = document.querySelector("[data-confirm]");
  const say = (words) => { notice.textContent = words; };
  const all = (root, selector) => [...root.querySelectorAll(selector)];
  const counted = (number, one) => `${number} ${one}${number === 1 ? "" : "s"}`;

  function size(bytes) {
    let unit = 0;
    for (; bytes >= 1000 && unit < 4; unit++) bytes /= 1024;
    return `${unit < 2 || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
  }

  // The router's own words about what could not be done; empty when it could.
  async function ask(path, body) {
    const answer = await fetch(`/dashboard/api/${path}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    }).catch(() => null);
    if (!answer) return "The router does not answer.";
    const told = await answer.json().catch(() => ({}));
    if (answer.ok && told.ok) return "";
    return (typeof told.error === "string" ? told.error : told.error?.message) ?? `The router answered ${answer.status}.`;
  }

  // --- plans: what is checked, and its command

  const checked = (part) => all(part, "[data-pick]").filter((box) => box.checked && !box.disabled).map((box) => box.closest("[data-pull]"));

  function count(part) {
    const picked = checked(part);
    const button = part.querySelector("[data-pull-all]");
    if (!button) return;
    const bytes = picked.reduce((sum, card) => sum + Number(card.dataset.disk), 0);
    button.disabled = picked.length === 0;
    part.querySelector("[data-pull-text]").textContent = picked.length ? `Pull ${counted(picked.length, "model")} (${size(bytes)})` : "Pull models";
    part.querySelector("[data-copy]").disabled = picked.length === 0;
    part.querySelector("[data-command-text]").textContent = picked.map((card) => card.dataset.command).join(" && ") || "nothing is checked";
  }

  async function copy(button) {
    const code = button.querySelector("[data-command-text]");
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch { // no clipboard for pages that came over plain HTTP: the old way
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.dataset.copied = "";
    say("The command is copied. Run it on the node's own terminal.");
    setTimeout(() => delete button.dataset.copied, 2000);
  }

  // --- pulls

  function draw(card, { state, completed_bytes, total_bytes, progress, status, error }) {
    const box = card.querySelector("[data-pick]");
    card.dataset.state = state === "done" ? "there" : state;
    card.querySelector("[data-pulling]").hidden = state !== "pulling";
    card.querySelector("progress").value = progress;
    card.querySelector("[data-said]").textContent = total_bytes
      ? `${Math.floor(progress * 100)} % · ${size(completed_bytes)} of ${size(total_bytes)}` : status || "waiting for its engine";
    card.querySelector("[data-failed]").textContent =
      state === "failed" ? error : state === "cancelled" ? "Cancelled. What came so far is kept for the next try." : "";
    if (box) box.disabled = state === "pulling" || state === "done";
    const part = card.closest("[data-part]");
    if (part) count(part);
  }

  let timer;
  let mine = 0; // answers older than what this page asked for since then say nothing of it

  async function look() {
    clearTimeout(timer);
    const asked = mine;
    const answer = await fetch("/dashboard/api/pulls").catch(() => null);
    const told = answer?.ok ? (await answer.json()).pulls : null;
    if (told && asked === mine) {
      const rows = new Map(told.map((row) => [`${row.node_id}\n${row.model.toLowerCase()}`, row]));
      let over = false;
      for (const card of all(document, "[data-pull][data-state=pulling]")) {
        const row = rows.get(`${card.dataset.node}\n${card.dataset.model.toLowerCase()}`);
        draw(card, row ?? { state: "done", progress: 1 });
        if (row?.state === "pulling") continue;
        over = true;
        say(`${card.dataset.title} ${{ failed: "could not be pulled to", cancelled: "was cancelled on" }[row?.state] ?? "is on"} ${card.dataset.node}.`);
      }
      if (over) await renew();
    }
    if (!document.hidden && document.querySelector("[data-pull][data-state=pulling]")) timer = setTimeout(look, EVERY_MS);
  }

  async function pull(part) {
    for (const card of checked(part)) {
      const { node, model } = card.dataset;
      draw(card, { state: "pulling", progress: 0, status: "" });
      const words = await ask("pull", { node_id: node, model, wait: false });
      mine++;
      if (words) draw(card, { state: "failed", progress: 0, error: words });
    }
    look();
  }

  async function cancel(card) {
    const { node, model } = card.dataset;
    const button = card.querySelector("[data-cancel]");
    button.disabled = true;
    const words = await ask("pull/cancel", { node_id: node, model });
    button.disabled = false;
    mine++;
    if (!words) draw(card, { state: "cancelled", progress: 0, status: "" });
    say(words || `${card.dataset.title} was cancelled on ${node}.`);
    card.querySelector("[data-pick]")?.focus();
    look();
  }

  // --- the page as it is now, part by part: what a person holds stays in their hands

  async function renew() {
    const answer = await fetch(location.pathname + location.search).catch(() => null);
    if (!answer?.ok) return;
    const next = parser.parseFromString(await answer.text(), "text/html");
    for (const old of all(document, "[data-part]:not([data-kept])")) {
      const fresh = next.getElementById(old.id);
      if (!fresh) continue;
      for (const box of all(old, "input[type=checkbox][id]")) {
        const same = next.getElementById(box.id);
        if (same && !same.disabled) same.checked = box.checked;
      }
      if (old.tagName === "DETAILS") fresh.open = old.open;
      const held = old.contains(document.activeElement) ? document.activeElement.id : "";
      old.replaceWith(fresh);
      if (held) (document.getElementById(held) ?? fresh.querySelector("input:enabled, button:enabled, summary"))?.focus();
      count(fresh);
      tally(fresh);
      fresh.dispatchEvent(new CustomEvent("herd:new", { bubbles: true }));
    }
  }

  // --- deletions

  const chosen = (part) => all(part, "[data-one]").filter((box) => box.checked).map((box) => box.closest("tr"));

  function tally(part) {
    const whole = part.querySelector("[data-all]");
    if (!whole) return;
    const number = chosen(part).length;
    const boxes = all(part, "[data-one]");
    whole.checked = number > 0 && number === boxes.length;
    whole.indeterminate = number > 0 && number < boxes.length;
    part.querySelector("[data-delete]").disabled = number === 0;
    part.querySelector("[data-delete-text]").textContent = number ? `Delete ${counted(number, "model")}` : "Delete models";
  }

  function question(part) {
    const rows = chosen(part);
    const loaded = rows.filter((row) => "loaded" in row.dataset);
    dialog.querySelector("[data-confirm-title]").textContent = `Delete ${counted(rows.length, "model")} from ${part.dataset.node}?`;
    dialog.querySelector("[data-confirm-list]").replaceChildren(...rows.map((row) => {
      const item = document.createElement("li");
      const name = document.createElement("code");
      name.textContent = row.dataset.model;
      item.append(name);
      if ("loaded" in row.dataset) {
        const badge = Object.assign(document.createElement("span"), { className: "badge", textContent: "in memory" });
        badge.dataset.tone = "warn";
        item.append(badge);
      }
      return item;
    }));
    const warning = dialog.querySelector("[data-confirm-loaded]");
    warning.hidden = loaded.length === 0;
    warning.querySelector("span").textContent = `${loaded.length === 1 ? "1 of them is" : `${loaded.length} of them are`} in memory and may be answering someone now.`;
    dialog.querySelector("[data-confirm-go]").textContent = `Delete ${counted(rows.length, "model")}`;
    part.dataset.kept = ""; // what is asked about is not drawn anew
    dialog.returnValue = "";
    dialog.onclose = () => (dialog.returnValue === "delete" ? remove(part, rows) : delete part.dataset.kept);
    dialog.showModal();
  }

  async function remove(part, rows) {
    part.querySelector("[data-delete]").disabled = true;
    let gone = 0;
    for (const row of rows) {
      const outcome = row.querySelector("[data-outcome]");
      row.dataset.state = "deleting";
      outcome.textContent = "deleting …";
      const words = await ask("delete", { node_id: part.dataset.node, model: row.dataset.model });
      row.dataset.state = words ? "failed" : "deleted";
      outcome.textContent = words || "deleted";
      if (words) continue;
      gone++;
      row.querySelector("[data-one]").closest("td").replaceChildren();
    }
    tally(part);
    say(`${counted(gone, "model")} deleted from ${part.dataset.node}${gone < rows.length ? `, ${rows.length - gone} not` : ""}.`);
    await renew();
    if (gone === rows.length) delete part.dataset.kept;
  }

  document.addEventListener("change", (event) => {
    const part = event.target.closest("[data-part]");
    if (event.target.matches("[data-pick]")) count(part);
    if (event.target.matches("[data-all]")) for (const box of all(part, "[data-one]")) box.checked = event.target.checked;
    if (event.target.matches("[data-all], [data-one]")) tally(part);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const part = button.closest("[data-part]");
    if ("copy" in button.dataset) copy(button);
    if ("pullAll" in button.dataset) pull(part);
    if ("cancel" in button.dataset) cancel(button.closest("[data-pull]"));
    if ("delete" in button.dataset) question(part);
  });

  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  const query = new URLSearchParams(location.search);
  if (query.has("refresh")) {
    query.delete("refresh"); // a reload is no wish for a new plan
    history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`);
  }
  for (const part of all(document, "[data-part]")) count(part);
  look();
})();
