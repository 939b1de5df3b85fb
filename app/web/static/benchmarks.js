// The benchmark's dialog, and the progress of the run that is under way, also one that somebody else started.
"use strict";
(() => {
  const main = document.querySelector("main[data-benchmarks]");
  const dialog = document.getElementById("run-dialog");
  const panel = main.querySelector("[data-now]");
  const notice = document.querySelector("[data-notice]");
  const error = dialog.querySelector("[data-error]");
  const RUNNING = new Set(["pulling", "warming_up", "running"]);
  const API = "/dashboard/api/benchmarks";
  const EVERY_MS = 1000;
  let timer = 0;

  const post = (path, body) =>
    fetch(API + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const length = (s) => (s < 60 ? `${Math.floor(s)} s` : `${Math.floor(s / 60)} min${Math.floor(s % 60) ? ` ${Math.floor(s % 60)} s` : ""}`);
  const wordsOf = async (answer) => {
    const told = await answer?.json().catch(() => null);
    return (typeof told?.error === "string" ? told.error : told?.error?.message) ?? "The router did not answer.";
  };

  function show(told) {
    const say = (name, word) => { panel.querySelector(`[data-count=${name}]`).textContent = word; };
    panel.hidden = false;
    panel.querySelector("[data-phase]").textContent = told.phase;
    panel.querySelector("[data-share]").value = told.duration ? Math.min(1, (told.elapsed ?? 0) / told.duration) : 0;
    const loading = panel.querySelector("[data-loading]");
    loading.hidden = !told.pull_progress;
    if (told.pull_progress) loading.textContent = `${told.pull_progress.model} on ${told.pull_progress.node_id}, ${told.pull_progress.total_gb} GiB`;
    say("time", `${length(told.elapsed ?? 0)} of ${length(told.duration ?? 0)}`);
    say("done", (told.requests_completed ?? 0).toLocaleString());
    say("failed", (told.requests_failed ?? 0).toLocaleString());
    say("pace", told.tok_per_sec ? told.tok_per_sec.toFixed(1) : "–");
  }

  async function look() {
    clearTimeout(timer);
    const answer = await fetch(`${API}/progress`).catch(() => null);
    const told = answer?.ok ? await answer.json().catch(() => null) : null;
    if (told && RUNNING.has(told.status)) show(told);
    else if (told && told.run_id) return location.assign(`?run=${encodeURIComponent(told.run_id)}#run`), undefined;
    timer = setTimeout(look, EVERY_MS);
  }

  async function start(form) {
    const wish = new FormData(form);
    error.hidden = true;
    const answer = await post("/start", {
      mode: wish.get("mode"), duration: Number(wish.get("duration")), model_types: wish.getAll("kind"),
    }).catch(() => null);
    if (!answer?.ok && answer?.status !== 409) {
      error.textContent = await wordsOf(answer);
      error.hidden = false;
      return;
    }
    dialog.close();
    for (const button of document.querySelectorAll("[data-open]")) button.disabled = true;
    document.getElementById("no-runs")?.remove();
    await look();
    panel.querySelector("[data-cancel]").focus();
  }

  async function cancel(button) {
    button.disabled = true;
    const answer = await post("/cancel", {}).catch(() => null);
    button.disabled = false;
    if (!answer?.ok) notice.textContent = await wordsOf(answer);
    else await look();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.open) document.getElementById(button.dataset.open).showModal();
    if ("close" in button.dataset) dialog.close();
    if ("cancel" in button.dataset) cancel(button);
  });
  document.addEventListener("submit", (event) => {
    if (!("start" in event.target.dataset)) return;
    event.preventDefault();
    start(event.target);
  });
  if (main.dataset.running === "yes") look();
})();
