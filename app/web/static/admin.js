// The administrator's way in: a token in the address (#admin=...) is traded for a cookie that no script can read.
"use strict";
(() => {
  const root = document.documentElement;
  const notice = document.querySelector("[data-notice]");
  const post = (path, body) =>
    fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

  async function enter() {
    const shown = new URLSearchParams(location.hash.slice(1)).get("admin");
    if (shown !== null) {
      history.replaceState(null, "", location.pathname + location.search);
      const answer = await post("/admin/login", { token: shown }).catch(() => null);
      if (!answer?.ok) notice.textContent = "This admin link is not valid here. The router prints the right one when it starts.";
    }
    const answer = await fetch("/admin/whoami").catch(() => null);
    const who = answer?.ok ? await answer.json().catch(() => ({})) : {};
    if (who.admin === true) root.dataset.admin = "yes";
    else delete root.dataset.admin;
  }

  window.addEventListener("hashchange", enter);
  enter();
})();
