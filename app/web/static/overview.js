// What an administrator does to a node or a pull: one request to the owner's API, its answer in words, focus kept.
"use strict";
(() => {
  const notice = document.querySelector("[data-notice]");
  const dialog = document.getElementById("sure");
  const WORDS = {
    approve: (name) => `${name} is approved and joins with its next heartbeat.`,
    drain: (name) => `${name} gets no new work; what runs there ends in peace.`,
    pause: (name, lasts) => `${name} is paused ${lasts ? `for ${lasts.replace("h", " h")}` : "until it is resumed"}.`,
    resume: (name) => `${name} takes work again.`,
    forget: (name) => `${name} is forgotten.`,
  };

  async function ask(path, body, method = "POST") {
    const more = body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(path, { method, ...more }).catch(() => null);
    if (answer?.ok) return "";
    const said = await answer?.json().catch(() => null);
    return said?.error?.message ?? (typeof said?.error === "string" ? said.error : "the router does not answer");
  }

  async function act(button) {
    const { node, verb, lasts } = button.dataset;
    const menu = button.closest("details");
    button.disabled = true;
    const path = `/fleet/nodes/${encodeURIComponent(node)}`;
    const failed = verb === "forget"
      ? await ask(path, null, "DELETE")
      : await ask(`${path}/${verb}`, verb === "pause" && lasts ? { for: lasts } : {});
    button.disabled = verb === "approve" && !failed;
    notice.textContent = failed ? `${node}: ${failed}.` : WORDS[verb](node, lasts);
    if (failed || !menu) return;
    close(menu);
    if (verb === "forget") document.getElementById("nodes-title").focus(); // its card is about to go
  }

  async function stop(button) {
    const { node, stopPull: model } = button.dataset;
    button.disabled = true;
    const failed = await ask("/dashboard/api/pull/cancel", { node_id: node, model });
    button.disabled = !failed;
    notice.textContent = failed ? `${model}: ${failed}.` : `The pull of ${model} to ${node} is stopped.`;
  }

  function close(menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }

  function sure(button) {
    document.getElementById("sure-words").textContent = button.dataset.sure;
    dialog.onclose = () => { button.focus(); if (dialog.returnValue === "yes") act(button); };
    dialog.returnValue = "";
    dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-verb]");
    if (button) (button.dataset.sure ? sure : act)(button);
    const pull = event.target.closest("button[data-stop-pull]");
    if (pull) stop(pull);
  });
  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && event.target.closest("details.menu[open]");
    if (menu) close(menu);
  });
})();
